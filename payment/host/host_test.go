package host

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

func TestSale(t *testing.T) {
	for _, format := range []uint8{4, 0} {
		r := newRig(t)
		u := r.enrol(1, format)
		r.order("o1", 1234)
		m := u.sale("o1", 1234, testPIN)
		resp := u.want("request", m, "00")
		if len(resp.AuthCode) != 6 {
			t.Errorf("authorisation code %q", resp.AuthCode)
		}
		if _, ok := tlv.Find(resp.ICC, tags.IssuerAuthenticationData); !ok {
			t.Error("the answer has no tag 91")
		}
		r.state("after the request", "o1", trade.Pending)
		r.booked("after the request", 1234, 1234, 0)
		u.want("completion", u.completion(m, resp.AuthCode), "00")
		r.state("after the completion", "o1", trade.Paid)
		r.booked("after the completion", 1234, 0, 1234)
		// The next server has it all.
		r.close()
		r = openRig(t, r.path)
		r.state("in another process", "o1", trade.Paid)
	}
}

func TestOrders(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	good := Order{ID: "o1", Type: trade.Sale, Amount: r.eur(1234), Merchant: "M1"}
	for _, c := range []struct {
		name  string
		alter func(o *Order)
		want  error
	}{
		{"new", func(*Order) {}, nil},
		{"the same again", func(*Order) {}, nil},
		{"another amount", func(o *Order) { o.Amount.Minor++ }, ErrOrderExists},
		{"another merchant", func(o *Order) { o.Merchant = "M2" }, ErrOrderExists},
		{"no id", func(o *Order) { o.ID = "" }, ErrOrder},
		{"id too long", func(o *Order) { o.ID = string(bytes.Repeat([]byte{'x'}, 65)) }, ErrOrder},
		{"space in the id", func(o *Order) { o.ID = "a b" }, ErrOrder},
		{"letter that is not ASCII", func(o *Order) { o.ID = "ä" }, ErrOrder},
		{"nothing", func(o *Order) { o.ID, o.Amount.Minor = "o2", 0 }, ErrOrder},
		{"negative", func(o *Order) { o.ID, o.Amount.Minor = "o2", -1 }, ErrOrder},
		{"13 digits", func(o *Order) { o.ID, o.Amount.Minor = "o2", money.MaxMinor+1 }, ErrOrder},
		{"no currency", func(o *Order) { o.ID, o.Amount.Currency = "o2", money.Currency{} }, ErrOrder},
		{"no merchant", func(o *Order) { o.ID, o.Merchant = "o2", "" }, ErrOrder},
		{"refund of nothing", func(o *Order) { o.ID, o.Type = "o2", trade.Refund }, ErrOrder},
		{"completion of nothing", func(o *Order) { o.ID, o.Type = "o2", trade.Completion }, ErrOrder},
		{"cashback without cash", func(o *Order) { o.ID, o.Type = "o2", trade.Cashback }, ErrOrder},
		{"more cash than the amount", func(o *Order) {
			o.ID, o.Type, o.Cashback = "o2", trade.Cashback, money.New(o.Amount.Minor+1, o.Amount.Currency)
		}, ErrOrder},
		{"cash in another currency", func(o *Order) { o.ID, o.Type, o.Cashback = "o2", trade.Cashback, money.New(1, yen(t)) }, ErrOrder},
		{"cash in a sale", func(o *Order) { o.ID, o.Cashback = "o2", money.New(1, o.Amount.Currency) }, ErrOrder},
		{"sale with an original", func(o *Order) { o.ID, o.Original = "o2", "o1" }, ErrOrder},
		{"void of nothing", func(o *Order) { o.ID, o.Type = "o2", trade.Void }, ErrOrder},
		{"balance of an amount", func(o *Order) { o.ID, o.Type = "o2", trade.Balance }, ErrOrder},
		{"no type", func(o *Order) { o.ID, o.Type = "o2", "" }, ErrUnsupported},
	} {
		o := good
		c.alter(&o)
		if err := r.s.CreateOrder(ctx, o); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := r.s.OrderState(ctx, "o2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an order that was refused: got %v, want ErrNotFound", err)
	}
}

// ask sends a request with a JSON body.
func (u *unit) ask(kind trade.Kind, body any, out any) error {
	u.r.t.Helper()
	e, err := trade.Encode(kind, 7, body)
	if err != nil {
		u.r.t.Fatal(err)
	}
	reply, err := (&handler{u.r.s, &peer{identity: u.identity, gate: proven{}}}).Handle(context.Background(), &conn{id: u.identity}, e)
	if err != nil {
		return err
	}
	return reply.Decode(out)
}

func code(err error) trade.Code {
	var e *trade.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestTrade(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1234)
	var got trade.Trade
	if err := u.ask(trade.KindTradeRequest, trade.TradeRequest{Order: "o1"}, &got); err != nil {
		t.Fatal(err)
	}
	want := trade.Trade{Order: "o1", Type: trade.Sale, State: trade.Open, Amount: r.eur(1234), Merchant: "Corner Shop", Time: testNow}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b money.Currency) bool { return a == b })); d != "" {
		t.Errorf("trade (-want +got):\n%s", d)
	}
	if err := u.ask(trade.KindTradeRequest, trade.TradeRequest{Order: "o2"}, &got); code(err) != trade.CodeUnknownOrder {
		t.Errorf("unknown order: %v", err)
	}
	if err := r.s.CreateOrder(t.Context(), Order{ID: "o3", Type: trade.Sale, Amount: r.eur(1), Merchant: "M2"}); err != nil {
		t.Fatal(err)
	}
	if err := u.ask(trade.KindTradeRequest, trade.TradeRequest{Order: "o3"}, &got); code(err) != trade.CodeUnknownOrder {
		t.Errorf("another merchant's order: %v", err)
	}
	var none struct{}
	if err := u.ask(trade.KindCancel, trade.Cancel{Order: "o1", Reason: "cardholder"}, &none); err != nil {
		t.Errorf("cancel: %v", err)
	}
	r.state("after a cancel", "o1", trade.Open)
	if err := u.ask(trade.KindCancel, trade.Cancel{Order: "o1", Reason: "weather"}, &none); code(err) != trade.CodeMalformed {
		t.Errorf("cancel with an unknown reason: %v", err)
	}
	u.want("request", u.sale("o1", 1234, ""), "00")
	if err := u.ask(trade.KindCancel, trade.Cancel{Order: "o1", Reason: "unit"}, &none); code(err) != trade.CodeRefused {
		t.Errorf("cancel of what is booked: %v", err)
	}
	r.state("after a refused cancel", "o1", trade.Pending)
	for _, k := range []trade.Kind{trade.KindEnrol, trade.KindTrade, trade.KindGrant, trade.KindError, trade.KindFinancialReply, trade.KindCancelled} {
		if err := u.ask(k, struct{}{}, &none); code(err) != trade.CodeUnsupported {
			t.Errorf("kind %d: %v", k, err)
		}
	}
	if err := u.ask(trade.KindTradeRequest, map[string]string{"order": "o1", "amount": "1"}, &none); code(err) != trade.CodeMalformed {
		t.Errorf("a request that says more than the order: %v", err)
	}
}

// What does not agree with the order is refused, nothing is booked, and the
// order can be paid afterwards.
func TestRefused(t *testing.T) {
	jpy, err := money.ByCode("JPY")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		alter func(r *rig, u *unit, m *acquirer.Message)
		want  string
	}{
		{"more than the order", func(_ *rig, _ *unit, m *acquirer.Message) { m.Amount.Minor++ }, codeAmount},
		{"less than the order", func(_ *rig, _ *unit, m *acquirer.Message) { m.Amount.Minor-- }, codeAmount},
		{"another currency", func(_ *rig, _ *unit, m *acquirer.Message) { m.Amount.Currency = jpy }, codeAmount},
		{"card's amount is more", func(_ *rig, u *unit, m *acquirer.Message) { m.ICC = u.card.icc(t, 1235, true) }, codeAmount},
		{"card's amount is less", func(_ *rig, u *unit, m *acquirer.Message) { m.ICC = u.card.icc(t, 1, true) }, codeAmount},
		{"card's amount twice", func(_ *rig, u *unit, m *acquirer.Message) {
			m.ICC = append(tlv.Append(nil, tags.AmountAuthorised, tlv.AppendN(nil, 1234, 6)), m.ICC...)
		}, codeFormat},
		{"card's amount missing", func(_ *rig, u *unit, m *acquirer.Message) { m.ICC = tlv.Append(nil, tags.TVR, make([]byte, 5)) }, codeFormat},
		{"no field 55", func(_ *rig, _ *unit, m *acquirer.Message) { m.ICC = nil }, codeFormat},
		{"unknown order", func(_ *rig, _ *unit, m *acquirer.Message) { m.Order = "o9" }, codeInvalid},
		{"no order", func(_ *rig, _ *unit, m *acquirer.Message) { m.Order = "" }, codeInvalid},
		{"refund for a sale's order", func(_ *rig, _ *unit, m *acquirer.Message) { m.ProcessingCode = acquirer.ProcessingRefund }, codeUnsupported},
		{"cash", func(_ *rig, _ *unit, m *acquirer.Message) { m.ProcessingCode = acquirer.ProcessingCash }, codeUnsupported},
		{"card's cryptogram is for a refund", func(_ *rig, u *unit, m *acquirer.Message) { m.ICC = u.card.iccOf(t, 0x20, 1234, true) }, codeAmount},
		{"no RRN", func(_ *rig, _ *unit, m *acquirer.Message) { m.RRN = "" }, codeFormat},
		{"wrong PIN", func(_ *rig, u *unit, m *acquirer.Message) {
			n := u.sale("o1", 1234, "0000")
			m.PINBlock, m.PINKSN = n.PINBlock, n.PINKSN
		}, issuer55},
		{"PIN block altered", func(_ *rig, _ *unit, m *acquirer.Message) { m.PINBlock[0] ^= 1 }, codeSecurity},
		{"PIN block under a message key's number", func(_ *rig, u *unit, m *acquirer.Message) {
			k, _ := u.mac.Next(context.Background())
			m.PINKSN = k.KSN()
		}, codeSecurity},
		{"PIN block of another format", func(_ *rig, _ *unit, m *acquirer.Message) {
			m.PINBlock, m.PINFormat, m.PINKSN = make([]byte, 8), 0, make([]byte, 10)
		}, codeSecurity},
		{"another expiry", func(_ *rig, _ *unit, m *acquirer.Message) { m.Expiry = "3011" }, "54"},
		{"another card", func(_ *rig, _ *unit, m *acquirer.Message) {
			// The PIN block is bound to the number of the card.
			m.PAN, _ = secret.NewPAN([]byte("4761739001010028"))
			m.PINBlock, m.PINKSN, m.PINFormat = nil, nil, 0
		}, "14"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			u := r.enrol(1, 4)
			r.order("o1", 1234)
			m := u.sale("o1", 1234, testPIN)
			c.alter(r, u, m)
			u.want(c.name, m, c.want)
			r.state("afterwards", "o1", trade.Open)
			r.booked("afterwards", 0, 0, 0)
			u.want("another try", u.sale("o1", 1234, testPIN), "00")
			r.booked("after another try", 1234, 1234, 0)
		})
	}
}

const issuer55 = "55"

// An order is paid once, whoever tries again.
func TestOrderOnce(t *testing.T) {
	r := newRig(t)
	u, v := r.enrol(1, 4), r.enrol(2, 4)
	v.card = u.card
	r.order("o1", 1234)
	m := u.sale("o1", 1234, testPIN)
	resp := u.want("first", m, "00")
	u.want("again while pending", u.sale("o1", 1234, testPIN), codeDuplicate)
	v.want("at another terminal", v.sale("o1", 1234, testPIN), codeDuplicate)
	u.want("completion", u.completion(m, resp.AuthCode), "00")
	u.want("again when paid", u.sale("o1", 1234, testPIN), codeDuplicate)
	v.want("at another terminal", v.sale("o1", 1234, testPIN), codeDuplicate)
	r.state("in the end", "o1", trade.Paid)
	r.booked("in the end", 1234, 0, 1234)
}

// A repeat gets the same answer, and nothing is booked twice.
func TestRepeats(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1234)
	r.order("o2", opening)
	m := u.sale("o1", 1234, testPIN)
	first := u.want("first", m, "00")
	declined := u.sale("o2", opening, testPIN)
	u.want("declined", declined, "51")
	check := func(what string) {
		t.Helper()
		again := u.want(what, u.repeat(m), "00")
		if again.AuthCode != first.AuthCode || !bytes.Equal(again.ICC, first.ICC) {
			t.Errorf("%s: another answer than before", what)
		}
		u.want(what+", declined", u.repeat(declined), "51")
	}
	check("repeat")
	check("second repeat")
	r.state("after repeats", "o1", trade.Pending)
	r.booked("after repeats", 1234, 1234, 0)
	// A server that was killed answers the same.
	u = u.at(r.crash())
	check("repeat after a crash")
	c := u.completion(m, first.AuthCode)
	u.want("completion", c, "00")
	u.want("completion, repeated", u.repeat(c), "00")
	check("repeat after the completion")
	u.r.booked("after the completion", 1234, 0, 1234)

	// The same numbers with another content are another request.
	for _, alter := range []func(n *acquirer.Message){
		func(n *acquirer.Message) { n.Amount.Minor-- },
		func(n *acquirer.Message) { n.Order = "o2" },
		func(n *acquirer.Message) { n.ICC = u.card.icc(t, 1234, true) },
		func(n *acquirer.Message) { n.TransmissionTime = n.TransmissionTime.Add(time.Second) },
		func(n *acquirer.Message) { n.PINBlock = nil; n.PINKSN = nil; n.PINFormat = 0 },
		func(n *acquirer.Message) { n.EntryMode = "071" },
	} {
		n := m.Clone()
		alter(n)
		u.want("another request under the same numbers", n, codeDuplicate)
	}
	u.r.booked("in the end", 1234, 0, 1234)
	ledgertest.Clean(t, u.r.l)
}

func TestReversal(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1234)

	m := u.sale("o1", 1234, testPIN)
	u.want("request", m, "00")
	rev := u.reversal(m)
	u.want("reversal", rev, "00")
	r.state("after the reversal", "o1", trade.Open)
	r.booked("after the reversal", 0, 0, 0)
	u.want("reversal, repeated", u.repeat(rev), "00")
	u.want("request, repeated too late", u.repeat(m), codeInvalid)
	u.want("completion, too late", u.completion(m, "123456"), codeInvalid)
	r.booked("after repeats", 0, 0, 0)

	// The reversal overtakes its request.
	m = u.sale("o1", 1234, testPIN)
	u.want("reversal first", u.reversal(m), "00")
	u.want("late request", m, codeInvalid)
	u.want("late request, repeated", u.repeat(m), codeInvalid)
	u.want("reversal again", u.repeat(u.reversal(m)), "00")
	r.state("after the overtaking", "o1", trade.Open)
	r.booked("after the overtaking", 0, 0, 0)

	// Of a request that was declined.
	m = u.sale("o1", 1234, "0000")
	u.want("declined", m, issuer55)
	u.want("reversal of what was declined", u.reversal(m), "00")
	u.want("request, repeated", u.repeat(m), codeInvalid)

	// Of a request for an order that there is not.
	m = u.sale("o9", 5, "")
	u.want("reversal for an unknown order", u.reversal(m), "00")

	// An 0400 is as good.
	m = u.sale("o1", 1234, "")
	u.want("request", m, "00")
	rev = u.reversal(m)
	rev.MTI = "0400"
	u.want("reversal as a request", rev, "00")
	r.booked("after it", 0, 0, 0)

	// What does not fit its original does nothing.
	m = u.sale("o1", 1234, "")
	resp := u.want("request", m, "00")
	for _, c := range []struct {
		name  string
		alter func(n *acquirer.Message)
		want  string
	}{
		{"another amount", func(n *acquirer.Message) { n.Amount.Minor-- }, codeAmount},
		{"another order", func(n *acquirer.Message) { n.Order = "o9" }, codeNoOriginal},
		{"another time", func(n *acquirer.Message) {
			n.Original.TransmissionTime = n.Original.TransmissionTime.Add(time.Second)
		}, codeNoOriginal},
		{"a part", func(n *acquirer.Message) { a := r.eur(1); n.Replacement = &a }, codeUnsupported},
		{"no RRN", func(n *acquirer.Message) { n.RRN = "" }, codeFormat},
		{"original is no sale", func(n *acquirer.Message) { n.Original.MTI = "0100" }, codeUnsupported},
	} {
		n := u.reversal(m)
		c.alter(n)
		u.want("reversal: "+c.name, n, c.want)
		n = u.completion(m, resp.AuthCode)
		c.alter(n)
		if n.Original != nil && n.Replacement == nil {
			u.want("completion: "+c.name, n, c.want)
		}
		r.booked(c.name, 1234, 1234, 0)
	}
	n := u.completion(m, resp.AuthCode)
	n.Original = nil
	n.PAN = u.card.pan.Clone()
	u.want("an offline approval under the numbers of a request", n, codeDuplicate)

	u.want("completion", u.completion(m, resp.AuthCode), "00")
	u.want("reversal of what is completed", u.reversal(m), codeInvalid)
	r.state("in the end", "o1", trade.Paid)
	r.booked("in the end", 1234, 0, 1234)
	other := u.sale("o1", 1234, "")
	u.want("completion of nothing", u.completion(other, "123456"), codeNoOriginal)
	ledgertest.Clean(t, r.l)
}

// Two terminals with the same numbers are two.
func TestSameNumbersAtTwoTerminals(t *testing.T) {
	r := newRig(t)
	u, v := r.enrol(1, 4), r.enrol(2, 0)
	v.card = u.card
	r.order("o1", 100)
	r.order("o2", 200)
	m, n := u.sale("o1", 100, testPIN), v.sale("o2", 200, testPIN)
	if m.STAN != n.STAN || m.RRN != n.RRN {
		t.Fatal("the numbers differ")
	}
	u.want("first terminal", m, "00")
	v.want("second terminal", n, "00")
	v.want("second terminal reverses", v.reversal(n), "00")
	r.state("first order", "o1", trade.Pending)
	r.state("second order", "o2", trade.Open)
	r.booked("in the end", 100, 100, 0)
	// Nobody reverses somebody else's.
	w := v.at(r)
	x := v.reversal(m)
	x.TerminalID = u.grant.TerminalID
	if _, err := w.send(x); code(err) != trade.CodeRefused {
		t.Errorf("a message that names another terminal: %v", err)
	}
	r.booked("still", 100, 100, 0)
}
