package host

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// Generation is a set of base derivation keys that was in use before Keys' own.
// Its fields are as those of Keys.
type Generation struct {
	PIN, MAC         Base
	PINTDES, MACTDES Base
}

func (g *Generation) list() []Base { return []Base{g.PIN, g.MAC, g.PINTDES, g.MACTDES} }

// ErrKeysInUse: base keys that are not configured any more are those of terminals
// in service. The error is a *KeysInUseError.
var ErrKeysInUse = errors.New("host: terminals have keys of a generation that is not configured")

// KeysInUseError says which base keys are missing, and how many terminals go by
// them.
type KeysInUseError struct {
	// Uses are the generations that are missing.
	Uses []KeyUse
}

// KeyUse is how many terminals in service have keys of a generation.
type KeyUse struct {
	// Generation is its name: its PIN base's, in hex; "" for terminals that
	// enrolled before generations had names.
	Generation string
	Terminals  int
}

// Error names the generations.
func (e *KeysInUseError) Error() string {
	var s []string
	for _, u := range e.Uses {
		s = append(s, fmt.Sprintf("%s (%d terminals)", u.Generation, u.Terminals))
	}
	return ErrKeysInUse.Error() + ": " + strings.Join(s, ", ") + "; configure it among Keys.Earlier until they have changed their keys"
}

// Unwrap returns ErrKeysInUse.
func (e *KeysInUseError) Unwrap() error { return ErrKeysInUse }

// name is the name of a pair's generation in the ledger.
func (p pair) name() string { return hex.EncodeToString(p.pin.id[:]) }

// generations are all pairs, by their names, and the oldest by the PIN format of
// the terminal: terminals that enrolled before generations had names are of that.
type generations struct {
	named  map[string]pair
	oldest map[uint8]pair
}

func (k *Keys) generations() (generations, error) {
	g := generations{named: map[string]pair{}, oldest: map[uint8]pair{}}
	for _, e := range append([]Generation{{k.PIN, k.MAC, k.PINTDES, k.MACTDES}}, k.Earlier...) {
		pairs, err := (&Keys{PIN: e.PIN, MAC: e.MAC, PINTDES: e.PINTDES, MACTDES: e.MACTDES}).bases()
		if err != nil {
			return g, err
		}
		for format, p := range pairs {
			g.named[p.name()], g.oldest[format] = p, p
		}
	}
	return g, nil
}

// errNoBase: a terminal's keys are of a generation that is not configured.
var errNoBase = &trade.Error{Code: trade.CodeRefused, Text: "the keys of this terminal are not in service"}

// keysOf are the bases of a terminal's keys.
func (s *Server) keysOf(t *ledger.Terminal) (pair, error) {
	p, ok := s.generations.named[t.Generation]
	if t.Generation == "" {
		p, ok = s.generations.oldest[t.PINFormat]
	}
	if !ok || p.format != t.PINFormat {
		s.tell(t.ID, "", "refused: there are no base keys of PIN format %d and generation %q, which the terminal has keys of", t.PINFormat, t.Generation)
		return pair{}, errNoBase
	}
	return p, nil
}

// outdated reports whether a terminal has keys of an earlier generation.
func (s *Server) outdated(t *ledger.Terminal) bool {
	newest, ok := s.bases[t.PINFormat]
	of, err := s.keysOf(t)
	return ok && err == nil && of.name() != newest.name()
}

// CheckKeys gives terminals that enrolled before generations had names the name of
// the oldest one, and then looks whether every terminal's base keys are
// configured. A server is to be asked before it serves: a generation is retired
// when no terminal goes by it any more. Errors: *KeysInUseError, those of the
// ledger.
func (s *Server) CheckKeys(ctx context.Context) error {
	var unnamed []ledger.Terminal
	err := s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		unnamed = nil
		return tx.EachTerminal(func(t ledger.Terminal) error {
			if t.Generation == "" {
				unnamed = append(unnamed, t)
			}
			return nil
		})
	})
	if err == nil && len(unnamed) > 0 {
		err = s.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
			for _, u := range unnamed {
				t, err := tx.Terminal(u.ID)
				if err != nil {
					return err
				}
				p, ok := s.generations.oldest[t.PINFormat]
				if t.Generation != "" || !ok {
					continue
				}
				t.Generation = p.name()
				if err := tx.PutTerminal(t); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("host: checking keys: %w", err)
	}
	uses, err := KeysInUse(ctx, s.c.Ledger)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(uses, func(u KeyUse) bool { _, ok := s.generations.named[u.Generation]; return ok })
	if len(missing) > 0 {
		return &KeysInUseError{missing}
	}
	return nil
}

// KeysInUse returns how many terminals in service have keys of each generation, by
// the generations' names.
func KeysInUse(ctx context.Context, l ledger.Ledger) ([]KeyUse, error) {
	count := map[string]int{}
	err := l.View(ctx, func(tx ledger.Tx) error {
		clear(count)
		return tx.EachTerminal(func(t ledger.Terminal) error {
			if t.Device != revoked {
				count[t.Generation]++
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("host: reading which keys are in use: %w", err)
	}
	var out []KeyUse
	for name, n := range count {
		out = append(out, KeyUse{name, n})
	}
	slices.SortFunc(out, func(a, b KeyUse) int { return strings.Compare(a.Generation, b.Generation) })
	return out, nil
}
