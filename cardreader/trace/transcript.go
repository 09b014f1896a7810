package trace

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/payunit/payunit/cardreader"
)

// transcript is one session of FormTranscripts.
type transcript struct {
	ID, Name  string
	Interface string
	ATR       string
	Steps     []struct{ Cmd, Resp string }
}

// maxTranscripts bounds a file of FormTranscripts, in bytes.
const maxTranscripts = 16 << 20

// parseTranscripts reads a list of sessions, or one. A step that is no exchange
// of APDUs is counted and left out.
func parseTranscripts(r io.Reader) ([]Session, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxTranscripts+1))
	if err != nil {
		return nil, fmt.Errorf("trace: reading: %w", err)
	}
	if len(b) > maxTranscripts {
		return nil, &Error{1, fmt.Sprintf("longer than %d bytes", maxTranscripts)}
	}
	var list []transcript
	if err := json.Unmarshal(b, &list); err != nil {
		var one transcript
		if json.Unmarshal(b, &one) != nil {
			return nil, &Error{jsonLine(b, err), "neither a session with steps of cmd and resp, nor a list of such"}
		}
		list = []transcript{one}
	}
	out := []Session{}
	kept := 0
	for i, v := range list {
		s, reason := v.session()
		if reason != "" {
			return nil, &Error{1, fmt.Sprintf("session %d: %s", i+1, reason)}
		}
		if kept += len(s.Exchanges); kept > maxExchanges {
			return nil, &Error{1, fmt.Sprintf("more than %d exchanges", maxExchanges)}
		}
		if len(s.Exchanges) > 0 {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, &Error{1, "no command with its response in the whole file"}
	}
	return out, nil
}

func (v transcript) session() (Session, string) {
	s := Session{Name: v.ID, Trace: &Trace{}}
	if s.Name == "" {
		s.Name = v.Name
	}
	// A name goes to terminals.
	s.Name = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s.Name)
	if v.Interface == cardreader.Contactless.String() {
		s.Interface, s.Protocol = cardreader.Contactless, cardreader.TCL
	}
	var err error
	if s.ATR, err = hex.DecodeString(v.ATR); err != nil {
		return s, "the answer to reset is not hexadecimal"
	}
	for i, x := range v.Steps {
		c, cerr := hex.DecodeString(x.Cmd)
		r, rerr := hex.DecodeString(x.Resp)
		if cerr != nil || rerr != nil {
			return s, fmt.Sprintf("step %d is not hexadecimal", i+1)
		}
		if s.add(c, r, 0) != "" {
			s.Skipped++
		}
	}
	return s, ""
}

// jsonLine is the line at which JSON stops to be JSON.
func jsonLine(b []byte, err error) int {
	var s *json.SyntaxError
	if !errors.As(err, &s) || s.Offset > int64(len(b)) {
		return 1
	}
	n := 1
	for _, c := range b[:max(0, s.Offset-1)] {
		if c == '\n' {
			n++
		}
	}
	return n
}
