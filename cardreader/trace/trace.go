// Package trace records what passes between a terminal and a card, replays it,
// and explains it.
//
// A trace file holds a JSON object a line. The first says what the card was:
//
//	trace      1, the edition of the format
//	interface  "contact" or "contactless"
//	protocol   "T=0", "T=1" or "T=CL"; left out when the reader did not say
//	atr        the answer to reset, hex
//	terminal   terminal data that the card was given, hex by tag: {"9F37":"…"}
//	match      "header" when a replay compares CLA INS P1 P2 alone and, for
//	           SELECT, the data; left out when it compares the whole command
//	masked     true when cardholder data was taken out
//
// Each other line is one command and its response:
//
//	us    how long the card took, microseconds
//	cmd   the command APDU, hex
//	resp  the response APDU with its status word, hex
//
// A command that the card did not answer leaves no line.
//
// A cassette (package payment/cassette) is a trace file too: its first line has
// the member "cassette", its lines of commands have "at", and further lines have
// "port". Of those, the one by which a card was connected is read, and the others
// are passed over.
package trace

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ErrFormat is wrapped by every *Error of Parse.
var ErrFormat = errors.New("trace: malformed")

// Error says what is wrong with a trace file, and in which line, from 1.
type Error struct {
	Line   int
	Reason string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("trace: line %d: %s", e.Line, e.Reason) }

// Unwrap returns ErrFormat.
func (*Error) Unwrap() error { return ErrFormat }

// Match is how a replay compares commands.
type Match uint8

// The comparisons. The zero value compares whole commands.
const (
	MatchCommand Match = iota
	MatchHeader        // CLA INS P1 P2 and, for SELECT, the data
)

// Exchange is one command and its response.
type Exchange struct {
	Took              time.Duration
	Command, Response []byte
}

// Trace is a recorded session with a card.
type Trace struct {
	Interface cardreader.Interface
	Protocol  cardreader.Protocol
	ATR       []byte
	// Terminal is terminal data that the card was given.
	Terminal map[tlv.Tag][]byte
	Match    Match
	// Masked says that cardholder data was taken out.
	Masked    bool
	Exchanges []Exchange
}

// The lines as they stand in the file.
type (
	header struct {
		Trace     int               `json:"trace"`
		Interface string            `json:"interface"`
		Protocol  string            `json:"protocol,omitempty"`
		ATR       string            `json:"atr"`
		Terminal  map[string]string `json:"terminal,omitempty"`
		Match     string            `json:"match,omitempty"`
		Masked    bool              `json:"masked,omitempty"`
		// Of a cassette.
		Cassette int             `json:"cassette,omitempty"`
		Began    json.RawMessage `json:"began,omitempty"`
		Setup    json.RawMessage `json:"setup,omitempty"`
	}
	line struct {
		Micros int64   `json:"us"`
		Cmd    *string `json:"cmd"`
		Resp   *string `json:"resp"`
	}
)

const (
	edition     = 1
	matchHeader = "header"
	// maxLine holds an extended command and response of the greatest length,
	// and a cassette's line of a stored record of 1 MiB.
	maxLine = 1 << 22
	// maxExchanges is far more than a transaction has; it bounds what a file or
	// a card can make us keep.
	maxExchanges = 1 << 14
)

// Parse reads a trace file. Errors are *Error, which wrap ErrFormat, and those of
// r.
func Parse(r io.Reader) (*Trace, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxLine)
	var t *Trace
	cassette := false
	n := 0
	for s.Scan() {
		n++
		b := bytes.TrimSpace(s.Bytes())
		if len(b) == 0 {
			continue
		}
		var err error
		if t == nil {
			t, cassette, err = parseHeader(b)
		} else if cassette {
			err = t.parseCassetteLine(b)
		} else {
			err = t.parseLine(b)
		}
		if err != nil {
			return nil, &Error{n, err.Error()}
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &Error{n + 1, "line is too long"}
	case err != nil:
		return nil, fmt.Errorf("trace: reading: %w", err)
	case t == nil:
		return nil, &Error{1, "the file is empty"}
	}
	if cassette {
		t.Terminal = t.terminalData()
	}
	return t, nil
}

// strict decodes one object with no member that the format lacks. Its errors
// name no value: a line may hold what must not be shown.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if strings.Contains(err.Error(), "unknown field") {
			return errors.New("a member that the format lacks")
		}
		return errors.New("not an object of the format")
	}
	if d.More() {
		return errors.New("more than one object")
	}
	return nil
}

func parseHeader(b []byte) (t *Trace, cassette bool, err error) {
	var h header
	if err := strict(b, &h); err != nil {
		return nil, false, err
	}
	if h.Trace != edition {
		return nil, false, fmt.Errorf("edition %d, want %d", h.Trace, edition)
	}
	t = &Trace{Masked: h.Masked}
	if err := t.setCard(h.Interface, h.Protocol, h.ATR); err != nil {
		return nil, false, err
	}
	switch h.Match {
	case "":
	case matchHeader:
		t.Match = MatchHeader
	default:
		return nil, false, errors.New(`match is not "header"`)
	}
	t.Terminal, err = parseTerminal(h.Terminal)
	return t, h.Cassette > 0, err
}

// setCard notes what the card was, by the names of the format.
func (t *Trace) setCard(iface, protocol, atr string) error {
	switch iface {
	case cardreader.Contact.String():
		t.Interface = cardreader.Contact
	case cardreader.Contactless.String():
		t.Interface = cardreader.Contactless
	default:
		return errors.New(`interface is neither "contact" nor "contactless"`)
	}
	switch protocol {
	case "":
	case cardreader.T0.String():
		t.Protocol = cardreader.T0
	case cardreader.T1.String():
		t.Protocol = cardreader.T1
	case cardreader.TCL.String():
		t.Protocol = cardreader.TCL
	default:
		return errors.New(`protocol is none of "T=0", "T=1" and "T=CL"`)
	}
	var err error
	if t.ATR, err = hex.DecodeString(atr); err != nil {
		return errors.New("atr is not hexadecimal")
	}
	return nil
}

func parseTerminal(m map[string]string) (map[tlv.Tag][]byte, error) {
	out := map[tlv.Tag][]byte{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b, err := hex.DecodeString(k)
		if err != nil {
			return nil, errors.New("terminal: a tag is not hexadecimal")
		}
		tag, n, err := tlv.ParseTag(b)
		if err != nil || n != len(b) {
			return nil, fmt.Errorf("terminal: %s is no tag", strings.ToUpper(k))
		}
		if _, twice := out[tag]; twice {
			return nil, fmt.Errorf("terminal: %s is there twice", tag)
		}
		if out[tag], err = hex.DecodeString(m[k]); err != nil {
			return nil, fmt.Errorf("terminal: %s is not hexadecimal", tag)
		}
	}
	return out, nil
}

func (t *Trace) parseLine(b []byte) error {
	var l line
	if err := strict(b, &l); err != nil {
		return err
	}
	return t.exchange(l)
}

func (t *Trace) exchange(l line) error {
	if len(t.Exchanges) == maxExchanges {
		return fmt.Errorf("more than %d exchanges", maxExchanges)
	}
	if l.Cmd == nil || l.Resp == nil {
		return errors.New("cmd or resp is missing")
	}
	if l.Micros < 0 || l.Micros > int64(24*time.Hour/time.Microsecond) {
		return errors.New("us is out of range")
	}
	e := Exchange{Took: time.Duration(l.Micros) * time.Microsecond}
	var err error
	if e.Command, err = hex.DecodeString(*l.Cmd); err != nil {
		return errors.New("cmd is not hexadecimal")
	}
	if len(e.Command) < 4 {
		return fmt.Errorf("cmd of %d bytes, a command has 4 at least", len(e.Command))
	}
	if e.Response, err = hex.DecodeString(*l.Resp); err != nil {
		return errors.New("resp is not hexadecimal")
	}
	if len(e.Response) < 2 {
		return fmt.Errorf("resp of %d bytes has no status word", len(e.Response))
	}
	t.Exchanges = append(t.Exchanges, e)
	return nil
}

// WriteTo writes the trace as a file. Errors are those of w.
func (t *Trace) WriteTo(w io.Writer) (int64, error) {
	n, err := t.writeHeader(w)
	if err != nil {
		return n, err
	}
	lines, err := writeExchanges(w, t.Exchanges)
	return n + lines, err
}

func (t *Trace) writeHeader(w io.Writer) (int64, error) {
	h := header{Trace: edition, Interface: t.Interface.String(), ATR: upper(t.ATR), Masked: t.Masked}
	if t.Protocol != cardreader.ProtocolUnknown {
		h.Protocol = t.Protocol.String()
	}
	if t.Match == MatchHeader {
		h.Match = matchHeader
	}
	if len(t.Terminal) > 0 {
		h.Terminal = make(map[string]string, len(t.Terminal))
		for tag, v := range t.Terminal {
			h.Terminal[tag.String()] = upper(v)
		}
	}
	return writeLines(w, h)
}

func writeExchanges(w io.Writer, all []Exchange) (int64, error) {
	lines := make([]any, len(all))
	for i, e := range all {
		c, r := upper(e.Command), upper(e.Response)
		lines[i] = line{e.Took.Microseconds(), &c, &r}
	}
	return writeLines(w, lines...)
}

// writeLines writes whole lines, at once.
func writeLines(w io.Writer, lines ...any) (int64, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return 0, fmt.Errorf("trace: writing: %w", err)
		}
	}
	n, err := b.WriteTo(w)
	if err != nil {
		return n, fmt.Errorf("trace: writing: %w", err)
	}
	return n, nil
}

func upper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// Clone returns an independent copy.
func (t *Trace) Clone() *Trace {
	out := *t
	out.ATR = slices.Clone(t.ATR)
	out.Terminal = make(map[tlv.Tag][]byte, len(t.Terminal))
	for tag, v := range t.Terminal {
		out.Terminal[tag] = slices.Clone(v)
	}
	out.Exchanges = make([]Exchange, len(t.Exchanges))
	for i, e := range t.Exchanges {
		out.Exchanges[i] = Exchange{e.Took, slices.Clone(e.Command), slices.Clone(e.Response)}
	}
	return &out
}

// Wipe zeroes the commands and responses.
func (t *Trace) Wipe() {
	for _, e := range t.Exchanges {
		clear(e.Command)
		clear(e.Response)
	}
}
