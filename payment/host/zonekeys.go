package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/mac"
)

// The answer to a request for keys has them in field 48:
//
//	0    4   "ZK01"
//	4    20  the number of the keys, decimal
//	24   4n  key block of the PIN key (X9.143): D, its length, usage P0, with KC
//	     4m  key block of the MAC key: D, its length, usage M6, with KC
const (
	keysField   = 48
	keysVersion = "ZK01"
	keysHead    = len(keysVersion) + 20
)

// asksForKeys reports whether a message is about an exchange of keys.
func asksForKeys(m *acquirer.Message) bool {
	return len(m.MTI) == 4 && m.MTI[1] == '8' && m.NetworkCode == acquirer.NetworkKey
}

// make draws new keys, writes them down and returns field 48 of the answer.
func (z *Zone) make(ctx context.Context) ([]byte, error) {
	pinAlgorithm, pinLength := byte('A'), 16
	if z.c.TDES {
		pinAlgorithm = 'T'
	}
	pin, err := z.draw(keyblock.Header{Usage: "P0", Algorithm: pinAlgorithm, Mode: 'B'}, pinLength)
	if err != nil {
		return nil, err
	}
	code, err := z.draw(keyblock.Header{Usage: "M6", Algorithm: 'A', Mode: 'C'}, 16)
	if err != nil {
		return nil, err
	}
	var number uint64
	err = z.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		if number, err = tx.Next("zone/" + z.c.Name); err != nil {
			return err
		}
		if err := z.put(tx, number, pin, code); err != nil {
			return err
		}
		return z.drop(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrZone, err)
	}
	if err := z.load(ctx); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s%020d%s%s", keysVersion, number, pin, code), nil
}

// maxUnused is how many keys are kept that were asked for and not used. Whoever
// plays a request for keys over and over is given them, and can't use them; the
// ledger does not fill up with them.
const maxUnused = 16

// drop removes keys that were not used, but for the newest. The oldest that have no
// end yet are those in use.
func (z *Zone) drop(tx ledger.Tx) error {
	var standing []uint64
	err := tx.EachWorkingKey(z.c.Name, func(k ledger.WorkingKey) error {
		if k.Usage == zoneMAC && k.Until.IsZero() {
			standing = append(standing, k.Number)
		}
		return nil
	})
	if err != nil || len(standing) <= 1+maxUnused {
		return err
	}
	slices.Sort(standing)
	for _, n := range standing[1 : len(standing)-maxUnused] {
		if err := errors.Join(tx.DeleteWorkingKey(z.c.Name, zonePIN, n), tx.DeleteWorkingKey(z.c.Name, zoneMAC, n)); err != nil {
			return err
		}
	}
	return nil
}

func (z *Zone) put(tx ledger.Tx, number uint64, pin, code string) error {
	for usage, block := range map[string]string{zonePIN: pin, zoneMAC: code} {
		if err := tx.PutWorkingKey(ledger.WorkingKey{Zone: z.c.Name, Usage: usage, Number: number, Block: block, Created: z.c.Now()}); err != nil {
			return err
		}
	}
	return nil
}

// draw makes a key block of a new key, with its check value.
func (z *Zone) draw(h keyblock.Header, n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(z.c.Rand, b); err != nil {
		return "", fmt.Errorf("%w: drawing a key: %w", ErrZone, err)
	}
	key := secret.NewBytes(b)
	defer key.Wipe()
	h.Version, h.KeyVersion, h.Exportability = 'D', "00", 'N'
	of := mac.AES
	if h.Algorithm == 'T' {
		of = mac.TDES
	}
	c, err := of(key)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrZone, err)
	}
	h.Optional = []keyblock.Block{keyblock.CheckValue("KC", keyblock.CheckCMAC, mac.CMAC(c, make([]byte, c.BlockSize()))[:5])}
	master, err := z.c.Master.Material(keyblock.WrapKey)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrZone, err)
	}
	block, err := keyblock.Wrap(master, h, key, z.c.Rand)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrZone, err)
	}
	return block, nil
}

// take puts the keys of field 48 in use: both or none.
func (z *Zone) take(ctx context.Context, field []byte) error {
	number, pin, code, err := parseKeys(string(field))
	if err != nil {
		return err
	}
	for block, usage := range map[string]string{pin: "P0", code: "M6"} {
		k, err := z.open(block, usage)
		if err != nil {
			return err
		}
		algorithm := k.Header().Algorithm
		k.Wipe()
		if want := map[bool]byte{true: 'T', false: 'A'}[z.c.TDES && usage == "P0"]; algorithm != want {
			return fmt.Errorf("%w: a key of usage %s and algorithm %c, want %c", ErrZone, usage, algorithm, want)
		}
	}
	err = z.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		var newest uint64
		err := tx.EachWorkingKey(z.c.Name, func(k ledger.WorkingKey) error { newest = max(newest, k.Number); return nil })
		if err != nil {
			return err
		}
		// A late answer, or one that is played again, brings no old keys back.
		if number <= newest {
			return fmt.Errorf("%w: those of number %d are older than those in use", ErrZone, number)
		}
		if err := z.put(tx, number, pin, code); err != nil {
			return err
		}
		return z.retire(tx, number)
	})
	if err != nil {
		return err
	}
	return z.load(ctx)
}

// parseKeys takes field 48 apart.
func parseKeys(s string) (number uint64, pin, code string, err error) {
	bad := func(why string) (uint64, string, string, error) {
		return 0, "", "", fmt.Errorf("%w: field 48 %s", ErrZone, why)
	}
	if len(s) < keysHead || s[:len(keysVersion)] != keysVersion {
		return bad("is not that of an exchange of keys")
	}
	if number, err = strconv.ParseUint(s[len(keysVersion):keysHead], 10, 64); err != nil || number == 0 {
		return bad("has no number")
	}
	var blocks []string
	for s = s[keysHead:]; s != ""; {
		if len(s) < 16 {
			return bad("is cut off")
		}
		n, err := strconv.ParseUint(s[1:5], 10, 16)
		if err != nil || n < 16 || int(n) > len(s) {
			return bad("has a key block that is cut off")
		}
		blocks, s = append(blocks, s[:n]), s[n:]
	}
	if len(blocks) != 2 {
		return bad(fmt.Sprintf("has %d key blocks, want 2", len(blocks)))
	}
	return number, blocks[0], blocks[1], nil
}

// management answers an 08xx of a line.
func (l *Lower) management(ctx context.Context, m *acquirer.Message) *acquirer.Message {
	s := l.s
	switch {
	case asksForKeys(m) && l.c.Zone != nil:
		field, err := l.c.Zone.make(ctx)
		if err != nil {
			s.tell(l.identity("")+m.TerminalID, "", "new working keys: %v", err)
			return nil
		}
		out := s.lineAnswer(m, reply{code: codeApproved})
		if out != nil {
			out.Extra = map[int][]byte{keysField: field}
			s.tell(l.identity("")+m.TerminalID, "", "working keys were exchanged")
		}
		return out
	}
	return s.lineAnswer(m, network(&work{m: m}))
}

// networkTerminal is the terminal id of messages about the line itself.
const networkTerminal = "LINE"

// Manage sends an 0800 of a network management code to the acquirer above: sign-on,
// echo, cut-over. Errors are those of Upstream; ErrUnsupported for an answer that
// is no approval.
func (s *Server) Manage(ctx context.Context, code string) error {
	answer, err := s.manage(ctx, code)
	if err != nil {
		return err
	}
	answer.Wipe()
	return nil
}

func (s *Server) manage(ctx context.Context, code string) (*acquirer.Message, error) {
	if s.c.Upstream == nil {
		return nil, fmt.Errorf("%w: there is no acquirer above", ErrUnsupported)
	}
	var n uint64
	err := s.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) { n, err = tx.Next("network"); return err })
	if err != nil {
		return nil, fmt.Errorf("host: network management: %w", err)
	}
	m := acquirer.NewNetworkManagement(code, fmt.Sprintf("%06d", (n-1)%999_999+1), networkTerminal, s.c.Now())
	answer, err := s.exchange(ctx, m)
	if err != nil {
		return nil, err
	}
	if answer.ResponseCode != codeApproved {
		defer answer.Wipe()
		return nil, fmt.Errorf("%w: the acquirer answers network management %s with %s", ErrUnsupported, code, answer.ResponseCode)
	}
	return answer, nil
}

// ExchangeKeys has the acquirer above make new working keys for the line, and puts
// them in use. Errors wrap ErrZone, or are those of Manage.
func (s *Server) ExchangeKeys(ctx context.Context) error {
	if s.c.UpstreamZone == nil {
		return fmt.Errorf("%w: Config.UpstreamZone is nil", ErrZone)
	}
	answer, err := s.manage(ctx, acquirer.NetworkKey)
	if err != nil {
		return err
	}
	defer answer.Wipe()
	if err := s.c.UpstreamZone.take(ctx, answer.Extra[keysField]); err != nil {
		return err
	}
	s.tell("", "", "working keys were exchanged with the acquirer above")
	return nil
}

// lineRetry is the wait before a sign-on or an exchange that failed is tried again.
const lineRetry = 5 * time.Second

// KeepLine exchanges keys with the acquirer above where there is a zone, signs on,
// and sends an echo each minute, until ctx ends; keys are exchanged again each time
// every has passed, and after the line was interrupted, whatever the other end has
// made of the old ones meanwhile. Without an Upstream it waits for ctx.
func (s *Server) KeepLine(ctx context.Context, every time.Duration) {
	signed, exchanged := false, time.Time{}
	for ctx.Err() == nil {
		wait := time.Minute
		var err error
		switch now := s.c.Now(); {
		case s.c.Upstream == nil:
		case s.c.UpstreamZone != nil && (exchanged.IsZero() || every > 0 && now.Sub(exchanged) >= every):
			if err = s.ExchangeKeys(ctx); err == nil {
				exchanged, wait = now, 0
			}
		case !signed:
			if err = s.Manage(ctx, acquirer.NetworkSignOn); err == nil {
				signed = true
			}
		default:
			err = s.Manage(ctx, acquirer.NetworkEcho)
		}
		if err != nil && ctx.Err() == nil {
			s.tell("", "", "the line to the acquirer above: %v", err)
			signed, exchanged, wait = false, time.Time{}, lineRetry
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// errPIN: a PIN block can't go to the acquirer above.
var errPIN = errors.New("host: the PIN block can't be translated for the acquirer above")

// translate enciphers a message's PIN block for the acquirer above, which has none
// of the terminals' base keys.
func (s *Server) translate(ctx context.Context, w *work, up *acquirer.Message) error {
	if s.c.UpstreamZone == nil || up.PINBlock == nil {
		return nil
	}
	keys, err := s.keysOf(w.terminal)
	if err != nil {
		return err
	}
	pan, err := panOf(up)
	if err != nil {
		return err
	}
	defer pan.Wipe()
	k, _, err := keys.pin.transaction(w.terminal, up.PINKSN)
	if err != nil {
		return err
	}
	defer k.Wipe()
	pin, err := k.DecryptPIN(up.PINBlock, pan)
	if err != nil {
		return fmt.Errorf("%w: %w", errPIN, err)
	}
	defer pin.Wipe()
	clear(up.PINBlock)
	return s.c.UpstreamZone.sealPIN(ctx, up.PINFormat, pin, pan, up)
}
