package payment_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted/scripted"
)

func TestSale(t *testing.T) {
	for _, format := range []uint8{4, 0} {
		t.Run(fmt.Sprint("PIN block format ", format), func(t *testing.T) {
			w := onSQLite(t)
			c := plain()
			c.pinFormat = format
			r := w.rig(c)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if err != nil {
				t.Fatal(err)
			}
			type facts struct {
				Outcome                                                       payment.Outcome
				Amount, Currency, MaskedPAN, Entry, AID, Label, CVM, ODA      string
				TVR, TSI, CryptogramType, ResponseCode, STAN, PendingReversal string
				Reversed, Repeated                                            bool
			}
			want := facts{
				payment.Approved, "12.34", "EUR", "476173******0010", "chip", "A0000000031010", "PAYUNIT TEST",
				"Enciphered PIN verified online", "DDA ok", "0000048000", "F800", "TC", "00", "000001", "", false, false,
			}
			if d := cmp.Diff(want, facts{
				got.Outcome, got.Amount, got.Currency, got.MaskedPAN, got.Entry, got.AID, got.Label, got.CVM, got.ODA,
				got.TVR, got.TSI, got.CryptogramType, got.ResponseCode, got.STAN, got.PendingReversal, got.Reversed, got.Repeated,
			}); d != "" {
				t.Error(d)
			}
			if len(got.AuthCode) != 6 || len(got.RRN) != 12 || !strings.Contains(got.Receipt, "12.34 EUR") {
				t.Errorf("result %+v", got)
			}
			if c := r.holder.Confirmed(); len(c) != 1 || c[0].Amount.Minor != 1234 {
				t.Errorf("the cardholder confirmed %v", c)
			}
			if s := w.state("A-1"); s != trade.Paid {
				t.Errorf("order is %s", s)
			}
			if a := w.audit(); a.Pending != 0 || a.Authorisations != 1 {
				t.Errorf("ledger %+v", a)
			}
			if f := r.final(); len(f) != 1 || f[0].Outcome != payment.Approved {
				t.Errorf("final events %v", f)
			}
		})
	}
}

// TestSameOrderAgain: paying an order again gives the first result and charges
// nothing, on this unit, after it was opened again, and on another unit.
func TestSameOrderAgain(t *testing.T) {
	w := onSQLite(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	first, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil {
		t.Fatal(err)
	}
	before := w.audit()
	again, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || !again.Repeated || again.RRN != first.RRN {
		t.Fatalf("again: %+v, %v", again, err)
	}
	if _, err := w.rig(plain()).unit.Pay(t.Context(), payment.Order{ID: "A-1"}); !errors.Is(err, payment.ErrAlreadyPaid) {
		t.Errorf("another unit: %v", err)
	}
	if after := w.audit(); after.Entries != before.Entries {
		t.Errorf("%d entries, before %d", after.Entries, before.Entries)
	}
}

func TestEndings(t *testing.T) {
	pin := secret.CopyBytes([]byte("1234"))
	wrong := secret.CopyBytes([]byte("9999"))
	for _, c := range []struct {
		name, profile, faults string
		script                scripted.Script
		intercept             func(host.Point) error
		outcome               payment.Outcome
		err                   error
		code                  string
		reversed              bool
		reason                string
	}{
		{name: "wrong PIN", script: scripted.Script{PIN: wrong}, outcome: payment.Declined, code: "55", reason: "wrong PIN"},
		{name: "no money", profile: "low-balance", outcome: payment.Declined, code: "51", reason: "not sufficient funds"},
		{name: "over the card's limit", profile: "over-limit", outcome: payment.Declined, reason: "the card declined"},
		{name: "expired", profile: "expired", outcome: payment.Declined, code: "54", reason: "expired"},
		{name: "CA key unknown", profile: "unknown-ca", outcome: payment.Approved, code: "00", reason: "DDA failed"},
		{name: "issuer revoked", profile: "revoked", outcome: payment.Approved, code: "00", reason: "revoked"},
		{name: "false signature", profile: "wrong-dda", outcome: payment.Approved, code: "00", reason: "DDA failed"},
		{name: "PIN blocked in the card", profile: "pin-blocked", outcome: payment.Declined, reason: "PIN Try Limit"},
		{name: "cancelled at the confirmation", script: scripted.Script{RefuseTrade: true}, outcome: payment.Cancelled, reason: "cancelled"},
		{name: "cancelled at the PIN", script: scripted.Script{CancelPIN: true}, outcome: payment.Cancelled, reason: "cancelled"},
		{name: "card declines at first", profile: "decline", outcome: payment.Declined, reason: "declined"},
		{name: "card declines at last", profile: "decline-second", outcome: payment.Declined, code: "00", reversed: true, reason: "reversed"},
		{name: "card removed before the first GENERATE AC", faults: "remove@first-gac", err: payment.ErrCard},
		{name: "card removed before the second GENERATE AC", faults: "remove@second-gac", outcome: payment.Declined, code: "00", reversed: true, reason: "reversed"},
		{name: "card blocked", profile: "blocked-card", err: payment.ErrCard},
		{name: "request lost", intercept: cuts(host.StageVerified, 1), outcome: payment.Approved, code: "00"},
		{name: "answer lost", intercept: cuts(host.StageCommitted, 1), outcome: payment.Approved, code: "00"},
		{name: "request and repeat lost", intercept: cuts(host.StageVerified, 2), outcome: payment.Declined, reversed: true, reason: "reversed"},
		{name: "answer and answer to the repeat lost", intercept: cuts(host.StageCommitted, 2), outcome: payment.Declined, reversed: true, reason: "reversed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := onSQLite(t)
			rc := plain()
			rc.faults = c.faults
			if c.profile != "" {
				rc.profile = c.profile
			}
			rc.script = c.script
			if rc.script.PIN.Len() == 0 {
				rc.script.PIN = pin
			}
			r := w.rig(rc)
			w.intercept = c.intercept
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got.Outcome != c.outcome || got.ResponseCode != c.code || got.Reversed != c.reversed {
				t.Errorf("%s, code %q, reversed %v; want %s, %q, %v", got.Outcome, got.ResponseCode, got.Reversed, c.outcome, c.code, c.reversed)
			}
			if !strings.Contains(strings.Join(got.Reasons, "; "), c.reason) {
				t.Errorf("reasons %q, want %q among them", got.Reasons, c.reason)
			}
			want := trade.Open
			if c.outcome == payment.Approved {
				want = trade.Paid
			}
			if s := w.state("A-1"); s != want {
				t.Errorf("order is %s, want %s", s, want)
			}
			if a := w.audit(); a.Pending != 0 {
				t.Errorf("%d payments pending", a.Pending)
			}
			if f := r.final(); len(f) != 1 {
				t.Errorf("%d final events", len(f))
			}
			if read := c.err == nil && c.name != "cancelled at the confirmation" && c.name != "cancelled at the PIN"; read != (got.Receipt != "") {
				t.Errorf("receipt %q", got.Receipt)
			}
			rep, err := r.unit.Recover(t.Context())
			if err != nil || len(rep.Settled)+len(rep.Pending) != 0 {
				t.Errorf("something is owed: %+v, %v", rep, err)
			}
		})
	}
}

var errCut = errors.New("the link was cut")

// cuts cuts the channel at a stage of a sale or a pre-authorisation, n times.
func cuts(stage host.Stage, n int) func(host.Point) error {
	return func(p host.Point) error {
		if n == 0 || p.Stage != stage || p.MTI[:3] != "020" && p.MTI[:3] != "010" {
			return nil
		}
		n--
		return errCut
	}
}

// TestPINTriesExceeded: after three wrong PINs the right one does not help.
func TestPINTriesExceeded(t *testing.T) {
	w := onSQLite(t)
	c := plain()
	c.script.PIN = secret.CopyBytes([]byte("9999"))
	r := w.rig(c)
	var codes []string
	for n := range 4 {
		id := fmt.Sprint("A-", n)
		w.order(id, 100)
		if n == 3 {
			c.script.PIN = plain().script.PIN
			r = w.open(c, r.vault)
		}
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, got.ResponseCode)
	}
	if d := cmp.Diff([]string{"55", "55", "75", "75"}, codes); d != "" {
		t.Error(d)
	}
}

// TestOutcomeUnknown: the answer is lost and the link stays down; the next run
// settles it, and the order can be paid.
func TestOutcomeUnknown(t *testing.T) {
	w := onSQLite(t)
	c := plain()
	link := &switchable{under: w}
	c.link = link
	r := w.rig(c)
	cut := cuts(host.StageCommitted, 1)
	w.intercept = func(p host.Point) error {
		err := cut(p)
		if err != nil {
			link.set(false)
		}
		return err
	}
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Unknown || got.PendingReversal == "" || got.PendingReversal != got.RRN {
		t.Fatalf("%+v, %v", got, err)
	}
	if s := w.state("A-1"); s != trade.Pending {
		t.Errorf("order is %s while its outcome is unknown", s)
	}
	// Still down: nothing new is paid, nothing is lost.
	w.order("A-2", 100)
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-2"}); !errors.Is(err, payment.ErrOwed) {
		t.Errorf("another payment: %v", err)
	}
	if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Pending) != 1 {
		t.Errorf("Recover without a link: %+v, %v", rep, err)
	}
	link.set(true)
	// A new process on the same state.
	r = w.open(c, r.vault)
	rep, err := r.unit.Recover(t.Context())
	if err != nil || len(rep.Settled) != 1 || !rep.Settled[0].Reversed || len(rep.Pending) != 0 {
		t.Fatalf("Recover: %+v, %v", rep, err)
	}
	if a := w.audit(); a.Pending != 0 || w.state("A-1") != trade.Open {
		t.Errorf("ledger %+v, order %s", a, w.state("A-1"))
	}
	got, err = r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Approved {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPartialApproval: an approval of less than the cardholder confirmed is no
// sale. It is taken back, and the card declines.
func TestPartialApproval(t *testing.T) {
	w := onSQLite(t)
	w.partial = true
	r := w.rig(plain())
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Declined || got.ResponseCode != "10" || got.CryptogramType != "AAC" || !got.Reversed {
		t.Errorf("outcome %s, response %s, cryptogram %s, reversed %v", got.Outcome, got.ResponseCode, got.CryptogramType, got.Reversed)
	}
	if s := w.state("A-1"); s != trade.Open {
		t.Errorf("order is %s", s)
	}
	if rep := w.audit(); rep.Pending != 0 {
		t.Errorf("%d pending", rep.Pending)
	}
}

func TestRefusals(t *testing.T) {
	w := onSQLite(t)
	r := w.rig(plain())
	for id, want := range map[string]error{
		"": payment.ErrOrder, "with space": payment.ErrOrder, "é": payment.ErrOrder, strings.Repeat("x", 65): payment.ErrOrder,
		"not-placed": payment.ErrOrder,
	} {
		if _, err := r.unit.Pay(t.Context(), payment.Order{ID: id}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", id, err, want)
		}
	}
	if _, err := payment.New(payment.Config{}); !errors.Is(err, payment.ErrConfig) {
		t.Errorf("empty configuration: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.order("A-1", 100)
	if _, err := r.unit.Pay(ctx, payment.Order{ID: "A-1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if s := w.state("A-1"); s != trade.Open {
		t.Errorf("order is %s", s)
	}
}
