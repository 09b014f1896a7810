package acquirer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/field"
)

// Dialect packs and unpacks messages by a table. It does not change: any number
// of goroutines may use it at once.
type Dialect struct {
	t        Table
	spaces   *sync.Pool // of *workspace
	elements [129]*Element
	members  [memberCount]*Element
	rules    []Rule
	// transactions are told apart in their order.
	transactions []Transaction
	now          func() time.Time
}

// NewDialect makes a dialect from a table. Errors wrap ErrTable and name the
// element.
func NewDialect(t Table) (*Dialect, error) {
	t.Elements = slices.Clone(t.Elements)
	t.Rules, t.Transactions, t.Codes = slices.Clone(t.Rules), slices.Clone(t.Transactions), slices.Clone(t.Codes)
	if err := t.check(); err != nil {
		return nil, err
	}
	d := &Dialect{t: t, rules: t.Rules, now: time.Now}
	if d.rules == nil {
		d.rules = DefaultRules()
	}
	d.transactions = t.Transactions
	if t.Transactions == nil {
		d.transactions = DefaultTransactions()
	}
	d.spaces = &sync.Pool{}
	d.elements[0] = &Element{Number: 0, Name: "message type", Class: N, Length: 4}
	for i := range t.Elements {
		e := &d.t.Elements[i]
		d.elements[e.Number] = e
		if e.Member != NoMember {
			d.members[e.Member] = e
		}
	}
	return d, nil
}

// Name returns the table's name.
func (d *Dialect) Name() string { return d.t.Name }

// Text says in a line what the dialect is.
func (d *Dialect) Text() string { return d.t.Text }

// Table returns a copy of the table, for documentation or as the start of
// another one.
func (d *Dialect) Table() Table {
	t := d.t
	t.Elements = slices.Clone(t.Elements)
	t.Rules, t.Transactions, t.Codes = slices.Clone(t.Rules), slices.Clone(t.Transactions), slices.Clone(t.Codes)
	return t
}

// WithClock returns the same dialect with another clock; nil is time.Now. The
// clock gives the year to dates that come without one: Unpack takes the date
// nearest to now.
func (d *Dialect) WithClock(now func() time.Time) *Dialect {
	c := *d
	c.now = now
	if now == nil {
		c.now = time.Now
	}
	return &c
}

// bitmapCoder writes bitmaps for the library.
type bitmapCoder Encoding

// Encode writes a bitmap.
func (c bitmapCoder) Encode(b []byte) ([]byte, error) {
	if Encoding(c) == Raw {
		return b, nil
	}
	out := make([]byte, 2*len(b))
	putHex(out, b)
	return out, nil
}

// Decode reads a bitmap of n bytes.
func (c bitmapCoder) Decode(b []byte, n int) ([]byte, int, error) {
	size := n
	if Encoding(c) == Hex {
		size *= 2
	}
	if len(b) < size {
		return nil, 0, bitmapError(fmt.Sprintf("ends after %d of %d bytes", len(b), size))
	}
	out := make([]byte, n)
	if Encoding(c) == Raw {
		copy(out, b)
	} else if reason := getHex(out, b[:size]); reason != "" {
		return nil, 0, bitmapError(reason)
	}
	return out, size, nil
}

// bitmapError is what is wrong with a bitmap.
type bitmapError string

// Error returns the reason.
func (e bitmapError) Error() string { return string(e) }

// fail makes the error of an element.
func (d *Dialect) fail(number, offset int, reason string, err error) *FieldError {
	f := &FieldError{Field: number, Offset: offset, Reason: reason, Err: err}
	if number > 1 && number < len(d.elements) && d.elements[number] != nil {
		f.Name = d.elements[number].Name
	}
	return f
}

// at is fail for a member.
func (d *Dialect) at(m Member, reason string) *FieldError {
	if e := d.home(m); e != nil {
		return d.fail(e.Number, -1, reason, ErrInvalid)
	}
	return d.fail(-1, -1, m.String()+" "+reason, ErrInvalid)
}

// Pack writes m without a MAC; Seal adds one. The result holds card data: the
// caller wipes it. Errors are *FieldError and wrap ErrInvalid: a member that
// has no field in the dialect, does not fit its field, or is missing.
func (d *Dialect) Pack(m *Message) ([]byte, error) {
	out, _, err := d.pack(m, false)
	return out, err
}

// Seal writes m with a MAC in field 64, or 128 when there are fields above 64.
// mac gets everything before the MAC, message type and bitmap included, and
// returns 8 bytes; they are kept in m.MAC too. Errors are those of Pack and of
// mac.
func (d *Dialect) Seal(m *Message, mac func(data []byte) ([]byte, error)) ([]byte, error) {
	out, last, err := d.pack(m, true)
	if err != nil {
		return nil, err
	}
	n := len(out) - d.t.size(last, 8)
	sum, err := mac(out[:n:n])
	if err != nil {
		clear(out)
		return nil, fmt.Errorf("acquirer: computing the MAC: %w", err)
	}
	if len(sum) != 8 {
		clear(out)
		return nil, d.fail(last.Number, -1, fmt.Sprintf("the MAC has %d bytes, want 8", len(sum)), ErrInvalid)
	}
	d.t.encode(out[n:], last, sum)
	m.MAC = bytes.Clone(sum)
	return out, nil
}

// pack writes m, with room for a MAC at the end when seal is set.
func (d *Dialect) pack(m *Message, seal bool) ([]byte, *Element, error) {
	if err := d.check(m); err != nil {
		return nil, nil, err
	}
	values, err := d.values(m)
	if err != nil {
		return nil, nil, err
	}
	var last *Element
	if seal {
		if last = d.macElement(values); last == nil {
			return nil, nil, d.fail(-1, -1, "the dialect has no field for a MAC", ErrInvalid)
		}
		values = append(values, value{last, make([]byte, 8)})
	}
	w := d.space()
	defer w.release()
	msg := iso8583.NewMessage(w.spec)
	mti := []byte(m.MTI)
	mti[0] = '0' + d.t.Version
	if err := msg.BinaryField(0, mti); err != nil {
		return nil, nil, d.fail(0, -1, "can't be set", ErrInvalid)
	}
	for _, v := range values {
		if err := msg.BinaryField(v.def.Number, v.bytes); err != nil {
			return nil, nil, d.fail(v.def.Number, -1, "can't be set", ErrInvalid)
		}
	}
	out, err := msg.Pack()
	if err != nil {
		var e *element
		if errors.As(err, &e) {
			return nil, nil, d.fail(e.def.Number, -1, e.reason, ErrInvalid)
		}
		return nil, nil, d.fail(-1, -1, "can't be packed", ErrInvalid)
	}
	at := d.t.size(d.elements[0], 4)
	d.t.encode(out[:at], d.elements[0], mti)
	at += d.bitmapSize(msg.Bitmap().Len())
	slices.SortFunc(values, func(a, b value) int { return a.def.Number - b.def.Number })
	for _, v := range values {
		n := d.t.size(v.def, len(v.bytes))
		d.t.encode(out[at:at+n], v.def, v.bytes)
		at += n
	}
	return out, last, nil
}

func (d *Dialect) bitmapSize(bits int) int {
	if d.t.Bitmap == Hex {
		return bits / 4
	}
	return bits / 8
}

// macElement is where the MAC goes: the last bit of the last bitmap.
func (d *Dialect) macElement(values []value) *Element {
	n := 64
	if d.t.BothBitmaps || slices.ContainsFunc(values, func(v value) bool { return v.def.Number > 64 }) {
		n = 128
	}
	if e := d.elements[n]; e != nil && e.Member == MemberMAC {
		return e
	}
	return nil
}

// value is an element of a message.
type value struct {
	def   *Element
	bytes []byte
}

// values turns the members of m into elements.
func (d *Dialect) values(m *Message) ([]value, error) {
	out := make([]value, 0, 32)
	for mem := NoMember + 1; mem < memberCount; mem++ {
		if mem == MemberMAC {
			continue
		}
		e := d.members[mem]
		if e == nil && d.home(mem) != nil {
			continue
		}
		v, reason := d.get(mem, m)
		if reason != "" {
			return nil, d.at(mem, reason)
		}
		if v == nil {
			continue
		}
		if e == nil {
			return nil, d.fail(-1, -1, "the dialect has no field for "+mem.String(), ErrInvalid)
		}
		out = append(out, value{e, v})
	}
	for n, v := range m.Extra {
		if n < 2 || n > 128 || d.elements[n] == nil {
			return nil, d.fail(n, -1, "is not in the dialect", ErrInvalid)
		}
		e := d.elements[n]
		if e.Member != NoMember || d.t.RefuseExtra {
			return nil, d.fail(n, -1, "can't be an extra field", ErrInvalid)
		}
		out = append(out, value{e, v})
	}
	return out, nil
}

// Unpack reads a message and nothing but a message. It keeps no reference to b,
// which the caller wipes. Errors are *FieldError and wrap ErrMalformed. A MAC
// is neither asked for nor checked: Open does that.
func (d *Dialect) Unpack(b []byte) (*Message, error) {
	m, _, err := d.unpack(b)
	return m, err
}

// unpack returns the number of bytes before the last field too.
func (d *Dialect) unpack(b []byte) (*Message, int, error) {
	space := d.space()
	defer space.release()
	els, err := space.split(b)
	if err != nil {
		return nil, 0, err
	}
	w := draft{m: &Message{}, d: d}
	for i, e := range els {
		reason := ""
		switch {
		case i == 0:
			if e.Value()[0] != '0'+d.t.Version {
				return nil, 0, d.fail(0, 0, "is of another edition of the standard", ErrMalformed)
			}
			w.m.MTI = "0" + string(e.Value()[1:])
		case e.def.Member == NoMember:
			if d.t.RefuseExtra {
				reason = "is not used in the dialect"
				break
			}
			if w.m.Extra == nil {
				w.m.Extra = map[int][]byte{}
			}
			w.m.Extra[e.def.Number] = bytes.Clone(e.Value())
		case e.def.Member == MemberMAC:
			if i != len(els)-1 {
				reason = "is a MAC with fields behind it"
			}
			w.m.MAC = bytes.Clone(e.Value())
		default:
			reason = w.set(e.def.Member, e.Value())
		}
		if reason != "" {
			w.m.Wipe()
			return nil, 0, d.fail(e.def.Number, len(b)-e.rest, reason, ErrMalformed)
		}
	}
	err = w.finish()
	if err == nil {
		err = d.check(w.m)
	}
	if err == nil {
		err = d.macPlace(els)
	}
	if err != nil {
		w.m.Wipe()
		return nil, 0, received(err, b, els)
	}
	return w.m, len(b) - els[len(els)-1].size, nil
}

// macPlace refuses a MAC in 64 of a message with two bitmaps, where it would
// belong in 128.
func (d *Dialect) macPlace(els []*element) error {
	last := els[len(els)-1].def
	if last.Member == MemberMAC && last.Number == 64 && d.t.BothBitmaps {
		return d.fail(64, -1, "is a MAC that belongs in 128", ErrInvalid)
	}
	if last.Member == MemberMAC && last.Number == 128 && !d.t.BothBitmaps && (len(els) < 2 || els[len(els)-2].def.Number <= 64) {
		return d.fail(128, -1, "is a MAC that belongs in 64", ErrInvalid)
	}
	return nil
}

// received turns the error of a rule into one about received bytes.
func received(err error, b []byte, els []*element) error {
	var f *FieldError
	if !errors.As(err, &f) {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	f.Err = ErrMalformed
	for _, e := range els {
		if e.def.Number == f.Field {
			f.Offset = len(b) - e.rest
		}
	}
	return f
}

// unknown is the error for an element that the table does not have. The
// library's own error is dropped: it holds the message.
func (d *Dialect) unknown(err error, end int) error {
	var u interface{ FieldIDs() []string }
	if errors.As(err, &u) {
		if n, cerr := strconv.Atoi(u.FieldIDs()[0]); cerr == nil && n > 1 {
			return d.fail(n, end, "is not in the dialect", ErrMalformed)
		}
	}
	return d.fail(-1, end, "can't be read", ErrMalformed)
}

// bitmap says what is wrong with the bitmaps of a message.
func (d *Dialect) bitmap(bits *field.Bitmap) string {
	if d.t.BothBitmaps {
		if bits.IsSet(1) {
			return "announces a bitmap that is always there"
		}
		return ""
	}
	if bits.Len() > 128 {
		return "announces a third bitmap"
	}
	if bits.Len() == 128 {
		for n := 66; n <= 128; n++ {
			if bits.IsSet(n) {
				return ""
			}
		}
		return "has an empty secondary bitmap"
	}
	return ""
}

// Open reads a sealed message. verify gets the message (its MACKSN says which
// key to use), what the MAC covers and the MAC; it returns nil when the MAC is
// right. Errors wrap ErrMAC when there is no MAC or verify refuses it, else
// they are those of Unpack.
func (d *Dialect) Open(b []byte, verify func(m *Message, data, mac []byte) error) (*Message, error) {
	m, n, err := d.unpack(b)
	if err != nil {
		return nil, err
	}
	if m.MAC == nil {
		m.Wipe()
		return nil, fmt.Errorf("%w: the message has none", ErrMAC)
	}
	if err := verify(m, b[:n:n], m.MAC); err != nil {
		m.Wipe()
		return nil, fmt.Errorf("%w: %w", ErrMAC, err)
	}
	return m, nil
}
