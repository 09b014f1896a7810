package payment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// sealing makes the world's issuer one that can change PINs.
func (w *world) sealing() *issuer.Issuer {
	w.t.Helper()
	cards, err := cardsFile()
	if err != nil {
		w.t.Fatal(err)
	}
	parsed, err := issuer.ParseCards(bytes.NewReader(cards))
	if err != nil {
		w.t.Fatal(err)
	}
	i, err := issuer.New(issuer.Config{Cards: parsed, CountersInAnyOrder: true, Key: key(0xA7, 32), Now: now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(i.Close)
	return i
}

// scripted is a world whose issuer takes instructions.
func newScripted(t *testing.T) (*world, *issuer.Issuer) {
	var iss *issuer.Issuer
	w := newWorld(t, func(c *host.Config) {
		iss = (&world{t: t}).sealing()
		c.Issuer = iss
	})
	return w, iss
}

// instruct gives a profile's card a command.
func (w *world) instruct(i *issuer.Issuer, profile string, in issuer.Instruction) {
	w.t.Helper()
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		w.t.Fatal(err)
	}
	found := i.Find(p.Applications[0].PAN)
	if len(found) != 1 {
		w.t.Fatalf("%d cards of %s", len(found), profile)
	}
	in.Card = found[0].Ref
	err = w.ledger.Update(w.ctx, func(tx ledger.Tx) error { _, err := i.Instruct(w.ctx, tx, in); return err })
	if err != nil {
		w.t.Fatal(err)
	}
}

// scripts are what has become of the world's scripts: state, how often sent, how
// often refused, and the last result.
func (w *world) scripts(want ...string) {
	w.t.Helper()
	var got []string
	err := w.ledger.View(w.ctx, func(tx ledger.Tx) error {
		got = nil
		return tx.EachScript("", func(s ledger.Script) error {
			got = append(got, fmt.Sprintf("%s %s, sent %d, refused %d, %02X", s.Command, s.State, s.Sent, s.Refused, s.Result))
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("scripts %q, want %q", got, want)
	}
}

// completion is what the card said last of the payment of an order.
func (w *world) completion(order string) (found ledger.Authorisation) {
	w.t.Helper()
	err := w.ledger.View(w.ctx, func(tx ledger.Tx) error {
		return tx.EachAuthorisation(func(a ledger.Authorisation) error {
			if a.Order == order {
				found = a
			}
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// pay pays an order of 10.00.
func (r *rig) pay(w *world, id string) payment.Result {
	w.t.Helper()
	w.order(id, 1000)
	got, err := r.unit.Pay(w.ctx, payment.Order{ID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

const (
	noCVM   = "No CVM required"
	offline = "Plaintext PIN verification performed by ICC"
)

// TestPINUnblocked: a PIN that is blocked in the card is unblocked by the issuer's
// script, and the next payment with it goes through: where all goes well, where the
// card is taken out at the script, before or after it has done it, where the card
// refuses it, and where the unit dies before it has told.
func TestPINUnblocked(t *testing.T) {
	for _, c := range []struct {
		name, faults  string
		first, second []string
		failed        bool
		offlineNext   bool
	}{
		{name: "done", first: []string{"pin-unblock done, sent 1, refused 0, 20"}, second: []string{"pin-unblock done, sent 1, refused 0, 20"}, offlineNext: true},
		{name: "torn before it", faults: "remove@script", first: []string{"pin-unblock owed, sent 1, refused 1, 11"},
			second: []string{"pin-unblock done, sent 2, refused 1, 20"}, failed: true},
		{name: "torn after it", faults: "remove-after@script", first: []string{"pin-unblock owed, sent 1, refused 1, 11"},
			second: []string{"pin-unblock done, sent 2, refused 1, 20"}, failed: true, offlineNext: true},
		{name: "refused", faults: "sw=6A80@script", first: []string{"pin-unblock owed, sent 1, refused 1, 11"},
			second: []string{"pin-unblock done, sent 2, refused 1, 20"}, failed: true},
		{name: "answered with a warning", faults: "sw=6300@script", first: []string{"pin-unblock done, sent 1, refused 0, 20"},
			second: []string{"pin-unblock done, sent 1, refused 0, 20"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, iss := newScripted(t)
			cfg := plain()
			cfg.profile, cfg.faults = "pin-unblock", c.faults
			r := w.rig(cfg)
			w.instruct(iss, "pin-unblock", issuer.Instruction{Command: issuer.PINUnblock})
			got := r.pay(w, "A-1")
			if got.Outcome != payment.Approved || got.CVM != noCVM {
				t.Fatalf("%s by %s: %v", got.Outcome, got.CVM, got.Reasons)
			}
			w.scripts(c.first...)
			a := w.completion("A-1")
			tvr, _ := tlv.Find(a.Completion, tags.TVR)
			if results, ok := tlv.Find(a.Completion, tags.IssuerScriptResults); !ok || len(tvr) != 5 || (tvr[4]&0x10 != 0) != c.failed || got.TVR[8:] != fmt.Sprintf("%02X", tvr[4]) {
				t.Errorf("results % X, TVR % X, result's %s", results, tvr, got.TVR)
			}
			got = r.pay(w, "A-2")
			if want := map[bool]string{true: offline, false: noCVM}[c.offlineNext]; got.Outcome != payment.Approved || got.CVM != want {
				t.Errorf("next: %s by %s, want %s: %v", got.Outcome, got.CVM, want, got.Reasons)
			}
			w.scripts(c.second...)
			if c.name == "answered with a warning" {
				return
			}
			if got = r.pay(w, "A-3"); got.Outcome != payment.Approved || got.CVM != offline {
				t.Errorf("the one after: %s by %s: %v", got.Outcome, got.CVM, got.Reasons)
			}
			w.scripts(c.second...)
		})
	}
}

// TestPINChangedByScript: the new PIN is the card's after the next payment, and the
// old one is not.
func TestPINChangedByScript(t *testing.T) {
	w, iss := newScripted(t)
	cfg := plain()
	cfg.profile, cfg.script.PIN = "offline-pin", secret.CopyBytes([]byte("1234"))
	card := w.reader(cfg)
	cfg.reader = func(cardreader.Reader) cardreader.Reader { return card }
	r := w.rig(cfg)
	w.instruct(iss, "offline-pin", issuer.Instruction{Command: issuer.PINChange, PIN: secret.CopyBytes([]byte("86420"))})
	w.instruct(iss, "offline-pin", issuer.Instruction{Command: issuer.PutData, Objects: []byte{0x9F, 0x14, 1, 1, 0x9F, 0x23, 1, 2}, Early: true})
	if got := r.pay(w, "A-1"); got.Outcome != payment.Approved || got.CVM != offline {
		t.Fatalf("%s by %s: %v", got.Outcome, got.CVM, got.Reasons)
	}
	w.scripts("pin-change done, sent 1, refused 0, 20", "limits done, sent 1, refused 0, 20")
	cfg.script.PIN = secret.CopyBytes([]byte("86420"))
	if got := w.rig(cfg).pay(w, "A-2"); got.Outcome != payment.Approved || got.CVM != offline {
		t.Errorf("the new PIN: %s by %s: %v", got.Outcome, got.CVM, got.Reasons)
	}
	if got := r.pay(w, "A-3"); got.CVM == offline {
		t.Errorf("the old PIN: %s by %s", got.Outcome, got.CVM)
	}
	w.mu.Lock()
	all := fmt.Sprint(w.events, r.events)
	w.mu.Unlock()
	if strings.Contains(all, "86420") {
		t.Error("the new PIN was told")
	}
}

// TestScriptNotTold: where the results never reach the issuer, the card tells in
// its next request.
func TestScriptNotTold(t *testing.T) {
	w, iss := newScripted(t)
	cfg := plain()
	cfg.profile = "decline-second"
	r := w.rig(cfg)
	w.instruct(iss, "decline-second", issuer.Instruction{Command: issuer.PINUnblock})
	// The card declines what its issuer approved, does what the script says, and
	// the reversal tells.
	if got := r.pay(w, "A-1"); got.Outcome != payment.Declined || !got.Reversed {
		t.Fatalf("%s: %v", got.Outcome, got.Reasons)
	}
	w.scripts("pin-unblock done, sent 1, refused 0, 20")

	cfg.profile, cfg.script.PIN = "default", secret.CopyBytes([]byte("9999"))
	r = w.rig(cfg)
	w.instruct(iss, "default", issuer.Instruction{Command: issuer.PINUnblock})
	// After a decline nothing follows: the next request has it.
	if got := r.pay(w, "B-1"); got.Outcome != payment.Declined || got.ResponseCode != "55" {
		t.Fatalf("%s, %s: %v", got.Outcome, got.ResponseCode, got.Reasons)
	}
	w.scripts("pin-unblock done, sent 1, refused 0, 20", "pin-unblock sent, sent 1, refused 0, 00")
	r.pay(w, "B-2")
	w.scripts("pin-unblock done, sent 1, refused 0, 20", "pin-unblock done, sent 1, refused 0, 00")
}

// TestScriptLostAnswer: an answer that never came carried nothing, and its script
// goes again.
func TestScriptLostAnswer(t *testing.T) {
	w, iss := newScripted(t)
	cfg := plain()
	cfg.profile = "pin-unblock"
	r := w.rig(cfg)
	w.instruct(iss, "pin-unblock", issuer.Instruction{Command: issuer.PINUnblock})
	w.intercept = cuts(host.StageCommitted, 2)
	if got := r.pay(w, "A-1"); got.Outcome != payment.Declined {
		t.Fatalf("%s: %v", got.Outcome, got.Reasons)
	}
	w.scripts("pin-unblock sent, sent 1, refused 0, 00")
	w.intercept = nil
	if got := r.pay(w, "A-2"); got.Outcome != payment.Approved {
		t.Fatalf("%s: %v", got.Outcome, got.Reasons)
	}
	w.scripts("pin-unblock done, sent 2, refused 0, 20")
}

// TestScriptBySecondTap: the issuer's scripts reach a card that is held to the
// reader again, and what it did is told.
func TestScriptBySecondTap(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []simcard.Fault
		want   string
	}{
		{"done", nil, "limits done, sent 1, refused 0, 20"},
		{"taken away at the script", []simcard.Fault{{Action: simcard.Remove, At: simcard.OnScript, Nth: 1}}, "limits owed, sent 1, refused 1, 11"},
		{"refused", []simcard.Fault{{Action: simcard.WrongSW, At: simcard.OnScript, Nth: 1, Number: 0x6A80}}, "limits owed, sent 1, refused 1, 11"},
		{"not held again", []simcard.Fault{{Action: simcard.Remove, At: simcard.OnExternalAuth, Nth: 1}}, "limits sent, sent 1, refused 0, 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, iss := newScripted(t)
			cfg := plain()
			cfg.tap = tapped(t, "default", nil, c.faults...)
			r := w.rig(cfg)
			w.instruct(iss, "default", issuer.Instruction{Command: issuer.PutData, Objects: []byte{0x9F, 0x14, 1, 7}})
			if got := r.pay(w, "T"); got.Outcome != payment.Approved || got.Entry != "contactless" {
				t.Fatalf("%s by %s: %v", got.Outcome, got.Entry, got.Reasons)
			}
			w.scripts(c.want)
		})
	}
}

// TestBlockedByScript: a card that its issuer blocks gives no more cryptograms.
func TestBlockedByScript(t *testing.T) {
	for command, says := range map[issuer.Command]string{issuer.ApplicationBlock: "no application in common", issuer.CardBlock: "blocked"} {
		w, iss := newScripted(t)
		r := w.rig(plain())
		w.instruct(iss, "default", issuer.Instruction{Command: command})
		got := r.pay(w, "A-1")
		if got.Outcome != payment.Declined || got.ResponseCode != issuer.CodeRestricted {
			t.Errorf("%s: %s, %s", command, got.Outcome, got.ResponseCode)
		}
		w.order("A-2", 1000)
		if _, err := r.unit.Pay(context.Background(), payment.Order{ID: "A-2"}); !errors.Is(err, payment.ErrCard) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s, the next payment: %v", command, err)
		}
		if s := w.state("A-2"); s != trade.Open {
			t.Errorf("order is %s", s)
		}
	}
}
