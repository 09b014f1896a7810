package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// The accounts of a merchant: what is booked and waits for the card's last word,
// and what is the merchant's.
func pendingAccount(merchant string) string  { return "pending/" + merchant }
func merchantAccount(merchant string) string { return "merchant/" + merchant }

// request carries out an 0200. Every answer is kept, so that a repeat gets the
// same one.
func (s *Server) request(ctx context.Context, tx ledger.Tx, w *work, t *ledger.Terminal) (reply, error) {
	m := w.m
	k, ok := keyOf(w, m.STAN)
	if !ok {
		return reply{code: codeFormat, said: "refused: STAN or RRN is missing"}, nil
	}
	content := s.content(m)
	old, err := tx.Authorisation(k)
	if err == nil {
		return withBalance(tx, w, old, repeated(old, content))
	}
	if !errors.Is(err, ledger.ErrNotFound) {
		return reply{}, err
	}
	a := ledger.Authorisation{
		Key: k, Transmitted: m.TransmissionTime, Order: m.Order, Amount: *m.Amount, Content: content,
		State: ledger.AuthDeclined, Created: w.now, Changed: w.now,
	}
	order, refused, err := s.judge(tx, w, t)
	if err != nil {
		return reply{}, err
	}
	r := refused
	if r.code == "" {
		if r, err = s.authorize(ctx, tx, w, &a, order); err != nil {
			return reply{}, err
		}
	}
	if r.code == codeApproved && trade.Type(order.Type).Inquiry() {
		a.State = ledger.AuthAnswered
		if r, err = withBalance(tx, w, a, r); err != nil {
			return reply{}, err
		}
	} else if r.code == codeApproved || r.amount != nil {
		a.State = ledger.AuthApproved
		if err := bookRequest(tx, w, &a, order); err != nil {
			return reply{}, err
		}
		if offline(m) {
			if err := s.stands(tx, w, &a); err != nil {
				return reply{}, err
			}
			r.said = "booked: the card had approved offline"
		}
	}
	a.ResponseCode, a.AuthCode, a.ICC = r.code, r.authCode, r.icc
	return r, tx.PutAuthorisation(a)
}

// repeated answers a request whose numbers are known.
func repeated(old ledger.Authorisation, content []byte) reply {
	switch {
	case old.State == ledger.AuthReversed:
		return reply{code: codeInvalid, said: "refused: it was reversed before"}
	case !same(old.Content, content):
		return reply{code: codeDuplicate, said: "refused: another request has its numbers"}
	}
	r := reply{code: old.ResponseCode, authCode: old.AuthCode, icc: old.ICC, said: "repeated: the answer given before"}
	if r.code == codePartial && old.Account != "" {
		r.amount = &old.Amount
	}
	return r
}

// judge looks whether the request is one for the order. The reply's code is empty
// when it is.
func (s *Server) judge(tx ledger.Tx, w *work, t *ledger.Terminal) (ledger.Order, reply, error) {
	m := w.m
	no := func(code, why string) (ledger.Order, reply, error) {
		return ledger.Order{}, reply{code: code, said: "refused: " + why}, nil
	}
	o, err := orderFor(tx, *t, m.Order)
	var said *trade.Error
	switch {
	case errors.As(err, &said):
		return no(codeInvalid, "no such order for this terminal")
	case err != nil:
		return ledger.Order{}, reply{}, err
	case !asked(m, trade.Type(o.Type)):
		return no(codeUnsupported, "the order is a "+o.Type)
	case cash(m) != o.Cashback:
		return no(codeAmount, "the cash is not the order's")
	case o.State != ledger.OrderOpen:
		return no(codeDuplicate, "the order is "+string(o.State))
	}
	if why := s.judgeAmount(m, t, o); why != "" {
		return no(codeAmount, why)
	}
	signed := o
	signed.Amount = *m.Amount
	if code, why := s.judgeEntry(m, t, signed); code != "" {
		return no(code, why)
	}
	if why, err := judgeOriginal(tx, o); err != nil {
		return ledger.Order{}, reply{}, err
	} else if why != "" {
		return no(codeInvalid, why)
	}
	if m.PINBlock == nil {
		return o, reply{}, nil
	}
	if w.pinBad {
		return no(codeSecurity, "the PIN block can't be read")
	}
	if !t.PINKeys.Use(w.pinCounter) {
		return no(codeSecurity, "the key of the PIN block was used before")
	}
	return o, reply{}, nil
}

// asked reports whether a request is the one that an order's type makes.
func asked(m *acquirer.Message, t trade.Type) bool {
	k, ok := kindOf(t)
	return ok && k.card && (m.MTI[:3] == k.mti[:3] || (offline(m) || stoodIn(m)) && t == trade.Sale) && m.ProcessingCode == k.processing
}

// cash is the cash in a request, in minor units of its amount's currency; -1
// when it is in another.
func cash(m *acquirer.Message) int64 {
	for _, o := range m.Other {
		if o.Type != acquirer.AmountCashback {
			continue
		}
		if o.Amount.Currency != m.Amount.Currency {
			return -1
		}
		return o.Amount.Minor
	}
	return 0
}

// sameAsCard looks whether the card's cryptogram was made for the order: field
// 55 has the amount, the currency, the kind and no other amount, each once.
func sameAsCard(icc []byte, order ledger.Order) (code, why string) {
	a := order.Amount
	k, _ := kindOf(trade.Type(order.Type))
	bcd, err := a.BCD12()
	if err != nil {
		return codeAmount, "the amount has no 12 digits"
	}
	want := map[tlv.Tag][]byte{
		tags.AmountAuthorised:        bcd[:],
		tags.TransactionCurrencyCode: tlv.AppendN(nil, uint64(a.Currency.Numeric()), 2),
		tags.AmountOther:             tlv.AppendN(nil, uint64(order.Cashback), 6),
		tags.TransactionType:         {k.transaction},
	}
	seen := map[tlv.Tag]bool{}
	for o, err := range tlv.All(icc) {
		if err != nil {
			return codeFormat, "field 55 is no BER-TLV"
		}
		v, ok := want[o.Tag]
		if !ok {
			continue
		}
		if seen[o.Tag] {
			return codeFormat, fmt.Sprintf("field 55 has tag %v twice", o.Tag)
		}
		seen[o.Tag] = true
		if !bytes.Equal(v, o.Value) {
			return codeAmount, fmt.Sprintf("the card's tag %v is not the order's", o.Tag)
		}
	}
	if order.Cashback != 0 && !seen[tags.AmountOther] {
		return codeFormat, "field 55 lacks the cash"
	}
	if !seen[tags.AmountAuthorised] || !seen[tags.TransactionCurrencyCode] {
		return codeFormat, "field 55 lacks the amount or the currency"
	}
	return "", ""
}

// authorize asks the issuer.
func (s *Server) authorize(ctx context.Context, tx ledger.Tx, w *work, a *ledger.Authorisation, o ledger.Order) (reply, error) {
	m := w.m
	pan, err := panOf(m)
	if err != nil {
		return reply{code: codeFormat, said: "refused: no account number"}, nil
	}
	defer pan.Wipe()
	expiry := m.Expiry
	if expiry == "" {
		expiry = m.Track2.Expiry()
	}
	d, err := s.c.Issuer.Authorize(ctx, tx, issuer.Request{
		PAN: pan, PSN: m.PSN, Expiry: expiry, Amount: *m.Amount, Time: a.Created, Credit: o.Type == string(trade.Refund),
		Inquiry: trade.Type(o.Type).Inquiry(), Offline: offline(m), StoodIn: stoodIn(m), Approved: m.TransmissionTime, Partial: s.partial(o) && tip(m) == 0, PIN: w.pin, ICC: m.ICC,
		Tapped: tapped(m.EntryMode), Entry: entryOf(m.EntryMode), Track2: m.Track2, CVV2: m.CVV2, About: a.Key,
	})
	if err != nil {
		return reply{}, err
	}
	a.Card, a.Account = d.Card, d.Account
	if d.Approved() {
		same, err := sameCard(tx, o, d.Card)
		if err != nil {
			return reply{}, err
		}
		if !same {
			// The issuer's answer says yes to the card: it does not go out.
			return reply{code: codeInvalid, said: "refused: another card paid the original"}, nil
		}
	}
	r := reply{code: d.Code, authCode: d.AuthCode, icc: d.ICC, said: "issuer: " + d.Reason}
	switch {
	case d.Code == issuer.CodePartial && s.partial(o) && tip(m) == 0 && d.Part.Minor > 0 && d.Part.Minor < m.Amount.Minor:
		a.Amount = d.Part
		r.amount = &d.Part
	case !d.Approved():
		r.authCode = ""
	}
	return r, nil
}

// bookRequest moves the amount away from who pays to what waits for the card's
// last word, and makes the order pending.
func bookRequest(tx ledger.Tx, w *work, a *ledger.Authorisation, o ledger.Order) error {
	from, _ := way(o, a)
	e, err := entry(ledger.KindBook, a, w, from, pendingAccount(o.Merchant), o.Type+" approved by the issuer")
	if err != nil {
		return err
	}
	posted, err := tx.Post(e)
	if err != nil {
		return err
	}
	if !posted {
		return fmt.Errorf("%w: a request that is not known is booked", ledger.ErrConflict)
	}
	if err := refunded(tx, o, +1); err != nil {
		return err
	}
	o.State, o.Authorisation, o.Tip = ledger.OrderPending, a.Key, max(tip(w.m), 0)
	return tx.PutOrder(o)
}

// entry moves an authorisation's amount between two accounts.
func entry(kind ledger.Kind, a *ledger.Authorisation, w *work, from, to, cause string) (ledger.Entry, error) {
	neg, err := a.Amount.Neg()
	if err != nil {
		return ledger.Entry{}, fmt.Errorf("host: booking: %w", err)
	}
	return ledger.Entry{
		Key: string(kind) + "/" + a.Key.String(), Kind: kind, Authorisation: a.Key, Cause: cause, Time: w.now,
		Postings: []ledger.Posting{{Account: from, Amount: neg}, {Account: to, Amount: a.Amount}},
	}, nil
}
