package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
)

// LowerConfig makes a Lower.
type LowerConfig struct {
	// Name tells the lower server from others, 1 to 32 printable ASCII characters
	// without spaces, slashes and colons. No default.
	Name string
	// Zone are the working keys of its line, its alone; nil for a line without.
	Zone *Zone
	// Earlier says that what Server.Acquire wrote down is this server's: it came
	// over its line before the line had a name. At most one lower server's is.
	Earlier bool
}

// Lower is a payment server below this one, at the end of a line of its own: its
// terminals, its merchants and its working keys are told from those of others that
// have the same names. It is safe for concurrent use.
type Lower struct {
	s *Server
	c LowerConfig
}

// Lower makes the end of a lower server's line. Errors wrap ErrConfig.
func (s *Server) Lower(c LowerConfig) (*Lower, error) {
	if !word(c.Name, 32) || !plain(c.Name) {
		return nil, fmt.Errorf("%w: LowerConfig.Name: want 1 to 32 printable ASCII characters without spaces, slashes and colons", ErrConfig)
	}
	s.lowerMu.Lock()
	defer s.lowerMu.Unlock()
	for _, l := range s.lowers {
		switch {
		case l.c.Name == c.Name:
			return nil, fmt.Errorf("%w: two lower servers are called %s", ErrConfig, c.Name)
		case c.Zone != nil && l.c.Zone != nil && l.c.Zone.c.Name == c.Zone.c.Name:
			return nil, fmt.Errorf("%w: the lower servers %s and %s share the zone %s", ErrConfig, l.c.Name, c.Name, c.Zone.c.Name)
		case c.Earlier && l.c.Earlier:
			return nil, fmt.Errorf("%w: LowerConfig.Earlier of both %s and %s", ErrConfig, l.c.Name, c.Name)
		}
	}
	l := &Lower{s: s, c: c}
	s.lowers = append(s.lowers, l)
	return l, nil
}

// plain reports whether a name can be a part of another one.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c == '/' || c == ':' {
			return false
		}
	}
	return true
}

// Acquire is as Server.Acquire, for the messages of this line.
func (l *Lower) Acquire(ctx context.Context, m *acquirer.Message) *acquirer.Message {
	return l.s.acquireFrom(ctx, l, m)
}

// unnamed is the line of Server.Acquire.
func (s *Server) unnamed() *Lower { return &Lower{s: s, c: LowerConfig{Zone: s.c.LineZone}} }

// identity is what a lower server's terminals, or its merchants, are called here
// before their own names: the line that the messages came over, and the acquirer
// that they name (DE 32), since one line may serve several.
func (l *Lower) identity(acquirerID string) string {
	id := linePrefix
	if l.c.Name != "" {
		id += l.c.Name + ":"
	}
	if acquirerID != "" {
		id += acquirerID + ":"
	}
	return id
}

// acquirerOf is the acquirer that a message names, or that its original had.
func acquirerOf(m *acquirer.Message) string {
	if m.Original != nil && m.Original.AcquirerID != "" {
		return m.Original.AcquirerID
	}
	return m.AcquirerID
}

// terminal is the terminal of a message, as a ledger has it that knows it under
// one of its identities.
func (l *Lower) terminal(m *acquirer.Message, identity string) *ledger.Terminal {
	merchant := m.MerchantID
	if identity != linePrefix {
		merchant = identity + merchant
	}
	return &ledger.Terminal{ID: identity + m.TerminalID, MerchantID: merchant, PINFormat: m.PINFormat, Number: 1, DeviceKey: []byte{0}}
}

// known gives a message's terminal the name under which the request that it is, or
// is about, was written down: under the line's and the acquirer's as a rule, and
// without them where the lower server began to name its acquirer, or the line got
// its name, since.
func (l *Lower) known(tx ledger.Tx, w *work) error {
	m := w.m
	first := l.identity(acquirerOf(m))
	identities := []string{first}
	if bare := l.identity(""); bare != first {
		identities = append(identities, bare)
	}
	if l.c.Earlier {
		identities = append(identities, linePrefix)
	}
	w.terminal = l.terminal(m, first)
	stan := m.STAN
	if m.Original != nil {
		stan = m.Original.STAN
	}
	for _, id := range identities {
		t := l.terminal(m, id)
		k := ledger.Key{Terminal: t.ID, STAN: stan, RRN: m.RRN}
		if k.Check() != nil {
			return nil
		}
		_, err := tx.Authorisation(k)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err == nil {
			w.terminal = t
		}
		return err
	}
	return nil
}
