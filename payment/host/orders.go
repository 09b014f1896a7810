package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// Order is what a merchant wants to be paid.
type Order struct {
	// ID is the merchant's name for it, 1 to 64 printable ASCII characters
	// without spaces.
	ID     string
	Type   trade.Type
	Amount money.Amount
	// Merchant is the merchant id of the terminals that may be paid for it.
	Merchant string
	// Cashback is the cash in Amount, of a Cashback order only.
	Cashback money.Amount
	// Original is the paid order that a refund gives money back of or that a
	// void undoes, or the pre-authorisation that a completion takes or an
	// incremental raises by its amount. A
	// refund's may be "" where Config.RefundsWithoutOriginal allows that. A
	// void's amount is that of its original, a completion's not more.
	Original string
}

func (o *Order) check() error {
	if !word(o.ID, trade.MaxOrderID) {
		return fmt.Errorf("%w: id: want 1 to %d printable ASCII characters without spaces", ErrOrder, trade.MaxOrderID)
	}
	k, ok := kindOf(o.Type)
	switch {
	case !ok:
		return fmt.Errorf("%w: trade of type %q", ErrUnsupported, o.Type)
	case o.Original != "" && !k.original:
		return fmt.Errorf("%w: a %s has no original", ErrOrder, o.Type)
	case o.Original == "" && k.original && !k.card:
		return fmt.Errorf("%w: a %s names the order that it is about", ErrOrder, o.Type)
	case o.Type == trade.Cashback && (o.Cashback.Currency != o.Amount.Currency || o.Cashback.Minor <= 0 || o.Cashback.Minor > o.Amount.Minor):
		return fmt.Errorf("%w: the cash is no part of the amount", ErrOrder)
	case o.Type != trade.Cashback && o.Cashback.Minor != 0:
		return fmt.Errorf("%w: cash in a %s", ErrOrder, o.Type)
	}
	if k.inquiry && o.Amount.Minor != 0 {
		return fmt.Errorf("%w: a %s has no amount", ErrOrder, o.Type)
	}
	if o.Amount.Currency.IsZero() || o.Amount.Minor <= 0 && !k.inquiry || o.Amount.Minor > money.MaxMinor {
		return fmt.Errorf("%w: amount: want 1 to 12 digits of minor units", ErrOrder)
	}
	if !word(o.Merchant, 15) {
		return fmt.Errorf("%w: merchant id", ErrOrder)
	}
	return nil
}

// CreateOrder writes an order down. The id is the idempotency key: the same
// order again is no error and changes nothing, another one under the same id is
// ErrOrderExists. Errors also wrap ErrOrder, ErrUnsupported, or are the ledger's.
func (s *Server) CreateOrder(ctx context.Context, o Order) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.Type == trade.Refund && o.Original == "" && !s.c.RefundsWithoutOriginal {
		return fmt.Errorf("%w: a refund names the order that was paid", ErrOrder)
	}
	return s.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		old, err := tx.Order(o.ID)
		if errors.Is(err, ledger.ErrNotFound) {
			n := ledger.Order{
				ID: o.ID, Type: string(o.Type), Amount: o.Amount, Merchant: o.Merchant, Cashback: o.Cashback.Minor, Original: o.Original, State: ledger.OrderOpen, Created: s.c.Now(),
			}
			why, err := judgeOriginal(tx, n)
			if err != nil {
				return err
			}
			if why != "" {
				return fmt.Errorf("%w: %s: %s", ErrOrder, o.ID, why)
			}
			return tx.PutOrder(n)
		}
		if err != nil {
			return err
		}
		if old.Type != string(o.Type) || old.Amount != o.Amount || old.Merchant != o.Merchant || old.Original != o.Original || old.Cashback != o.Cashback.Minor {
			return fmt.Errorf("%w: %s", ErrOrderExists, o.ID)
		}
		return nil
	})
}

// OrderState says how an order stands. Errors wrap ErrNotFound, or are the
// ledger's.
func (s *Server) OrderState(ctx context.Context, id string) (trade.State, error) {
	var state trade.State
	err := s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		o, err := tx.Order(id)
		state = trade.State(o.State)
		if _, refused := o.State.Refused(); refused {
			state = trade.Refused
		}
		return err
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return "", fmt.Errorf("%w: order", ErrNotFound)
	}
	return state, err
}

// The words for orders that a terminal can't have. Another merchant's order is
// as unknown as one that there is not.
var errUnknownOrder = &trade.Error{Code: trade.CodeUnknownOrder, Text: "there is no such order for this terminal"}

// orderFor returns an order that a terminal may ask for.
func orderFor(tx ledger.Tx, t ledger.Terminal, id string) (ledger.Order, error) {
	o, err := tx.Order(id)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && o.Merchant != t.MerchantID {
		return ledger.Order{}, errUnknownOrder
	}
	return o, err
}

// trade answers a TradeRequest.
func (s *Server) trade(ctx context.Context, p *peer, e trade.Envelope) (trade.Envelope, error) {
	var req trade.TradeRequest
	if err := e.Decode(&req); err != nil {
		return trade.Envelope{}, errMalformed
	}
	if err := p.fresh(attest.BeforePayment, req.Order); err != nil {
		return trade.Envelope{}, err
	}
	var out trade.Trade
	err := s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		t, err := s.c.Registry.terminal(tx, p.identity)
		if err != nil {
			return err
		}
		o, err := orderFor(tx, t, req.Order)
		if err != nil {
			return err
		}
		out = trade.Trade{
			Order: o.ID, Type: trade.Type(o.Type), State: trade.State(o.State), Amount: o.Amount, Merchant: t.Merchant, Time: s.c.Now().UTC(),
		}
		if _, refused := o.State.Refused(); refused {
			out.State = trade.Open
		}
		if s.c.PINPolicy != nil {
			out.PIN = s.c.PINPolicy(t.ID)
		}
		out.Entry, out.Partial, out.Rotate = s.entryPolicy(t.ID), s.partial(o), s.worn(t)
		if tip := s.maxTip(t.ID, o); tip > 0 {
			out.MaxTip = money.New(tip, o.Amount.Currency)
		}
		if o.Cashback != 0 {
			out.Cashback = money.New(o.Cashback, o.Amount.Currency)
		}
		if k, _ := kindOf(out.Type); !k.card && out.State == trade.Open {
			out.Original, err = originalOf(tx, t, o)
		}
		return err
	})
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	s.tell(p.identity.TerminalID, out.Order, "trade sent: %s %s, %s", out.Type, out.Amount, out.State)
	return trade.Encode(trade.KindTrade, e.Request, out)
}

// cancel answers a Cancel. Nothing was requested, so that there is nothing to
// undo; an order that something is booked for can't be given up this way.
func (s *Server) cancel(ctx context.Context, p *peer, e trade.Envelope) (trade.Envelope, error) {
	var req trade.Cancel
	if err := e.Decode(&req); err != nil {
		return trade.Envelope{}, errMalformed
	}
	switch req.Reason {
	case "cardholder", "card", "unit":
	default:
		return trade.Envelope{}, errMalformed
	}
	err := s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		t, err := s.c.Registry.terminal(tx, p.identity)
		if err != nil {
			return err
		}
		o, err := orderFor(tx, t, req.Order)
		if err != nil {
			return err
		}
		if _, refused := o.State.Refused(); o.State != ledger.OrderOpen && !refused {
			return &trade.Error{Code: trade.CodeRefused, Text: "something is booked for the order; reverse it"}
		}
		return nil
	})
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	s.tell(p.identity.TerminalID, req.Order, "cancelled (%s); the order stays open", req.Reason)
	return trade.Encode(trade.KindCancelled, e.Request, struct{}{})
}
