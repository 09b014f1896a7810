package acquirer

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/money"
)

// TestGolden fixes the bytes of each dialect: a message must not change its
// form from one version of this package to the next.
func TestGolden(t *testing.T) {
	a := money.New(5000, currencyOf(t, "JPY"))
	sale := &Message{
		MTI: "0200", PAN: pan(t, "4111111111111111"), ProcessingCode: ProcessingSale, Amount: &a,
		TransmissionTime: time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC), STAN: "123456",
		LocalTime: time.Date(2026, 3, 1, 8, 59, 59, 0, time.UTC), Expiry: "2912", EntryMode: "071", PSN: "001",
		Track2: track(t, "4111111111111111D29122011234567890"), RRN: "605923123456",
		TerminalID: "TERMID01", MerchantID: "MERCHANT0000001", ICC: unhex(t, "82023900"), Order: "A-1",
		PINBlock: unhex(t, "0123456789ABCDEF"), PINFormat: 0, PINKSN: unhex(t, "FFFF9876543210E00008"), MACKSN: unhex(t, "FFFF9876543210E00001"),
	}
	tail := "08" + "0123456789ABCDEF" + "11" + "00FFFF9876543210E00008"
	for _, c := range []struct {
		dialect string
		text    string // ASCII part up to the binary fields
		rest    string // hexadecimal, spaces for reading
	}{
		{"iso87-ascii", "0200" + "723C060028C09A06" + "164111111111111111" + "000000" + "000000005000" + "0228235959" + "123456" + "085959" + "0301" + "2912" + "071" + "001" +
			"34" + "4111111111111111=29122011234567890" + "605923123456" + "TERMID01" + "MERCHANT0000001" + "392",
			"3038 0123456789ABCDEF 3131 00FFFF9876543210E00008 303034 82023900 303033 412D31 303132 C10AFFFF9876543210E00001"},
		{"iso87-bcd", "", "0200 723C060028C09A06 16 4111111111111111 000000 000000005000 0228235959 123456 085959 0301 2912 0071 0001" +
			"34 4111111111111111D29122011234567890 363035393233313233343536 5445524D49443031 4D45524348414E5430303030303031 0392" +
			tail + "0004 82023900 0003 412D31 0012 C10AFFFF9876543210E00001"},
		{"iso93-ascii", "1200" + "7234070028C09A06" + "164111111111111111" + "000000" + "000000005000" + "0228235959" + "123456" + "260301085959" + "2912" + "51010170034C" + "001" + "200" +
			"34" + "4111111111111111=29122011234567890" + "605923123456" + "TERMID01" + "MERCHANT0000001" + "392",
			"3038 0123456789ABCDEF 3131 00FFFF9876543210E00008 303034 82023900 303033 412D31 303132 C10AFFFF9876543210E00001"},
	} {
		d, ok := LookupDialect(c.dialect)
		if !ok {
			t.Fatal(c.dialect)
		}
		d = d.WithClock(func() time.Time { return today })
		want := append([]byte(c.text), unhex(t, strings.ReplaceAll(c.rest, " ", ""))...)
		got, err := d.Pack(sale)
		if err != nil {
			t.Fatalf("%s: %v", c.dialect, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.dialect, got, want)
			continue
		}
		back, err := d.Unpack(want)
		if err != nil {
			t.Fatalf("%s: %v", c.dialect, err)
		}
		if diff := cmp.Diff(sale, back, secrets); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.dialect, diff)
		}
	}
}

// Published messages, typed in from the public test data of nao1215/iso8583tool
// (basei) and moov-io/iso8583.
const (
	basei0210 = "303231303732333830303030304543313832303230303030303030303030303030303030313634313131313131313131313131313131303030303030303030303030303132333435303630343133303130353232333334343133303130363036303446494E32303030303030303142363534333230305445524D494430324D45524348414E5430303030303032303234415050524F5645443D597C42415443483D50454E44494E4738343030323771061122334455667203AABBCC8A0230309108CAFEBABE01020304303137534554544C454D454E543D515545554544"
	moov0200  = "0200323A40010841801038000000000000000004200508050113921208050420042251320720000010000001156040800411        01251146333156336000299"
)

func TestPublishedMessages(t *testing.T) {
	d, _ := LookupDialect("iso87-2bitmaps")
	d = d.WithClock(func() time.Time { return time.Date(2026, 6, 4, 13, 2, 0, 0, time.UTC) })
	got, err := d.Unpack(unhex(t, basei0210))
	if err != nil {
		t.Fatal(err)
	}
	a := money.New(12345, currencyOf(t, "USD"))
	want := &Message{
		MTI: "0210", PAN: pan(t, "4111111111111111"), ProcessingCode: "000000", Amount: &a,
		TransmissionTime: time.Date(2026, 6, 4, 13, 1, 5, 0, time.UTC), STAN: "223344", LocalTime: time.Date(2026, 6, 4, 13, 1, 6, 0, time.UTC),
		RRN: "FIN200000001", AuthCode: "B65432", ResponseCode: "00", TerminalID: "TERMID02", MerchantID: "MERCHANT0000002",
		ICC:   unhex(t, "71061122334455667203AABBCC8A0230309108CAFEBABE01020304"),
		Extra: map[int][]byte{48: []byte("APPROVED=Y|BATCH=PENDING"), 63: []byte("SETTLEMENT=QUEUED")},
	}
	if diff := cmp.Diff(want, got, secrets); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	auth, scripts := IssuerData(got.ICC)
	if !bytes.Equal(auth, unhex(t, "CAFEBABE01020304")) || !bytes.Equal(scripts, unhex(t, "71061122334455667203AABBCC")) {
		t.Errorf("issuer data: %X, scripts: %X", auth, scripts)
	}

	x, err := ExplainAny([]byte(moov0200))
	if err != nil || x.Dialect != "iso87-ascii" || len(x.Fields) != 14 {
		t.Errorf("%v: %s", err, x)
	}
}

// TestTraps has a case for each thing that the library below leaves to us.
func TestTraps(t *testing.T) {
	d := full(t)[0]
	// Empty values, repeats, order and unknown tags of field 55.
	m := request(t)
	m.ICC = unhex(t, "8600"+"9F0206000000001234"+"860100"+"860100"+"DFEE0101AA"+"820239"+"00"+"5F3000")
	b, err := d.Pack(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Unpack(b)
	if err != nil || !bytes.Equal(got.ICC, m.ICC) {
		t.Errorf("field 55 changed: %v", err)
	}
	// Trailing bytes.
	if _, err := d.Unpack(append(bytes.Clone(b), '0')); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "1 bytes after the last field") {
		t.Errorf("trailing byte: %v", err)
	}
	// A third bitmap, and an empty second one.
	for bits, want := range map[string]string{
		"8000000000000000" + "0000000000000000":                      "empty secondary bitmap",
		"8000000000000000" + "8000000000000000" + "0000000000000000": "third bitmap",
		"00000000000000a0":       "capitals",
		"0000000000000080" + "x": "field 57",
		"000000":                 "ends after 6 of 16 bytes",
	} {
		_, err := d.Unpack([]byte("0800" + bits))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("bitmap %s: %v, want %q", bits, err, want)
		}
	}
	// Fields that nobody defined.
	var f *FieldError
	_, err = d.Unpack([]byte("0800" + "8000000000000000" + "0000000000000002" + "123"))
	if !errors.As(err, &f) || f.Field != 127 || f.Offset != 36 || f.Reason != "is not in the dialect" {
		t.Errorf("field 127: %v", err)
	}
	// Signs in lengths.
	for _, l := range []string{"+8", "-8", " 8", "8 ", "0x"} {
		_, err := d.Unpack([]byte("0200" + "4000000000000000" + l + "12345678"))
		if !errors.As(err, &f) || f.Field != 2 || f.Offset != 20 {
			t.Errorf("length %q: %v", l, err)
		}
	}
	// Errors keep nothing of the message.
	secretMessage := []byte("0200" + "4000000000000000" + "164111111111111111")
	_, err = d.Unpack(secretMessage)
	for e := err; e != nil; e = errors.Unwrap(e) {
		if s := cmp.Diff("", e.Error()); strings.Contains(s, "4111") {
			t.Errorf("the error holds the PAN: %s", s)
		}
	}
	if !errors.As(err, &f) || !strings.Contains(f.Reason, "missing, mandatory in 0200") {
		t.Errorf("mandatory field: %v", err)
	}
	// Describing.
	m.ICC = unhex(t, "57134761739001010010D31122010000012345678F5A084761739001010010")
	m.Extra = map[int][]byte{48: []byte("4761739001010010")}
	if b, err = d.Pack(m); err != nil {
		t.Fatal(err)
	}
	x, err := d.Explain(b)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"Describe": m.Describe(), "Explain": x.String()} {
		if !strings.Contains(text, "476173******0010") {
			t.Errorf("%s: no masked PAN", name)
		}
		for _, s := range []string{"4761739001010010", "3112", "D3112", "445566"} {
			if strings.Contains(text, s) && !(name == "Explain" && s == "3112") {
				t.Errorf("%s shows %s:\n%s", name, s, text)
			}
		}
	}
}
