package host

import (
	"errors"
	"fmt"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// The processing code of a settlement after the upload of its batch.
const processingFinal = "960000"

// openBatch returns the batch of a terminal. One that nothing was written to yet
// counts every payment from here on.
func openBatch(tx ledger.Tx, terminal, currency string) (ledger.Batch, error) {
	b, err := tx.Batch(terminal, currency)
	if b == (ledger.Batch{Terminal: terminal, Currency: currency}) {
		b.Counted = true
	}
	return b, err
}

// count adds a completed payment to the batch of its terminal.
func count(tx ledger.Tx, terminal string, o ledger.Order, to func(t *ledger.Totals) *ledger.Total) error {
	b, err := openBatch(tx, terminal, o.Amount.Currency.Code())
	if err != nil {
		return err
	}
	to(&b.Totals).Add(o.Amount.Minor)
	return tx.PutBatch(b)
}

func debits(t *ledger.Totals) *ledger.Total         { return &t.Debits }
func debitReversals(t *ledger.Totals) *ledger.Total { return &t.DebitReversals }

// completed says where a payment that the card has completed counts.
func completed(o ledger.Order) func(t *ledger.Totals) *ledger.Total {
	if o.Type == string(trade.Refund) {
		return func(t *ledger.Totals) *ledger.Total { return &t.Credits }
	}
	return debits
}

// settlement carries out an 0500. Totals that agree close the batch. Others are
// answered with the server's, and close it only after the terminal has sent its
// transactions, as many as it claims: what the server booked is what counts. One that
// says it comes after that, where they did not come, is refused.
func (s *Server) settlement(tx ledger.Tx, w *work) (reply, error) {
	m := w.m
	currency := m.Totals.Currency.Code()
	b, err := openBatch(tx, w.terminal.ID, currency)
	if err != nil {
		return reply{}, err
	}
	claimed := ledger.Totals{
		Debits: ledger.Total(m.Totals.Debits), DebitReversals: ledger.Total(m.Totals.DebitReversals),
		Credits: ledger.Total(m.Totals.Credits), CreditReversals: ledger.Total(m.Totals.CreditReversals),
	}
	final := m.ProcessingCode == processingFinal
	answer := func(l ledger.Settlement, said string) reply {
		return reply{code: l.Code, totals: totalsOf(m.Totals, l.Booked), said: said}
	}
	if l := b.Last; l.STAN != "" && l.STAN == m.STAN && l.RRN == m.RRN {
		if l.Claimed != claimed || l.Final != final {
			return reply{code: codeDuplicate, said: "refused: another settlement has its numbers"}, nil
		}
		return answer(l, "repeated: the answer given before"), nil
	}
	if m.STAN == "" || m.RRN == "" {
		return reply{code: codeFormat, said: "refused: STAN or RRN is missing"}, nil
	}
	if final && claimed != b.Totals && (b.Last.Code != codeTotals || b.Last.Uploaded < claimed.Transactions()) {
		return reply{code: codeInvalid, said: fmt.Sprintf("refused: a settlement after an upload of %d, where %d are claimed", b.Last.Uploaded, claimed.Transactions())}, nil
	}
	l := ledger.Settlement{STAN: m.STAN, RRN: m.RRN, Final: final, Code: codeApproved, Claimed: claimed, Booked: b.Totals, Time: w.now}
	said := fmt.Sprintf("settled: batch %d in %s, net %d", b.Number, currency, b.Totals.Net())
	switch {
	case claimed == b.Totals:
	case !final:
		l.Code, said = codeTotals, fmt.Sprintf("batch %d in %s: the terminal counts %d, the server %d", b.Number, currency, claimed.Net(), b.Totals.Net())
	default:
		said += fmt.Sprintf(", where the terminal counts %d, after the upload of %d", claimed.Net(), b.Last.Uploaded)
		l.Uploaded = b.Last.Uploaded
	}
	b.Last = l
	if l.Code == codeApproved {
		b.Number++
		b.Settled = b.Settled.Plus(b.Totals)
		b.Totals = ledger.Totals{}
	}
	return answer(l, said), tx.PutBatch(b)
}

// totalsOf are booked totals as a message has them.
func totalsOf(asked *acquirer.Totals, t ledger.Totals) *acquirer.Totals {
	w := &acquirer.Totals{
		Currency: asked.Currency, Debits: acquirer.Total(t.Debits), DebitReversals: acquirer.Total(t.DebitReversals),
		Credits: acquirer.Total(t.Credits), CreditReversals: acquirer.Total(t.CreditReversals),
	}
	w.Net = w.Balance()
	return w
}

// upload carries out an 0320: it looks whether an order is booked as the terminal
// has it. Nothing is changed by it.
func (s *Server) upload(tx ledger.Tx, w *work) (reply, error) {
	m := w.m
	if m.Original == nil {
		return reply{code: codeFormat, said: "uploaded: no original"}, nil
	}
	k, ok := keyOf(w, m.Original.STAN)
	if !ok {
		return reply{code: codeFormat, said: "uploaded: STAN or RRN of the original is missing"}, nil
	}
	b, err := openBatch(tx, w.terminal.ID, m.Amount.Currency.Code())
	if err != nil {
		return reply{}, err
	}
	if !acquirer.IsRepeat(m.MTI) {
		b.Last.Uploaded++
		if err := tx.PutBatch(b); err != nil {
			return reply{}, err
		}
	}
	o, err := tx.Order(m.Order)
	if err == nil {
		o, err = asPaid(tx, o)
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && o.Authorisation != k:
		return reply{code: codeNoOriginal, said: "uploaded: there is no such payment"}, nil
	case err != nil:
		return reply{}, err
	case o.State != ledger.OrderPaid && o.State != ledger.OrderVoided:
		return reply{code: codeInvalid, said: "uploaded: the order is " + string(o.State)}, nil
	case o.Amount != *m.Amount:
		return reply{code: codeAmount, said: "uploaded: another amount was booked"}, nil
	}
	return reply{code: codeApproved, said: "uploaded: as booked"}, nil
}

// network answers an 0800.
func network(w *work) reply {
	switch w.m.NetworkCode {
	case acquirer.NetworkSignOn, acquirer.NetworkSignOff, acquirer.NetworkEcho, acquirer.NetworkCutover:
		return reply{code: codeApproved, said: "network management " + w.m.NetworkCode}
	}
	return reply{code: codeUnsupported, said: "refused: network management " + w.m.NetworkCode}
}
