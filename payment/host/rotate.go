package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// rotate gives a terminal new initial keys: those of a number that no terminal
// had. From the commit on its old keys count for nothing; a terminal whose answer
// was lost asks again and gets others.
func (s *Server) rotate(ctx context.Context, conn channel.Conn, p *peer, e trade.Envelope) (trade.Envelope, error) {
	var none struct{}
	if err := e.Decode(&none); err != nil {
		return trade.Envelope{}, errMalformed
	}
	var t ledger.Terminal
	err := s.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		if t, err = s.c.Registry.terminal(tx, p.identity); err != nil {
			return err
		}
		if t.Number, err = newNumber(tx); err != nil {
			return err
		}
		keys, ok := s.bases[t.PINFormat]
		if !ok {
			return fmt.Errorf("%w: no keys for pads of PIN block format %d", errNotAdmitted, t.PINFormat)
		}
		t.MACKeys, t.PINKeys, t.Generation = ledger.Window{}, ledger.Window{}, keys.name()
		return tx.PutTerminal(t)
	})
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	p.terminal.Store(nil)
	g, err := s.grant(conn, s.bases[t.PINFormat], t)
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	s.tell(t.ID, "", "has new keys, of number %d", t.Number)
	return trade.Encode(trade.KindGrant, e.Request, g)
}

// worn reports whether a terminal is to change its keys: they were used as often
// as they may be, or are of an earlier generation.
func (s *Server) worn(t ledger.Terminal) bool {
	return s.outdated(&t) || s.c.KeyUses > 0 && max(t.MACKeys.High, t.PINKeys.High) >= s.c.KeyUses
}

// newNumber returns a number for a terminal's keys.
func newNumber(tx ledger.Tx) (uint64, error) {
	n, err := tx.Next("terminal")
	if err == nil && n > maxNumber {
		err = fmt.Errorf("%w: no terminal numbers are left", ErrUnsupported)
	}
	return n, err
}

// revoked is the device of a terminal that has none any more.
const revoked = "revoked"

// Revoke takes a terminal out of service, for good: its device gets no channel
// and no answer any more, on channels that are open either. What it owes stays
// in the ledger. The device may enrol as another terminal, under a new
// activation. Errors: ledger.ErrNotFound, ledger.ErrConflict when it was revoked
// before.
func (r *Registry) Revoke(ctx context.Context, terminalID string) error {
	return r.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		t, err := tx.Terminal(terminalID)
		if err != nil {
			return fmt.Errorf("host: revoking %.8q: %w", terminalID, err)
		}
		if t.Device == revoked {
			return fmt.Errorf("host: revoking %s: %w: it is revoked", t.ID, ledger.ErrConflict)
		}
		// A digest is no point of a curve that anybody has the key of.
		gone := sha256.Sum256(append([]byte("payunit revoked device|"+t.ID+"|"), t.DeviceKey...))
		t.DeviceKey, t.Device = gone[:], revoked
		return tx.PutTerminal(t)
	})
}

// checkDevice refuses a name that stands for no device.
func checkDevice(name string) error {
	if name == revoked {
		return errors.Join(errNotAdmitted, errors.New("host: the evidence names a device as revoked ones are"))
	}
	return nil
}
