package trace

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/atr"
)

// Form is the form of a file with recorded card traffic.
type Form string

// The forms that ParseAny reads.
const (
	// FormTrace is this package's own.
	FormTrace Form = "trace"
	// FormLines is a list of commands and responses: "> hex" and "< hex", also
	// with =>, ->, >>, C-APDU:, R-APDU: and the like, and "ATR: hex".
	FormLines Form = "lines"
	// FormPCSCD is the log of pcscd --apdu.
	FormPCSCD Form = "pcscd"
	// FormSpy is pcsc-spy's output, and what its library writes for it.
	FormSpy Form = "pcsc-spy"
	// FormTranscripts is JSON with "steps" of "cmd" and "resp".
	FormTranscripts Form = "transcripts"
)

// Session is a recorded session with a card out of a file of any form.
type Session struct {
	// Name tells the sessions of one file apart, "" when there is one.
	Name string
	*Trace
	// Skipped is how many steps were left out because they are no exchange of
	// APDUs: one that stands for any command, one below that level.
	Skipped int
}

// ParseAny reads recorded card traffic in any of the known forms, told by its
// content. Errors are *Error, which wrap ErrFormat, and those of r.
func ParseAny(r io.Reader) ([]Session, Form, error) {
	b := bufio.NewReaderSize(r, headLen)
	head, err := b.Peek(headLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fmt.Errorf("trace: reading: %w", err)
	}
	form := formOf(head)
	var t *Trace
	switch form {
	case FormTrace:
		t, err = Parse(b)
	case FormTranscripts:
		s, err := parseTranscripts(b)
		return s, form, err
	case FormPCSCD:
		t, err = parseLines(b, &pcscdLog{})
	case FormSpy:
		t, err = parseLines(b, &spyLog{})
	default:
		t, err = parseLines(b, &plainList{})
	}
	if err != nil {
		return nil, form, err
	}
	return []Session{{Trace: t}}, form, nil
}

// headLen is how much of a file tells its form: the preamble of pcscd's log is
// long.
const headLen = 1 << 16

func formOf(head []byte) Form {
	text := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF")))
	first, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case len(text) == 0:
		return FormLines
	case text[0] == '[':
		return FormTranscripts
	case text[0] == '{' && bytes.Contains(first, []byte(`"trace"`)):
		return FormTrace
	case text[0] == '{' && bytes.Contains(text, []byte(`"steps"`)):
		return FormTranscripts
	case text[0] == '{':
		return FormTrace
	case bytes.Contains(text, []byte("SCardTransmit")) && (bytes.Contains(text, []byte("bSendBuffer")) || bytes.Contains(text, []byte("|SCardTransmit"))),
		bytes.Contains(first, []byte("@>|")), bytes.HasPrefix(text, []byte(">|")), bytes.HasPrefix(text, []byte("SCardEstablishContext")):
		return FormSpy
	case bytes.Contains(text, []byte(" APDU: ")), bytes.Contains(text, []byte("pcscdaemon.c")):
		return FormPCSCD
	}
	return FormLines
}

// reader takes a form line by line.
type lineReader interface {
	// line takes the next line. It returns a reason when it is none of the
	// form; the reason names nothing of its content.
	line(t *Trace, text string) string
	// end is called once after the last line.
	end(t *Trace) string
}

func parseLines(r io.Reader, l lineReader) (*Trace, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxLine)
	t := &Trace{}
	n := 0
	for s.Scan() {
		n++
		reason := l.line(t, uncoloured(strings.TrimRight(s.Text(), "\r")))
		if reason == "" && len(t.Exchanges) > maxExchanges {
			reason = fmt.Sprintf("more than %d exchanges", maxExchanges)
		}
		if reason != "" {
			return nil, &Error{n, reason}
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &Error{n + 1, "line is too long"}
	case err != nil:
		return nil, fmt.Errorf("trace: reading: %w", err)
	}
	if reason := l.end(t); reason != "" {
		return nil, &Error{n, reason}
	}
	if len(t.Exchanges) == 0 {
		return nil, &Error{max(n, 1), "no command with its response in the whole file"}
	}
	t.guess()
	return t, nil
}

// guess sets the interface by the answer to reset: readers make one up for
// contactless cards (PC/SC part 3, 3.1.3.2.3).
func (t *Trace) guess() {
	a, err := atr.Parse(t.ATR)
	if err != nil || !a.Pseudo() {
		return
	}
	t.Interface, t.Protocol = cardreader.Contactless, cardreader.TCL
}

// add keeps an exchange, or returns why it is none.
func (t *Trace) add(command, response []byte, took time.Duration) string {
	switch {
	case len(command) < 4:
		return fmt.Sprintf("a command of %d bytes, it has 4 at least", len(command))
	case len(response) < 2:
		return fmt.Sprintf("a response of %d bytes has no status word", len(response))
	}
	took = min(max(took, 0), 24*time.Hour) // a log's clock may have been set
	t.Exchanges = append(t.Exchanges, Exchange{Took: took, Command: command, Response: response})
	return ""
}

// uncoloured takes a terminal's colours out of a line.
func uncoloured(s string) string {
	if !strings.Contains(s, "\x1b[") {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexFunc(after, func(c rune) bool { return c >= '@' && c <= '~' })
		if end < 0 {
			return b.String()
		}
		s = after[end+1:]
	}
}

// spaced reads hexadecimal in which blanks, colons, commas and 0x may stand.
func spaced(s string) ([]byte, bool) {
	s = strings.NewReplacer(" ", "", "\t", "", ":", "", ",", "", "0x", "", "0X", "").Replace(s)
	b, err := hex.DecodeString(s)
	return b, err == nil
}

// plainList is FormLines.
type plainList struct{ command, response []byte }

// marks begin a line of FormLines; those of commands, then those of responses.
// A longer one stands before its own beginning.
func marks() (commands, responses []string) {
	return []string{"-->", "->", "=>", ">>", ">", "c-apdu", "capdu", "command", "cmd", "apdu", "send", "tx"},
		[]string{"<--", "<-", "<=", "<<", "<", "r-apdu", "rapdu", "response", "resp", "rsp", "recv", "rx"}
}

func marked(s string, list []string) (string, bool) {
	for _, m := range list {
		if len(s) >= len(m) && strings.EqualFold(s[:len(m)], m) {
			return strings.TrimLeft(s[len(m):], " \t:=>"), true
		}
	}
	return "", false
}

func (p *plainList) line(t *Trace, s string) string {
	s = strings.TrimSpace(strings.TrimPrefix(s, "\xEF\xBB\xBF"))
	commands, responses := marks()
	switch {
	case s == "", s[0] == '#', s[0] == ';', strings.HasPrefix(s, "//"):
		return ""
	case len(s) > 3 && strings.EqualFold(s[:3], "atr"):
		b, ok := spaced(strings.TrimLeft(s[3:], " \t:="))
		if !ok {
			return "the answer to reset is not hexadecimal"
		}
		if len(t.Exchanges) == 0 && t.ATR == nil {
			t.ATR = b
		}
		return ""
	}
	if rest, ok := marked(s, responses); ok {
		if p.command == nil {
			return "a response without a command before it"
		}
		b, ok := spaced(statusWord(rest))
		if !ok {
			return "the response is not hexadecimal"
		}
		p.response = append(p.response, b...)
		return ""
	}
	if rest, ok := marked(s, commands); ok {
		if reason := p.end(t); reason != "" {
			return reason
		}
		b, ok := spaced(rest)
		if !ok {
			return "the command is not hexadecimal"
		}
		p.command = b
		return ""
	}
	return "neither a command (>), nor a response (<), nor an answer to reset (ATR:)"
}

// statusWord takes the name out of "data SW: 9000" and "data SW=9000".
func statusWord(s string) string {
	for _, name := range []string{"sw1sw2", "sw12", "sw"} {
		// Offsets are into s itself: lower case may be longer or shorter in bytes.
		for i := 0; i+len(name) <= len(s); i++ {
			if strings.EqualFold(s[i:i+len(name)], name) {
				return s[:i] + strings.TrimLeft(s[i+len(name):], " :=")
			}
		}
	}
	return s
}

// end keeps the pair that is open; a command without a response leaves no line,
// as in this package's own form.
func (p *plainList) end(t *Trace) string {
	c, r := p.command, p.response
	p.command, p.response = nil, nil
	if c == nil || r == nil {
		return ""
	}
	return t.add(c, r, 0)
}

// pcscdLog is FormPCSCD: "00000005 [thread] APDU: 00 A4 …", then in a later line
// "SW: …", each after the microseconds since the line before.
type pcscdLog struct {
	command []byte
	took    time.Duration
}

func (p *pcscdLog) line(t *Trace, s string) string {
	p.took += leading(s)
	if at := strings.Index(s, "Send Protocol: T="); at >= 0 {
		switch s[at+len("Send Protocol: T="):] {
		case "0":
			t.Protocol = cardreader.T0
		case "1":
			t.Protocol = cardreader.T1
		}
		return ""
	}
	if _, rest, ok := strings.Cut(s, "Card ATR: "); ok {
		if b, ok := spaced(strings.TrimSpace(rest)); ok && len(t.Exchanges) == 0 {
			t.ATR = b
		}
		return ""
	}
	if _, rest, ok := strings.Cut(s, " APDU: "); ok {
		b, ok := spaced(strings.TrimSpace(rest))
		if !ok {
			return "the command after APDU: is not hexadecimal"
		}
		p.command, p.took = b, 0
		return ""
	}
	if _, rest, ok := strings.Cut(s, " SW: "); ok && p.command != nil {
		b, ok := spaced(strings.TrimSpace(rest))
		if !ok {
			return "the response after SW: is not hexadecimal"
		}
		c := p.command
		p.command = nil
		return t.add(c, b, p.took)
	}
	return ""
}

func (p *pcscdLog) end(*Trace) string { return "" }

// leading is the number of microseconds that a line begins with.
func leading(s string) time.Duration {
	n := 0
	for i := 0; i < len(s) && i < 8 && s[i] >= '0' && s[i] <= '9'; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return time.Duration(n) * time.Microsecond
}

// spyLog is FormSpy. The tool's output is
//
//	SCardTransmit
//	 i bSendBuffer
//	 i  0000 00 A4 04 00 … .....
//	 o bRecvBuffer
//	 o  0000 6A 82 j.
//	 => Command successful. (SCARD_S_SUCCESS [0x00000000])  [0.001234]
//
// with any indent; its library's is "thread@>|sec|usec|SCardTransmit", a line a
// parameter and "thread@<|sec|usec|SCardTransmit|…".
type spyLog struct {
	call
	threads map[string]*call
}

// call is a function of PC/SC that is under way.
type call struct {
	inside   bool
	dump     *[]byte
	command  []byte
	response []byte
	at       time.Duration
	buffers  int
}

// maxThreads bounds the calls under way at once.
const maxThreads = 64

func (p *spyLog) line(t *Trace, s string) string {
	s = strings.TrimLeft(s, " \t")
	thread, raw, ok := strings.Cut(s, "@")
	if ok && len(thread) <= 20 && strings.Trim(thread, "0123456789abcdefxABCDEF") == "" {
		return p.library(t, thread, raw)
	}
	switch {
	case strings.HasPrefix(s, ">|"), strings.HasPrefix(s, "<|"), len(p.threads) > 0:
		return p.library(t, "", s)
	case s == "SCardTransmit":
		p.call = call{inside: true}
		return ""
	case strings.HasPrefix(s, "SCar"):
		p.call = call{}
		return ""
	case strings.HasPrefix(s, "=> "):
		return p.done(t, elapsed(s))
	}
	return p.field(t, s)
}

// library takes a line of the library's form.
func (p *spyLog) library(t *Trace, thread, s string) string {
	c, ok := p.threads[thread]
	switch {
	case strings.HasPrefix(s, ">|"):
		if !ok && len(p.threads) == maxThreads {
			return fmt.Sprintf("more than %d threads", maxThreads)
		}
		if p.threads == nil {
			p.threads = map[string]*call{}
		}
		p.threads[thread] = &call{inside: strings.HasSuffix(s, "|SCardTransmit"), at: moment(s)}
	case !ok:
	case strings.HasPrefix(s, "<|"):
		return c.done(t, max(moment(s)-c.at, 0))
	default:
		c.parameter(s)
	}
	return ""
}

// parameter takes a line of the library's form: bytes are the only parameters
// that are pairs of digits.
func (p *call) parameter(s string) {
	if !p.inside || len(s) < 5 || s[2] != ' ' {
		return
	}
	b, ok := spaced(s)
	if !ok {
		return
	}
	switch p.buffers {
	case 0:
		p.command = b
	case 1:
		p.response = b
	}
	p.buffers++
}

// field takes a line of the tool's form.
func (p *call) field(t *Trace, s string) string {
	if len(s) < 2 || s[0] != 'i' && s[0] != 'o' || s[1] != ' ' {
		return ""
	}
	name := strings.TrimSpace(s[2:])
	switch {
	case p.inside && name == "bSendBuffer":
		p.dump = &p.command
	case p.inside && name == "bRecvBuffer":
		p.dump = &p.response
	case p.inside && name == "pioSendPci.dwProtocol: 0x00000001":
		t.Protocol = cardreader.T0
	case p.inside && name == "pioSendPci.dwProtocol: 0x00000002":
		t.Protocol = cardreader.T1
	case strings.HasPrefix(name, "bAtr "):
		if b, ok := spaced(name[len("bAtr "):]); ok && len(t.Exchanges) == 0 {
			t.ATR = b
		}
	case p.dump != nil && isDump(s[2:]):
		// The characters behind the digits may look like digits.
		row := strings.TrimLeft(s[2:], " ")[5:]
		b, ok := spaced(row[:min(47, len(row))])
		if !ok {
			// A short row's characters follow where its digits end.
			b, ok = shortRow(row)
		}
		if !ok {
			return "a row of bytes is not hexadecimal"
		}
		if len(*p.dump)+len(b) > maxLine {
			return "a buffer is too long"
		}
		*p.dump = append(*p.dump, b...)
	default:
		p.dump = nil
	}
	return ""
}

// isDump recognises " 0000 AB …".
func isDump(s string) bool {
	s = strings.TrimLeft(s, " ")
	if len(s) < 7 || s[4] != ' ' {
		return false
	}
	for _, c := range s[:4] + s[5:7] {
		if !strings.ContainsRune("0123456789ABCDEFabcdef", c) {
			return false
		}
	}
	return true
}

func shortRow(s string) ([]byte, bool) {
	var out []byte
	for len(s) >= 2 && (len(s) == 2 || s[2] == ' ') {
		b, err := hex.DecodeString(s[:2])
		if err != nil {
			break
		}
		out = append(out, b...)
		s = s[min(3, len(s)):]
	}
	return out, len(out) > 0
}

// done ends a call. A card that gave no response leaves no exchange.
func (p *call) done(t *Trace, took time.Duration) string {
	c, r, inside := p.command, p.response, p.inside
	*p = call{}
	if !inside || len(c) == 0 || len(r) == 0 {
		return ""
	}
	return t.add(c, r, took)
}

func (p *spyLog) end(*Trace) string { return "" }

// moment reads the seconds and microseconds of ">|sec|usec|…"; newer libraries
// put the thread in front.
func moment(s string) time.Duration {
	f := strings.Split(s, "|")
	for i := 1; i+2 < len(f); i++ {
		var sec, usec int64
		if _, err := fmt.Sscanf(f[i]+" "+f[i+1], "%d %d", &sec, &usec); err == nil && strings.HasPrefix(f[i+2], "SCard") && sec >= 0 && sec < 1<<33 && usec >= 0 && usec < 1e6 {
			return time.Duration(sec)*time.Second + time.Duration(usec)*time.Microsecond
		}
	}
	return 0
}

// elapsed reads the "[0.001234]" at the end of a line.
func elapsed(s string) time.Duration {
	at := strings.LastIndexByte(s, '[')
	if at < 0 {
		return 0
	}
	d, err := time.ParseDuration(strings.TrimSuffix(s[at+1:], "]") + "s")
	if err != nil || d < 0 || d > 24*time.Hour {
		return 0
	}
	return d
}
