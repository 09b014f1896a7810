package issuer

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger"
	"github.com/payunit/payunit/payment/money"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const imk = "0123456789ABCDEFFEDCBA9876543210"

// line is a card in a Cards file; the zero value of a member is a default.
type line struct {
	pan, psn, expiry, session, cvn, pin, currency, more string
	balance                                             int64
}

func (l line) String() string {
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	if l.balance == 0 {
		l.balance = 100000
	}
	return fmt.Sprintf(`{"pan":%q,"psn":%q,"expiry":%q,"imk_ac":%q,"imk_smi":%q,"imk_smc":%q,"derivation":"A","session":%q,"cvn":%q,"pin":%q,"balance":%d,"currency":%q%s}`,
		or(l.pan, "4761739001010010"), or(l.psn, "00"), or(l.expiry, "3112"), imk, imk, imk, or(l.session, "csk"), or(l.cvn, "18"), or(l.pin, "1234"), l.balance, or(l.currency, "EUR"), l.more)
}

func file(lines ...line) string {
	var s []string
	for _, l := range lines {
		s = append(s, l.String())
	}
	return `{"cards":[` + strings.Join(s, ",") + `]}`
}

func eur(t testing.TB, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func openLedger(t *testing.T) ledger.Ledger {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	l, err := sqlledger.OpenVolatile(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = l.Close(), db.Close() })
	return l
}

// desk is an issuer with one card and its ledger.
type desk struct {
	t *testing.T
	i *Issuer
	l ledger.Ledger
	k *card
	// at counts the card's transactions.
	atc uint16
	// alter changes what card and terminal say.
	alter func(s *sayings)
}

// sayings are parts of field 55.
type sayings struct {
	iad, cvm, tvr []byte
	cid           byte
	// capabilities is tag 9F33, nil when it is left out.
	capabilities []byte
}

func newDesk(t *testing.T, c Config, l line) *desk {
	t.Helper()
	return deskOn(t, openLedger(t), c, l)
}

func deskOn(t *testing.T, books ledger.Ledger, c Config, l line) *desk {
	t.Helper()
	cards, err := ParseCards(strings.NewReader(file(l)))
	if err != nil {
		t.Fatal(err)
	}
	c.Cards = cards
	if c.Now == nil {
		c.Now = func() time.Time { return now }
	}
	i, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, i: i, l: books, k: cards.list[0]}
}

// request is the request of the card for an amount, with a true cryptogram.
func (d *desk) request(minor int64, pin string) Request {
	d.atc++
	return d.requestATC(d.atc, minor, pin)
}

func (d *desk) requestATC(atc uint16, minor int64, pin string) Request {
	d.t.Helper()
	a := eur(d.t, minor)
	bcd, err := a.BCD12()
	if err != nil {
		d.t.Fatal(err)
	}
	iad := []byte{0x06, 0x01, d.k.scheme.CVN.Number(), 0x03, 0xA0, 0xB8, 0x00}
	if v := d.k.scheme.CVN; v >= cryptogram.MChip10 && v <= cryptogram.MChip15 {
		// Key index and version stand first, and there is more of it.
		iad = append([]byte{0x01, v.Number(), 0xA0}, make([]byte, 15)...)
	}
	cvm := []byte{0x1F, 0x03, 0x02}
	tvr := []byte{0, 0, 0, 0x80, 0}
	if pin != "" {
		cvm, tvr[2] = []byte{0x02, 0x03, 0x00}, 0x04
	}
	s := sayings{iad: iad, cvm: cvm, tvr: tvr, cid: 0x80}
	if d.alter != nil {
		d.alter(&s)
	}
	icc := tlv.Append(nil, tags.AmountAuthorised, bcd[:])
	icc = tlv.Append(icc, tags.AmountOther, make([]byte, 6))
	icc = tlv.Append(icc, tags.TerminalCountryCode, []byte{0x02, 0x80})
	icc = tlv.Append(icc, tags.TVR, s.tvr)
	icc = tlv.Append(icc, tags.TransactionCurrencyCode, []byte{0x09, 0x78})
	icc = tlv.Append(icc, tags.TransactionDate, []byte{0x26, 0x11, 0x24})
	icc = tlv.Append(icc, tags.TransactionType, []byte{0})
	icc = tlv.Append(icc, tags.UnpredictableNumber, []byte{1, 2, 3, 4})
	icc = tlv.Append(icc, tags.AIP, []byte{0x3C, 0x00})
	icc = tlv.Append(icc, tags.ATC, binary.BigEndian.AppendUint16(nil, atc))
	icc = tlv.Append(icc, tags.IssuerApplicationData, s.iad)
	icc = tlv.Append(icc, tags.CID, []byte{s.cid})
	icc = tlv.Append(icc, tags.CVMResults, s.cvm)
	if s.capabilities != nil {
		icc = tlv.Append(icc, tags.TerminalCapabilities, s.capabilities)
	}
	ac, err := d.k.scheme.Cryptogram(d.k.keys.AC, func(t tlv.Tag) ([]byte, bool) { return tlv.Find(icc, t) },
		cryptogram.Card{AIP: [2]byte{0x3C, 0}, ATC: atc, IAD: s.iad})
	if err != nil {
		d.t.Fatal(err)
	}
	icc = tlv.Append(icc, tags.ApplicationCryptogram, ac[:])
	return Request{PAN: d.k.pan, PSN: "000", Expiry: d.k.expiry, Amount: a, PIN: secret.CopyBytes([]byte(pin)), ICC: icc}
}

// authorize asks the issuer, and books what it approves.
func (d *desk) authorize(r Request) Decision {
	d.t.Helper()
	var out Decision
	err := d.l.Update(d.t.Context(), func(tx ledger.Tx) error {
		var err error
		if out, err = d.i.Authorize(d.t.Context(), tx, r); err != nil || !out.Approved() {
			return err
		}
		neg := r.Amount
		neg.Minor = -neg.Minor
		n, err := tx.Next("test")
		if err != nil {
			return err
		}
		_, err = tx.Post(ledger.Entry{Key: fmt.Sprintf("test/%d", n), Kind: ledger.KindOpening, Cause: "test",
			Postings: []ledger.Posting{{Account: out.Account, Amount: neg}, {Account: "merchant", Amount: r.Amount}}})
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *desk) want(what string, got Decision, code string) {
	d.t.Helper()
	if got.Code != code {
		d.t.Errorf("%s: code %s (%s), want %s", what, got.Code, got.Reason, code)
	}
	if got.Approved() != (len(got.AuthCode) == 6) {
		d.t.Errorf("%s: code %s with authorisation code %q", what, got.Code, got.AuthCode)
	}
}

func TestDecisions(t *testing.T) {
	other := func() secret.PAN { p, _ := secret.NewPAN([]byte("4761739001010028")); return p }()
	replace := func(r *Request, tag tlv.Tag, v ...byte) {
		var out []byte
		for o, err := range tlv.All(r.ICC) {
			if err != nil {
				t.Fatal(err)
			}
			if o.Tag != tag {
				out = tlv.Append(out, o.Tag, o.Value)
			} else if v != nil {
				out = tlv.Append(out, o.Tag, v)
			}
		}
		r.ICC = out
	}
	for _, c := range []struct {
		name   string
		config Config
		line   line
		minor  int64
		pin    string
		alter  func(r *Request)
		want   string
	}{
		{name: "approved, PIN", minor: 1234, pin: "1234", want: CodeApproved},
		{name: "approved, no PIN", minor: 1234, want: CodeApproved},
		{name: "approved, whole balance", minor: 100000, want: CodeApproved},
		{name: "approved, CVN 10", line: line{session: "none", cvn: "10"}, minor: 1234, want: CodeApproved},
		{name: "approved, EMV2000 keys", line: line{session: "emv2000"}, minor: 1234, want: CodeApproved},
		{name: "approved, last month", line: line{expiry: "2611"}, minor: 1234, want: CodeApproved},
		{name: "approved, at the limit", line: line{more: `,"limit":1234`}, minor: 1234, want: CodeApproved},
		{name: "own limit above the issuer's", config: Config{Limit: 10}, line: line{more: `,"limit":1234`}, minor: 1234, want: CodeApproved},
		{name: "amount, other, left out", minor: 1234, alter: func(r *Request) { replace(r, tags.AmountOther) }, want: CodeApproved},
		{name: "unknown card", minor: 1234, alter: func(r *Request) { r.PAN = other }, want: CodeUnknownCard},
		{name: "another sequence number", minor: 1234, alter: func(r *Request) { r.PSN = "01" }, want: CodeUnknownCard},
		{name: "sequence number that is none", minor: 1234, alter: func(r *Request) { r.PSN = "x1" }, want: CodeFormat},
		{name: "expired", line: line{expiry: "2610"}, minor: 1234, want: CodeExpired},
		{name: "another expiry", minor: 1234, alter: func(r *Request) { r.Expiry = "3212" }, want: CodeExpired},
		{name: "blocked", line: line{more: `,"blocked":true`}, minor: 1234, want: CodeRestricted},
		{name: "wrong PIN", minor: 1234, pin: "1235", want: CodeWrongPIN},
		{name: "PIN with more digits", minor: 1234, pin: "12340", want: CodeWrongPIN},
		{name: "last try", config: Config{PINTries: 1}, minor: 1234, pin: "0000", want: CodePINTries},
		{name: "PIN promised and not sent", minor: 1234, pin: "1234", alter: func(r *Request) { r.PIN = secret.Bytes{} }, want: CodeNotHonoured},
		{name: "over the card's limit", line: line{more: `,"limit":1233`}, minor: 1234, want: CodeOverLimit},
		{name: "over the issuer's limit", config: Config{Limit: 1233}, minor: 1234, want: CodeOverLimit},
		{name: "insufficient funds", minor: 100001, want: CodeFunds},
		{name: "empty account", line: line{balance: 1}, minor: 2, want: CodeFunds},
		{name: "another currency", line: line{currency: "USD"}, minor: 1234, want: CodeNotPermitted},
		{name: "zero", minor: 0, want: CodeFormat},
		{name: "no field 55", minor: 1234, alter: func(r *Request) { r.ICC = nil }, want: CodeFormat},
		{name: "field 55 cut", minor: 1234, alter: func(r *Request) { r.ICC = r.ICC[:len(r.ICC)-1] }, want: CodeFormat},
		{name: "tag twice", minor: 1234, alter: func(r *Request) { r.ICC = tlv.Append(r.ICC, tags.AmountAuthorised, make([]byte, 6)) }, want: CodeFormat},
		{name: "tag missing", minor: 1234, alter: func(r *Request) { replace(r, tags.UnpredictableNumber) }, want: CodeFormat},
		{name: "ATC missing", minor: 1234, alter: func(r *Request) { replace(r, tags.ATC) }, want: CodeFormat},
		{name: "ATC of one byte", minor: 1234, alter: func(r *Request) { replace(r, tags.ATC, 1) }, want: CodeFormat},
		{name: "another cryptogram version", minor: 1234, alter: func(r *Request) { replace(r, tags.IssuerApplicationData, 6, 1, 0x0A, 3, 0, 0, 0) }, want: CodeNotHonoured},
		{name: "amount altered", minor: 1234, alter: func(r *Request) { replace(r, tags.AmountAuthorised, 0, 0, 0, 0, 0, 1) }, want: CodeNotHonoured},
		{name: "an AAC, not an ARQC", minor: 1234, alter: func(r *Request) { replace(r, tags.CID, 0) }, want: CodeNotHonoured},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.config, c.line)
			r := d.request(c.minor, c.pin)
			if c.alter != nil {
				c.alter(&r)
			}
			got := d.authorize(r)
			d.want(c.name, got, c.want)
			ledgertest.Clean(t, d.l)
		})
	}
}

// A cryptogram that is off by any one bit, or over data that is, is refused, and
// changes nothing about the card.
func TestEveryBitOfTheCryptogramCounts(t *testing.T) {
	d := newDesk(t, Config{}, line{})
	good := d.request(1234, "")
	covered := map[tlv.Tag]bool{tags.ApplicationCryptogram: true, tags.AmountAuthorised: true, tags.AmountOther: true, tags.TerminalCountryCode: true,
		tags.TVR: true, tags.TransactionCurrencyCode: true, tags.TransactionDate: true, tags.TransactionType: true, tags.UnpredictableNumber: true,
		tags.AIP: true, tags.ATC: true, tags.IssuerApplicationData: true}
	tried := 0
	for o, err := range tlv.All(good.ICC) {
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(o.Value) {
			if !covered[o.Tag] {
				continue
			}
			r := good
			r.ICC = append([]byte(nil), good.ICC...)
			r.ICC[o.Offset+o.HeaderLen+bit/8] ^= 1 << (bit % 8)
			got := d.authorize(r)
			// The length and the key index of the IAD are under the
			// cryptogram too.
			if got.Code != CodeNotHonoured && got.Code != CodeFormat {
				t.Errorf("tag %v, bit %d: code %s", o.Tag, bit, got.Code)
			}
			if len(got.ICC) != 0 {
				t.Errorf("tag %v, bit %d: the answer has a cryptogram", o.Tag, bit)
			}
			tried++
		}
	}
	if tried != 8*48 {
		t.Errorf("%d bits tried, want those of 48 bytes", tried)
	}
	d.want("the true one afterwards", d.authorize(good), CodeApproved)
}

func TestCounter(t *testing.T) {
	d := newDesk(t, Config{}, line{})
	r := d.requestATC(5, 100, "")
	d.want("first", d.authorize(r), CodeApproved)
	d.want("again", d.authorize(r), CodeNotHonoured)
	d.want("same counter, another amount", d.authorize(d.requestATC(5, 200, "")), CodeNotHonoured)
	d.want("late", d.authorize(d.requestATC(4, 100, "")), CodeApproved)
	d.want("late again", d.authorize(d.requestATC(4, 100, "")), CodeNotHonoured)
	d.want("a jump", d.authorize(d.requestATC(500, 100, "")), CodeApproved)
	d.want("long ago", d.authorize(d.requestATC(6, 100, "")), CodeNotHonoured)
	d.want("zero", d.authorize(d.requestATC(0, 100, "")), CodeNotHonoured)
	// A declined transaction uses its counter up as well.
	d.want("declined", d.authorize(d.requestATC(501, 10000000, "")), CodeFunds)
	d.want("declined, again with less", d.authorize(d.requestATC(501, 1, "")), CodeNotHonoured)
}

// TestCountersInAnyOrder: a card that was set back counts again below what was
// seen, and no counter is good twice.
func TestCountersInAnyOrder(t *testing.T) {
	d := newDesk(t, Config{CountersInAnyOrder: true}, line{})
	for _, atc := range []uint16{500, 6, 65535, 64, 63, 1} {
		d.want(fmt.Sprintf("counter %d", atc), d.authorize(d.requestATC(atc, 100, "")), CodeApproved)
	}
	for _, atc := range []uint16{1, 63, 64, 500, 6, 65535} {
		d.want(fmt.Sprintf("counter %d again", atc), d.authorize(d.requestATC(atc, 100, "")), CodeNotHonoured)
	}
}

func TestPINTries(t *testing.T) {
	d := newDesk(t, Config{}, line{})
	d.want("first wrong", d.authorize(d.request(100, "1111")), CodeWrongPIN)
	d.want("second wrong", d.authorize(d.request(100, "1111")), CodeWrongPIN)
	d.want("right", d.authorize(d.request(100, "1234")), CodeApproved)
	d.want("tries are back", d.authorize(d.request(100, "1111")), CodeWrongPIN)
	d.want("tries are back", d.authorize(d.request(100, "1111")), CodeWrongPIN)
	d.want("third wrong", d.authorize(d.request(100, "1111")), CodePINTries)
	d.want("right, too late", d.authorize(d.request(100, "1234")), CodePINTries)
	d.want("without a PIN", d.authorize(d.request(100, "")), CodeApproved)
	// A guess with a forged cryptogram costs no try, and learns nothing.
	d = newDesk(t, Config{PINTries: 1}, line{})
	r := d.request(100, "0000")
	r.ICC[len(r.ICC)-1] ^= 1
	d.want("forged", d.authorize(r), CodeNotHonoured)
	d.want("right", d.authorize(d.request(100, "1234")), CodeApproved)
}

// The balance is opened once and spent to zero, not below.
func TestBalance(t *testing.T) {
	d := newDesk(t, Config{}, line{balance: 250})
	for _, want := range []string{CodeApproved, CodeApproved, CodeFunds} {
		d.want("spend", d.authorize(d.request(100, "")), want)
	}
	d.want("the rest", d.authorize(d.request(50, "")), CodeApproved)
	d.want("one more", d.authorize(d.request(1, "")), CodeFunds)
	err := d.l.View(t.Context(), func(tx ledger.Tx) error {
		b, err := tx.Balance(d.k.account(), "EUR")
		f, err2 := tx.Balance(Funding, "EUR")
		if b != 0 || f != -250 {
			t.Errorf("balances %d and %d, want 0 and -250", b, f)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
	ledgertest.Clean(t, d.l)
}

// The card accepts the answer, and takes it for what was decided.
func TestAnswer(t *testing.T) {
	for _, l := range []line{{}, {session: "none", cvn: "10"}, {cvn: "22"}, {session: "emv2000", cvn: "0x12"}, {session: "mchip", cvn: "0x10"}, {session: "csk", cvn: "0x14"}} {
		for _, pin := range []string{"1234", "9999"} {
			t.Run("CVN "+l.cvn+" PIN "+pin, func(t *testing.T) {
				d := newDesk(t, Config{}, l)
				r, atc := d.request(100, pin), d.atc
				got := d.authorize(r)
				want := CodeApproved
				if pin == "9999" {
					want = CodeWrongPIN
				}
				d.want("decision", got, want)
				data, ok := tlv.Find(got.ICC, tags.IssuerAuthenticationData)
				if !ok {
					t.Fatal("no tag 91")
				}
				ac, _ := tlv.Find(r.ICC, tags.ApplicationCryptogram)
				tr := cryptogram.Transaction{ATC: atc, UN: [4]byte{1, 2, 3, 4}, AC: [8]byte(ac)}
				said, err := d.k.scheme.CheckAnswer(d.k.keys.AC, tr, data)
				if err != nil {
					t.Fatal(err)
				}
				if d.k.scheme.Method() == 1 && string(said.ARC[:]) != want {
					t.Errorf("ARC %q, want %q", said.ARC[:], want)
				}
				if d.k.scheme.Method() == 2 && (said.CSU[1]&csuApproved != 0) != (want == CodeApproved) {
					t.Errorf("CSU %X with code %s", said.CSU, want)
				}
				data[0] ^= 1
				if _, err := d.k.scheme.CheckAnswer(d.k.keys.AC, tr, data); !errors.Is(err, cryptogram.ErrARPC) {
					t.Errorf("altered answer: %v", err)
				}
			})
		}
	}
}

// A blocked card is told so in a script that it accepts.
func TestBlockScript(t *testing.T) {
	d := newDesk(t, Config{BlockCards: true}, line{more: `,"blocked":true`})
	r := d.request(100, "")
	got := d.authorize(r)
	d.want("blocked", got, CodeRestricted)
	command, ok := tlv.Find(got.ICC, tags.IssuerScriptCommand)
	if !ok || len(command) != 13 {
		t.Fatalf("no script command in % X", got.ICC)
	}
	ac, _ := tlv.Find(r.ICC, tags.ApplicationCryptogram)
	s := cryptogram.Script{Transaction: cryptogram.Transaction{ATC: d.atc, UN: [4]byte{1, 2, 3, 4}, AC: [8]byte(ac)}}
	if err := d.k.scheme.VerifyScript(d.k.keys.SMI, s, [5]byte(command), nil, command[5:]); err != nil {
		t.Error(err)
	}
	if command[1] != 0x1E {
		t.Errorf("instruction %02X, want APPLICATION BLOCK", command[1])
	}
	d = newDesk(t, Config{}, line{more: `,"blocked":true`})
	if got := d.authorize(d.request(100, "")); strings.Contains(string(got.ICC), "\x86") {
		t.Error("a script without BlockCards")
	}
}

func TestConfig(t *testing.T) {
	cards, err := ParseCards(strings.NewReader(file(line{})))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		c    Config
	}{{"no cards", Config{}}, {"negative limit", Config{Cards: cards, Limit: -1}}, {"negative tries", Config{Cards: cards, PINTries: -1}}} {
		if _, err := New(c.c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v, want ErrConfig", c.name, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	d := newDesk(t, Config{}, line{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := d.l.View(t.Context(), func(tx ledger.Tx) error { _, err := d.i.Authorize(ctx, tx, d.request(1, "")); return err })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// No number, PIN or key is in what a decision says, or in the ledger.
func TestNothingSecretIsSaid(t *testing.T) {
	d := newDesk(t, Config{}, line{})
	for _, r := range []Request{d.request(100, "1234"), d.request(100, "4321"), d.request(10000000, "")} {
		got := d.authorize(r)
		s := fmt.Sprintf("%+v %+v", got, r)
		for _, secret := range []string{"4761739001010010", "1234", "4321", imk} {
			if strings.Contains(s, secret) {
				t.Errorf("%q is in %s", secret, s)
			}
		}
	}
}
