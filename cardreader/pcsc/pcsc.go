// Package pcsc reaches cards through PC/SC: pcscd on Linux, the smart card
// services of Windows and macOS.
//
// The driver is there when the program is built with the tag pcsc; without it
// New returns ErrNotBuilt, and nothing of PC/SC is linked in.
package pcsc

import (
	"context"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader"
)

// Config says how cards are held. The zero value holds them exclusively.
type Config struct {
	// Shared connects to cards that other programs may connect to as well, and
	// holds a transaction against them from Connect to Close. Without it, no
	// other program can connect while a card is held.
	Shared bool
	// LeavePowered leaves the card powered and as it is when it is closed.
	// Without it, the card is reset, so that nothing of a session stays.
	LeavePowered bool
}

// System is the machine's PC/SC service. It is safe for concurrent use.
type System struct {
	c       Config
	service service
	watch   *watcher
}

// New returns the machine's PC/SC service. It connects to nothing yet. Errors:
// ErrNotBuilt.
func New(c Config) (*System, error) {
	s, w, err := system()
	if err != nil {
		return nil, err
	}
	return &System{c: c, service: s, watch: w}, nil
}

// Readers returns the names of the readers that are plugged in, in order. Errors:
// ErrService, or one that wraps ctx.Err().
func (s *System) Readers(ctx context.Context) ([]string, error) {
	var out []string
	err := s.watch.wait(ctx, func(now map[string]readerState) bool {
		out = names(now)
		return true
	})
	return out, err
}

// Reader returns a reader by its name, by a part of it in any case, or, for "",
// whichever gets a card first. It need not be plugged in yet: Connect waits for
// it.
func (s *System) Reader(name string) *Reader { return &Reader{s: s, pattern: name} }

// Reader is one reader, or any that its pattern fits.
type Reader struct {
	s       *System
	pattern string
	// side is the cards that are waited for.
	side side
}

// side is which cards a Reader waits for.
type side uint8

const (
	anySide side = iota
	insertedSide
	tappedSide
)

// Inserted is the reader for cards that are inserted alone, Tapped for those that
// are held to a contactless one: the two readers of a device, or of any. While
// Tapped waits for a card and one is inserted, its Connect returns
// cardreader.ErrOther.
func (r *Reader) Inserted() *Reader { return &Reader{s: r.s, pattern: r.pattern, side: insertedSide} }

// Tapped is the other one of Inserted.
func (r *Reader) Tapped() *Reader { return &Reader{s: r.s, pattern: r.pattern, side: tappedSide} }

// wants reports whether a card is one to be taken.
func (r *Reader) wants(st readerState) bool {
	return r.side == anySide || (interfaceOf(st.atr) == cardreader.Contactless) == (r.side == tappedSide)
}

var _ cardreader.Reader = (*Reader)(nil)

// Name returns the name or pattern that the reader was asked for by.
func (r *Reader) Name() string {
	if r.pattern == "" {
		return "any PC/SC reader"
	}
	return r.pattern
}

// fits returns the readers that the pattern means: the one of that very name,
// else all that have it in theirs.
func (r *Reader) fits(list []string) []string {
	var out []string
	for _, n := range list {
		if n == r.pattern {
			return []string{n}
		}
		if strings.Contains(strings.ToLower(n), strings.ToLower(r.pattern)) {
			out = append(out, n)
		}
	}
	return out
}

// present waits for a card and returns its reader and the state it was seen in.
// For a reader of one side alone, the other side's cards are not there, but that
// who waits for a tapped card is told of an inserted one.
func (r *Reader) present(ctx context.Context) (readerState, error) {
	var found readerState
	other := false
	err := r.s.watch.wait(ctx, func(now map[string]readerState) bool {
		for _, n := range r.fits(names(now)) {
			st := now[n]
			if st.event&statePresent == 0 || st.event&(stateUnknown|stateUnavailable) != 0 {
				continue
			}
			if r.wants(st) {
				found, other = st, false
				return true
			}
			other = r.side == tappedSide
		}
		return other
	})
	if err == nil && other {
		err = cardreader.ErrOther
	}
	return found, err
}

// Connect waits for a card, powers it and returns it: a *Card. A card that is in
// the reader already is taken at once. It returns within 100 ms of the end of
// ctx. Errors: ErrService, ErrUnpowered, cardreader.ErrBusy, ErrCardMute,
// ErrProtocol, in an *Error that says what to do, ErrOther of a Tapped reader, or
// one that wraps ctx.Err().
func (r *Reader) Connect(ctx context.Context) (cardreader.Card, error) {
	for {
		st, err := r.present(ctx)
		if err != nil {
			return nil, err
		}
		c, err := r.s.connect(ctx, st)
		if err == nil {
			if !c.waited || r.still(ctx, st) {
				return c, nil
			}
			// Another card came while the first was tried, or the same again:
			// this one's removal could not be told from the first's.
			if err := c.Close(); err != nil {
				return nil, err
			}
			continue
		}
		if codeOf(err) == 0 {
			return nil, err
		}
		switch codeOf(err) {
		case codeNoSmartcard, codeRemovedCard, codeUnknownReader, codeReaderUnavailable:
			// Gone between the two calls: wait for the next.
			if err := r.gone(ctx, st); err != nil {
				return nil, err
			}
			continue
		}
		return nil, failed(fmt.Sprintf("connecting to the card in %q", st.reader), err)
	}
}

// gone waits until a card that was seen is no longer there, or another is.
func (r *Reader) gone(ctx context.Context, seen readerState) error {
	return r.s.watch.wait(ctx, func(now map[string]readerState) bool { return left(now, seen) })
}

// still reports whether a card that was seen is there yet.
func (r *Reader) still(ctx context.Context, seen readerState) bool {
	var gone bool
	err := r.s.watch.wait(ctx, func(now map[string]readerState) bool { gone = left(now, seen); return true })
	return err == nil && !gone
}

// left reports whether a card that was seen has left its reader; the upper half
// of the state counts what came and went.
func left(now map[string]readerState, seen readerState) bool {
	st, ok := now[seen.reader]
	return !ok || st.event&statePresent == 0 || st.event>>16 != seen.event>>16
}
