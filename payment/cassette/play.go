package cassette

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

const (
	// maxLine holds a stored record of the greatest length, 1 MiB, in hex.
	maxLine = 4 << 20
	// maxFile bounds what a file can make us keep.
	maxFile = 256 << 20
	// patience is how long an answer waits for the request that it was recorded
	// after: a unit that reads while it writes is about to make it.
	patience = time.Second
)

// playing is a cassette in memory.
type playing struct {
	lanes map[string][]entry
	end   *entry
	// err is the first mismatch; every call after it fails with it.
	err   error
	calls int
}

// Play reads a cassette. Errors: *FormatError, and those of r.
func Play(r io.Reader) (*Tape, error) {
	s := bufio.NewScanner(io.LimitReader(r, maxFile))
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	p := &playing{lanes: map[string][]entry{}}
	var t *Tape
	n := 0
	for s.Scan() {
		n++
		b := bytes.TrimSpace(s.Bytes())
		if len(b) == 0 {
			continue
		}
		if t == nil {
			f, err := parseFirst(b)
			if err != nil {
				return nil, &FormatError{n, err.Error()}
			}
			t = &Tape{setup: f.Setup, began: f.Began, changed: make(chan struct{}), playing: p}
			continue
		}
		if err := p.take(b, n); err != nil {
			return nil, &FormatError{n, err.Error()}
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &FormatError{n + 1, "line is too long"}
	case err != nil:
		return nil, fmt.Errorf("cassette: reading: %w", err)
	case t == nil:
		return nil, &FormatError{1, "the file is empty"}
	}
	return t, nil
}

// IsCassette reports whether a file's first line, without its end, is a
// cassette's.
func IsCassette(line []byte) bool {
	var f struct {
		Cassette int `json:"cassette"`
	}
	return json.Unmarshal(line, &f) == nil && f.Cassette > 0
}

// strict decodes one object. Its errors name no value.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New("not an object of the format")
	}
	if d.More() {
		return errors.New("more than one object")
	}
	return nil
}

func parseFirst(b []byte) (first, error) {
	var f first
	if err := strict(b, &f); err != nil {
		return f, err
	}
	if f.Trace != 1 || f.Cassette != edition {
		return f, fmt.Errorf("edition %d of a trace, %d of a cassette: want 1 and %d", f.Trace, f.Cassette, edition)
	}
	if f.Began.IsZero() {
		return f, errors.New("began is missing")
	}
	return f, nil
}

func (p *playing) take(b []byte, n int) error {
	e := entry{line: n}
	if err := strict(bytes.Clone(b), &e); err != nil {
		return err
	}
	if e.At < 0 || e.At > int64(24*time.Hour/time.Microsecond) {
		return errors.New("at is out of range")
	}
	if e.Cmd != nil {
		if e.Resp == nil || e.Op != "" || e.Port != "" && e.Port != portTap {
			return errors.New("cmd without resp, or with another port")
		}
		if e.Port == "" {
			e.Port = portCard
		}
		e.Op = opTransmit
		var err error
		if e.Ask, err = json.Marshal(*e.Cmd); err == nil {
			e.Answer, err = json.Marshal(*e.Resp)
		}
		if err != nil {
			return err
		}
	}
	if p.end != nil {
		return errors.New("a call after the end")
	}
	switch {
	case e.Port == "" || e.Op == "":
		return errors.New("port or op is missing")
	case e.Port == portEnd:
		p.end = &e
		return nil
	}
	lane := e.Port
	switch e.Port {
	case "state":
		lane = laneOfState(e.Op, e.Ask)
	case "value":
		lane = e.Port + " " + e.Op
	default:
		if isLink(e.Port) {
			lane = e.Port + " " + e.Op
		}
	}
	p.lanes[lane] = append(p.lanes[lane], e)
	return nil
}

// laneOf is the lane of a call, as take makes it of a line.
func laneOf(c call) string {
	if c.lane == "" {
		return c.port
	}
	return c.port + " " + c.lane
}

// play finds the recorded answer of a call.
func (t *Tape) play(c call) (entry, error) {
	t.mu.Lock()
	lane := laneOf(c)
	p := t.playing
	if p.err != nil {
		t.mu.Unlock()
		return entry{}, p.err
	}
	queue := p.lanes[lane]
	if len(queue) == 0 {
		t.mu.Unlock()
		return entry{}, t.mismatch(c, 0, "the cassette holds no further call")
	}
	e := queue[0]
	if e.Op != c.op {
		t.mu.Unlock()
		return entry{}, t.mismatch(c, e.line, "recorded was "+e.Op)
	}
	if ask := t.raw(c.ask); !sameJSON(ask, e.Ask) {
		t.mu.Unlock()
		return entry{}, t.mismatch(c, e.line, difference(e.Ask, ask))
	}
	p.lanes[lane] = queue[1:]
	p.calls++
	t.mu.Unlock()
	if err := c.written.await(e.Up, patience); errors.Is(err, errNotWritten) {
		return entry{}, t.mismatch(c, e.line, "recorded was more that had gone up before")
	} else if err != nil {
		return entry{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !lastWord(e.Port, e.Op) {
		t.last = max(t.last, e.At)
	}
	return e, nil
}

// mismatch makes the first mismatch, or returns the one that there was.
func (t *Tape) mismatch(c call, line int, reason string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mismatchLocked(&Mismatch{line, c.port, c.op, reason})
}

func (t *Tape) mismatchLocked(m *Mismatch) error {
	if t.playing.err == nil {
		t.playing.err = m
	}
	return t.playing.err
}

// Calls is the number of calls that were played.
func (t *Tape) Calls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.playing == nil {
		return 0
	}
	return t.playing.calls
}

// compare is End of a playing.
func (t *Tape) compare(result any, failed error) error {
	p := t.playing
	if p.err != nil {
		return p.err
	}
	for _, lane := range slices.Sorted(maps.Keys(p.lanes)) {
		for _, e := range p.lanes[lane] {
			return t.mismatchLocked(&Mismatch{e.line, e.Port, e.Op, "the call was recorded and not made"})
		}
	}
	if p.end == nil {
		return t.mismatchLocked(&Mismatch{0, portEnd, "result", "the cassette was cut off before it: as far as it goes, all is as recorded"})
	}
	if got, want := newFailure(failed), p.end.Err; (got == nil) != (want == nil) || got != nil && got.Text != want.Text {
		return t.mismatchLocked(&Mismatch{p.end.line, portEnd, "result", "the payment's error is another"})
	}
	if got := t.raw(result); !sameJSON(got, p.end.Answer) {
		return t.mismatchLocked(&Mismatch{p.end.line, portEnd, "result", difference(p.end.Answer, got)})
	}
	return nil
}

func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(compact(a), compact(b))
}

func compact(j json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, j) != nil {
		return j
	}
	return b.Bytes()
}

// difference names the members by which two objects differ, and no value.
func difference(want, got json.RawMessage) string {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(want, &a) != nil || json.Unmarshal(got, &b) != nil || a == nil || b == nil {
		return "asked is not what was recorded"
	}
	var names []string
	for name := range a {
		if !sameJSON(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return fmt.Sprintf("not as recorded in %q", names)
}
