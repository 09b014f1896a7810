package cassette

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader"
)

// recording writes a line a call, at once, so that what led to a crash is there.
type recording struct {
	w   io.Writer
	now func() time.Time
	// err is the first error of w; what comes after it is not written.
	err   error
	ended bool
}

// Record begins a cassette on w, which must seal what it gets unless card and
// server are a test's. now is the clock, nil being time.Now. A write that fails
// does not disturb the payment; End tells.
func Record(w io.Writer, s Setup, now func() time.Time) (*Tape, error) {
	if now == nil {
		now = time.Now
	}
	// The monotonic reading goes: the clock is to be that of the file.
	began := now().Round(0).UTC()
	t := &Tape{setup: s, began: began, changed: make(chan struct{}), recording: &recording{w: w, now: now}}
	err := t.recording.line(first{
		Trace: 1, Cassette: edition, Interface: cardreader.Contact.String(), Began: began, Setup: s,
	})
	return t, err
}

// line writes a line. The caller holds the tape's lock.
func (r *recording) line(v any) error {
	if r.err != nil {
		return r.err
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = r.w.Write(append(b, '\n'))
		clear(b)
	}
	if err != nil {
		r.err = fmt.Errorf("cassette: writing: %w", err)
	}
	return r.err
}

// record writes a call and its answer.
func (t *Tape) record(c call, answer any, failed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := entry{Port: c.port, Op: c.op, Ask: t.raw(c.ask), Answer: t.raw(answer), Err: newFailure(failed), Up: c.written.count()}
	if e.Err != nil && e.Err.Is == isCancelled && t.whole != nil && t.whole.Err() == nil {
		e.Err.Is = isCalledOff
	}
	if e.Err != nil && e.Err.Is == isDeadline && passed(c.ctx) {
		e.Err.Is = isLimit
	}
	t.write(e)
	wipe(e.Ask, e.Answer)
}

// write stamps an entry and writes it. The caller holds the lock.
func (t *Tape) write(e entry) {
	r := t.recording
	if r.ended {
		// A call that was given up comes back when all is over.
		return
	}
	e.At = max(t.last, r.now().Sub(t.began).Microseconds())
	if !lastWord(e.Port, e.Op) {
		t.last = e.At
	}
	// The error stays, and End tells.
	_ = r.line(e)
}

// raw is a value as it stands in a line: nothing for nothing.
func (t *Tape) raw(v any) json.RawMessage {
	if v == nil || v == (none{}) {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		if r := t.recording; r != nil {
			r.err = errors.Join(r.err, fmt.Errorf("cassette: writing: %w", err))
		}
		return nil
	}
	return b
}

// wipe clears what was written.
func wipe(written ...json.RawMessage) {
	for _, b := range written {
		clear(b)
	}
}

// none is the answer of a method that has none but its error.
type none struct{}

// End ends the tape with the payment's result and error. On a recording it
// writes them and returns the first error of the writer, on a playing it returns
// a *Mismatch when anything was not as recorded, the result included. What a
// channel has left to itself, its last word and the closing of its link, End
// waits for first, a second at most.
func (t *Tape) End(result any, failed error) error {
	t.settle()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.playing != nil {
		return t.compare(result, failed)
	}
	t.write(entry{Port: portEnd, Op: "result", Answer: t.raw(result), Err: newFailure(failed)})
	t.recording.ended = true
	return t.recording.err
}

const portEnd = "end"
