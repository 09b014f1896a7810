package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger/sqltest"
	"github.com/payunit/payunit/payment/trade"
)

// Every bit of a message is under its MAC.
func TestEveryBitOfAMessageCounts(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1234)
	m := u.sale("o1", 1234, testPIN)
	_, b := u.seal(m)
	for bit := range 8 * len(b) {
		x := bytes.Clone(b)
		x[bit/8] ^= 1 << (bit % 8)
		if _, err := u.post(x); code(err) != trade.CodeRefused && code(err) != trade.CodeMalformed {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for n := range b {
		if _, err := u.post(b[:n]); code(err) != trade.CodeRefused && code(err) != trade.CodeMalformed {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	r.booked("after all that", 0, 0, 0)
	// Nothing of it used anything up.
	if _, err := u.post(b); err != nil {
		t.Errorf("the message itself: %v", err)
	}
	r.booked("after the message itself", 1234, 1234, 0)
}

// A message key is taken once, in whatever message.
func TestMessageKeys(t *testing.T) {
	r := newRig(t)
	u, v := r.enrol(1, 4), r.enrol(2, 4)
	r.order("o1", 100)
	r.order("o2", 200)
	m := u.sale("o1", 100, "")
	k, b := u.seal(m)
	if _, err := u.post(b); err != nil {
		t.Fatal(err)
	}
	if _, err := u.post(b); code(err) != trade.CodeRefused {
		t.Errorf("the same bytes again: %v", err)
	}
	n := u.sale("o2", 200, "")
	n.MACKSN = k.KSN()
	x, err := r.s.c.Dialect.Seal(n, k.MACRequest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.post(x); code(err) != trade.CodeRefused {
		t.Errorf("another message under a used key: %v", err)
	}
	// Another terminal's key is none here, even in a message that names it.
	y := u.sale("o2", 200, "")
	y.TerminalID = v.grant.TerminalID
	_, z := u.seal(y)
	if _, err := v.post(z); code(err) != trade.CodeRefused {
		t.Errorf("a message under another terminal's key: %v", err)
	}
	// Keys out of order are keys.
	k1, b1 := u.seal(u.sale("o2", 200, ""))
	defer k1.Wipe()
	k2, b2 := u.seal(u.sale("o2", 200, ""))
	defer k2.Wipe()
	if _, err := u.post(b2); err != nil {
		t.Errorf("the later key first: %v", err)
	}
	if _, err := u.post(b1); err != nil {
		t.Errorf("the earlier key second: %v", err)
	}
	if _, err := u.post(b1); code(err) != trade.CodeRefused {
		t.Errorf("the earlier key twice: %v", err)
	}
	r.booked("in the end", 300, 300, 0)
	ledgertest.Clean(t, r.l)
}

// A PIN block is taken once.
func TestPINKeyOnce(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 100)
	r.order("o2", 100)
	m := u.sale("o1", 100, testPIN)
	u.want("first", m, "00")
	n := u.sale("o2", 100, testPIN)
	n.PINBlock, n.PINKSN = m.PINBlock, m.PINKSN
	u.want("the same PIN block again", n, codeSecurity)
	r.booked("in the end", 100, 100, 0)
}

// Neither the ledger's files nor the events hold a number, a PIN or a key.
func TestNothingSecretIsKept(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 100)
	r.order("o2", 100)
	m := u.sale("o1", 100, testPIN)
	resp := u.want("approved", m, "00")
	c := u.completion(m, resp.AuthCode)
	// A unit that sends account data where none belongs.
	c.ICC = append(tlv.Append(nil, 0x5A, []byte{0x47, 0x61, 0x73, 0x90, 0x01, 0x01, 0x00, 0x10}), c.ICC...)
	u.want("completed", c, "00")
	u.want("declined", u.sale("o2", 100, "0000"), issuer55)
	pan, _ := hex.DecodeString(testPAN)
	imk, _ := hex.DecodeString(testIMK)
	needles := [][]byte{
		[]byte(testPAN), pan, []byte(testIMK), imk, bytes.Repeat([]byte{0x11}, 16), bytes.Repeat([]byte{0x12}, 16), bytes.Repeat([]byte{0x77}, 32),
		[]byte(`"` + testPIN), m.PINBlock,
	}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(r.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			t.Errorf("%s is empty", suffix)
		}
		for i, n := range needles {
			if bytes.Contains(b, n) {
				t.Errorf("needle %d is in the ledger%s", i, suffix)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		for _, s := range []string{testPAN, testPIN, testIMK} {
			if strings.Contains(e.Text, s) {
				t.Errorf("event says %q", e.Text)
			}
		}
	}
	if len(r.events) < 4 {
		t.Errorf("%d events", len(r.events))
	}
}

// script is a payment as a unit carries it out: an answer that does not come
// makes a reversal, one that does a completion, and both are repeated until they
// are acknowledged.
type script struct {
	u       *unit
	m       *acquirer.Message
	owed    *acquirer.Message
	settled bool
}

// step does the next thing, and reports whether it was answered.
func (s *script) step() bool {
	if s.owed == nil {
		resp, err := s.u.send(s.m)
		switch {
		case err != nil:
			s.owed = s.u.reversal(s.m)
			return false
		case resp.ResponseCode != codeApproved:
			s.settled = true
			return true
		}
		s.owed = s.u.completion(s.m, resp.AuthCode)
		return true
	}
	resp, err := s.u.send(s.owed)
	if err != nil {
		return false
	}
	if resp.ResponseCode != codeApproved {
		s.u.r.t.Errorf("%s was answered %s", s.owed.MTI, resp.ResponseCode)
	}
	s.settled = true
	return true
}

// finish goes on until nothing is owed, and checks that the ledger has what the
// unit has.
func (s *script) finish(what string) {
	t := s.u.r.t
	t.Helper()
	for n := 0; !s.settled; n++ {
		if n > 5 {
			t.Fatalf("%s: never settled", what)
		}
		s.step()
	}
	if s.owed != nil && s.owed.MTI[1] == '2' {
		s.u.r.state(what, "o1", trade.Paid)
		s.u.r.booked(what, 1234, 0, 1234)
		return
	}
	s.u.r.state(what, "o1", trade.Open)
	s.u.r.booked(what, 0, 0, 0)
}

// Every SQL statement of a payment fails, before and after it was carried out:
// for this process only, or for good, and then another one goes on with what is
// on disk. Whatever the unit was told is what is booked.
func TestEveryStatementOfAPaymentFails(t *testing.T) {
	reached := map[string]bool{}
	for _, mode := range []sqltest.Mode{sqltest.Before, sqltest.After} {
		for _, lasting := range []bool{false, true} {
			for n := 1; ; n++ {
				r := newRig(t)
				u := r.enrol(1, 4)
				r.order("o1", 1234)
				s := &script{u: u, m: u.sale("o1", 1234, testPIN)}
				if lasting {
					r.faults.Arm(n, mode)
				} else {
					r.faults.ArmOnce(n, mode)
				}
				for range 3 {
					if !s.settled {
						s.step()
					}
				}
				failed := r.faults.Failed()
				what := "statement " + failed
				if failed != "" {
					reached[failed] = true
				}
				if lasting {
					s.u = u.at(r.crash())
				}
				r.faults.Arm(0, mode)
				s.finish(what)
				if lasting && s.u.r != r {
					s.u.r.close()
				}
				r.close()
				if failed == "" {
					if n < 30 {
						t.Errorf("only %d statements", n)
					}
					break
				}
				if t.Failed() {
					t.Fatalf("mode %d, lasting %t, statement %d: %s", mode, lasting, n, failed)
				}
			}
		}
	}
	for _, want := range []string{"COMMIT", "INSERT INTO entries", "INSERT INTO postings", "INSERT INTO authorisations"} {
		found := false
		for q := range reached {
			found = found || strings.HasPrefix(q, want)
		}
		if !found {
			t.Errorf("no fault reached %s", want)
		}
	}
}

// The answer is lost after the booking, or the request before it, at every
// message; the unit settles it.
func TestCut(t *testing.T) {
	for _, stage := range []Stage{StageVerified, StageCommitted} {
		for _, mti := range []string{"0200", "0220", "0420"} {
			r := newRig(t)
			u := r.enrol(1, 4)
			r.order("o1", 1234)
			cuts := 0
			r.cut = func(p Point) error {
				// A reversal comes only after a request whose answer was lost.
				lost := mti == "0420" && p.MTI == "0200" && p.Stage == StageCommitted
				if (p.Stage == stage && p.MTI == mti || lost) && cuts < 2 {
					cuts++
					return errors.New("cut here")
				}
				return nil
			}
			s := &script{u: u, m: u.sale("o1", 1234, testPIN)}
			s.finish("cut at " + mti)
			if cuts == 0 {
				t.Errorf("%s: no cut", mti)
			}
		}
	}
}

// Repeats at once: one booking, one answer.
func TestConcurrentRepeats(t *testing.T) { concurrentRepeats(t, newRig(t)) }

func concurrentRepeats(t *testing.T, r *rig) {
	u := r.enrol(1, 4)
	r.order("o1", 1234)
	m := u.sale("o1", 1234, testPIN)
	const n = 8
	var sealed [n][]byte
	for i := range sealed {
		_, sealed[i] = u.seal(m.Clone())
	}
	codes := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			b, err := u.post(sealed[i])
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := r.s.c.Dialect.Unpack(b)
			if err != nil {
				t.Error(err)
				return
			}
			codes[i] = resp.ResponseCode + resp.AuthCode
		})
	}
	wg.Wait()
	for i, c := range codes {
		if c != codes[0] || !strings.HasPrefix(c, "00") {
			t.Errorf("answer %d is %q, the first %q", i, c, codes[0])
		}
	}
	r.state("in the end", "o1", trade.Pending)
	r.booked("in the end", 1234, 1234, 0)
}

// A reversal races its request and the request's repeats, at two servers on one
// ledger: in the end nothing is booked.
func TestReversalRaces(t *testing.T) { reversalRaces(t, newRig) }

func reversalRaces(t *testing.T, newRig func(testing.TB) *rig) {
	for round := range 10 {
		r := newRig(t)
		u := r.enrol(1, 4)
		r.order("o1", 1234)
		second := openRig(t, r.path)
		m := u.sale("o1", 1234, testPIN)
		var b [4][]byte
		for i := range 3 {
			_, b[i] = u.seal(m.Clone())
		}
		_, b[3] = u.seal(u.reversal(m))
		var wg sync.WaitGroup
		for i := range b {
			at := u
			if (i+round)%2 == 1 {
				at = u.at(second)
			}
			wg.Go(func() {
				if _, err := at.post(b[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		r.state("after the race", "o1", trade.Open)
		r.booked("after the race", 0, 0, 0)
		second.close()
		r.close()
	}
}

// Many terminals want one order, and one card's money: one gets it.
func TestManyTerminalsOneOrder(t *testing.T) { manyTerminalsOneOrder(t, newRig(t)) }

func manyTerminalsOneOrder(t *testing.T, r *rig) {
	r.order("o1", 1234)
	const n = 6
	var sealed [n][]byte
	var units [n]*unit
	c := newCard(t)
	for i := range units {
		units[i] = r.enrol(byte(i+1), 4)
		units[i].card = c
		_, sealed[i] = units[i].seal(units[i].sale("o1", 1234, testPIN))
	}
	var mu sync.Mutex
	approved := 0
	var wg sync.WaitGroup
	for i, u := range units {
		wg.Go(func() {
			b, err := u.post(sealed[i])
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := r.s.c.Dialect.Unpack(b)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if resp.ResponseCode == codeApproved {
				approved++
			}
		})
	}
	wg.Wait()
	if approved != 1 {
		t.Errorf("%d terminals were approved, want 1", approved)
	}
	r.booked("in the end", 1234, 1234, 0)
	r.state("in the end", "o1", trade.Pending)
}

// A request that can't have the ledger in time is refused, and did nothing.
func TestBusy(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1234)
	_, b := u.seal(u.sale("o1", 1234, testPIN))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := trade.Envelope{Kind: trade.KindFinancial, Request: 1, Body: b}
	if _, err := r.s.financial(ctx, &peer{identity: u.identity, gate: proven{}}, e); code(err) != trade.CodeBusy {
		t.Errorf("got %v, want busy", err)
	}
	r.booked("afterwards", 0, 0, 0)
}
