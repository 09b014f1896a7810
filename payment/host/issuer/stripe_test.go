package issuer

import (
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/host/ledger/memledger"
)

const testCVK = "76543210FEDCBA9889ABCDEF01234567"

// swiped is a request from the stripe, or by hand where there is no service code.
func (d *desk) swiped(e Entry, service string, alter func(track string) string) Request {
	d.t.Helper()
	cvk := d.k.cvk
	if cvk.Len() == 0 {
		cvk = d.i.c.CVK
	}
	r := Request{PAN: d.k.pan, Expiry: d.k.expiry, Amount: eur(d.t, 1000), Entry: e}
	if e == EntryManual {
		value, err := CVV2(cvk, d.k.pan, d.k.expiry)
		if err != nil {
			d.t.Fatal(err)
		}
		r.CVV2 = value
		return r
	}
	value, err := CVV(cvk, d.k.pan, d.k.expiry, service)
	if err != nil {
		d.t.Fatal(err)
	}
	track := ";" + string(d.k.pan.Reveal()) + "=" + d.k.expiry + service + "00000" + string(value.Reveal()) + "?"
	if alter != nil {
		track = alter(track)
	}
	if r.Track2, err = magstripe.ParseTrack2([]byte(track)); err != nil {
		d.t.Fatal(err)
	}
	return r
}

// cvkDesk is an issuer with keys for verification values.
func cvkDesk(t *testing.T, c Config, l line) *desk {
	t.Helper()
	c.CVK = secretHex(t, testCVK)
	return deskOn(t, memledger.New(), c, l)
}

func TestStripe(t *testing.T) {
	replace := func(old, with string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("no %q in the track", old)
			}
			return strings.Replace(s, old, with, 1)
		}
	}
	pin := secret.CopyBytes([]byte("1234"))
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := secret.NewPAN([]byte("4761739001010028"))
	if err != nil {
		t.Fatal(err)
	}
	chip, err := ICVV(secretHex(t, testCVK), pan, "3112")
	if err != nil {
		t.Fatal(err)
	}
	iccTrack := ";4761739001010010=311220100000" + string(chip.Reveal()) + "?"
	for _, c := range []struct {
		name    string
		entry   Entry
		service string
		track   func(string) string
		alter   func(*Request)
		config  Config
		line    line
		code    string
	}{
		{name: "stripe", entry: EntryStripe, service: "101", code: CodeApproved},
		{name: "fallback", entry: EntryFallback, service: "201", code: CodeApproved},
		{name: "national chip", entry: EntryFallback, service: "601", code: CodeApproved},
		{name: "by hand", entry: EntryManual, code: CodeApproved},
		{name: "by hand, no CVV2", entry: EntryManual, alter: func(r *Request) { r.CVV2 = secret.Bytes{} }, code: CodeApproved},
		{name: "by hand, wrong CVV2", entry: EntryManual, alter: func(r *Request) { r.CVV2.Reveal()[2] ^= 1 }, code: CodeNotHonoured},
		{name: "by hand, short CVV2", entry: EntryManual, alter: func(r *Request) { r.CVV2 = secret.CopyBytes(r.CVV2.Reveal()[:2]) }, code: CodeNotHonoured},
		{name: "by hand, other expiry", entry: EntryManual, alter: func(r *Request) { r.Expiry = "3011" }, code: CodeExpired},
		{name: "wrong CVV", entry: EntryStripe, service: "101", track: func(s string) string { return s[:len(s)-2] + string('0'+(s[len(s)-2]-'0'+1)%10) + "?" }, code: CodeNotHonoured},
		{name: "the chip's track on a stripe", entry: EntryFallback, service: "201", track: func(string) string { return iccTrack }, code: CodeNotHonoured},
		{name: "a chip's stripe that hides it", entry: EntryStripe, service: "201", track: replace("3112201", "3112101"), code: CodeNotHonoured},
		{name: "a chip's stripe with no attempt at the chip", entry: EntryStripe, service: "201", code: CodeNotHonoured},
		{name: "fallback of a card without a chip", entry: EntryFallback, service: "101", code: CodeNotHonoured},
		{name: "another expiry on the stripe", entry: EntryStripe, service: "101", track: replace("3112101", "3212101"),
			alter: func(r *Request) { r.Expiry = "3212" }, code: CodeExpired},
		{name: "an expiry that is not the track's", entry: EntryStripe, service: "101", track: replace("3112101", "3212101"), code: CodeFormat},
		{name: "no room for a CVV", entry: EntryStripe, service: "101", track: func(s string) string { return s[:strings.Index(s, "00000")] + "?" }, code: CodeNotHonoured},
		{name: "cash alone", entry: EntryStripe, service: "104", code: CodeNotPermitted},
		{name: "PIN wanted, none came", entry: EntryStripe, service: "120", code: CodeNotHonoured},
		{name: "PIN wanted", entry: EntryStripe, service: "120", alter: func(r *Request) { r.PIN = pin }, code: CodeApproved},
		{name: "PIN where there is a pad, skipped", entry: EntryStripe, service: "106", code: CodeApproved},
		{name: "wrong PIN", entry: EntryStripe, service: "120", alter: func(r *Request) { r.PIN = secret.CopyBytes([]byte("9999")) }, code: CodeWrongPIN},
		{name: "refund without a PIN", entry: EntryStripe, service: "120", alter: func(r *Request) { r.Credit = true }, code: CodeApproved},
		{name: "field 55 beside it", entry: EntryStripe, service: "101", alter: func(r *Request) { r.ICC = []byte{0x9C, 1, 0} }, code: CodeFormat},
		{name: "CVV2 beside a stripe", entry: EntryStripe, service: "101", alter: func(r *Request) { r.CVV2 = pin }, code: CodeFormat},
		{name: "no track", entry: EntryStripe, service: "101", alter: func(r *Request) { r.Track2 = secret.Track2{} }, code: CodeFormat},
		{name: "approved offline", entry: EntryStripe, service: "101", alter: func(r *Request) { r.Offline = true }, code: CodeNotHonoured},
		{name: "stood in", entry: EntryStripe, service: "101", alter: func(r *Request) { r.StoodIn = true }, code: CodeNotHonoured},
		{name: "fallback refused", entry: EntryFallback, service: "201", config: Config{RefuseEntries: []Entry{EntryFallback}}, code: CodeNotPermitted},
		{name: "stripe where fallback is refused", entry: EntryStripe, service: "101", config: Config{RefuseEntries: []Entry{EntryFallback}}, code: CodeApproved},
		{name: "by hand refused", entry: EntryManual, config: Config{RefuseEntries: []Entry{EntryFallback, EntryManual}}, code: CodeNotPermitted},
		{name: "over the limit", entry: EntryStripe, service: "101", config: Config{Limit: 999}, code: CodeOverLimit},
		{name: "no money", entry: EntryStripe, service: "101", line: line{balance: 999}, code: CodeFunds},
		{name: "blocked", entry: EntryStripe, service: "101", line: line{more: `,"blocked":true`}, code: CodeRestricted},
		{name: "used too often", entry: EntryStripe, service: "101", line: line{more: `,"velocity":[{"days":1,"amount":999}]`}, code: CodeOverLimit},
		{name: "a sequence number", entry: EntryStripe, service: "101", line: line{psn: "37"}, code: CodeApproved},
		{name: "another number", entry: EntryManual, alter: func(r *Request) { r.PAN = other }, code: CodeUnknownCard},
		{name: "keys of its own", entry: EntryStripe, service: "101", line: line{more: `,"cvk":"0123456789ABCDEFFEDCBA9876543210"`}, code: CodeApproved},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := cvkDesk(t, c.config, c.line)
			r := d.swiped(c.entry, c.service, c.track)
			if c.alter != nil {
				c.alter(&r)
			}
			got := d.authorize(r)
			d.want("", got, c.code)
			if len(got.ICC) != 0 {
				t.Error("the answer has data for a chip")
			}
		})
	}
}

// TestStripeWithoutKeys: an issuer that can't check a stripe takes none.
func TestStripeWithoutKeys(t *testing.T) {
	other := cvkDesk(t, Config{}, line{})
	d := newDesk(t, Config{}, line{})
	for _, r := range []Request{other.swiped(EntryStripe, "101", nil), other.swiped(EntryFallback, "201", nil), other.swiped(EntryManual, "", nil)} {
		d.want(r.Entry.String(), d.authorize(r), CodeNotPermitted)
	}
	if _, err := New(Config{Cards: d.i.c.Cards, CVK: secret.CopyBytes(make([]byte, 8))}); !errors.Is(err, ErrConfig) {
		t.Errorf("a short key: %v", err)
	}
}

// TestValuesAreNotGuessed: after DefaultValueTries wrong values the right one does
// not help; a right one in between starts the count anew.
func TestValuesAreNotGuessed(t *testing.T) {
	d := cvkDesk(t, Config{}, line{})
	wrong := func() Request {
		r := d.swiped(EntryManual, "", nil)
		r.CVV2.Reveal()[0] ^= 1
		return r
	}
	for range DefaultValueTries - 1 {
		d.want("wrong", d.authorize(wrong()), CodeNotHonoured)
	}
	d.want("right in time", d.authorize(d.swiped(EntryManual, "", nil)), CodeApproved)
	for range DefaultValueTries {
		d.want("wrong", d.authorize(wrong()), CodeNotHonoured)
	}
	d.want("right too late", d.authorize(d.swiped(EntryManual, "", nil)), CodeNotHonoured)
	d.want("the stripe's, too late", d.authorize(d.swiped(EntryFallback, "201", nil)), CodeNotHonoured)
	d.want("the chip", d.authorize(d.request(1000, "")), CodeApproved)
	d.want("that proves no holder", d.authorize(d.swiped(EntryManual, "", nil)), CodeNotHonoured)
	d.want("chip and a wrong PIN", d.authorize(d.request(1000, "9999")), CodeWrongPIN)
	d.want("that proves none either", d.authorize(d.swiped(EntryManual, "", nil)), CodeNotHonoured)
	d.want("chip and PIN", d.authorize(d.request(1000, "1234")), CodeApproved)
	d.want("after its holder paid", d.authorize(d.swiped(EntryManual, "", nil)), CodeApproved)
}

func TestCardsWithKeysOfTheirOwn(t *testing.T) {
	for _, bad := range []string{`,"cvk":"00"`, `,"cvk":"0123456789ABCDEFFEDCBA987654321X"`, `,"cvk":"0123456789ABCDEFFEDCBA98765432100123456789ABCDEF"`} {
		_, err := ParseCards(strings.NewReader(file(line{more: bad})))
		var e *CardsError
		if !errors.As(err, &e) || e.Place != "cards[0].cvk" || strings.Contains(err.Error(), "0123") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
