package vault

import (
	"context"
	"fmt"
)

// turn gives the vault to one caller at a time. Its methods are a mutex whose
// waiting ends with a context.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("vault: waiting for what is under way: %w", ctx.Err())
	}
}

func (t turn) give() { <-t }

// exclusively runs f with the vault to itself. When ctx ends first it returns, although
// the disk or the anchor may not have answered: a frame that stands has to be
// followed, so that f then goes on, to its end and without ctx, and whoever comes
// next waits for it. Exactly one of the caller and left gets what f gives; left
// runs while the vault is still f's, and may be nil.
func exclusively[T any](ctx context.Context, v *Vault, f func(ctx context.Context) (T, error), left func(T)) (T, error) {
	var none T
	if err := v.turn.take(ctx); err != nil {
		return none, err
	}
	if err := v.stateLocked(ctx); err != nil {
		v.turn.give()
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	done, gone := make(chan result), make(chan struct{})
	go func() {
		defer v.turn.give()
		value, err := f(context.WithoutCancel(ctx))
		select {
		case done <- result{value, err}:
		case <-gone:
			if err == nil && left != nil {
				left(value)
			}
		}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return none, r.err
		}
		return r.value, nil
	case <-ctx.Done():
		close(gone)
		return none, fmt.Errorf("vault: %w; what was begun ends by itself", ctx.Err())
	}
}
