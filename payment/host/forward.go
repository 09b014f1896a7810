package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
)

// Intervals of Forward: how often it looks by itself, which finds what another
// server left, and the longest wait before a message is sent again.
const (
	forwardEvery = 5 * time.Second
	forwardMost  = 10 * time.Minute
)

// maxRefusals is how often the acquirer above may answer that it does not take a
// message before it is not sent any more: it stays in the ledger as refused, for
// people to see to.
const maxRefusals = 5

// Forward sends what is owed to the acquirer above, until ctx ends: reversals,
// completions and voids, each repeated until it is acknowledged, or refused too
// often, those of one request in their order. Several servers on one ledger may do so at once; the
// acquirer takes each once. Without an Upstream it waits for ctx.
func (s *Server) Forward(ctx context.Context) {
	for ctx.Err() == nil {
		if s.c.Upstream != nil {
			if _, err := s.ForwardDue(ctx); err != nil && ctx.Err() == nil {
				s.tell("", "", "what the acquirer is owed could not be read or sent: %v", err)
			}
		}
		t := time.NewTimer(forwardEvery)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-s.owed:
		}
		t.Stop()
	}
}

// ForwardDue sends what is due now, once, and returns how much is still owed,
// whether it was due or not. What the acquirer has refused for good is not in it.
func (s *Server) ForwardDue(ctx context.Context) (owed int, err error) {
	var list []ledger.Outgoing
	err = s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		list = nil
		return tx.EachOutgoing(func(o ledger.Outgoing) error { list = append(list, o); return nil })
	})
	if err != nil {
		return 0, fmt.Errorf("host: reading what is owed: %w", err)
	}
	now := s.c.Now()
	// What follows a message that was not acknowledged waits for it.
	held := map[ledger.Key]bool{}
	var first error
	refused := 0
	for _, o := range list {
		if err := ctx.Err(); err != nil {
			return owed, err
		}
		if o.Refused {
			refused++
			continue
		}
		// What is due later than anything is ever put off was written before
		// the clock was set back.
		if wait := o.Due.Sub(now); wait > 0 && wait <= max(forwardMost, 2*s.c.Limits.Upstream) || held[o.Authorisation] {
			held[o.Authorisation] = true
			owed++
			continue
		}
		done, given, err := s.forward(ctx, o)
		if given {
			refused++
			continue
		}
		if err != nil {
			first = errors.Join(first, err)
		}
		if !done {
			held[o.Authorisation] = true
			owed++
		}
	}
	s.counters.owes(owed, refused)
	return owed, first
}

// forward sends one message. refused is set when the acquirer has refused it for
// good. An error is the ledger's.
func (s *Server) forward(ctx context.Context, o ledger.Outgoing) (done, refused bool, err error) {
	if gone, err := s.give(ctx, o); err != nil || gone {
		return gone, false, err
	}
	packed, err := s.owedMessage(o)
	if err != nil {
		return false, false, fmt.Errorf("host: message %s: %w", o.ID, err)
	}
	m, err := s.c.Dialect.Unpack(packed)
	clear(packed)
	if err != nil {
		return false, false, fmt.Errorf("host: message %s: %w", o.ID, err)
	}
	defer m.Wipe()
	if o.Attempts > 0 {
		if m.MTI, err = acquirer.RepeatMTI(m.MTI); err != nil {
			return false, false, fmt.Errorf("host: message %s: %w", o.ID, err)
		}
	}
	answer, err := s.exchange(ctx, m)
	code := ""
	if err == nil {
		code = answer.ResponseCode
		answer.Wipe()
	}
	if code == codeApproved {
		s.tell(o.Authorisation.Terminal, "", "the acquirer acknowledges %s", o.ID)
		return true, false, s.c.Ledger.Update(ctx, func(tx ledger.Tx) error { return tx.DeleteOutgoing(o.ID) })
	}
	s.tell(o.Authorisation.Terminal, "", "the acquirer does not acknowledge %s (attempt %d): code %q, %v", o.ID, o.Attempts+1, code, err)
	err = s.c.Ledger.Update(context.WithoutCancel(ctx), func(tx ledger.Tx) error {
		refused = false
		now, err := tx.Outgoing(o.ID)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		now.Attempts++
		if code != "" && s.refusal(code) {
			now.Refusals++
			now.Code = code
			refused = now.Refusals >= maxRefusals
			now.Refused = refused
		}
		now.Due = s.c.Now().Add(min(time.Second<<min(now.Attempts, 12), forwardMost))
		return tx.PutOutgoing(now)
	})
	if refused && err == nil {
		s.counters.count(`payunit_above_total{result="refused"}`)
		s.tell(o.Authorisation.Terminal, "", "the acquirer refuses %s for good, code %s: it is kept, and not sent any more", o.ID, code)
	}
	return false, refused, err
}

// refusal reports whether a response code says that a message is not taken, now or
// later.
func (s *Server) refusal(code string) bool {
	r, _ := s.c.Dialect.Response(code)
	return r.Class != acquirer.ClassLater && r.Class != acquirer.ClassRetry
}

// give prepares a message for being sent. A reversal that stands for a request
// whose time has passed becomes one: whoever asked has died, or waits no longer.
// gone is true when the message is owed no more.
func (s *Server) give(ctx context.Context, o ledger.Outgoing) (gone bool, err error) {
	err = s.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		gone = false
		if _, err := tx.Outgoing(o.ID); errors.Is(err, ledger.ErrNotFound) {
			gone = true
			return nil
		} else if err != nil {
			return err
		}
		a, err := tx.Authorisation(o.Authorisation)
		if err != nil || a.State != ledger.AuthAsked {
			return err
		}
		order, err := pendingOrder(tx, &a)
		if err != nil {
			return err
		}
		order.State, order.Authorisation = ledger.OrderOpen, ledger.Key{}
		if err := tx.PutOrder(order); err != nil {
			return err
		}
		a.State, a.Changed, a.ResponseCode = ledger.AuthReversed, s.c.Now(), codeUnavailable
		return tx.PutAuthorisation(a)
	})
	if err != nil {
		return false, fmt.Errorf("host: message %s: %w", o.ID, err)
	}
	return gone, nil
}

// SendAgain makes a message one that is owed again which the acquirer above has
// refused for good. Errors: ledger.ErrNotFound, ledger.ErrConflict when it was not
// refused.
func SendAgain(ctx context.Context, l ledger.Ledger, id string, now time.Time) error {
	return l.Update(ctx, func(tx ledger.Tx) error {
		o, err := tx.Outgoing(id)
		if err != nil {
			return fmt.Errorf("host: message %s: %w", id, err)
		}
		if !o.Refused {
			return fmt.Errorf("host: message %s: %w: it was not refused", id, ledger.ErrConflict)
		}
		o.Refused, o.Refusals, o.Due = false, 0, now
		return tx.PutOutgoing(o)
	})
}
