package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// run is one payment. Its steps are in the order of the files' functions: the
// server's trade (here), the card (here), the request (online.go), the ending
// (ending.go).
type run struct {
	u     *Unit
	order Order
	start time.Time
	line  *line
	trade trade.Trade
	kind  kind
	card  cardreader.Card
	// emv is the kernel's session, nil before the card was read.
	emv *emv.Session
	res Result
	// timing holds the card's part until the result is made.
	timing Timing
}

// pay runs the steps. Before the request goes out every failure is an error
// and charges nothing; after it every ending is a Result.
func (p *run) pay(ctx context.Context) (Result, error) {
	if err := checkOrder(p.order.ID); err != nil {
		return Result{}, err
	}
	p.res = Result{Order: p.order.ID, Type: trade.Sale, Reasons: []string{}}
	p.u.pin.reset(p.u.c.Language)
	p.line = p.u.newLine()
	defer p.close()
	if r, done, err := p.paidBefore(ctx); done || err != nil {
		return r, err
	}
	if err := p.ask(ctx); err != nil {
		return Result{}, err
	}
	if err := p.confirm(ctx); err != nil {
		return p.giveUp(ctx, err)
	}
	if p.kind.follows {
		return p.followUp(ctx)
	}
	if err := p.read(ctx); err != nil {
		return p.giveUp(ctx, err)
	}
	switch p.emv.Decision() {
	case emv.Online:
		return p.authorize(ctx)
	case emv.Declined:
		p.tellServer(ctx, "card")
		p.reason("the card or the terminal's rules declined before the bank was asked")
		return p.finish(ctx, Declined, p.emv.Outcome()), nil
	default:
		p.tellServer(ctx, "unit")
		return Result{}, fmt.Errorf("%w: offline approval by the card", ErrUnsupported)
	}
}

// close lets go of the card and the channel, and wipes what was read.
func (p *run) close() {
	if p.emv != nil {
		p.emv.Close()
	}
	if p.card != nil {
		if err := p.card.Close(); err != nil {
			p.u.tell(PhaseCard, "powering the card down: %v", err)
		}
		p.card = nil
	}
	p.line.close()
}

// paidBefore gives the kept result of an order that this unit has paid.
func (p *run) paidBefore(ctx context.Context) (Result, bool, error) {
	_, owed, err := p.u.journal.Entry(ctx, p.order.ID)
	if err != nil {
		return Result{}, false, err
	}
	if owed {
		if _, err := p.u.settle(ctx, p.line); err != nil {
			return Result{}, false, err
		}
	}
	b, ok, err := p.u.journal.Result(ctx, p.order.ID)
	if err != nil || !ok {
		return Result{}, false, err
	}
	r, err := stored(b)
	if err != nil {
		return Result{}, false, err
	}
	r.Repeated = true
	p.u.tell(PhaseTrade, "order %s was paid before: its result is given again, nothing is charged", p.order.ID)
	return r, true, nil
}

// ask brings the channel up, settles what earlier payments owe, and fetches
// the trade.
func (p *run) ask(ctx context.Context) error {
	p.notify(ctx, trusted.MessageConnecting)
	if _, err := p.u.settle(ctx, p.line); err != nil {
		return err
	}
	body, err := trade.Encode(trade.KindTradeRequest, 0, trade.TradeRequest{Order: p.order.ID})
	if err != nil {
		return err
	}
	p.u.tell(PhaseTrade, "ask the server what order %s stands for", p.order.ID)
	began := p.u.c.Now()
	reply, err := p.line.call(ctx, trade.KindTradeRequest, body.Body)
	if err != nil {
		return serverError("asking for the trade", err)
	}
	if reply.Kind != trade.KindTrade {
		return fmt.Errorf("%w: answered the order with a message of kind %d", ErrServer, reply.Kind)
	}
	if err := reply.Decode(&p.trade); err != nil {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	if err := p.checkTrade(); err != nil {
		return err
	}
	p.res.Type = p.trade.Type
	p.res.setAmount(p.trade.Amount)
	p.u.c.Observe(Event{Phase: PhaseTrade, Text: fmt.Sprintf("the server says: %s of %s at %s", p.trade.Type, p.trade.Amount, p.trade.Merchant), Took: p.u.c.Now().Sub(began)})
	return nil
}

func (p *run) checkTrade() error {
	t := p.trade
	var ok bool
	p.kind, ok = tradeKind(t.Type)
	switch {
	case t.Order != p.order.ID:
		return fmt.Errorf("%w: sent another order's trade", ErrServer)
	case t.State == trade.Paid:
		return fmt.Errorf("%w: order %s", ErrAlreadyPaid, p.order.ID)
	case t.State == trade.Pending:
		return fmt.Errorf("%w: order %s", ErrOrderPending, p.order.ID)
	case t.State == trade.Voided:
		return fmt.Errorf("%w: order %s", ErrVoided, p.order.ID)
	case t.State != trade.Open:
		return fmt.Errorf("%w: order state %q", ErrServer, t.State)
	case t.State == trade.Held:
		return fmt.Errorf("%w: order %s", ErrAlreadyPaid, p.order.ID)
	case !ok:
		return fmt.Errorf("%w: trade type %q", ErrUnsupported, t.Type)
	case p.kind.follows && t.Original == nil:
		return fmt.Errorf("%w: %s of nothing", ErrServer, t.Type)
	case (t.Type == trade.Cashback) != (t.Cashback.Minor != 0), t.Cashback.Minor < 0, t.Cashback.Minor > t.Amount.Minor,
		t.Cashback.Minor != 0 && t.Cashback.Currency != t.Amount.Currency:
		return fmt.Errorf("%w: the cash is no part of the amount", ErrServer)
	case t.Amount.Minor <= 0:
		return fmt.Errorf("%w: %s of no amount", ErrServer, t.Type)
	}
	if _, err := t.Amount.BCD12(); err != nil {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	return nil
}

// confirm shows the trade and waits for the cardholder's word.
func (p *run) confirm(ctx context.Context) error {
	p.u.tell(PhaseConfirm, "show %s of %s to the cardholder", p.trade.Type, p.trade.Amount)
	began := p.u.c.Now()
	err := p.u.c.UI.Confirm(ctx, trusted.Confirmation{
		Merchant: p.trade.Merchant, Kind: string(p.trade.Type), Amount: p.trade.Amount, Cashback: p.trade.Cashback, Language: p.u.c.Language,
	})
	took := p.u.c.Now().Sub(began)
	p.u.pin.spend(took)
	if err == nil {
		p.u.c.Observe(Event{Phase: PhaseConfirm, Text: "the cardholder agreed", Took: took})
	}
	return err
}

// read connects the card and runs the kernel up to the first GENERATE AC.
func (p *run) read(ctx context.Context) error {
	p.notify(ctx, trusted.MessageInsertCard)
	p.u.tell(PhaseCard, "wait for a card in %s", p.u.c.Reader.Name())
	began := p.u.c.Now()
	card, err := p.u.c.Reader.Connect(ctx)
	waited := p.u.c.Now().Sub(began)
	if err != nil {
		p.u.pin.spend(waited)
		return fmt.Errorf("%w: waiting for it: %w", ErrCard, err)
	}
	p.card = card
	p.u.c.Observe(Event{Phase: PhaseCard, Step: "reset", Text: fmt.Sprintf("card powered, ATR %X", card.ATR()), Took: waited})
	p.notify(ctx, trusted.MessageReadingCard)
	n, err := p.u.c.Storage.Next(ctx, "transaction")
	if err != nil {
		return fmt.Errorf("payment: transaction sequence counter: %w", err)
	}
	began = p.u.c.Now()
	people := p.u.pin.people
	p.emv, err = p.u.kernel.Start(ctx, card, emv.Transaction{
		Type:    p.kind.transaction,
		Amount:  p.trade.Amount,
		Other:   p.trade.Cashback,
		Counter: uint32(n % 1e8),
		Time:    began,
	})
	p.timing.Card += p.u.c.Now().Sub(began) - (p.u.pin.people - people)
	if err != nil && !errors.Is(err, emv.ErrCancelled) {
		return fmt.Errorf("%w: %w", ErrCard, err)
	}
	return err
}

// giveUp ends a payment before its request: as cancelled when the cardholder
// said so, else as an error.
func (p *run) giveUp(ctx context.Context, err error) (Result, error) {
	if errors.Is(err, trusted.ErrCancelled) || errors.Is(err, emv.ErrCancelled) {
		p.tellServer(ctx, "cardholder")
		p.reason("the cardholder cancelled")
		var o emv.Outcome
		if p.emv != nil {
			o = p.emv.Outcome()
		}
		return p.finish(ctx, Cancelled, o), nil
	}
	if ctx.Err() != nil {
		return Result{}, err
	}
	if errors.Is(err, ErrCard) {
		p.tellServer(ctx, "card")
		m := trusted.MessageCardError
		if errors.Is(err, emv.ErrNoApplication) {
			m = trusted.MessageNotAccepted
		}
		p.notify(ctx, m)
	} else {
		p.tellServer(ctx, "unit")
	}
	return Result{}, err
}

// tellServer releases the order. Failing is harmless: nothing was requested.
func (p *run) tellServer(ctx context.Context, reason string) {
	body, err := trade.Encode(trade.KindCancel, 0, trade.Cancel{Order: p.order.ID, Reason: reason})
	if err == nil {
		_, err = p.line.call(ctx, trade.KindCancel, body.Body)
	}
	if err != nil {
		p.u.tell(PhaseTrade, "could not tell the server that nothing will be requested: %v", err)
	}
}

// notify shows a message. A screen that fails here fails no payment: what the
// cardholder has to agree to goes through Confirm.
func (p *run) notify(ctx context.Context, m trusted.Message) {
	p.notifyWith(ctx, m, nil)
}

func (p *run) notifyWith(ctx context.Context, m trusted.Message, params map[string]string) {
	if err := p.u.c.UI.Notify(ctx, trusted.Notice{Message: m, Language: p.u.c.Language, Params: params}); err != nil {
		p.u.tell(PhaseResult, "the screen did not show %q: %v", string(m), err)
	}
}

func (p *run) reason(format string, a ...any) {
	p.res.Reasons = append(p.res.Reasons, fmt.Sprintf(format, a...))
}
