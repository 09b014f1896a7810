package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/pinpad/dukpt"
)

// Keys are the base derivation keys, from which every terminal's keys come. The
// same ones have to be configured over the life of the terminals. PIN keys and
// message keys have different bases, because the pad has the ones and the unit
// the others.
type Keys struct {
	// PIN and MAC are for terminals with AES keys: 16, 24 or 32 bytes.
	PIN, MAC Base
	// PINTDES and MACTDES are for terminals whose pad makes PIN blocks of
	// format 0: 16 bytes. Zero means that such terminals can't enrol.
	PINTDES, MACTDES Base
	// Earlier are the generations before these keys, the newest first: terminals
	// enrol, and change their keys, under the keys above; those that have keys of
	// an earlier generation go on with them until they have changed.
	Earlier []Generation
}

// Base is a base derivation key.
type Base struct {
	// ID is the key's name, the first four bytes of every key serial number
	// that comes from it. No two of Keys may have the same.
	ID [4]byte
	// Key is the key; the Server keeps a copy.
	Key secret.Bytes
}

func (k *Keys) check() error {
	if k.PIN.Key.Len() == 0 || k.MAC.Key.Len() == 0 {
		return fmt.Errorf("%w: Keys.PIN or Keys.MAC is empty and has no default", ErrConfig)
	}
	if (k.PINTDES.Key.Len() == 0) != (k.MACTDES.Key.Len() == 0) {
		return fmt.Errorf("%w: Keys.PINTDES and Keys.MACTDES go together", ErrConfig)
	}
	all := []Base{k.PIN, k.MAC, k.PINTDES, k.MACTDES}
	for i := range k.Earlier {
		g := &k.Earlier[i]
		if g.PIN.Key.Len() == 0 || g.MAC.Key.Len() == 0 || (g.PINTDES.Key.Len() == 0) != (g.MACTDES.Key.Len() == 0) {
			return fmt.Errorf("%w: Keys.Earlier[%d] lacks keys", ErrConfig, i)
		}
		all = append(all, g.list()...)
	}
	for i, a := range all {
		if bytes.HasPrefix(a.ID[:], []byte(zonePrefix)) {
			return fmt.Errorf("%w: a base key has a name that begins like those of working keys, %q", ErrConfig, zonePrefix)
		}
		for _, b := range all[:i] {
			if a.Key.Len() > 0 && b.Key.Len() > 0 && (a.ID == b.ID || a.Key.Equal(b.Key)) {
				return fmt.Errorf("%w: two of Keys have the same name or the same key", ErrConfig)
			}
		}
	}
	return nil
}

// base is a base derivation key at work.
type base struct {
	id   [4]byte
	host *dukpt.Host
}

// pair is the bases of a kind of terminal.
type pair struct {
	format   uint8
	pin, mac base
}

// bases are the pairs by the PIN format of the terminal.
type bases map[uint8]pair

// PIN block formats that terminals can have, ISO 9564-1.
const (
	formatTDES = 0
	formatAES  = 4
)

func (k *Keys) bases() (bases, error) {
	b := bases{}
	for _, f := range []struct {
		format   uint8
		pin, mac Base
	}{{formatAES, k.PIN, k.MAC}, {formatTDES, k.PINTDES, k.MACTDES}} {
		if f.pin.Key.Len() == 0 {
			continue
		}
		p, err := newBase(f.format, f.pin)
		if err != nil {
			return nil, fmt.Errorf("PIN base of format %d: %w", f.format, err)
		}
		m, err := newBase(f.format, f.mac)
		if err != nil {
			return nil, fmt.Errorf("MAC base of format %d: %w", f.format, err)
		}
		b[f.format] = pair{f.format, p, m}
	}
	return b, nil
}

func newBase(format uint8, b Base) (base, error) {
	alg := dukpt.TDES
	if format == formatAES {
		switch b.Key.Len() {
		case 24:
			alg = dukpt.AES192
		case 32:
			alg = dukpt.AES256
		default:
			alg = dukpt.AES128
		}
	}
	h, err := dukpt.NewHost(alg, b.Key)
	return base{b.ID, h}, err
}

// maxNumber is the greatest number of a terminal whose TDES key id has room for
// it: 27 bits stand between the base's name and the counter.
const maxNumber = 1<<27 - 1

// keyID is the initial key id of a terminal: for AES the base's name and the
// number (X9.24-3, 6.2), for TDES the base's name, the number in 27 bits and a
// counter of zero in 21 (X9.24-1, 6.1).
func (b base) keyID(number uint64) []byte {
	if b.host.Algorithm() != dukpt.TDES {
		return binary.BigEndian.AppendUint32(b.id[:], uint32(number))
	}
	id := binary.BigEndian.AppendUint32(b.id[:], uint32(number)<<5)
	return append(id, 0, 0)
}

var errKSN = errors.New("host: key serial number is not of this terminal's key")

// transaction derives the keys of a key serial number that must be of the
// terminal's own initial key, and returns the counter in it.
func (b base) transaction(t *ledger.Terminal, ksn []byte) (*dukpt.HostTransaction, uint64, error) {
	id := b.keyID(t.Number)
	var counter uint64
	if b.host.Algorithm() != dukpt.TDES {
		if len(ksn) != 12 || !bytes.Equal(ksn[:8], id) {
			return nil, 0, errKSN
		}
		counter = uint64(binary.BigEndian.Uint32(ksn[8:]))
	} else {
		if len(ksn) != 10 || !bytes.Equal(ksn[:7], id[:7]) || ksn[7]&0xE0 != id[7] {
			return nil, 0, errKSN
		}
		counter = uint64(ksn[7]&0x1F)<<16 | uint64(ksn[8])<<8 | uint64(ksn[9])
	}
	k, err := b.host.Transaction(ksn)
	return k, counter, err
}
