package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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

// forwardPage is how many messages are read at once.
const forwardPage = 256

// errPage ends the reading of a page.
var errPage = errors.New("host: a page is full")

// outgoingPage reads a page of what is owed after a number.
func (s *Server) outgoingPage(ctx context.Context, after uint64) (page []ledger.Outgoing, err error) {
	err = s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		page = nil
		err := tx.EachOutgoing(after, func(o ledger.Outgoing) error {
			// Messages of one number belong together: a page ends after them.
			if n := len(page); n >= forwardPage && page[n-1].Number != o.Number {
				return errPage
			}
			page = append(page, o)
			return nil
		})
		if errors.Is(err, errPage) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("host: reading what is owed: %w", err)
	}
	return page, nil
}

// ForwardDue sends what is due now, once, and returns how much is still owed,
// whether it was due or not. What the acquirer has refused for good is not in it. It
// reads a page at a time, and sends the messages of Limits.Forwards requests at once.
func (s *Server) ForwardDue(ctx context.Context) (owed int, err error) {
	now := s.c.Now()
	// What follows a message that was not acknowledged waits for it.
	held := map[ledger.Key]bool{}
	var first error
	refused := 0
	for after := uint64(0); ; {
		page, err := s.outgoingPage(ctx, after)
		if err != nil {
			return owed, err
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].Number
		var requests [][]ledger.Outgoing
		at := map[ledger.Key]int{}
		for _, o := range page {
			if o.Refused {
				refused++
				continue
			}
			i, ok := at[o.Authorisation]
			if !ok {
				i = len(requests)
				at[o.Authorisation] = i
				requests = append(requests, nil)
			}
			requests[i] = append(requests[i], o)
		}
		for _, d := range s.forwardRequests(ctx, now, requests, held) {
			owed += d.owed
			refused += d.refused
			first = errors.Join(first, d.err)
			if d.owed > 0 {
				held[d.key] = true
			}
		}
		if err := ctx.Err(); err != nil {
			return owed, err
		}
	}
	s.counters.owes(owed, refused)
	return owed, first
}

// forwarded is what became of the messages of a request.
type forwarded struct {
	key           ledger.Key
	owed, refused int
	err           error
}

// forwardRequests sends what is due of the messages of several requests.
func (s *Server) forwardRequests(ctx context.Context, now time.Time, requests [][]ledger.Outgoing, held map[ledger.Key]bool) []forwarded {
	out := make([]forwarded, len(requests))
	one := func(i int) {
		d := &out[i]
		d.key = requests[i][0].Authorisation
		wait := held[d.key]
		for _, o := range requests[i] {
			// What is due later than anything is ever put off was written before
			// the clock was set back.
			ahead := o.Due.Sub(now)
			if wait = wait || ahead > 0 && ahead <= max(forwardMost, 2*s.c.Limits.Upstream) || ctx.Err() != nil; wait {
				d.owed++
				continue
			}
			done, given, err := s.forward(ctx, o)
			switch {
			case given:
				d.refused++
			case done:
			default:
				wait = true
				d.owed++
			}
			d.err = errors.Join(d.err, err)
		}
	}
	if s.c.Limits.Forwards == 1 {
		for i := range requests {
			one(i)
		}
		return out
	}
	slots := make(chan struct{}, s.c.Limits.Forwards)
	var wg sync.WaitGroup
	for i := range requests {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			one(i)
		})
	}
	wg.Wait()
	return out
}

// forward sends one message. refused is set when the acquirer has refused it for
// good. An error is the ledger's.
func (s *Server) forward(ctx context.Context, o ledger.Outgoing) (done, refused bool, err error) {
	if gone, err := s.give(ctx, o); err != nil || gone {
		return gone, false, err
	}
	if strings.HasPrefix(o.ID, "increment/") {
		_, done, err := s.askRaise(ctx, o)
		return done, false, err
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
