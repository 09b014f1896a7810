package acquirer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/tlv"
)

// refused expects a *FieldError of received bytes.
func refused(t *testing.T, d *Dialect, what string, b []byte, number int, reason string) {
	t.Helper()
	_, err := d.Unpack(b)
	var f *FieldError
	if !errors.As(err, &f) || !errors.Is(err, ErrMalformed) {
		t.Errorf("%s: %v, want a *FieldError", what, err)
		return
	}
	if f.Field != number || !strings.Contains(f.Reason, reason) {
		t.Errorf("%s: field %d: %s; want %d: %s", what, f.Field, f.Reason, number, reason)
	}
}

// TestMACElsewhere puts a good MAC where it does not cover the message, or
// where the other bitmap's belongs.
func TestMACElsewhere(t *testing.T) {
	d := full(t)[0]
	rev, err := request(t).Reversal(ReasonTimeout)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Pack(rev)
	if err != nil {
		t.Fatal(err)
	}
	at := len(b) - 42 // of field 90, the last one
	c := append(append(bytes.Clone(b[:at]), "12345678"...), b[at:]...)
	c[4+15]++
	refused(t, d, "64 before 90", c, 64, "fields behind it")

	b, err = d.Pack(request(t))
	if err != nil {
		t.Fatal(err)
	}
	c = append(bytes.Clone(b[:20]), "0000000000000001"...)
	c = append(append(c, b[20:]...), "12345678"...)
	c[4] += 8
	if c[4] != '7'+8 {
		t.Fatalf("bitmap begins with %c", c[4])
	}
	c[4] = 'F'
	refused(t, d, "128 alone", c, 128, "belongs in 64")

	both, _ := LookupDialect("iso87-2bitmaps")
	m, err := both.Pack(NewNetworkManagement(NetworkEcho, "000001", "TERM0001", today))
	if err != nil {
		t.Fatal(err)
	}
	c = append(bytes.Clone(m[:len(m)-3]), "12345678"...)
	c[4+15]++
	refused(t, both, "64 before 70", append(c, m[len(m)-3:]...), 64, "fields behind it")
	m[4] += 8
	if m[4] < '0' || m[4] > '9' {
		m[4] += 'A' - '9' - 1
	}
	refused(t, both, "bit 1", m, 1, "always there")
}

// TestFill: the filling of odd digits is the dialect's and no other.
func TestFill(t *testing.T) {
	right := func(o Odd) *Dialect {
		table := BCD87()
		table.Odd = o
		d, err := NewDialect(table)
		if err != nil {
			t.Fatal(err)
		}
		return d.WithClock(func() time.Time { return today })
	}
	m := request(t)
	m.PAN, m.Track2 = pan(t, "476173900101001"), track(t, "476173900101001D31122010000012345678")
	good := map[Odd]string{LeftZero: "150476173900101001", RightZero: "154761739001010010", RightF: "15476173900101001F"}
	var packed [3][]byte
	for o, want := range good {
		d := right(o)
		b, err := d.Pack(m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, unhex(t, want)) {
			t.Errorf("filling %d: no %s in %X", o, want, b)
		}
		if got, err := d.Unpack(b); err != nil || !got.PAN.Equal(m.PAN) || !got.Track2.Equal(m.Track2) {
			t.Errorf("filling %d: %v", o, err)
		}
		packed[o] = b
	}
	refused(t, right(LeftZero), "F on the right", packed[RightF], 2, "fill is not 0")
	refused(t, right(RightZero), "F on the right", packed[RightF], 2, "fill is not 0")
	refused(t, right(RightF), "0 on the right", packed[RightZero], 2, "fill is not F")
	// Fixed elements have theirs on the left.
	at := bytes.Index(packed[RightF], unhex(t, "0978"))
	packed[RightF][at] = 0x19
	refused(t, right(RightF), "currency 1978", packed[RightF], 49, "fill is not 0")
}

// TestTrackSeparator: one separator on the wire, one in the Message.
func TestTrackSeparator(t *testing.T) {
	d, _ := LookupDialect("iso87-2bitmaps")
	m := request(t)
	m.PINBlock, m.PINFormat, m.PINKSN, m.MACKSN, m.Order = nil, 0, nil, nil, ""
	b, err := d.Pack(m)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("4761739001010010D3112"))
	if at < 0 {
		t.Fatalf("no track with D in %q", b)
	}
	got, err := d.Unpack(b)
	if err != nil || !got.Track2.Equal(m.Track2) {
		t.Errorf("%v", err)
	}
	b[at+16] = '='
	refused(t, d, "the other separator", b, 35, "another separator")
}

// TestPrivateField takes one form of the private field only.
func TestPrivateField(t *testing.T) {
	d := full(t)[0]
	ksn := unhex(t, "FFFF9876543210E00001")
	tail := func(parts ...[]byte) []byte {
		m := request(t)
		m.MACKSN = nil
		b, err := d.Pack(m)
		if err != nil {
			t.Fatal(err)
		}
		v := bytes.Join(parts, nil)
		b[4+15] += 2 // bit 63
		b = append(b, '0', byte('0'+len(v)/10), byte('0'+len(v)%10))
		return append(b, v...)
	}
	key, reason := tlv.Append(nil, tagMACKSN, ksn), tlv.Append(nil, tagReason, []byte("4021"))
	if m, err := d.Unpack(tail(key, reason)); err != nil || !bytes.Equal(m.MACKSN, ksn) || m.Reason != ReasonTimeout {
		t.Fatalf("%v %v", m, err)
	}
	for what, c := range map[string]struct {
		b      []byte
		reason string
	}{
		"order":         {tail(reason, key), "dialect's form"},
		"twice":         {tail(key, key), "dialect's form"},
		"padding":       {tail(key, []byte{0}), "dialect's form"},
		"long length":   {tail([]byte{0xC1, 0x81, 10}, ksn), "dialect's form"},
		"empty":         {tail(), "empty"},
		"no TLV":        {tail([]byte{0xC1, 5, 1}), "BER-TLV"},
		"short KSN":     {tail(tlv.Append(nil, tagMACKSN, ksn[:9])), "9 bytes"},
		"unknown":       {tail(key, tlv.Append(nil, 0xC9, ksn)), "unknown tag C9"},
		"order id here": {tail(key, tlv.Append(nil, tagOrder, []byte("x"))), "dialect's form"},
	} {
		refused(t, d, what, c.b, 63, c.reason)
	}
}

// TestField55BothWays: what a scheme wants in a request, and what a response has
// for the card.
func TestField55BothWays(t *testing.T) {
	for aid, want := range map[string]string{
		"A0000000031010": "[9F6E 9F7C]", "A0000000041010": "[9F53 9F6E]", "A000000333010101": "[9F63]", "A000000025": "[]", "A00000": "[]", "": "[]",
	} {
		if got := fmt.Sprint(RequestTags(unhex(t, aid))); got != want {
			t.Errorf("%s: %s, want %s", aid, got, want)
		}
	}
	RequestTags(unhex(t, "A0000000031010"))[0] = 0
	if RequestTags(unhex(t, "A0000000031010"))[0] != 0x9F6E {
		t.Error("the table can be altered from outside")
	}
	icc := unhex(t, "8A023035"+"910A0102030405060708"+"3030"+"710486009F18"+"7203860101"+"7203860102")
	iad, scripts := IssuerData(icc)
	if arc := ResponseARC(icc); arc != "05" || len(iad) != 10 || !bytes.Equal(scripts, unhex(t, "710486009F18"+"7203860101"+"7203860102")) {
		t.Errorf("ARC %q, authentication %X, scripts %X", arc, iad, scripts)
	}
	for _, none := range []string{"", "8A00", "8A0130", "8A03303030", "91", "72028A02"} {
		if arc := ResponseARC(unhex(t, none)); arc != "" {
			t.Errorf("%s: ARC %q", none, arc)
		}
	}
}

// FuzzField55: bytes that are no BER-TLV give nothing, and what they give stands
// in them.
func FuzzField55(f *testing.F) {
	f.Add(unhex(f, "8A023035"+"910A0102030405060708"+"3030"+"7203860101"))
	f.Fuzz(func(t *testing.T, b []byte) {
		iad, scripts := IssuerData(b)
		if !bytes.Contains(b, iad) || len(scripts) > len(b) || !strings.Contains(string(b), ResponseARC(b)) {
			t.Errorf("%X gave %X, %X, %q", b, iad, scripts, ResponseARC(b))
		}
		if field55(b) != "" && (iad != nil || scripts != nil) {
			t.Errorf("%X is no BER-TLV and gave %X, %X", b, iad, scripts)
		}
	})
}

// TestTemplates hides what stands inside a template of field 55, and what
// can't be read.
func TestTemplates(t *testing.T) {
	m := request(t)
	inner := tlv.Append(nil, 0x5A, unhex(t, "4761739001010010"))
	for what, icc := range map[string][]byte{
		"template":        tlv.Append(nil, 0x70, inner),
		"nested":          tlv.Append(nil, 0x77, tlv.Append(nil, 0x70, inner)),
		"template, wrong": tlv.Append(nil, 0x70, append(inner, 0x5F)),
	} {
		m.ICC = icc
		if s := m.Describe(); strings.Contains(s, "4761739001010010") || !strings.Contains(s, "hidden") {
			t.Errorf("%s: %s", what, s)
		}
	}
}
