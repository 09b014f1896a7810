package acquirer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// TestRefused changes one thing in a good message and names the field and the
// rule that is to be reported.
func TestRefused(t *testing.T) {
	eur := currencyOf(t, "EUR")
	for name, c := range map[string]struct {
		change func(m *Message)
		field  int
		reason string
	}{
		"no type":             {func(m *Message) { m.MTI = "" }, 0, "four digits"},
		"type of 1993":        {func(m *Message) { m.MTI = "1200" }, 0, "begin with 0"},
		"class":               {func(m *Message) { m.MTI = "0700" }, 0, "class"},
		"function":            {func(m *Message) { m.MTI = "0240" }, 0, "function"},
		"origin":              {func(m *Message) { m.MTI = "0209" }, 0, "origin"},
		"no STAN":             {func(m *Message) { m.STAN = "" }, 11, "mandatory in 0200"},
		"STAN zero":           {func(m *Message) { m.STAN = "000000" }, 11, "zero"},
		"STAN short":          {func(m *Message) { m.STAN = "42" }, 11, "length 2, want 6"},
		"STAN letters":        {func(m *Message) { m.STAN = "12A456" }, 11, "character 2 is not of class n"},
		"no amount":           {func(m *Message) { m.Amount = nil }, 4, "mandatory"},
		"negative amount":     {func(m *Message) { m.Amount.Minor = -1 }, 4, "0 to 12 digits"},
		"huge amount":         {func(m *Message) { m.Amount.Minor = money.MaxMinor + 1 }, 4, "0 to 12 digits"},
		"no currency":         {func(m *Message) { m.Amount.Currency = money.Currency{} }, 49, "no currency"},
		"no account":          {func(m *Message) { m.PAN, m.Track2 = secret.PAN{}, secret.Track2{} }, 2, "track 2 are missing"},
		"two accounts":        {func(m *Message) { m.PAN = pan(t, "4761739001010028") }, 2, "track 2"},
		"expiry":              {func(m *Message) { m.Expiry = "3113" }, 14, "year and month"},
		"PSN":                 {func(m *Message) { m.PSN = "100" }, 23, "over 99"},
		"response code":       {func(m *Message) { m.ResponseCode = "00" }, 39, "in a request"},
		"terminal too long":   {func(m *Message) { m.TerminalID = "TERMINAL1" }, 41, "length 9, want 8"},
		"terminal ends blank": {func(m *Message) { m.TerminalID = "T " }, 41, "space"},
		"terminal not ASCII":  {func(m *Message) { m.TerminalID = "Tä" }, 41, "class ans"},
		"PIN format":          {func(m *Message) { m.PINFormat = 0 }, 52, "another size"},
		"PIN format unknown":  {func(m *Message) { m.PINFormat = 5 }, 52, "unknown PIN block format"},
		"PIN KSN":             {func(m *Message) { m.PINKSN = m.PINKSN[:11] }, 52, "11 bytes"},
		"KSN without PIN":     {func(m *Message) { m.PINBlock = nil }, 52, "without a PIN block"},
		"ICC cut off":         {func(m *Message) { m.ICC = m.ICC[:len(m.ICC)-1] }, 55, "BER-TLV"},
		"order too long":      {func(m *Message) { m.Order = strings.Repeat("x", 65) }, 62, "64"},
		"order not ASCII":     {func(m *Message) { m.Order = "a\nb" }, 62, "printable"},
		"MAC KSN":             {func(m *Message) { m.MACKSN = []byte{1} }, 63, "1 bytes"},
		"short CVV2":          {func(m *Message) { m.CVV2 = secret.CopyBytes([]byte("12")) }, 63, "CVV2 of other"},
		"long CVV2":           {func(m *Message) { m.CVV2 = secret.CopyBytes([]byte("12345")) }, 63, "CVV2 of other"},
		"CVV2 of letters":     {func(m *Message) { m.CVV2 = secret.CopyBytes([]byte("12x")) }, 63, "CVV2 of other"},
		"reason":              {func(m *Message) { m.Reason = "x" }, 63, "four digits"},
		"extra that is typed": {func(m *Message) { m.Extra = map[int][]byte{11: []byte("000001")} }, 11, "extra"},
		"extra unknown":       {func(m *Message) { m.Extra = map[int][]byte{127: []byte("1")} }, 127, "not in the dialect"},
		"extra malformed":     {func(m *Message) { m.Extra = map[int][]byte{5: []byte("1")} }, 5, "length 1, want 12"},
		"cashback without 54": {func(m *Message) { m.ProcessingCode = ProcessingCashback }, 54, "mandatory"},
		"more cash than money": {func(m *Message) {
			m.ProcessingCode = ProcessingCashback
			m.Other = []OtherAmount{{"00", AmountCashback, money.New(5000, eur)}}
		}, 54, "no part"},
		"reversal of nothing": {func(m *Message) { m.MTI = "0420" }, 90, "mandatory in 0420"},
		"original's type":     {func(m *Message) { m.Original = &Original{MTI: "x", STAN: "000001", TransmissionTime: today} }, 90, "message type"},
		"replacement":         {func(m *Message) { a := money.New(9999, eur); m.Replacement = &a }, 95, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			d := full(t)[0]
			m := request(t)
			c.change(m)
			_, err := d.Seal(m, sum)
			var f *FieldError
			if !errors.As(err, &f) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v, want a *FieldError of ErrInvalid", err)
			}
			if f.Field != c.field || !strings.Contains(f.Reason, c.reason) || f.Offset != -1 {
				t.Errorf("field %d: %s; want %d: %s", f.Field, f.Reason, c.field, c.reason)
			}
		})
	}
}

// TestCashback takes the cash of a purchase through the wire.
func TestCashback(t *testing.T) {
	for _, d := range full(t) {
		m := request(t)
		m.ProcessingCode = ProcessingCashback
		m.Other = []OtherAmount{{Account: "00", Type: AmountCashback, Amount: money.New(1000, m.Amount.Currency)}}
		b, err := d.Pack(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Unpack(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m.Other, got.Other, secrets); diff != "" {
			t.Error(diff)
		}
	}
}

// TestMACPlace: 64 without fields above it, 128 with them, and nowhere else.
func TestMACPlace(t *testing.T) {
	d := full(t)[0]
	m := request(t)
	b, err := d.Seal(m, sum)
	if err != nil {
		t.Fatal(err)
	}
	if b[4] >= '8' {
		t.Error("the bitmap of a 0200 announces a second one")
	}
	rev, err := m.Reversal(ReasonTimeout)
	if err != nil {
		t.Fatal(err)
	}
	b, err = d.Seal(rev, sum)
	if err != nil {
		t.Fatal(err)
	}
	if b[4] < '8' || b[4+31] != '1' {
		t.Errorf("bitmaps %s of a reversal", b[4:36])
	}
	// A message whose MAC covers a part only, and one with two.
	c := append([]byte(nil), b[:len(b)-8]...)
	c[4+15]++
	c = append(c, make([]byte, 8)...)
	if _, err := d.Open(c, check); !errors.Is(err, ErrMalformed) {
		t.Errorf("two MACs: %v", err)
	}
	// None.
	p, err := d.Pack(request(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(p, check); !errors.Is(err, ErrMAC) {
		t.Errorf("no MAC: %v", err)
	}
	// One that is not eight bytes, and one that fails.
	if _, err := d.Seal(request(t), func([]byte) ([]byte, error) { return make([]byte, 4), nil }); !errors.Is(err, ErrInvalid) {
		t.Errorf("short MAC: %v", err)
	}
	broken := errors.New("no key")
	if _, err := d.Seal(request(t), func([]byte) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("failing MAC: %v", err)
	}
}

// TestMatches changes one member of a good answer.
func TestMatches(t *testing.T) {
	req := request(t)
	for name, c := range map[string]struct {
		change func(m *Message)
		ok     bool
	}{
		"nothing":          {func(*Message) {}, true},
		"type":             {func(m *Message) { m.MTI = "0110" }, false},
		"itself":           {func(m *Message) { m.MTI = "0200" }, false},
		"advice answer":    {func(m *Message) { m.MTI = "0230" }, false},
		"STAN":             {func(m *Message) { m.STAN = "000043" }, false},
		"no STAN":          {func(m *Message) { m.STAN = "" }, false},
		"terminal":         {func(m *Message) { m.TerminalID = "TERM0002" }, false},
		"RRN":              {func(m *Message) { m.RRN = "606011000043" }, false},
		"no RRN":           {func(m *Message) { m.RRN = "" }, true},
		"merchant":         {func(m *Message) { m.MerchantID = "OTHER" }, false},
		"processing":       {func(m *Message) { m.ProcessingCode = ProcessingRefund }, false},
		"order":            {func(m *Message) { m.Order = "order 2" }, false},
		"time":             {func(m *Message) { m.TransmissionTime = m.TransmissionTime.Add(time.Second) }, false},
		"same time, zoned": {func(m *Message) { m.TransmissionTime = m.TransmissionTime.In(time.FixedZone("", 3600)) }, true},
		"amount":           {func(m *Message) { m.Amount.Minor++ }, false},
		"less":             {func(m *Message) { m.Amount.Minor-- }, false},
		"partial":          {func(m *Message) { m.ResponseCode = "10"; m.Amount.Minor = 1000 }, true},
		"partial of more":  {func(m *Message) { m.ResponseCode = "10"; m.Amount.Minor = 9999 }, false},
		"currency":         {func(m *Message) { m.Amount.Currency = currencyOf(t, "USD") }, false},
		"no amount":        {func(m *Message) { m.Amount = nil }, true},
		"PAN":              {func(m *Message) { m.PAN = pan(t, "4111111111111111") }, false},
		"no code":          {func(m *Message) { m.ResponseCode = "" }, false},
	} {
		resp, err := req.Response("00")
		if err != nil {
			t.Fatal(err)
		}
		c.change(resp)
		err = Matches(req, resp)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFollowUps makes reversal, completion, repeat and answers, and takes each
// through every dialect.
func TestFollowUps(t *testing.T) {
	req := request(t)
	rev, err := req.Reversal(ReasonTimeout)
	if err != nil {
		t.Fatal(err)
	}
	partial, err := req.PartialReversal(money.New(1000, req.Amount.Currency))
	if err != nil {
		t.Fatal(err)
	}
	done, err := req.Completion("123456", unhex(t, "9F2701409F360201CA"))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := rev.Repeat()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := rep.Response("00")
	if err != nil {
		t.Fatal(err)
	}
	echo := NewNetworkManagement(NetworkEcho, "000007", "TERM0001", today)
	for _, m := range []*Message{rev, partial, done, rep, answer, echo} {
		if !m.PAN.IsZero() || !m.Track2.IsZero() || m.PINBlock != nil {
			t.Errorf("%s carries card data", m.MTI)
		}
		for i, d := range full(t) {
			b, err := d.Pack(m)
			if i == 2 && m == partial {
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "no field for Replacement") {
					t.Errorf("1993: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %s: %v", d.Name(), m.MTI, err)
			}
			got, err := d.Unpack(b)
			if err != nil {
				t.Fatalf("%s: %s: %v", d.Name(), m.MTI, err)
			}
			if diff := cmp.Diff(m, got, secrets); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", d.Name(), m.MTI, diff)
			}
		}
	}
	if err := Matches(rep, answer); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(rev.MTI, done.MTI, rep.MTI, answer.MTI) != fmt.Sprint("0420", "0220", "0421", "0430") {
		t.Error(rev.MTI, done.MTI, rep.MTI, answer.MTI)
	}
	if o := rep.Original; o.MTI != "0200" || o.STAN != req.STAN || !o.TransmissionTime.Equal(req.TransmissionTime) {
		t.Errorf("original %+v", o)
	}
	if _, err := answer.Reversal(ReasonTimeout); !errors.Is(err, ErrInvalid) {
		t.Errorf("reversal of an answer: %v", err)
	}
	if _, err := answer.Response("00"); !errors.Is(err, ErrInvalid) {
		t.Errorf("answer to an answer: %v", err)
	}
}

// TestYears: dates without a year get the one in which they are nearest.
func TestYears(t *testing.T) {
	for _, c := range []struct{ now, field, want string }{
		{"2026-01-01T00:00:05Z", "1231235959", "2025-12-31T23:59:59Z"},
		{"2025-12-31T23:59:59Z", "0101000001", "2026-01-01T00:00:01Z"},
		{"2026-06-15T00:00:00Z", "0615000000", "2026-06-15T00:00:00Z"},
		{"2028-03-01T00:00:00Z", "0229120000", "2028-02-29T12:00:00Z"},
		{"2026-03-01T00:00:00Z", "0229120000", ""},
		{"2026-03-01T00:00:00Z", "1340000000", ""},
		{"2026-03-01T00:00:00Z", "0101250000", ""},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		got, reason := Default().WithClock(func() time.Time { return now }).dated(c.field)
		if c.want == "" {
			if reason == "" {
				t.Errorf("%s: taken as %s", c.field, got)
			}
			continue
		}
		if got.Format(time.RFC3339) != c.want {
			t.Errorf("%s at %s: %s, want %s", c.field, c.now, got.Format(time.RFC3339), c.want)
		}
	}
	if r := RRN(time.Date(2026, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600)), "000042"); r != "700100000042" {
		t.Errorf("RRN %s", r)
	}
}

// TestResponseCodes reads the table for what must hold of it.
func TestResponseCodes(t *testing.T) {
	codes, actions := map[string]bool{}, map[string]string{}
	for _, r := range responses {
		if len(r.Code) != 2 || codes[r.Code] || r.Cardholder == "" || r.Merchant == "" || r.Class == ClassUnknown {
			t.Errorf("entry %q", r.Code)
		}
		codes[r.Code] = true
		if r.Action == "" {
			continue
		}
		if other := actions[r.Action]; other != "" {
			t.Errorf("action %s stands for %s and %s", r.Action, other, r.Code)
		}
		actions[r.Action] = r.Code
		if (r.Action[0] == '0') != r.Approved() {
			t.Errorf("code %s: action %s and approved %t", r.Code, r.Action, r.Approved())
		}
	}
	for code, approved := range map[string]bool{"00": true, "08": true, "10": true, "05": false, "51": false, "": false, "ZZ": false, "0": false, "000": false} {
		if text, ok := ResponseText(code); ok != approved || text == "" {
			t.Errorf("%q: %q, %t", code, text, ok)
		}
	}
	for mti, action := range map[string]string{"0210": "000", "0430": "400", "0510": "500", "0810": "800"} {
		b, reason := full(t)[2].actionCode(&Message{MTI: mti, ResponseCode: "00"})
		if string(b) != action || reason != "" {
			t.Errorf("%s: %s %s", mti, b, reason)
		}
	}
}

// TestCodesOfAnAcquirer: the same code means different things at different
// acquirers, and each says what follows.
func TestCodesOfAnAcquirer(t *testing.T) {
	d := full(t)[0]
	visa, err := d.WithCodes(VisaCodes())
	if err != nil {
		t.Fatal(err)
	}
	mastercard, err := d.WithCodes(MastercardCodes())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d    *Dialect
		code string
		want Response
	}{
		{d, "70", Response{"70", ClassUnknown, SayDeclined, "declined, unknown code", "", NextNothing}},
		{visa, "70", Response{"70", ClassRetry, SayInsert, "PIN data required", "112", NextAnother}},
		{mastercard, "70", Response{"70", ClassDeclined, SayContact, "contact the card's issuer", "", NextCallIssuer}},
		{mastercard, "51", Response{"51", ClassRetry, SayFunds, "not sufficient funds", "116", NextAnother}},
		{d, "01", Response{"01", ClassDeclined, SayContact, "refer to card issuer", "107", NextCallIssuer}},
		{d, "10", Response{"10", ClassPartial, SayPartial, "approved for a partial amount", "002", NextSmaller}},
		{d, "43", Response{"43", ClassPickUp, SayContact, "stolen card, pick up", "209", NextKeepCard}},
		{d, "55", Response{"55", ClassPINWrong, SayWrongPIN, "wrong PIN", "117", NextEnterPIN}},
		{d, "91", Response{"91", ClassLater, SayLater, "issuer or switch inoperative", "907", NextWait}},
		{d, "30", Response{"30", ClassFormat, SayTerminal, "format error", "904", NextCallAcquirer}},
		{d, "75", Response{"75", ClassPINBlocked, SayPINBlocked, "PIN tries exceeded", "106", NextNothing}},
	} {
		if got, _ := c.d.Response(c.code); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.code, got, c.want)
		}
		if c.want.Next.String() == "unknown" {
			t.Errorf("%s: nothing is said of what follows", c.code)
		}
	}
	for name, codes := range map[string][]Response{
		"length":   {{"1", ClassDeclined, SayDeclined, "x", "", 0}},
		"twice":    {{"1A", ClassDeclined, SayDeclined, "x", "", 0}, {"1A", ClassDeclined, SayDeclined, "x", "", 0}},
		"class":    {{"1A", ClassUnknown, SayDeclined, "x", "", 0}},
		"words":    {{"1A", ClassDeclined, SayDeclined, "", "", 0}},
		"phrase":   {{"1A", ClassDeclined, "no such phrase", "x", "", 0}},
		"action":   {{"1A", ClassDeclined, SayDeclined, "x", "1", 0}},
		"followup": {{"1A", ClassDeclined, SayDeclined, "x", "", 99}},
	} {
		if _, err := d.WithCodes(codes); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
		table := d.Table()
		table.Codes = codes
		if _, err := NewDialect(table); !errors.Is(err, ErrTable) {
			t.Errorf("%s, in a table: %v", name, err)
		}
	}
}

// TestPhrases: each phrase has words in each language, and falls back to
// English.
func TestPhrases(t *testing.T) {
	for p, w := range phrases {
		for i, l := range Languages() {
			if w[i] == "" || i > 0 && w[i] == w[0] {
				t.Errorf("%s has no words of its own in %s", p, l)
			}
			if p.In(l) != w[i] {
				t.Errorf("%s in %s is %q", p, l, p.In(l))
			}
		}
		if p.In("xx") != w[0] || p.In("") != w[0] {
			t.Errorf("%s falls back to %q", p, p.In("xx"))
		}
	}
	for _, r := range responses {
		if phrases[r.Cardholder] == [13]string{} {
			t.Errorf("code %s: no phrase %q", r.Code, r.Cardholder)
		}
	}
	if len(Languages()) != 13 {
		t.Errorf("%d languages", len(Languages()))
	}
}

// TestTables breaks the rules of a table.
func TestTables(t *testing.T) {
	for name, change := range map[string]func(*Table){
		"no name":             func(t *Table) { t.Name = "" },
		"digits in hex":       func(t *Table) { t.Digits = Hex },
		"bitmap in BCD":       func(t *Table) { t.Bitmap = BCD },
		"filling":             func(t *Table) { t.Odd = 9 },
		"separator":           func(t *Table) { t.TrackSeparator = '^' },
		"number":              func(t *Table) { t.Elements[0].Number = 1 },
		"twice":               func(t *Table) { t.Elements[1] = t.Elements[0] },
		"member twice":        func(t *Table) { t.Elements[3].Member = MemberAmount },
		"class":               func(t *Table) { t.Elements[0].Class = 99 },
		"member's class":      func(t *Table) { t.Elements[0].Class = ANS },
		"member's length":     func(t *Table) { t.Elements[1].Length = 5 },
		"length and prefix":   func(t *Table) { t.Elements[0].Length = 100 },
		"prefix":              func(t *Table) { t.Elements[0].Prefix = 4 },
		"encoding":            func(t *Table) { t.Elements[0].Encoding = Raw },
		"member":              func(t *Table) { t.Elements[0].Member = 200 },
		"no currency":         func(t *Table) { t.Elements = t.Elements[:3] },
		"MAC in 60":           func(t *Table) { t.Elements = append(t.Elements[:0:0], Element{60, "", B, 0, 8, Inherit, MemberMAC}) },
		"rule without digits": func(t *Table) { t.Rules = []Rule{{Messages: []string{"02"}}} },
		"rule without member": func(t *Table) { t.Rules = []Rule{{Messages: []string{"020"}, Members: []Member{0}}} },
	} {
		table := ASCII87()
		change(&table)
		if _, err := NewDialect(table); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOwnDialect is an embedder's: fewer fields, a fixed PIN block, no rules.
func TestOwnDialect(t *testing.T) {
	d, err := NewDialect(Table{
		Name: "mine", Digits: BCD, Lengths: ASCII, Bytes: Hex, Bitmap: Hex, RefuseExtra: true, Rules: []Rule{},
		Elements: []Element{
			{11, "trace", N, 0, 6, Inherit, MemberSTAN},
			{41, "terminal", ANS, 0, 8, Inherit, MemberTerminalID},
			{52, "PIN", B, 0, 8, Inherit, MemberPINBlock},
			{60, "text", ANS, 2, 20, Inherit, NoMember},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &Message{MTI: "0200", STAN: "000042", TerminalID: "T1", PINBlock: unhex(t, "0123456789ABCDEF")}
	b, err := d.Pack(m)
	if err != nil {
		t.Fatal(err)
	}
	want := "\x02\x00" + "0020000000801000" + "\x00\x00\x42" + "T1      " + "0123456789ABCDEF"
	if string(b) != want {
		t.Errorf("%q, want %q", b, want)
	}
	got, err := d.Unpack(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got, secrets); diff != "" {
		t.Error(diff)
	}
	m.PINFormat, m.PINBlock = 4, make([]byte, 16)
	if _, err := d.Pack(m); !errors.Is(err, ErrInvalid) {
		t.Errorf("format 4 in a fixed field: %v", err)
	}
	if _, err := d.Seal(&Message{MTI: "0200"}, sum); !errors.Is(err, ErrInvalid) {
		t.Errorf("a MAC without a field: %v", err)
	}
	if _, err := d.Unpack([]byte("\x02\x00" + "0000000000000010" + "02ab")); !errors.Is(err, ErrMalformed) {
		t.Errorf("an extra field: %v", err)
	}
}

// TestWipe: nothing secret is left in what the message pointed to.
func TestWipe(t *testing.T) {
	m := request(t)
	p, tr, block, icc := m.PAN.Reveal(), m.Track2.Reveal(), m.PINBlock, m.ICC
	c := m.Clone()
	m.Wipe()
	for name, b := range map[string][]byte{"PAN": p, "track": tr, "PIN block": block, "ICC": icc} {
		for _, x := range b {
			if x != 0 {
				t.Errorf("%s is not wiped", name)
				break
			}
		}
	}
	if !m.PAN.IsZero() || m.ICC != nil {
		t.Error("members are still there")
	}
	if diff := cmp.Diff(request(t), c, secrets); diff != "" {
		t.Errorf("the clone changed: %s", diff)
	}
	if s := fmt.Sprintf("%v %+v %#v", *c, c, *c); strings.Contains(s, "4761739001010010") {
		t.Errorf("printed: %s", s)
	}
}
