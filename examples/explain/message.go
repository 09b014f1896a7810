package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/trace"
	"github.com/payunit/payunit/payment/acquirer"
)

// message is an explained message with what the dialects alone don't say of it.
type message struct {
	acquirer.Explanation
	// ICC are the data objects of field 55, nested, and ICCForm how they were
	// packed when that is not as the dialect has it.
	ICC     []tags.Node `json:"icc,omitempty"`
	ICCForm string      `json:"icc_form,omitempty"`
	// Rest is what could not be read.
	Rest  *remainder `json:"rest,omitempty"`
	Error string     `json:"error,omitempty"`

	inner []byte
	err   error
}

// remainder is the end of a message from the first byte that can't be read.
type remainder struct {
	Offset int    `json:"offset"`
	Length int    `json:"length"`
	Value  string `json:"value"`
	// Objects are the data objects in it, when it is a broken field 55.
	Objects []tags.Node `json:"objects,omitempty"`
}

func explainISO8583(r *request) (answer, error) {
	if r.showPAN {
		return answer{}, usagef("-show-pan: messages are shown masked only")
	}
	var d *acquirer.Dialect
	if r.dialect != "" {
		var ok bool
		if d, ok = acquirer.LookupDialect(r.dialect); !ok {
			return answer{}, usagef("-dialect: there is no %q; there are %s", r.dialect, dialects())
		}
	}
	b, err := r.hex(0)
	if err != nil {
		// A message all in characters may be given as it is.
		if m, ok := readText(d, r.args); ok {
			return m.answer(), nil
		}
		return answer{}, err
	}
	m := readMessage(d, b)
	if m.err != nil {
		if as, ok := readText(d, r.args); ok {
			m = as
		}
	}
	return m.answer(), nil
}

func readText(d *acquirer.Dialect, args []string) (*message, bool) {
	m := readMessage(d, []byte(strings.Join(args, " ")))
	return m, m.err == nil
}

func (m *message) answer() answer {
	m.Error = problem(m.err)
	return answer{object: m, text: m.text(), err: m.err}
}

func dialects() string {
	var names []string
	for _, d := range acquirer.Dialects() {
		names = append(names, d.Name())
	}
	return strings.Join(names, ", ")
}

// readMessage explains a message by a dialect, nil for all that are known, as
// far as it can be read.
func readMessage(d *acquirer.Dialect, b []byte) *message {
	m := &message{inner: b}
	if d != nil {
		m.Explanation, m.err = d.Explain(b)
	} else {
		m.Explanation, m.err = acquirer.ExplainAny(b)
		m.inner = b[frameLen(m.Explanation):]
		if m.err != nil && !m.complete() {
			m = m.better(b)
		}
	}
	if m.err != nil && !m.complete() {
		m.otherLength()
	}
	m.explainICC()
	m.remain()
	return m
}

// frameLen is how many bytes of length and TPDU stand before the message.
func frameLen(x acquirer.Explanation) int {
	n := len(x.TPDU) / 2
	if x.Length > 0 {
		n += 2
	}
	return n
}

// complete reports whether every field was read, though one of them is wrong.
func (m *message) complete() bool {
	var f *acquirer.FieldError
	if !errors.As(m.err, &f) {
		return true
	}
	return f.Field < 0 && f.Offset == 0 && len(m.Fields) > 0 ||
		slices.ContainsFunc(m.Fields, func(x acquirer.ExplainedField) bool { return x.Number == f.Field })
}

// reached is the offset at which reading ended.
func (m *message) reached() int {
	var f *acquirer.FieldError
	switch {
	case m.complete():
		return len(m.inner)
	case errors.As(m.err, &f) && f.Offset > 0 && len(m.Fields) > 0:
		return f.Offset
	}
	return 0
}

// better tries hosts that put bytes where the standard has text.
func (m *message) better(b []byte) *message {
	for _, frame := range [...][2]int{{0, 0}, {2, 0}, {2, 5}, {0, 5}} {
		at := frame[0] + frame[1]
		if len(b) <= at+4 || frame[1] > 0 && b[frame[0]] != 0x60 {
			continue
		}
		for _, d := range loose() {
			n := &message{inner: b[at:]}
			n.Explanation, n.err = d.Explain(n.inner)
			n.mask()
			n.TPDU = upper(b[frame[0]:at])
			if frame[0] > 0 {
				n.Length = int(b[0])<<8 | int(b[1])
				if n.err == nil && n.Length != len(b)-2 {
					n.err = &acquirer.FieldError{Field: -1, Reason: fmt.Sprintf("length %d, and %d bytes follow", n.Length, len(b)-2), Err: acquirer.ErrMalformed}
				}
			}
			if n.reached() > m.reached() {
				m = n
			}
		}
	}
	return m
}

// loose are the standard's dialects with bytes in the fields that it leaves to
// the parties, which many hosts fill with lists of their own.
func loose() []*acquirer.Dialect {
	var out []*acquirer.Dialect
	for _, t := range []acquirer.Table{acquirer.StandardHex87(), rawBitmap(), acquirer.BothBitmaps87(), acquirer.BCD87(), acquirer.StandardBinary87()} {
		own := slices.Clone(acquirer.BothBitmaps87().Elements)
		if t.Name == "iso87-hex" || t.Name == "iso87-binary" {
			own = slices.Clone(t.Elements)
		}
		for i := range own {
			e := &own[i]
			if e.Prefix == 3 && e.Class == acquirer.ANS && e.Member == acquirer.NoMember && e.Number > 45 {
				e.Class, e.Encoding = acquirer.B, acquirer.Raw
			}
		}
		t.Elements, t.Rules = own, []acquirer.Rule{}
		t.Name += ", private fields as bytes"
		// A table that is refused is left out; a test counts them.
		if d, err := acquirer.NewDialect(t); err == nil {
			out = append(out, d)
		}
	}
	return out
}

func rawBitmap() acquirer.Table {
	t := acquirer.BothBitmaps87()
	t.Name, t.Text, t.BothBitmaps, t.Bitmap, t.TrackSeparator = "iso87-ascii", "ASCII, binary bitmap", false, acquirer.Raw, 0
	return t
}

// mask says private fields as text where they are text, without card numbers.
func (m *message) mask() {
	for i := range m.Fields {
		f := &m.Fields[i]
		if f.Number > 45 && f.Number != 55 && strings.HasPrefix(f.Format, "b ..") {
			if v := m.value(i); v != nil {
				f.Value = shown(v)
			}
		}
	}
}

// value is a field of bytes as it stands in the message, nil where it can't be
// found.
func (m *message) value(i int) []byte {
	f := m.Fields[i]
	end := len(m.inner)
	if i+1 < len(m.Fields) {
		end = m.Fields[i+1].Offset
	} else if m.err != nil && !m.complete() {
		end = m.reached()
	}
	n := len(f.Value) / 2
	for _, form := range []string{"%d bytes", "[%d, hidden]"} {
		var said int
		if _, err := fmt.Sscanf(f.Value, form, &said); err == nil {
			n = said
		}
	}
	if n == 0 || n > end || end > len(m.inner) {
		return nil
	}
	return m.inner[end-n : end]
}

// otherLength reads a field 55 whose length is not written as the rest of the
// message writes lengths, and goes on behind it.
func (m *message) otherLength() {
	var f *acquirer.FieldError
	if !errors.As(m.err, &f) || f.Field != 55 || f.Offset <= 0 || f.Offset >= len(m.inner) {
		return
	}
	d := dialectOf(m.Dialect)
	if d == nil {
		return
	}
	rest := m.inner[f.Offset:]
	for _, l := range lengths(rest) {
		v := rest[l.size:min(l.size+l.n, len(rest))]
		if len(v) < l.n || !startsWithTag(v) {
			continue
		}
		prefix := fmt.Appendf(nil, "%03d", l.n)
		if d.Table().Lengths == acquirer.BCD {
			prefix = []byte{byte(l.n / 100), byte(l.n/10%10<<4 | l.n%10)}
		}
		again := &message{inner: slices.Concat(m.inner[:f.Offset], prefix, v, rest[l.size+l.n:])}
		again.Explanation, again.err = d.Explain(again.inner)
		again.mask()
		again.TPDU, again.Length = m.TPDU, m.Length
		if again.reached() > f.Offset+l.n {
			again.ICCForm = "length written as " + l.form
			*m = *again
			return
		}
	}
}

func dialectOf(name string) *acquirer.Dialect {
	for _, d := range append(loose(), acquirer.Dialects()...) {
		if d.Name() == name {
			return d
		}
	}
	return nil
}

// reading is what the bytes before a value say as its length.
type reading struct {
	size, n int
	form    string
}

func lengths(b []byte) []reading {
	var out []reading
	if len(b) < 4 {
		return nil
	}
	if n, ok := bcd(b[:2]); ok {
		out = append(out, reading{2, n, "two bytes of BCD"})
	}
	out = append(out, reading{2, int(b[0])<<8 | int(b[1]), "two binary bytes"}, reading{1, int(b[0]), "one binary byte"})
	for _, n := range []int{2, 3, 4} {
		if v, ok := decimal(b[:n]); ok {
			out = append(out, reading{n, v, fmt.Sprintf("%d characters", n)})
		}
	}
	return slices.DeleteFunc(out, func(l reading) bool { return l.n == 0 || l.n > 999 })
}

func bcd(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c>>4 > 9 || c&15 > 9 {
			return 0, false
		}
		n = n*100 + int(c>>4)*10 + int(c&15)
	}
	return n, true
}

func decimal(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// explainICC takes field 55 apart, in whichever form it is.
func (m *message) explainICC() {
	at := slices.IndexFunc(m.Fields, func(f acquirer.ExplainedField) bool { return f.Number == 55 })
	if at < 0 {
		return
	}
	f, v := &m.Fields[at], m.value(at)
	if v == nil {
		return
	}
	objects, form := unwrapICC(v)
	if objects == nil {
		f.Value = shown(v)
		return
	}
	f.Value = fmt.Sprintf("%d bytes", len(v))
	if form != "" {
		m.ICCForm = form
	}
	nodes, err := tags.Explain(objects, false)
	m.ICC = nodes
	if err != nil && m.err == nil {
		m.err = fmt.Errorf("field 55: %w", err)
	}
}

// unwrapICC finds the data objects in a field 55: as they are, behind a data set
// identifier and length, behind a length of their own, or in hexadecimal text.
// It returns nil for what is none of these.
func unwrapICC(v []byte) (objects []byte, form string) {
	if startsWithTag(v) {
		return v, ""
	}
	if b, err := fromHex(string(v)); err == nil && startsWithTag(b) {
		return b, "written in hexadecimal"
	}
	if len(v) > 3 && int(v[1])<<8|int(v[2]) == len(v)-3 && startsWithTag(v[3:]) {
		return v[3:], fmt.Sprintf("data set %02X with a length of its own", v[0])
	}
	for _, l := range lengths(v) {
		if l.size+l.n == len(v) && startsWithTag(v[l.size:]) {
			return v[l.size:], "with a length of its own, " + l.form
		}
	}
	return nil, ""
}

// remain keeps what could not be read. What may be track data or a PIN block,
// which stand up to field 52, is not shown.
func (m *message) remain() {
	var f *acquirer.FieldError
	if m.err == nil || m.complete() || !errors.As(m.err, &f) || f.Offset < 0 || f.Offset >= len(m.inner) {
		return
	}
	rest := m.inner[f.Offset:]
	m.Rest = &remainder{Offset: f.Offset, Length: len(rest), Value: fmt.Sprintf("[%d bytes, hidden]", len(rest))}
	if f.Field > 52 || f.Field < 0 && len(m.Fields) > 0 && m.Fields[len(m.Fields)-1].Number >= 52 {
		m.Rest.Value = shown(rest)
	}
	if f.Field == 55 {
		for _, l := range lengths(rest) {
			v := rest[l.size:]
			if l.n <= len(v) || !startsWithTag(v) {
				continue
			}
			nodes, _ := tags.Explain(v, false) // the reason stands in m.err
			m.Rest.Objects = nodes
			m.err = fmt.Errorf("%w; its length, %s, says %d bytes, and %d are there", m.err, l.form, l.n, len(v))
			return
		}
	}
}

func (m *message) text() string {
	x := m.Explanation
	x.Fields = slices.Clone(x.Fields)
	icc := -1
	for i := range x.Fields {
		if x.Fields[i].Number == 55 && m.ICC != nil {
			x.Fields[i].Tags, icc = nil, i
		}
	}
	var b strings.Builder
	if icc < 0 {
		b.WriteString(x.String())
	} else {
		tail := x
		tail.Fields = x.Fields[icc+1:]
		x.Fields = x.Fields[:icc+1]
		b.WriteString(x.String())
		if m.ICCForm != "" {
			fmt.Fprintf(&b, "        %s\n", m.ICCForm)
		}
		b.WriteString(trace.Render(m.ICC, "        "))
		tail.TPDU = ""
		// The first line is the message's, which stands there already.
		_, rest, _ := strings.Cut(tail.String(), "\n")
		b.WriteString(rest)
	}
	if r := m.Rest; r != nil {
		fmt.Fprintf(&b, "  not read, from byte %d on, %d bytes: %s\n%s  because %v\n", r.Offset, r.Length, r.Value, trace.Render(r.Objects, "        "), m.err)
	}
	return b.String()
}

// startsWithTag tells data objects from anything else: a tag that is known comes
// first.
func startsWithTag(v []byte) bool {
	nodes, err := tags.Explain(v, false)
	return len(nodes) > 0 && nodes[0].Name != "" && (err == nil || len(nodes) > 1)
}

// shown is a value of the parties' own for people: as text when it is text, else
// in hexadecimal, without digits that may be a card number.
func shown(v []byte) string {
	hide := make([]bool, 2*len(v))
	chars := make([]byte, len(v))
	nibbles := make([]byte, 0, 2*len(v))
	for i, c := range v {
		chars[i] = c - '0'
		nibbles = append(nibbles, c>>4, c&15)
	}
	defer clear(chars)
	defer clear(nibbles)
	runs(chars, func(from, to int) {
		for i := 2 * from; i < 2*(to-4); i++ {
			hide[i] = true
		}
	})
	runs(nibbles, func(from, to int) {
		if holdsNumber(nibbles[from:to]) {
			for i := from; i < to-4; i++ {
				hide[i] = true
			}
		}
	})
	if isText(v) {
		out := bytes.Clone(v)
		for i := range out {
			if hide[2*i] {
				out[i] = '*'
			}
		}
		return string(out)
	}
	out := []byte(upper(v))
	for i := range out {
		if hide[i] {
			out[i] = '*'
		}
	}
	return string(out)
}

// runs finds runs of 12 digits and more that are not all zeros: a card number,
// alone or run into other numbers.
func runs(digits []byte, found func(from, to int)) {
	for i := 0; i < len(digits); {
		j := i
		for j < len(digits) && digits[j] <= 9 {
			j++
		}
		if j-i >= 12 && slices.Max(digits[i:j]) > 0 {
			found(i, j)
		}
		i = j + 1
	}
}

// holdsNumber looks in digits, two a byte, for what has the first digit and the
// check digit of a card number: amounts and times are digits there as well.
func holdsNumber(digits []byte) bool {
	for i := range digits {
		if digits[i] < 2 || digits[i] > 6 {
			continue
		}
		for n := 13; n <= 19 && i+n <= len(digits); n++ {
			if d := digits[i : i+n]; checked(d) && !repeats(d) {
				return true
			}
		}
	}
	return false
}

// repeats reports whether every second digit is the same, as in characters, whose
// own digits were looked at.
func repeats(d []byte) bool {
	for _, from := range []int{0, 1} {
		same := true
		for i := from; i < len(d); i += 2 {
			same = same && d[i] == d[from]
		}
		if same {
			return true
		}
	}
	return false
}

// checked tests the check digit (ISO/IEC 7812-1, annex B).
func checked(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return sum%10 == 0
}

func isText(v []byte) bool {
	return !slices.ContainsFunc(v, func(c byte) bool { return c < ' ' || c > '~' })
}
