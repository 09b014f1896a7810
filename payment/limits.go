package payment

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits bound how long each phase of a payment may take, beside the caller's
// context. Zero fields have the default that is named.
type Limits struct {
	// Connect is for bringing the channel up: 15 s.
	Connect time.Duration
	// Reply is for the server's answer to a request: 30 s.
	Reply time.Duration
	// Confirm is for the cardholder's word on the trade: 2 min. When it has
	// passed, the payment ends as cancelled.
	Confirm time.Duration
	// Insert is for a card to come: 2 min. When it has passed, the payment
	// ends as cancelled.
	Insert time.Duration
	// Card is for reading the card, PIN entry included, up to its first
	// GENERATE AC: 3 min. The pad has its own limit for the PIN.
	Card time.Duration
	// Complete is for the card's last commands, the second GENERATE AC and
	// the issuer's scripts: 30 s. When it has passed, what the server
	// approved is reversed.
	Complete time.Duration
}

func (l *Limits) complete() {
	for _, d := range []struct {
		limit *time.Duration
		or    time.Duration
	}{
		{&l.Connect, 15 * time.Second},
		{&l.Reply, 30 * time.Second},
		{&l.Confirm, 2 * time.Minute},
		{&l.Insert, 2 * time.Minute},
		{&l.Card, 3 * time.Minute},
		{&l.Complete, 30 * time.Second},
	} {
		if *d.limit <= 0 {
			*d.limit = d.or
		}
	}
}

// TimeoutError: a phase took longer than its limit.
type TimeoutError struct {
	Phase Phase
	Limit time.Duration
}

// Error names phase and limit.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("payment: phase %s took longer than its limit of %s", e.Phase, e.Limit)
}

// Is makes it a context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// within does something in a phase's time. The error wraps a *TimeoutError when
// that, and not the caller's, ran out.
func (u *Unit) within(ctx context.Context, p Phase, limit time.Duration, do func(context.Context) error) error {
	inner, cancel := u.c.Timeout(ctx, limit)
	defer cancel()
	err := do(inner)
	if err != nil && ctx.Err() == nil && inner.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", &TimeoutError{Phase: p, Limit: limit}, err)
	}
	return err
}
