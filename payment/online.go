package payment

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// prepare does all that can fail without a debt: numbers, MAC and channel. Then
// it writes the reversal, and the payment is one that has to be settled.
func (p *run) prepare(ctx context.Context) Trigger {
	m, err := p.message(ctx)
	if err != nil {
		return p.fail(err)
	}
	if p.out, err = p.u.seal(ctx, m); err != nil {
		m.Wipe()
		return p.fail(err)
	}
	// What the channel needs is there before the reversal is written: a
	// server that can't be reached leaves no debt. The device proves itself
	// also where no PIN was entered, so that a relay which counts messages
	// does not learn that.
	if err := p.line.prove(ctx, attest.BeforePIN); err != nil {
		if refusesDevice(err) {
			// The bank was asked, and its answer was no.
			p.online = "the server does not accept this device"
		}
		return p.unable(ctx, err)
	}
	if p.kind.inquiry {
		return TriggerReady
	}
	p.debt = p.reversal(m)
	if err := p.u.journal.Put(ctx, p.debt); err != nil {
		return p.abandon(ctx, err)
	}
	p.u.tell(PhaseOnline, "the reversal stands in the journal: reference %s", m.RRN)
	return TriggerWritten
}

// abandon ends a payment whose request never left, where the fault is this
// unit's: the card is told to decline, as far as it still listens.
func (p *run) abandon(ctx context.Context, err error) Trigger {
	if cerr := p.generate(ctx, p.declining()); cerr != nil {
		p.u.tell(PhaseComplete, "the card was not completed: %v", cerr)
	}
	return p.fail(err)
}

// unable ends a payment whose request never left because the server can't be
// reached: the card is told so, and may approve by itself within the limits.
func (p *run) unable(ctx context.Context, err error) Trigger {
	cerr := p.generate(ctx, p.unreached())
	switch {
	case cerr != nil:
		p.u.tell(PhaseComplete, "the card was not completed: %v", cerr)
	case p.outcome.Decision == emv.Approved:
		p.u.tell(PhaseComplete, "the bank can't be asked, and the card approves without it: %v", err)
		return TriggerCardApproved
	}
	return p.fail(err)
}

// request sends the request. From here on the payment ends in a Result.
func (p *run) request(ctx context.Context) Trigger {
	p.notify(ctx, trusted.MessageAuthorizing)
	var err error
	what := fmt.Sprintf("authorization request %s, %s%s", p.out.message.MTI, p.trade.Amount, p.proof())
	p.answer, err = p.u.exchange(ctx, p.line, p.out, what)
	if lost(ctx, err) {
		p.answer, err = p.u.inquire(ctx, p.line, p.out.message, err)
	}
	if err != nil {
		p.u.tell(PhaseOnline, "no answer that counts: %v", err)
		p.reason("the server's answer did not arrive: %s", kindOf(err))
		return TriggerSilence
	}
	p.res.ResponseCode, p.res.AuthCode = p.answer.ResponseCode, p.answer.AuthCode
	code, _ := p.u.c.Dialect.Response(p.answer.ResponseCode)
	p.u.tell(PhaseOnline, "the server answers %s: %s", p.answer.ResponseCode, code.Merchant)
	switch {
	case code.Class == acquirer.ClassPartial:
		return TriggerPartial
	case code.Approved():
		return TriggerHostApproved
	case code.Class == acquirer.ClassUnknown:
		// Nobody here knows whether it says that something was booked: it is no
		// approval, and is taken back as if no answer had come.
		p.say = code.Cardholder
		p.reason("the bank's answer %s is in no table: it is not taken", p.answer.ResponseCode)
		return TriggerSilence
	}
	p.declined(code)
	return TriggerHostDeclined
}

// field55 are the request's data objects: those of every request, and what the
// card's scheme wants beside them.
func (p *run) field55() []byte {
	if !p.how.chip() {
		return nil
	}
	list := append(emv.RequestTags(), acquirer.RequestTags(p.emv.Outcome().AID)...)
	return p.emv.Authorize().Field55(list...)
}

// proof says in words what the request has of the card's own making.
func (p *run) proof() string {
	if p.how.chip() {
		return ", with the card's ARQC"
	}
	return ", without a chip's word"
}

// declined notes the server's no.
func (p *run) declined(code acquirer.Response) {
	p.say = code.Cardholder
	p.reason("the bank declined: %s", code.Merchant)
	if code.Next != acquirer.NextNothing {
		p.u.tell(PhaseOnline, "what follows: %s", code.Next)
	}
}

// message makes the 0200 or 0100 of a card's ARQC.
func (p *run) message(ctx context.Context) (*acquirer.Message, error) {
	stan, err := p.u.stan(ctx)
	if err != nil {
		return nil, err
	}
	a := p.emv.Authorize()
	now := p.u.c.Now()
	tid, mid := p.u.c.Device.Identity()
	amount := p.trade.Amount
	m := &acquirer.Message{
		MTI:              p.kind.mti,
		PAN:              a.PAN.Clone(),
		ProcessingCode:   p.kind.processing,
		Amount:           &amount,
		TransmissionTime: now.UTC(),
		STAN:             stan,
		LocalTime:        now,
		Expiry:           a.Expiry,
		EntryMode:        entries[p.how].mode,
		PSN:              a.PSN,
		ConditionCode:    cmp.Or(p.kind.condition, "00"),
		Track2:           a.Track2.Clone(),
		RRN:              acquirer.RRN(now.UTC(), stan),
		TerminalID:       tid,
		MerchantID:       mid,
		ICC:              p.field55(),
		Order:            p.order.ID,
	}
	if p.trade.Cashback.Minor != 0 {
		m.Other = []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountCashback, Amount: p.trade.Cashback}}
	}
	if p.tip.Minor != 0 {
		m.Other = append(m.Other, acquirer.OtherAmount{Account: "00", Type: acquirer.AmountTip, Amount: p.tip})
	}
	if s, ok := p.emv.(*unchipped); ok && s.cvv2.Len() > 0 {
		m.CVV2 = secret.CopyBytes(s.cvv2.Reveal())
	}
	if b := p.u.pin.block; b != nil {
		m.PINBlock, m.PINFormat, m.PINKSN = b.Block, b.Format, b.KSN
	}
	p.res.STAN, p.res.RRN = stan, m.RRN
	p.res.MaskedPAN, p.res.Entry = a.PAN.Masked(), entries[p.how].word
	return m, nil
}

// stan returns the next systems trace audit number: unique for the terminal
// until 999,999 others have passed, whatever the unit goes through.
func (u *Unit) stan(ctx context.Context) (string, error) {
	n, err := u.c.Storage.Next(ctx, "stan")
	if err != nil {
		return "", fmt.Errorf("payment: STAN counter: %w", err)
	}
	return fmt.Sprintf("%06d", (n-1)%999999+1), nil
}

// reversal is the debt of a request.
func (p *run) reversal(m *acquirer.Message) journal.Entry {
	return journal.Entry{
		Order:            p.order.ID,
		Type:             string(p.trade.Type),
		State:            journal.Reversal,
		STAN:             m.STAN,
		RRN:              m.RRN,
		MTI:              m.MTI,
		TransmissionTime: m.TransmissionTime,
		ProcessingCode:   m.ProcessingCode,
		Amount:           *m.Amount,
		EntryMode:        m.EntryMode,
		Reason:           string(acquirer.ReasonTimeout),
	}
}

// kindOf names a failure without the details that a person at the till has no
// use for; the event holds them.
func kindOf(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "time ran out"
	case errors.Is(err, context.Canceled):
		return "the payment was cancelled by the app"
	case errors.Is(err, errReply):
		return "the answer does not belong to the request"
	}
	var said *trade.Error
	if errors.As(err, &said) {
		return "the server says " + string(said.Code)
	}
	return cardOrLine(err)
}
