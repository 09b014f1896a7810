package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// OfflineLimits bound the sales that a card approves without its bank. They are
// kept in the journal and sent (0220) as soon as the server can be reached. The
// zero value makes none.
type OfflineLimits struct {
	// Count is how many may wait for the server. Zero: none is made.
	Count int
	// Minor is what those that wait may come to in one currency, in its minor
	// units.
	Minor int64
	// Age is how long ago the server may last have taken the device's
	// evidence, and the oldest of those that wait may have been made.
	Age time.Duration
}

func (o OfflineLimits) check(online bool) error {
	switch {
	case o == OfflineLimits{}:
		if !online {
			return fmt.Errorf("%w: a terminal that may approve offline, without Offline limits", ErrConfig)
		}
		return nil
	case online:
		return fmt.Errorf("%w: Offline limits on a terminal that is online only", ErrConfig)
	case o.Count <= 0 || o.Minor <= 0 || o.Age <= 0:
		return fmt.Errorf("%w: Offline wants a count, an amount and an age above zero", ErrConfig)
	}
	return nil
}

// evidenceTime is the record of when the server last took the device's evidence.
const evidenceTime = "offline/evidence"

// proved notes that the server has just taken the device's evidence.
func (u *Unit) proved(ctx context.Context) error {
	if u.c.Offline.Count == 0 {
		return nil
	}
	b, err := json.Marshal(u.c.Now())
	if err != nil {
		return err
	}
	if err := u.c.Storage.Put(ctx, evidenceTime, b); err != nil {
		return fmt.Errorf("payment: noting the evidence: %w", err)
	}
	return nil
}

// refusesDevice reports that the server judged the device's evidence, and refused
// it.
func refusesDevice(err error) bool {
	var said *trade.Error
	return errors.As(err, &said) && said.Code == trade.CodeEvidence
}

// disproved forgets that the server took the device's evidence: it has just
// refused it.
func (u *Unit) disproved(ctx context.Context) error {
	if u.c.Offline.Count == 0 {
		return nil
	}
	if err := u.c.Storage.Delete(context.WithoutCancel(ctx), evidenceTime); err != nil {
		return fmt.Errorf("payment: forgetting the evidence: %w", err)
	}
	return nil
}

// mayOffline says why this payment may not be approved offline, "" when it may.
func (p *run) mayOffline(ctx context.Context) (string, error) {
	limits := p.u.c.Offline
	switch {
	case limits.Count == 0:
		return "this unit asks the bank each time", nil
	case p.trade.Type != trade.Sale:
		return "a " + string(p.trade.Type) + " is the bank's to approve", nil
	}
	if p.tip.Minor != 0 {
		return "a tip is the bank's to see", nil
	}
	now := p.u.c.Now()
	var at time.Time
	b, err := p.u.c.Storage.Get(ctx, evidenceTime)
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	if errors.Is(err, trusted.ErrNotFound) {
		return "the server has not taken the device's evidence", nil
	}
	if err != nil {
		return "", fmt.Errorf("payment: when the evidence was taken: %w", err)
	}
	// A clock that was set back proves nothing either.
	if age := now.Sub(at); age < 0 || age > limits.Age {
		return "the server took the device's evidence too long ago", nil
	}
	entries, err := p.u.journal.Pending(ctx)
	if err != nil {
		return "", err
	}
	count, minor := 1, p.trade.Amount.Minor
	for _, e := range entries {
		e.Wipe()
		if e.State != journal.Advice {
			continue
		}
		count++
		if e.Amount.Currency == p.trade.Amount.Currency {
			minor += e.Amount.Minor
		}
		if age := now.Sub(e.TransmissionTime); age < 0 || age > limits.Age {
			return "an offline approval has waited too long for the server", nil
		}
	}
	switch {
	case count > limits.Count:
		return fmt.Sprintf("%d offline approvals wait for the server", limits.Count), nil
	case minor > limits.Minor:
		return "the offline approvals that wait for the server come to the limit", nil
	}
	return "", nil
}

// unreached is what the card is told when the bank can't be asked: to decide by
// itself where an offline approval is within the limits, else to decline.
func (p *run) unreached() emv.HostResponse {
	// A PIN that is the bank's to check has been looked at by nobody: a stolen
	// card would do.
	if p.online == "" && p.u.pin.block == nil {
		return emv.HostResponse{Unable: true}
	}
	return p.declining()
}

// declining tells the card that there is no approval. A terminal that may approve
// offline has to say so itself; the others decline where the bank was not asked.
func (p *run) declining() emv.HostResponse {
	if p.u.c.Terminal.Type.OnlineOnly() {
		return emv.HostResponse{Unable: true}
	}
	return emv.HostResponse{ARC: arcUnableDeclined}
}

// arcUnableDeclined is the terminal's own response code: unable to go online,
// declined (EMV 4.4 Book 4, A6).
const arcUnableDeclined = "Z3"

// store puts an offline approval into the journal. From here on the payment
// stands, and is sent until the server answers.
func (p *run) store(ctx context.Context) Trigger {
	m := p.out.message
	if m == nil {
		var err error
		if m, err = p.message(ctx); err != nil {
			return p.fail(err)
		}
		defer m.Wipe()
	}
	p.outcome, p.offline = p.emv.Outcome(), true
	p.res.ResponseCode = p.outcome.ARC
	p.reason("the card approved without its bank")
	a := p.emv.Authorize()
	p.debt = p.reversal(m)
	p.debt.State, p.debt.Reason, p.debt.ICC = journal.Advice, "", p.field55()
	p.debt.Account = &journal.Account{PAN: append([]byte(nil), a.PAN.Reveal()...), PSN: a.PSN, Expiry: a.Expiry}
	r := p.result(Approved)
	body, err := json.Marshal(r)
	if err == nil {
		p.debt.Result = body
		err = p.u.journal.Put(context.WithoutCancel(ctx), p.debt)
	}
	if err != nil {
		return p.fail(fmt.Errorf("payment: keeping an offline approval: %w", err))
	}
	p.end = &r
	p.u.tell(PhaseComplete, "the offline approval stands in the journal: reference %s", m.RRN)
	return TriggerWritten
}
