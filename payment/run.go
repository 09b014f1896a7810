package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// run is one payment. It goes from state to state of Machine; each state has
// one action, which says what happened. The actions are in the order of the
// files: the server's trade and the card (here), the request (online.go), its
// ending (closing.go), and what needs no card (followup.go).
type run struct {
	u     *Unit
	order Order
	start time.Time
	// state is where it stands, on what brought it there.
	state State
	on    Trigger
	line  *line
	trade trade.Trade
	kind  kind
	card  cardreader.Card
	// emv is the kernel's session, nil before the card was read; forget wipes
	// what it read.
	emv    cardSession
	forget func()
	// how the card's data came.
	how entry
	// out and debt are the request and what is owed for it, answer is what
	// came back; outcome is how the card ended.
	out     sealed
	debt    journal.Entry
	answer  *acquirer.Message
	outcome emv.Outcome
	// res grows with the payment; end is the result, made when it ends; err
	// is why it failed.
	res Result
	end *Result
	// online is why the bank has to be asked, "" where an offline approval is
	// within the limits; offline says that the card approved so.
	online  string
	offline bool
	// say is the server's no, for the cardholder; "" when it said none.
	say acquirer.Phrase
	// asked is the whole amount where a part was approved.
	asked money.Amount
	// tip is the cardholder's, a part of the trade's amount.
	tip money.Amount
	// balance is what a balance inquiry found.
	balance money.Amount
	err     error
	// timing holds the card's part until the result is made.
	timing Timing
}

// actions are what the unit does in each state that is not final.
var actions = map[State]func(*run, context.Context) Trigger{
	StateAsking:      (*run).ask,
	StateConfirming:  (*run).confirm,
	StateReading:     (*run).read,
	StatePreparing:   (*run).prepare,
	StateStoring:     (*run).store,
	StateRequesting:  (*run).request,
	StateInquiring:   (*run).question,
	StateAgreeing:    (*run).agree,
	StateCompleting:  (*run).complete,
	StateRecording:   (*run).record,
	StateAdvising:    (*run).advise,
	StateRefusing:    (*run).refuse,
	StateWithdrawing: (*run).withdraw,
	StateReversing:   (*run).reverse,
	StateWriting:     (*run).write,
	StateFollowing:   (*run).follow,
}

// outcomes are the results' words for the final states.
var outcomes = map[State]Outcome{
	StateApproved: Approved, StateDeclined: Declined, StateCancelled: Cancelled, StateUnknown: Unknown,
}

// pay runs the machine. A payment that ends as failed is an error, and charges
// nothing; every other ending is a Result.
func (p *run) pay(ctx context.Context) (Result, error) {
	if err := checkOrder(p.order.ID); err != nil {
		return Result{}, err
	}
	if err := p.u.watch(ctx); err != nil {
		return Result{}, err
	}
	p.res = Result{Order: p.order.ID, Type: trade.Sale, Assurance: p.u.Assurance().String(), Reasons: []string{}}
	p.line = p.u.newLine()
	p.line.payment = p.order.ID
	p.u.pin.reset(p.u.speaks, p.beforePIN)
	defer p.close()
	m := Diagram{Transitions: transitions}
	for p.enter(StateAsking, ""); !p.state.Final(); {
		on := actions[p.state](p, ctx)
		next, err := m.Next(p.state, on, "")
		if err != nil {
			return Result{}, err
		}
		p.enter(next, on)
	}
	p.changeKeys(ctx)
	if p.state == StateFailed {
		return Result{}, p.err
	}
	if p.end == nil {
		r := p.result(outcomes[p.state])
		p.end = &r
	}
	if !p.end.Repeated {
		p.announce(ctx, *p.end)
	}
	return *p.end, nil
}

// changeKeys has the device change its keys in the next channel, where the server
// wants that: not in this payment, whose request and PIN block are under the old
// ones. Failing is harmless: the server says it again.
func (p *run) changeKeys(ctx context.Context) {
	d, ok := p.u.c.Device.(keyChanger)
	if !p.trade.Rotate || !ok {
		return
	}
	if err := d.RotateNext(context.WithoutCancel(ctx)); err != nil {
		p.u.tell(PhaseResult, "the server wants the keys changed, and that could not be written down: %v", err)
		return
	}
	p.u.tell(PhaseResult, "the server wants the keys changed: in the next channel")
}

// enter moves the payment on. A final state is told by the final event.
func (p *run) enter(s State, on Trigger) {
	p.state, p.on = s, on
	p.u.at(s)
	if !s.Final() {
		p.u.c.Observe(Event{Phase: phaseOf(s), Step: "state", State: s, On: on, Text: "the payment is " + string(s)})
	}
}

// fail ends a payment in an error.
func (p *run) fail(err error) Trigger {
	p.err = err
	return TriggerFailed
}

// close lets go of the card and the channel, and wipes what was read.
func (p *run) close() {
	if p.answer != nil {
		p.answer.Wipe()
	}
	p.out.wipe()
	p.debt.Wipe()
	if p.forget != nil {
		p.forget()
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
	e, owed, err := p.u.journal.Entry(ctx, p.order.ID)
	e.Wipe()
	if err != nil {
		return Result{}, false, err
	}
	if owed && !e.Refused {
		if _, err := p.u.settle(ctx, p.line); err != nil {
			return Result{}, false, err
		}
		// The server may have refused it for good just now.
		if e, owed, err = p.u.journal.Entry(ctx, p.order.ID); err != nil {
			return Result{}, false, err
		}
		e.Wipe()
	}
	if owed && e.Refused {
		return Result{}, false, &RefusedError{p.u.refusedDebt(e)}
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
// the trade, unless this unit has paid the order.
func (p *run) ask(ctx context.Context) Trigger {
	r, done, err := p.paidBefore(ctx)
	if err != nil {
		return p.fail(err)
	}
	if done {
		p.end = &r
		return TriggerKnown
	}
	p.notify(ctx, trusted.MessageConnecting)
	if _, err := p.u.settle(ctx, p.line); err != nil {
		return p.fail(err)
	}
	if err := p.fetch(ctx); err != nil {
		return p.fail(err)
	}
	if err := p.u.proved(ctx); err != nil {
		return p.fail(err)
	}
	return TriggerTrade
}

// fetch asks the server what the order stands for.
func (p *run) fetch(ctx context.Context) error {
	body, err := trade.Encode(trade.KindTradeRequest, 0, trade.TradeRequest{Order: p.order.ID})
	if err != nil {
		return err
	}
	p.u.tell(PhaseTrade, "ask the server what order %s stands for", p.order.ID)
	began := p.u.c.Now()
	if err := p.line.prove(ctx, attest.BeforePayment); err != nil {
		return err
	}
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
	p.u.pin.policy = p.trade.PIN
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
	case t.State == trade.Paid, t.State == trade.Held:
		return fmt.Errorf("%w: order %s", ErrAlreadyPaid, p.order.ID)
	case t.State == trade.Pending:
		return fmt.Errorf("%w: order %s", ErrOrderPending, p.order.ID)
	case t.State == trade.Voided:
		return fmt.Errorf("%w: order %s", ErrVoided, p.order.ID)
	case t.State != trade.Open:
		return fmt.Errorf("%w: order state %q", ErrServer, t.State)
	case !ok:
		return fmt.Errorf("%w: trade type %q", ErrUnsupported, t.Type)
	case p.kind.follows && t.Original == nil:
		return fmt.Errorf("%w: %s of nothing", ErrServer, t.Type)
	case (t.Type == trade.Cashback) != (t.Cashback.Minor != 0), t.Cashback.Minor < 0, t.Cashback.Minor > t.Amount.Minor,
		t.Cashback.Minor != 0 && t.Cashback.Currency != t.Amount.Currency:
		return fmt.Errorf("%w: the cash is no part of the amount", ErrServer)
	case t.MaxTip.Minor != 0 && (t.Type != trade.Sale || t.MaxTip.Minor < 0 || t.MaxTip.Currency != t.Amount.Currency):
		return fmt.Errorf("%w: a tip where there can be none", ErrServer)
	case p.kind.inquiry && t.Amount.Minor != 0:
		return fmt.Errorf("%w: %s of an amount", ErrServer, t.Type)
	case t.Amount.Minor <= 0 && !p.kind.inquiry:
		return fmt.Errorf("%w: %s of no amount", ErrServer, t.Type)
	}
	if _, err := t.Amount.BCD12(); err != nil {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	return nil
}

// confirm shows the trade and waits for the cardholder's word.
func (p *run) confirm(ctx context.Context) Trigger {
	if err := p.askTip(ctx); err != nil {
		return p.giveUp(ctx, err)
	}
	p.u.tell(PhaseConfirm, "show %s of %s to the cardholder", p.trade.Type, p.trade.Amount)
	began := p.u.c.Now()
	err := p.u.within(ctx, PhaseConfirm, p.u.c.Limits.Confirm, func(ctx context.Context) error {
		return p.u.c.UI.Confirm(ctx, trusted.Confirmation{
			Merchant: p.trade.Merchant, Kind: string(p.trade.Type), Amount: p.trade.Amount, Cashback: p.trade.Cashback, Tip: p.tip, Language: p.u.c.Language,
		})
	})
	took := p.u.c.Now().Sub(began)
	p.u.pin.spend(took)
	if err != nil {
		return p.giveUp(ctx, err)
	}
	p.u.c.Observe(Event{Phase: PhaseConfirm, Text: "the cardholder agreed", Took: took})
	if p.kind.follows {
		return TriggerNoCard
	}
	return TriggerAgreed
}

// read connects the card and runs the kernel up to the first GENERATE AC.
func (p *run) read(ctx context.Context) Trigger {
	var err error
	if p.online, err = p.mayOffline(ctx); err != nil {
		return p.giveUp(ctx, err)
	}
	tapped, err := p.tap(ctx)
	if err == nil && !tapped {
		err = p.present(ctx)
	}
	if err != nil {
		return p.giveUp(ctx, err)
	}
	switch p.emv.Decision() {
	case emv.Online:
		return TriggerOnline
	case emv.Declined:
		p.tellServer(ctx, "card")
		p.reason("the card or the terminal's rules declined before the bank was asked")
		p.outcome = p.emv.Outcome()
		return TriggerCardDeclined
	}
	if p.online != "" {
		p.tellServer(ctx, "unit")
		p.outcome = p.emv.Outcome()
		p.reason("the card approved without its bank, which is not taken: %s", p.online)
		return TriggerCardDeclined
	}
	return TriggerCardApproved
}

// insert waits for a card in the chip reader.
func (p *run) insert(ctx context.Context, notice trusted.Message) error {
	p.notify(ctx, notice)
	p.u.tell(PhaseCard, "wait for a card in %s", p.u.c.Reader.Name())
	began := p.u.c.Now()
	var card cardreader.Card
	err := p.u.within(ctx, PhaseInsert, p.u.c.Limits.Insert, func(ctx context.Context) (err error) {
		card, err = p.u.c.Reader.Connect(ctx)
		return err
	})
	waited := p.u.c.Now().Sub(began)
	if err != nil {
		p.u.pin.spend(waited)
		return fmt.Errorf("%w: waiting for it: %w", ErrCard, err)
	}
	p.powered(ctx, card, waited)
	return nil
}

// powered goes on with a card that answered.
func (p *run) powered(ctx context.Context, card cardreader.Card, waited time.Duration) {
	p.card = card
	p.u.c.Observe(Event{Phase: PhaseCard, Step: "reset", Text: fmt.Sprintf("card powered, ATR %X", card.ATR()), Took: waited})
	p.notify(ctx, trusted.MessageReadingCard)
}

// beforePIN looks at this device once more, and lets the server do so.
func (p *run) beforePIN(ctx context.Context) error {
	if err := p.u.watch(ctx); err != nil {
		return err
	}
	return p.line.prove(ctx, attest.BeforePIN)
}

func (p *run) runKernel(ctx context.Context) error {
	n, err := p.u.c.Storage.Next(ctx, "transaction")
	if err != nil {
		return fmt.Errorf("payment: transaction sequence counter: %w", err)
	}
	began := p.u.c.Now()
	people := p.u.pin.people
	err = p.u.within(ctx, PhaseCard, p.u.c.Limits.Card, func(ctx context.Context) error {
		s, err := p.u.kernel.Start(ctx, p.card, p.transaction(n, began))
		if err != nil {
			return err
		}
		p.emv, p.forget = s, s.Close
		return nil
	})
	p.timing.Card += p.u.c.Now().Sub(began) - (p.u.pin.people - people)
	var tampered *trusted.TamperError
	if err != nil && !errors.Is(err, emv.ErrCancelled) && !errors.Is(err, ErrServer) && !errors.As(err, &tampered) {
		return fmt.Errorf("%w: %w", ErrCard, err)
	}
	return err
}

// giveUp ends a payment before its request: as cancelled when the cardholder
// said so or did nothing, else as an error.
func (p *run) giveUp(ctx context.Context, err error) Trigger {
	var late *TimeoutError
	idle := errors.As(err, &late) && (late.Phase == PhaseConfirm || late.Phase == PhaseInsert)
	if idle || errors.Is(err, trusted.ErrCancelled) || errors.Is(err, emv.ErrCancelled) {
		p.tellServer(ctx, "cardholder")
		if idle {
			p.reason("the cardholder did nothing for %s", late.Limit)
		} else {
			p.reason("the cardholder cancelled")
		}
		if p.emv != nil {
			p.outcome = p.emv.Outcome()
		}
		return TriggerCancelled
	}
	if ctx.Err() != nil {
		return p.fail(err)
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
	return p.fail(err)
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
	if err := p.u.c.UI.Notify(ctx, trusted.Notice{Message: m, Language: p.language(), Params: params}); err != nil {
		p.u.tell(PhaseResult, "the screen did not show %q: %v", string(m), err)
	}
}

func (p *run) reason(format string, a ...any) {
	p.res.Reasons = append(p.res.Reasons, fmt.Sprintf(format, a...))
}
