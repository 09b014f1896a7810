package acquirer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// random makes messages that keep the rules of the dialects, with a random
// choice of optional members.
type random struct {
	*rand.Rand
	t testing.TB
	d *Dialect
}

func (r random) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

func (r random) text(min, max int) string {
	b := make([]byte, min+r.IntN(max-min+1))
	for i := range b {
		b[i] = byte(0x20 + r.IntN(0x5F))
	}
	if len(b) > 0 {
		b[len(b)-1] = byte('A' + r.IntN(26))
	}
	return string(b)
}

func (r random) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (r random) ksn() []byte { return r.bytes(10 + 2*r.IntN(2)) }

func (r random) some() bool { return r.IntN(2) == 0 }

// when is a moment within five months of the tests' clock, in seconds.
func (r random) when() time.Time {
	return today.Add(time.Duration(r.IntN(300*24*3600)-150*24*3600) * time.Second)
}

func (r random) amount() *money.Amount {
	code := [...]string{"EUR", "USD", "JPY", "KWD"}[r.IntN(4)]
	a := money.New(r.Int64N(money.MaxMinor+1), currencyOf(r.t, code))
	return &a
}

func (r random) stan() string { return fmt.Sprintf("%06d", 1+r.IntN(999999)) }

func (r random) message() *Message {
	mtis := [...]string{"0100", "0110", "0200", "0201", "0210", "0220", "0221", "0230", "0320", "0330", "0400", "0410", "0420", "0421", "0430", "0500", "0510", "0800", "0810"}
	mti := mtis[r.IntN(len(mtis))]
	m := &Message{MTI: mti, STAN: r.stan(), TerminalID: r.text(1, 8), TransmissionTime: r.when()}
	if r.some() {
		m.RRN = RRN(m.TransmissionTime, m.STAN)
	}
	if r.some() {
		m.Order = r.text(1, 64)
	}
	if r.some() {
		m.MACKSN = r.ksn()
	}
	if r.some() && r.d.members[MemberPrivate] != nil {
		m.CVV2 = secret.CopyBytes([]byte(r.digits(3 + r.IntN(2))))
	}
	if r.some() && r.d.members[MemberNetworkID] != nil {
		m.NetworkID = r.digits(3)
	}
	if IsResponse(mti) {
		m.ResponseCode = [...]string{"00", "05", "51", "55", "91", "96"}[r.IntN(6)]
	}
	switch mti[1] {
	case '5':
		r.settlement(m)
		return m
	case '8':
		m.NetworkCode = [...]string{NetworkSignOn, NetworkEcho, NetworkCutover}[r.IntN(3)]
		return m
	}
	r.transaction(m)
	return m
}

func (r random) settlement(m *Message) {
	if IsResponse(m.MTI) && r.some() {
		return
	}
	total := func() Total { return Total{Count: r.Uint64N(1e10), Minor: r.Uint64N(1e16)} }
	m.Totals = &Totals{Currency: currencyOf(r.t, "EUR"), Credits: total(), CreditReversals: total(), Debits: total(), DebitReversals: total(), Net: r.Int64N(2e15) - 1e15}
}

func (r random) transaction(m *Message) {
	m.ProcessingCode = [...]string{ProcessingSale, ProcessingRefund, ProcessingBalance, ProcessingVoid}[r.IntN(4)]
	if m.ProcessingCode == ProcessingBalance && m.MTI[2] > '1' {
		m.ProcessingCode = ProcessingSale // nobody is advised of a question
	}
	m.Amount = r.amount()
	if m.ProcessingCode == ProcessingBalance {
		m.Amount.Minor = 0
	} else if m.Amount.Minor == 0 {
		m.Amount.Minor = 1
	}
	m.MerchantID = r.text(1, 15)
	m.LocalTime = r.when()
	m.EntryMode = entryModes[r.IntN(len(entryModes))].mode + r.digits(1)
	if m.EntryMode[2] > '2' {
		m.EntryMode = m.EntryMode[:2] + "1"
	}
	if r.some() {
		m.ICC = tlv.Append(tlv.Append(nil, 0x9F26, r.bytes(8)), 0x9F10, r.bytes(r.IntN(33)))
		m.ICC = tlv.Append(m.ICC, 0x86, nil)
	}
	if r.some() {
		m.MerchantName = r.text(1, 40)
	}
	if r.some() {
		m.MerchantType = r.digits(4)
	}
	if r.some() {
		m.ConditionCode = r.digits(2)
	}
	if r.some() {
		m.AcquirerID = fmt.Sprint(1 + r.IntN(99999999999))
	}
	if r.some() {
		m.PSN = "0" + r.digits(2)
	}
	if r.some() {
		m.AuthCode = r.text(6, 6)
		for i := range len(m.AuthCode) {
			if c := m.AuthCode[i]; (Element{Class: AN, Length: 1}).validByte(c) != "" {
				m.AuthCode = r.digits(6)
				break
			}
		}
	}
	if r.some() {
		m.Other = []OtherAmount{{Account: r.digits(2), Type: r.digits(2), Amount: *r.amount()}, {Account: "00", Type: "01", Amount: money.New(-5, currencyOf(r.t, "EUR"))}}
	}
	if m.MTI[1] == '4' || m.MTI == "0220" {
		m.Original = &Original{MTI: "0200", STAN: r.stan(), TransmissionTime: r.when()}
		m.Reason = ReasonTimeout
		if r.some() {
			m.Original.AcquirerID = m.AcquirerID
		}
		if r.some() && r.d.members[MemberReplacement] != nil {
			a := money.New(r.Int64N(m.Amount.Minor+1), m.Amount.Currency)
			m.Replacement = &a
		}
	}
	if !IsResponse(m.MTI) {
		r.card(m)
		if r.some() && r.d.members[MemberFunctionCode] != nil {
			m.Function = "109"
		}
	} else if m.ProcessingCode == ProcessingBalance && m.Other == nil {
		m.Other = []OtherAmount{{Account: "00", Type: AmountAvailableBalance, Amount: money.New(5, currencyOf(r.t, "EUR"))}}
	}
}

func (r random) card(m *Message) {
	digits := r.digits(12 + r.IntN(8))
	p, err := secret.NewPAN([]byte(digits))
	if err != nil {
		r.t.Fatal(err)
	}
	m.PAN = p
	if r.some() {
		m.Expiry = r.digits(2) + "12"
	}
	if r.some() {
		s := digits + "=" + r.digits(7+r.IntN(37-len(digits)-8+1))
		var reason string
		if m.Track2, reason = track2([]byte(s)); reason != "" {
			r.t.Fatal(reason)
		}
	}
	if r.some() {
		m.PINFormat = uint8(r.IntN(5))
		m.PINBlock = r.bytes(8)
		if m.PINFormat == 4 {
			m.PINBlock = r.bytes(16)
		}
		if r.some() {
			m.PINKSN = r.ksn()
		}
	}
}

// validByte judges one character.
func (e Element) validByte(c byte) string { return e.valid([]byte{c}) }

// TestRandomMessages packs and unpacks 2,000 messages in each dialect.
func TestRandomMessages(t *testing.T) {
	for _, d := range full(t) {
		t.Run(d.Name(), func(t *testing.T) {
			r := random{rand.New(rand.NewPCG(1, 2)), t, d}
			for i := range 2000 {
				want := r.message()
				b, err := d.Pack(want)
				if err != nil {
					t.Fatalf("message %d: pack: %v\n%s", i, err, want)
				}
				got, err := d.Unpack(b)
				if err != nil {
					t.Fatalf("message %d: unpack: %v\n%s", i, err, want)
				}
				if diff := cmp.Diff(want, got, secrets); diff != "" {
					t.Fatalf("message %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

// TestTruncated cuts a sealed message after each byte.
func TestTruncated(t *testing.T) {
	for _, d := range full(t) {
		b, err := d.Seal(request(t), sum)
		if err != nil {
			t.Fatal(err)
		}
		for n := range b {
			_, err := d.Open(b[:n], check)
			var f *FieldError
			if !errors.As(err, &f) || !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: %d of %d bytes: %v, want a *FieldError", d.Name(), n, len(b), err)
			}
			if f.Offset > n {
				t.Fatalf("%s: %d of %d bytes: offset %d is behind the end", d.Name(), n, len(b), f.Offset)
			}
		}
		if _, err := d.Open(append(bytes.Clone(b), 0), check); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: a byte behind the message: %v", d.Name(), err)
		}
	}
}

// TestAltered flips each bit of a sealed message: the answer is ErrMAC or a
// *FieldError.
func TestAltered(t *testing.T) {
	for _, d := range full(t) {
		b, err := d.Seal(request(t), sum)
		if err != nil {
			t.Fatal(err)
		}
		macs := 0
		for i := range b {
			for bit := range 8 {
				c := bytes.Clone(b)
				c[i] ^= 1 << bit
				_, err := d.Open(c, check)
				var f *FieldError
				if errors.Is(err, ErrMAC) {
					macs++
				} else if !errors.As(err, &f) {
					t.Fatalf("%s: bit %d of byte %d: %v", d.Name(), bit, i, err)
				}
			}
		}
		if macs < len(b) {
			t.Errorf("%s: only %d of %d alterations reached the MAC", d.Name(), macs, 8*len(b))
		}
	}
}

func fuzz(f *testing.F, name string) {
	d, ok := LookupDialect(name)
	if !ok {
		f.Fatal("no dialect " + name)
	}
	d = d.WithClock(func() time.Time { return today })
	r := random{rand.New(rand.NewPCG(3, 4)), f, d}
	for range 40 {
		if b, err := d.Pack(r.message()); err == nil {
			f.Add(b)
		}
	}
	if b, err := d.Seal(request(f), sum); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		keep := bytes.Clone(b)
		x, xerr := d.Explain(b)
		_ = x.String()
		m, err := d.Unpack(b)
		if !bytes.Equal(b, keep) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			var fe *FieldError
			if !errors.As(err, &fe) || !errors.Is(err, ErrMalformed) {
				t.Fatalf("error is no *FieldError: %v", err)
			}
			return
		}
		if xerr != nil {
			t.Fatalf("unpacked, but not explained: %v", xerr)
		}
		_ = m.Describe()
		var again []byte
		if m.MAC != nil {
			mac := m.MAC
			again, err = d.Seal(m, func([]byte) ([]byte, error) { return mac, nil })
		} else {
			again, err = d.Pack(m)
		}
		if err != nil {
			t.Fatalf("unpacked, but not packed again: %v", err)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("other bytes:\n%X\n%X", b, again)
		}
	})
}

func FuzzUnpackASCII87(f *testing.F)          { fuzz(f, "iso87-ascii") }
func FuzzUnpackBCD87(f *testing.F)            { fuzz(f, "iso87-bcd") }
func FuzzUnpackASCII93(f *testing.F)          { fuzz(f, "iso93-ascii") }
func FuzzUnpackStandardHex87(f *testing.F)    { fuzz(f, "iso87-hex") }
func FuzzUnpackStandardBinary87(f *testing.F) { fuzz(f, "iso87-binary") }
func FuzzUnpackBothBitmaps87(f *testing.F)    { fuzz(f, "iso87-2bitmaps") }
func FuzzUnpackStandardHex93(f *testing.F)    { fuzz(f, "iso93-hex") }
func FuzzUnpackStandardBinary93(f *testing.F) { fuzz(f, "iso93-binary") }
