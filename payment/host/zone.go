package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/mac"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// ErrZone: a working key of a line can't be used, or is none. The text says why.
var ErrZone = errors.New("host: working keys of a line")

// ZoneConfig makes a Zone.
type ZoneConfig struct {
	// Ledger keeps the working keys, under Master. No default.
	Ledger ledger.Ledger
	// Name tells the line from others in the ledger. No default.
	Name string
	// Master is the zone master key that both ends have: AES, usage K0. No
	// default.
	Master *keyblock.Key
	// Initial is the key that both ends have for the MAC as long as there are no
	// working keys, AES of usage M6. With it an exchange of keys can be asked for
	// at any time, and nothing else once there are working keys. No default.
	Initial *keyblock.Key
	// TDES makes PIN keys of 16 bytes of TDES, and PIN blocks of format 0, for an
	// end that has no AES; else they are of AES and format 4.
	TDES bool
	// Grace is how long messages under the keys before are taken, from when the
	// new ones are in use; zero means ten minutes.
	Grace time.Duration
	// Rand is the source of keys; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Zone is the keys of a line between two servers: one for the MAC of its messages,
// one for the PIN blocks in them, changed together by an exchange (0800, network
// management 101). The end that is asked makes the new keys; it takes them from
// then on, and gives up those before them a while after it has seen them used. The
// end that asked uses them from the moment on that it has written them down. A
// message names its keys by their number, and so either end goes on whatever is
// lost on the way. All of that is in the ledger, for every server on it. A Zone is
// safe for concurrent use.
type Zone struct {
	c  ZoneConfig
	mu sync.Mutex
	// keys are those that were read, by their numbers; newest is the highest.
	keys   map[uint64]*zoneKeys
	newest uint64
	read   time.Time
}

// zoneKeys are a pair of working keys; until is zero for those in use.
type zoneKeys struct {
	pin, mac *keyblock.Key
	until    time.Time
	// pinBlock and macBlock are what they were read from.
	pinBlock, macBlock string
}

// Usages of working keys in the ledger.
const (
	zonePIN = "pin"
	zoneMAC = "mac"
)

// zoneFresh is how long what was read of the keys counts: another server on the
// ledger may have exchanged them.
const zoneFresh = 5 * time.Second

// zonePrefix begins the names of working keys where a message has a key serial
// number: "ZO" and eight bytes of the number, or "ZONE" and eight. No base key may
// be called so.
const zonePrefix = "ZO"

// NewZone makes a zone. Errors wrap ErrConfig.
func NewZone(c ZoneConfig) (*Zone, error) {
	for _, f := range []struct {
		name string
		none bool
	}{{"Ledger", c.Ledger == nil}, {"Name", c.Name == ""}, {"Master", c.Master == nil}, {"Initial", c.Initial == nil}} {
		if f.none {
			return nil, fmt.Errorf("%w: ZoneConfig.%s is empty and has no default", ErrConfig, f.name)
		}
	}
	if err := c.Master.Header().Allows(keyblock.UnwrapKey); err != nil {
		return nil, fmt.Errorf("%w: ZoneConfig.Master: %w", ErrConfig, err)
	}
	if err := c.Initial.Header().Allows(keyblock.GenerateMAC); err != nil {
		return nil, fmt.Errorf("%w: ZoneConfig.Initial: %w", ErrConfig, err)
	}
	if c.Grace <= 0 {
		c.Grace = 10 * time.Minute
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Zone{c: c}, nil
}

// name is how a message names keys, 12 bytes.
func zoneName(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte("ZONE"), number) }

// zoneNumber reads a name; false for a key serial number.
func zoneNumber(ksn []byte) (uint64, bool) {
	if len(ksn) != 12 || !bytes.HasPrefix(ksn, []byte("ZONE")) {
		return 0, false
	}
	return binary.BigEndian.Uint64(ksn[4:]), true
}

// load reads the keys. Errors are those of the ledger, and wrap ErrZone.
func (z *Zone) load(ctx context.Context) error {
	var list []ledger.WorkingKey
	err := z.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		list = nil
		return tx.EachWorkingKey(z.c.Name, func(k ledger.WorkingKey) error { list = append(list, k); return nil })
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrZone, err)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	keys := map[uint64]*zoneKeys{}
	var newest uint64
	for _, k := range list {
		pair := keys[k.Number]
		if pair == nil {
			pair = &zoneKeys{until: k.Until}
			keys[k.Number] = pair
		}
		into, block, usage := &pair.mac, &pair.macBlock, "M6"
		have, from := (*keyblock.Key)(nil), ""
		if old := z.keys[k.Number]; old != nil {
			have, from = old.mac, old.macBlock
		}
		if k.Usage == zonePIN {
			into, block, usage = &pair.pin, &pair.pinBlock, "P0"
			if old := z.keys[k.Number]; old != nil {
				have, from = old.pin, old.pinBlock
			}
		}
		if *block = k.Block; have != nil && from == k.Block {
			*into = have // so that no copy of a key is left behind each time
		} else if *into, err = z.open(k.Block, usage); err != nil {
			return err
		}
		newest = max(newest, k.Number)
	}
	for n, pair := range keys {
		if pair.pin == nil || pair.mac == nil {
			return fmt.Errorf("%w: one of the keys of number %d is missing", ErrZone, n)
		}
	}
	now := z.c.Now()
	for n, old := range z.keys {
		// Whoever still has them at hand is done by then.
		if keys[n] == nil && !old.until.IsZero() && now.Sub(old.until) > z.c.Grace {
			old.pin.Wipe()
			old.mac.Wipe()
		}
	}
	z.keys, z.newest, z.read = keys, newest, now
	return nil
}

// open takes a key block of a usage, whose check value has to be there and right.
func (z *Zone) open(block, usage string) (*keyblock.Key, error) {
	k, err := keyblock.Open(z.c.Master, block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrZone, err)
	}
	h := k.Header()
	if _, _, err := h.CheckValue("KC"); err != nil || h.Usage != usage || h.Exportability != 'N' {
		k.Wipe()
		return nil, fmt.Errorf("%w: a block of usage %s, with or without a check value, where one of %s with it belongs", ErrZone, h.Usage, usage)
	}
	return k, nil
}

// get returns keys by their number, 0 for the newest; false when there are none,
// or they are not taken any more.
func (z *Zone) get(ctx context.Context, number uint64) (*zoneKeys, uint64, bool, error) {
	now := z.c.Now()
	look := func() (*zoneKeys, uint64, bool) {
		z.mu.Lock()
		defer z.mu.Unlock()
		n := number
		if n == 0 {
			n = z.newest
		}
		k := z.keys[n]
		fresh := !z.read.IsZero() && now.Sub(z.read) < zoneFresh && !now.Before(z.read)
		return k, n, fresh && (k != nil || number == 0)
	}
	k, n, ok := look()
	if !ok {
		if err := z.load(ctx); err != nil {
			return nil, 0, false, err
		}
		k, n, _ = look()
	}
	if k == nil || !k.until.IsZero() && now.After(k.until) {
		return nil, n, false, nil
	}
	return k, n, true, nil
}

// Seal packs a message and its MAC: an answer under the keys that its request
// named, everything else under the newest. Before there are any, and to ask for
// them, it takes the initial key.
func (z *Zone) Seal(ctx context.Context, d *acquirer.Dialect, m *acquirer.Message) ([]byte, error) {
	key := z.c.Initial
	number, named := zoneNumber(m.MACKSN)
	if named || !acquirer.IsResponse(m.MTI) && !asksForKeys(m) {
		k, n, ok, err := z.get(ctx, number)
		if err != nil {
			return nil, err
		}
		if ok {
			key, m.MACKSN = k.mac, zoneName(n)
		} else if named {
			return nil, fmt.Errorf("%w: those of number %d are gone", ErrZone, number)
		}
	}
	return d.Seal(m, func(data []byte) ([]byte, error) {
		code, err := key.MAC(data, mac.Padding1)
		if err != nil {
			return nil, err
		}
		return code[:8], nil
	})
}

// Open reads a message and checks its MAC, under the keys that it names. Errors are
// the dialect's; acquirer.ErrMAC where the keys are not taken.
func (z *Zone) Open(ctx context.Context, d *acquirer.Dialect, b []byte) (*acquirer.Message, error) {
	var used uint64
	m, err := d.Open(b, func(m *acquirer.Message, data, code []byte) error {
		key := z.c.Initial
		number, named := zoneNumber(m.MACKSN)
		switch _, _, some, err := z.get(ctx, 0); {
		case err != nil:
			return err
		case named:
			k, _, ok, err := z.get(ctx, number)
			if err != nil {
				return err
			}
			if !ok || number == 0 {
				return fmt.Errorf("%w: under keys that are not taken", acquirer.ErrMAC)
			}
			key, used = k.mac, number
		case some && !asksForKeys(m):
			return fmt.Errorf("%w: under the initial key, which is over", acquirer.ErrMAC)
		}
		if err := key.VerifyMAC(data, mac.Padding1, code); err != nil {
			return fmt.Errorf("%w: %w", acquirer.ErrMAC, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if used > 0 {
		if err := z.used(ctx, used); err != nil {
			m.Wipe()
			return nil, err
		}
	}
	return m, nil
}

// used notes that the other end uses keys: those before them are taken for a while
// yet.
func (z *Zone) used(ctx context.Context, number uint64) error {
	z.mu.Lock()
	older := false
	for n, k := range z.keys {
		older = older || n < number && k.until.IsZero()
	}
	z.mu.Unlock()
	if !older {
		return nil
	}
	err := z.c.Ledger.Update(ctx, func(tx ledger.Tx) error { return z.retire(tx, number) })
	if err != nil {
		return fmt.Errorf("%w: %w", ErrZone, err)
	}
	return z.load(ctx)
}

// retire gives the keys before number a time to end, and removes those whose time
// has passed.
func (z *Zone) retire(tx ledger.Tx, number uint64) error {
	var older []ledger.WorkingKey
	err := tx.EachWorkingKey(z.c.Name, func(k ledger.WorkingKey) error {
		if k.Number < number {
			older = append(older, k)
		}
		return nil
	})
	if err != nil {
		return err
	}
	now := z.c.Now()
	for _, k := range older {
		switch {
		case k.Until.IsZero():
			k.Until = now.Add(z.c.Grace)
			err = tx.PutWorkingKey(k)
		case now.After(k.Until):
			err = tx.DeleteWorkingKey(k.Zone, k.Usage, k.Number)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// format is the format of the zone's PIN blocks.
func (z *Zone) format() pinblock.Format {
	if z.c.TDES {
		return formatTDES
	}
	return formatAES
}

// sealPIN enciphers a PIN that came in a block of a format for the other end, where
// that format may become the zone's (ISO 9564-1, 9.3.5).
func (z *Zone) sealPIN(ctx context.Context, from uint8, pin secret.Bytes, pan secret.PAN, m *acquirer.Message) error {
	if !pinblock.Translatable(pinblock.Format(from), z.format()) {
		return fmt.Errorf("%w: PIN blocks of format %d don't become ones of format %d", ErrZone, from, z.format())
	}
	k, n, ok, err := z.get(ctx, 0)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: there are none yet", ErrZone)
	}
	block, err := k.pin.EncryptPIN(z.format(), pin, pan, z.c.Rand)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrZone, err)
	}
	m.PINBlock, m.PINFormat, m.PINKSN = block, uint8(z.format()), zoneName(n)
	return nil
}

// openPIN reads a PIN block of the other end.
func (z *Zone) openPIN(ctx context.Context, m *acquirer.Message, pan secret.PAN) (secret.Bytes, error) {
	number, _ := zoneNumber(m.PINKSN)
	k, _, ok, err := z.get(ctx, number)
	switch {
	case err != nil:
		return secret.Bytes{}, err
	case !ok || number == 0:
		return secret.Bytes{}, fmt.Errorf("%w: a PIN block under keys that are not taken", ErrZone)
	case m.PINFormat != uint8(z.format()):
		return secret.Bytes{}, fmt.Errorf("%w: a PIN block of format %d", ErrZone, m.PINFormat)
	}
	return k.pin.DecryptPIN(z.format(), m.PINBlock, pan)
}
