package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted/comm"
)

// said is what the server says of a failure.
func said(err error) trade.Error {
	var e *trade.Error
	if !errors.As(err, &e) {
		return trade.Error{}
	}
	return trade.Error{Code: e.Code, Reason: e.Reason}
}

// attested is a server and a unit's channel to it.
type attested struct {
	*running
	t *testing.T
	u *unit
	s *comm.Session
}

func newAttested(t *testing.T) *attested {
	t.Helper()
	a := &attested{running: serve(t), t: t}
	a.u, a.s = a.enrol(t)
	a.order("o1", 1234)
	a.order("o2", 99)
	return a
}

// wants checks that both requests for an order are answered by an error, or are
// not.
func (a *attested) wants(what, order string, tradeWant, requestWant trade.Error) {
	a.t.Helper()
	e, err := trade.Encode(trade.KindTradeRequest, 0, trade.TradeRequest{Order: order})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.s.Call(a.t.Context(), trade.KindTradeRequest, e.Body); said(err) != tradeWant {
		a.t.Errorf("%s: the trade of %s: %v, want %v", what, order, err, tradeWant)
	}
	_, b := a.u.seal(a.u.sale(order, 1, ""))
	if _, err := a.s.Call(a.t.Context(), trade.KindFinancial, b); said(err) != requestWant {
		a.t.Errorf("%s: a request for %s: %v, want %v", what, order, err, requestWant)
	}
	a.state(what, order, trade.Open)
}

func (a *attested) attest(m attest.Moment, order string, want trade.Error) {
	a.t.Helper()
	if err := a.s.Attest(a.t.Context(), m, order); said(err) != want || err != nil && want == (trade.Error{}) {
		a.t.Errorf("evidence before the %s of %s: %v, want %v", m, order, err, want)
	}
}

var (
	none        trade.Error
	needPayment = trade.Error{Code: trade.CodeAttest, Reason: "payment"}
	needPIN     = trade.Error{Code: trade.CodeAttest, Reason: "pin"}
)

// TestEvidenceBeforeEach: no trade without evidence for its payment, no request
// without evidence before its PIN, and none of it for long or for another.
func TestEvidenceBeforeEach(t *testing.T) {
	a := newAttested(t)
	a.wants("a new channel", "o1", needPayment, needPIN)
	a.attest(attest.BeforePayment, "o1", none)
	a.wants("for the payment", "o1", none, needPIN)
	a.wants("for another payment", "o2", needPayment, needPIN)
	a.attest(attest.BeforePIN, "o1", none)
	a.wants("before the PIN", "o1", none, none)
	a.mu.Lock()
	a.now = a.now.Add(10 * time.Minute)
	a.mu.Unlock()
	a.wants("ten minutes later", "o1", needPayment, needPIN)
	a.s = a.pay(t, a.u)
	a.attest(attest.BeforePIN, "o1", none)
	a.s = a.pay(t, a.u)
	a.wants("in another channel", "o1", needPayment, needPIN)
}

// TestEvidenceRefused: each refusal says why to a machine, and nothing passes
// after it.
func TestEvidenceRefused(t *testing.T) {
	a := newAttested(t)
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := a.attester
	for _, c := range []struct {
		name string
		with channel.Attester
		want trade.Error
	}{
		{"another device", attest.Software{Keys: signer{other}}, trade.Error{Code: trade.CodeEvidence, Reason: "device"}},
		{"another type", fixed{Type: "none"}, trade.Error{Code: trade.CodeEvidence, Reason: "type"}},
		{"cut off", fixed{Type: attest.TypeSoftware, Statement: []byte{1}}, trade.Error{Code: trade.CodeEvidence, Reason: "format"}},
		{"an older answer", replayed(t, good), trade.Error{Code: trade.CodeEvidence, Reason: "signature"}},
		{"too long", fixed{Type: attest.TypeSoftware, Statement: make([]byte, maxStatement+1)}, trade.Error{Code: trade.CodeMalformed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.t, a.attester = t, swap{c.with}
			a.attest(attest.BeforePIN, "o1", c.want)
			a.wants(c.name, "o1", needPayment, needPIN)
		})
	}
	a.t, a.attester = t, good
	a.attest(attest.BeforePIN, "o1", none)
	for name, r := range map[string]struct {
		kind trade.Kind
		body any
	}{
		"an answer to nothing":  {trade.KindEvidence, trade.Evidence{Type: attest.TypeSoftware, Statement: make([]byte, 96)}},
		"no moment":             {trade.KindAttest, trade.Attest{Order: "o1"}},
		"a moment of its own":   {trade.KindAttest, trade.Attest{Moment: "later", Order: "o1"}},
		"no order":              {trade.KindAttest, trade.Attest{Moment: "pin"}},
		"an order with a space": {trade.KindAttest, trade.Attest{Moment: "pin", Order: "o 1"}},
		"more than there is":    {trade.KindAttest, map[string]string{"moment": "pin", "order": "o1", "nonce": "mine"}},
	} {
		e, err := trade.Encode(r.kind, 0, r.body)
		if err != nil {
			t.Fatal(err)
		}
		want := trade.Error{Code: trade.CodeMalformed}
		if r.kind == trade.KindEvidence {
			want = trade.Error{Code: trade.CodeEvidence, Reason: "challenge"}
		}
		if _, err := a.s.Call(t.Context(), r.kind, e.Body); said(err) != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// fixed is an attester that knows one statement.
type fixed channel.Evidence

func (f fixed) Attest(context.Context, []byte) (channel.Evidence, error) {
	return channel.Evidence(f), nil
}

// replayed is one that answers an older challenge.
func replayed(t *testing.T, with channel.Attester) fixed {
	t.Helper()
	e, err := with.Attest(t.Context(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return fixed(e)
}

// down is a verifier that can't be asked.
// breakable is a verifier that can stop to answer, while servers ask it.
type breakable struct {
	attest.SoftwareVerifier
	broken atomic.Bool
}

func (b *breakable) Verify(ctx context.Context, binding []byte, e channel.Evidence) (channel.Claims, error) {
	if b.broken.Load() {
		return channel.Claims{}, errors.New("dial tcp: connection refused")
	}
	return b.SoftwareVerifier.Verify(ctx, binding, e)
}

// TestVerifierDown: that the verifier can't be asked is not held against the
// device, and opens nothing.
func TestVerifierDown(t *testing.T) {
	a := newAttested(t)
	a.s = a.pay(t, a.u)
	a.running.rig.verifier.broken.Store(true)
	a.s = a.pay(t, a.u)
	a.attest(attest.BeforePIN, "o1", trade.Error{Code: trade.CodeVerifier})
	a.wants("after it", "o1", needPayment, needPIN)
}

// TestSettlingNeedsNoEvidence: a reversal is taken from a unit that can't prove
// itself any more.
func TestSettlingNeedsNoEvidence(t *testing.T) {
	a := newAttested(t)
	a.attest(attest.BeforePIN, "o1", none)
	m := a.u.sale("o1", 1234, testPIN)
	_, b := a.u.seal(m)
	if _, err := a.s.Call(t.Context(), trade.KindFinancial, b); err != nil {
		t.Fatal(err)
	}
	a.state("paid", "o1", trade.Pending)
	a.s = a.pay(t, a.u)
	_, b = a.u.seal(a.u.reversal(m))
	if _, err := a.s.Call(t.Context(), trade.KindFinancial, b); err != nil {
		t.Fatal(err)
	}
	a.state("reversed", "o1", trade.Open)
}
