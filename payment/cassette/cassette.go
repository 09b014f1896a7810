// Package cassette records a whole payment — what the unit asked its modules for
// and what they gave it: the card's answers, the cardholder's, the channel's
// bytes, stored records, randomness and the clock — and plays it again with no
// card, no server and nobody there. The same unit makes the same requests and
// comes to the same result, to the byte; one that does not is told at which call.
//
// A cassette holds everything that the unit knew: PAN, PIN, keys. Its writer
// must seal what it is given, unless the card and the server are a test's.
//
// A cassette is a trace file (package trace) whose first line has the member
// "cassette", and with further lines, a call each:
//
//	port    which module: "card", "tap", "stripe", "ui", "panel", "link/1",
//	        "state", "rand", "value", "end"
//	op      which of its methods
//	at      when it answered, microseconds since "began" of the first line
//	up      of a link's read, how many bytes had been written before
//	ask     what the unit gave it, left out when nothing
//	answer  what it answered, left out when nothing
//	err     why it failed: "is" the error's kind, "text" its words
//
// Byte strings are hex. A command that the card answered stands as a trace has
// it, with "at" besides, and with "port" when it is a tapped card.
//
// Between two answers the recorded unit's clock stands still: a clock that many
// calls ask is thereby repeated by their answers alone. What a link takes, and its
// closing, move no clock: a channel waits for them no longer than it must, and
// goes on before or after they have answered.
//
// What a user interface can do besides a UI's methods stands in the file: it is
// the same when it is played. A call that the unit gave up since a card came another
// way is "called-off"; one that ended with the payment is "cancelled"; one that
// ended with the limit of a phase (payment.Limits) is "limit".
package cassette

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// edition is of the lines that a trace lacks.
const edition = 1

// Errors of a cassette, wrapped with the line or the call.
var (
	// ErrFormat: the file is no cassette, or is damaged.
	ErrFormat = errors.New("cassette: malformed")
	// ErrMismatch is wrapped by every *Mismatch.
	ErrMismatch = errors.New("cassette: not what was recorded")
)

// FormatError says what is wrong with a file, and in which line, from 1.
type FormatError struct {
	Line   int
	Reason string
}

// Error implements error.
func (e *FormatError) Error() string { return fmt.Sprintf("cassette: line %d: %s", e.Line, e.Reason) }

// Unwrap returns ErrFormat.
func (*FormatError) Unwrap() error { return ErrFormat }

// Mismatch says where a played payment left the recorded one. It names no data.
type Mismatch struct {
	// Line is the line of the call that was recorded, 0 where there is none.
	Line   int
	Port   string
	Op     string
	Reason string
}

// Error implements error.
func (m *Mismatch) Error() string {
	where := ""
	if m.Line > 0 {
		where = fmt.Sprintf("line %d: ", m.Line)
	}
	return fmt.Sprintf("cassette: %s%s %s: %s", where, m.Port, m.Op, m.Reason)
}

// Unwrap returns ErrMismatch.
func (*Mismatch) Unwrap() error { return ErrMismatch }

// Setup is what the unit was composed of besides its modules. What of it is
// needed to compose the unit again is its maker's to say.
type Setup struct {
	// Arguments are the maker's own.
	Arguments []string `json:"arguments,omitempty"`
	// Terminal and CAPK are the contents of the files of those names.
	Terminal json.RawMessage `json:"terminal,omitempty"`
	CAPK     json.RawMessage `json:"capk,omitempty"`
}

// first is line 1: a trace's, and more.
type first struct {
	Trace     int       `json:"trace"`
	Cassette  int       `json:"cassette"`
	Interface string    `json:"interface"`
	ATR       string    `json:"atr"`
	Began     time.Time `json:"began"`
	Setup     Setup     `json:"setup"`
}

// entry is every other line.
type entry struct {
	Port   string          `json:"port,omitempty"`
	Op     string          `json:"op,omitempty"`
	At     int64           `json:"at"`
	Up     int64           `json:"up,omitempty"`
	Ask    json.RawMessage `json:"ask,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"`
	Err    *failure        `json:"err,omitempty"`
	// Of a command that the card answered.
	Micros *int64  `json:"us,omitempty"`
	Cmd    *string `json:"cmd,omitempty"`
	Resp   *string `json:"resp,omitempty"`

	line int
}

// hexBytes are written as hex.
type hexBytes []byte

func (b hexBytes) MarshalJSON() ([]byte, error) {
	return json.Marshal(hex.EncodeToString(b))
}

func (b *hexBytes) UnmarshalJSON(j []byte) error {
	var s string
	if err := json.Unmarshal(j, &s); err != nil {
		return err
	}
	d, err := hex.DecodeString(s)
	*b = d
	return err
}

// call is one call of a module's method.
type call struct {
	port, op string
	// lane keeps calls of one port apart that may come in any order among each
	// other; empty where the port is one lane.
	lane string
	ask  any
	// ctx is what bounds the call, nil where nothing does.
	ctx context.Context
	// wait holds a played answer back until so many bytes were written.
	written *counter
}

// Tape stands between a unit and its modules. A recording passes everything on
// and writes it down; a playing answers in the modules' place, which may be nil.
// Safe for concurrent use.
type Tape struct {
	mu    sync.Mutex
	setup Setup
	began time.Time
	last  int64 // the clock, microseconds since began
	conns int   // links opened
	// open is how many of them are, busy how many of their calls are under way;
	// changed is closed when these change, and replaced.
	open, busy int
	changed    chan struct{}
	// whole is what Context returned, cancel ends it.
	whole  context.Context
	cancel context.CancelFunc
	// One of them is set.
	recording *recording
	playing   *playing
}

// Setup returns what the recorded unit was composed of.
func (t *Tape) Setup() Setup { return t.setup }

// Playing reports whether the tape is played.
func (t *Tape) Playing() bool { return t.playing != nil }

// Now is the unit's clock: the moment of the last answer.
func (t *Tape) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.began.Add(time.Duration(t.last) * time.Microsecond)
}

// Context returns the context for the unit's calls: it ends where the recorded
// payment was cancelled. A recording needs it too, to tell that from a wait that
// the unit itself gave up.
func (t *Tape) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.whole, t.cancel = ctx, cancel
	return ctx, cancel
}

func (t *Tape) cancelled() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		t.cancel()
	}
}

// do makes a call of type A: do is not called when the tape is played.
func do[A any](t *Tape, c call, module func() (A, error)) (A, error) {
	if t.playing != nil {
		var a A
		e, err := t.play(c)
		if err != nil {
			return a, err
		}
		if len(e.Answer) > 0 {
			if err := json.Unmarshal(e.Answer, &a); err != nil {
				return a, t.mismatch(c, e.line, "the recorded answer is not of the call's type")
			}
		}
		if e.Err != nil {
			switch e.Err.Is {
			case isCancelled:
				t.cancelled()
			case isLimit:
				pass(c.ctx)
			}
		}
		return a, e.Err.error()
	}
	a, err := module()
	t.record(c, a, err)
	return a, err
}

// Value records a value that the caller of the unit needs: an activation code,
// an order's name.
func (t *Tape) Value(ctx context.Context, name string, module func(context.Context) (string, error)) (string, error) {
	return do(t, call{ctx: ctx, port: "value", op: name, lane: name}, func() (string, error) { return module(ctx) })
}
