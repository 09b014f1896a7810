package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ErrTooLong is returned by the Close of a recording card that exchanged more
// commands than a trace holds; the trace that was written ends there.
var ErrTooLong = errors.New("trace: session is too long to record whole")

// Options are a recording's options. The zero value masks.
type Options struct {
	// Terminal is terminal data to note besides what the recorder finds in the
	// commands by itself.
	Terminal map[tlv.Tag][]byte
	// RevealCardholderData writes PAN, tracks, names and PIN data as they are.
	// For test cards alone.
	RevealCardholderData bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Record returns a card that passes everything on to c and writes the trace to
// w, whose Close it leaves to the caller. Its abilities are those of c.
//
// The session's beginning is kept in memory, up to the command that asks for a
// cryptogram or 64 KiB: only then it is known what is a PAN in it, and what the
// terminal gave the card. From there on each exchange is written when its
// response is whole. What was written is zeroed. A write that fails disturbs
// nothing: Close returns the errors of c and of w together, and ErrTooLong.
func Record(c cardreader.Card, w io.Writer, o Options) cardreader.Card {
	return record(c, func() (io.Writer, func() error, error) {
		return w, func() error { return nil }, nil
	}, o)
}

// RecordReader returns a reader whose cards are recorded, each to what open
// returns when the first of it is written.
func RecordReader(r cardreader.Reader, open func() (io.WriteCloser, error), o Options) cardreader.Reader {
	return &reader{r, open, o}
}

type reader struct {
	cardreader.Reader
	open func() (io.WriteCloser, error)
	o    Options
}

func (r *reader) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := r.Reader.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return record(c, func() (io.Writer, func() error, error) {
		w, err := r.open()
		if err != nil {
			return nil, nil, fmt.Errorf("trace: opening: %w", err)
		}
		return w, w.Close, nil
	}, r.o), nil
}

// sink opens where the trace goes and returns what closes it.
type sink func() (io.Writer, func() error, error)

// recorder is the common part of recording cards.
type recorder struct {
	cardreader.Card
	open sink
	o    Options

	mu sync.Mutex
	// t holds what was not written yet.
	t *Trace
	// held is the number of its bytes, count that of all exchanges.
	held, count int
	mask        masker
	w           io.Writer
	closing     func() error
	err         error
	long        bool
	done        bool
}

// mostHeld is how much of a session's beginning is kept in memory.
const mostHeld = 64 << 10

// The recording cards by their further abilities, so that an assertion finds
// what the recorded card has and nothing else.
type (
	resetting struct{ *recorder }
	waiting   struct{ *recorder }
	both      struct {
		resetting
		w waiting
	}
)

var (
	_ cardreader.Card          = (*recorder)(nil)
	_ cardreader.Protocoler    = (*recorder)(nil)
	_ cardreader.Interfacer    = (*recorder)(nil)
	_ cardreader.Resetter      = resetting{}
	_ cardreader.RemovalWaiter = waiting{}
	_ cardreader.Resetter      = both{}
	_ cardreader.RemovalWaiter = both{}
)

func record(c cardreader.Card, open sink, o Options) cardreader.Card {
	t := &Trace{ATR: c.ATR(), Terminal: maps.Clone(o.Terminal)}
	if x, ok := c.(cardreader.Protocoler); ok {
		t.Protocol = x.Protocol()
	}
	if x, ok := c.(cardreader.Interfacer); ok {
		t.Interface = x.Interface()
	}
	r := &recorder{Card: c, open: open, o: o, t: t}
	_, resets := c.(cardreader.Resetter)
	_, waits := c.(cardreader.RemovalWaiter)
	switch {
	case resets && waits:
		return both{resetting{r}, waiting{r}}
	case resets:
		return resetting{r}
	case waits:
		return waiting{r}
	}
	return r
}

// Protocol returns that of the recorded card.
func (r *recorder) Protocol() cardreader.Protocol { return r.t.Protocol }

// Interface returns that of the recorded card.
func (r *recorder) Interface() cardreader.Interface { return r.t.Interface }

// Reset resets the recorded card. The format has no line for it.
func (r resetting) Reset(ctx context.Context) ([]byte, error) {
	return r.Card.(cardreader.Resetter).Reset(ctx)
}

// WaitRemoval waits for the removal of the recorded card.
func (w waiting) WaitRemoval(ctx context.Context) error {
	return w.Card.(cardreader.RemovalWaiter).WaitRemoval(ctx)
}

// WaitRemoval waits for the removal of the recorded card.
func (b both) WaitRemoval(ctx context.Context) error { return b.w.WaitRemoval(ctx) }

// Transmit passes a command on and keeps it with its response. What the card did
// not answer, and what is no APDU, is not kept.
func (r *recorder) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	start := r.o.now()
	resp, err := r.Card.Transmit(ctx, command)
	took := r.o.now().Sub(start)
	if err != nil || len(resp) < 2 || len(command) < 4 {
		return resp, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.done:
	case r.count == maxExchanges:
		r.long = true
	default:
		r.t.Exchanges = append(r.t.Exchanges, Exchange{max(0, took), slices.Clone(command), slices.Clone(resp)})
		r.held += len(command) + len(resp)
		r.count++
		if r.w != nil || r.held > mostHeld || command[1] == apdu.INSGenerateAC {
			r.flush(r.whole())
		}
	}
	return resp, nil
}

// whole is the number of exchanges whose responses are whole: the rest of a last
// one may be fetched yet.
func (r *recorder) whole() int {
	all := r.t.messages()
	for _, m := range all {
		defer clear(m.data)
	}
	if len(all) == 0 || r.held > mostHeld {
		return len(r.t.Exchanges)
	}
	switch last := all[len(all)-1]; last.sw.SW1() {
	case 0x61, 0x62, 0x63, 0x6C:
		return last.parts[0].exchange
	}
	return len(r.t.Exchanges)
}

// flush writes the first n exchanges that are held, and the header before them.
func (r *recorder) flush(n int) {
	if r.w == nil && r.err == nil {
		r.begin()
	}
	piece := *r.t
	piece.Terminal, piece.Exchanges = nil, r.t.Exchanges[:n]
	out := &piece
	if !r.o.RevealCardholderData {
		out = r.mask.mask(&piece)
		defer out.Wipe()
	}
	if r.err == nil {
		_, r.err = writeExchanges(r.w, out.Exchanges)
	}
	for _, e := range piece.Exchanges {
		r.held -= len(e.Command) + len(e.Response)
	}
	piece.Wipe()
	r.t.Exchanges = slices.Delete(r.t.Exchanges, 0, n)
}

// begin opens the file and writes the header, with the terminal data that is
// known by then.
func (r *recorder) begin() {
	var err error
	if r.w, r.closing, err = r.open(); err != nil {
		r.w, r.err = nil, err
		return
	}
	t := r.t
	if t.Terminal == nil {
		t.Terminal = map[tlv.Tag][]byte{}
	}
	for tag, v := range t.terminalData() {
		if _, given := t.Terminal[tag]; !given {
			t.Terminal[tag] = v
		}
	}
	if !r.o.RevealCardholderData {
		t = r.mask.mask(t)
		defer t.Wipe()
	}
	_, r.err = t.writeHeader(r.w)
}

// Close closes the recorded card and writes the rest of the trace, once.
func (r *recorder) Close() error {
	err := r.Card.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return err
	}
	r.done = true
	r.flush(len(r.t.Exchanges))
	r.mask.wipe()
	err = errors.Join(err, r.err)
	if r.closing != nil {
		err = errors.Join(err, r.closing())
	}
	if r.long {
		err = errors.Join(err, ErrTooLong)
	}
	return err
}
