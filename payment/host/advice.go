package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// followUps are the types of orders that are about an earlier request, by their
// messages.
var followUps = map[string]trade.Type{"010": trade.Incremental, "022": trade.Completion, "040": trade.Void}

// original finds the authorisation that an advice or a reversal is about, and tells
// the issuer what the message says of its scripts. The reply's code is not empty
// when the message is not coherent with it, or names none; found is false when
// there is no such request yet.
func (s *Server) original(ctx context.Context, tx ledger.Tx, w *work) (a ledger.Authorisation, found bool, r reply, err error) {
	a, found, r, err = coherent(tx, w)
	if err == nil && found && r.code == "" && s.c.Upstream == nil {
		// What the card did with the issuer's scripts is in whatever follows.
		err = s.c.Issuer.Heard(ctx, tx, a.Card, a.Key, w.m.ICC)
	}
	return a, found, r, err
}

func coherent(tx ledger.Tx, w *work) (a ledger.Authorisation, found bool, r reply, err error) {
	m := w.m
	no := func(code, why string) (ledger.Authorisation, bool, reply, error) {
		return ledger.Authorisation{}, false, reply{code: code, said: "refused: " + why}, nil
	}
	if m.Original == nil {
		return no(codeFormat, "no original")
	}
	k, ok := keyOf(w, m.Original.STAN)
	if !ok {
		return no(codeFormat, "STAN or RRN of the original is missing")
	}
	if mti := m.Original.MTI[:3]; mti != "010" && mti != "020" {
		return no(codeUnsupported, "the original is no financial request")
	}
	if m.Replacement != nil {
		return no(codeUnsupported, "for a part of the amount")
	}
	a, err = tx.Authorisation(k)
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.Authorisation{
			Key: k, Transmitted: m.Original.TransmissionTime, Order: m.Order, Amount: *m.Amount, Created: w.now, Changed: w.now,
		}, false, reply{}, nil
	}
	if err != nil {
		return a, false, reply{}, err
	}
	if same, err := sameRequest(tx, &a, m.Original.MTI); err != nil {
		return a, false, reply{}, err
	} else if !same {
		return no(codeUnsupported, "the original was a request of another type")
	}
	switch {
	case stamp(m.Original.TransmissionTime) != stamp(a.Transmitted):
		return no(codeNoOriginal, "the original was sent at another time")
	case m.Order != "" && m.Order != a.Order:
		t, follows := followUps[m.MTI[:3]]
		_, ok, err := about(tx, w, &a, t)
		if err != nil {
			return a, false, reply{}, err
		}
		if !ok || !follows {
			return no(codeNoOriginal, "the original is for another order")
		}
		if t == trade.Void && *m.Amount != a.Amount {
			return no(codeAmount, "the amount is not the original's")
		}
	default:
		ok, err := taken(tx, w, &a)
		if err != nil {
			return a, false, reply{}, err
		}
		if !ok {
			return no(codeAmount, "the amount is not the original's")
		}
	}
	return a, true, reply{}, nil
}

// sameRequest reports whether an authorisation was asked for with a message type.
// One whose order is not known was refused or reversed, and has none.
func sameRequest(tx ledger.Tx, a *ledger.Authorisation, mti string) (bool, error) {
	o, err := tx.Order(a.Order)
	if errors.Is(err, ledger.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	k, ok := kindOf(trade.Type(o.Type))
	return !ok || k.mti == "" || k.mti[:3] == mti[:3], nil
}

// completion carries out an 0220: the card has approved too, and the payment
// stands.
func (s *Server) completion(ctx context.Context, tx ledger.Tx, w *work) (reply, error) {
	a, found, r, err := s.original(ctx, tx, w)
	switch {
	case err != nil || r.code != "":
		return r, err
	case !found:
		return reply{code: codeNoOriginal, said: "refused: there is no such request"}, nil
	case w.m.Order != "" && w.m.Order != a.Order:
		o, _, err := about(tx, w, &a, trade.Completion)
		if err != nil {
			return reply{}, err
		}
		return s.capture(tx, w, a, o)
	case a.State == ledger.AuthCompleted:
		return reply{code: codeApproved, authCode: a.AuthCode, said: "repeated: the payment stands"}, nil
	case a.State == ledger.AuthVoided:
		return reply{code: codeApproved, authCode: a.AuthCode, said: "repeated: it was completed, and voided since"}, nil
	case a.State != ledger.AuthApproved:
		return reply{code: codeInvalid, said: "refused: the request was " + string(a.State)}, nil
	}
	o, err := pendingOrder(tx, &a)
	if err != nil {
		return reply{}, err
	}
	if o.Type == string(trade.Preauth) {
		return reply{code: codeInvalid, said: "refused: a pre-authorisation is completed by an order of its own"}, nil
	}
	if err := s.stands(tx, w, &a); err != nil {
		return reply{}, err
	}
	return reply{code: codeApproved, authCode: a.AuthCode, said: "completed: the payment stands"}, tx.PutAuthorisation(a)
}

// offline reports whether a message is about what the card approved without its
// bank: an advice that no request came before.
func offline(m *acquirer.Message) bool { return m.MTI[:3] == "022" && m.Original == nil }

// stands books what a card has approved as the merchant's, and pays the order. The
// caller writes the authorisation.
func (s *Server) stands(tx ledger.Tx, w *work, a *ledger.Authorisation) error {
	o, err := pendingOrder(tx, a)
	if err != nil {
		return err
	}
	_, to := way(o, a)
	e, err := entry(ledger.KindComplete, a, w, pendingAccount(o.Merchant), to, "completed by the card")
	if err != nil {
		return err
	}
	if _, err := tx.Post(e); err != nil {
		return err
	}
	o.State = ledger.OrderPaid
	if err := tx.PutOrder(o); err != nil {
		return err
	}
	o.Amount = a.Amount // of a part only, where no more was approved
	if err := count(tx, a.Key.Terminal, o, completed(o)); err != nil {
		return err
	}
	if err := s.pass(tx, w, a, "completion"); err != nil {
		return err
	}
	a.State, a.Changed, a.Completion = ledger.AuthCompleted, w.now, lastWord(w.m.ICC)
	return nil
}

// pendingOrder returns the order that an authorisation holds.
func pendingOrder(tx ledger.Tx, a *ledger.Authorisation) (ledger.Order, error) {
	o, err := tx.Order(a.Order)
	if err != nil {
		return o, err
	}
	if o.State != ledger.OrderPending || o.Authorisation != a.Key {
		return o, fmt.Errorf("%w: order %s is not held by the authorisation that is booked for it", ledger.ErrConflict, o.ID)
	}
	return o, nil
}

// lastWord keeps of a completion's field 55 what proves the card's decision, and
// nothing about the account.
func lastWord(icc []byte) []byte {
	var out []byte
	for o, err := range tlv.All(icc) {
		if err != nil {
			return nil
		}
		switch o.Tag {
		case tags.ApplicationCryptogram, tags.CID, tags.IssuerApplicationData, tags.UnpredictableNumber, tags.ATC, tags.TVR,
			tags.TSI, tags.CVMResults, tags.TransactionDate, tags.TransactionType, tags.AmountAuthorised, tags.AmountOther,
			tags.TransactionCurrencyCode, tags.TerminalCountryCode, tags.AIP, tags.DFName, tags.IssuerScriptResults:
			out = tlv.Append(out, o.Tag, o.Value)
		}
	}
	return out
}

// reversal carries out an 0400 or 0420: whatever the request did is undone, and
// if it never came it will do nothing when it does.
func (s *Server) reversal(ctx context.Context, tx ledger.Tx, w *work) (reply, error) {
	a, found, r, err := s.original(ctx, tx, w)
	if err != nil || r.code != "" {
		return r, err
	}
	if found && w.m.Order != "" && w.m.Order != a.Order {
		o, _, err := about(tx, w, &a, trade.Void)
		if err != nil {
			return reply{}, err
		}
		return s.void(tx, w, a, o)
	}
	said := "reversed: there was no request; one that comes late will be refused"
	switch {
	case !found:
	case a.State == ledger.AuthReversed:
		return reply{code: codeApproved, said: "repeated: reversed before"}, nil
	case a.State == ledger.AuthHeld, a.State == ledger.AuthCompleted, a.State == ledger.AuthVoided:
		return reply{code: codeInvalid, said: "refused: the payment is " + string(a.State)}, nil
	case a.State == ledger.AuthApproved:
		if err := bookBack(tx, w, &a); err != nil {
			return reply{}, err
		}
		if err := s.pass(tx, w, &a, "reversal"); err != nil {
			return reply{}, err
		}
		said = "reversed: the booking was taken back"
	case a.State == ledger.AuthAsked:
		if err := s.giveUp(tx, w, &a); err != nil {
			return reply{}, err
		}
		said = "reversed: the acquirer's answer is not known, and is to be reversed there"
	default:
		said = "reversed: nothing was booked"
	}
	a.State, a.Changed = ledger.AuthReversed, w.now
	return reply{code: codeApproved, said: said}, tx.PutAuthorisation(a)
}

// bookBack takes a booking back by its counterpart, and opens the order again.
func bookBack(tx ledger.Tx, w *work, a *ledger.Authorisation) error {
	o, err := pendingOrder(tx, a)
	if err != nil {
		return err
	}
	cause := "reversed by the terminal"
	if why := w.m.Reason.String(); why != "" {
		cause += ": " + why
	}
	from, _ := way(o, a)
	e, err := entry(ledger.KindReverse, a, w, pendingAccount(o.Merchant), from, cause)
	if err != nil {
		return err
	}
	if _, err := tx.Post(e); err != nil {
		return err
	}
	if err := refunded(tx, o, -1); err != nil {
		return err
	}
	if err := uncount(tx, o, a, 1, a.Amount.Minor); err != nil {
		return err
	}
	o.State, o.Authorisation, o.Tip = ledger.OrderOpen, ledger.Key{}, 0
	return tx.PutOrder(o)
}
