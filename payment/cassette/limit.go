package cassette

import (
	"context"
	"errors"
	"sync"
	"time"
)

// limitKey finds the phase's context, a *limit, in those that are made of it.
type limitKey struct{}

// Timeout is context.WithTimeout for payment.Config.Timeout: a limit that passed
// while the recorded unit waited for an answer passes at that answer when it is
// played, whatever time that takes.
func (t *Tape) Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	timed, cancel := context.WithTimeout(ctx, d)
	if t.playing == nil {
		return context.WithValue(timed, limitKey{}, timed), cancel
	}
	l := &limit{Context: timed, done: make(chan struct{})}
	context.AfterFunc(timed, func() { l.end(timed.Err()) })
	return l, func() {
		cancel()
		l.end(context.Canceled)
	}
}

// passed reports whether the limit of a recorded call's phase has passed.
func passed(ctx context.Context) bool {
	if ctx == nil {
		return false
	}
	timed, ok := ctx.Value(limitKey{}).(context.Context)
	return ok && ctx.Err() != nil && errors.Is(timed.Err(), context.DeadlineExceeded)
}

// pass lets the limit of a played call's phase pass, and returns when the call's
// own context has ended with it.
func pass(ctx context.Context) {
	if ctx == nil {
		return
	}
	l, ok := ctx.Value(limitKey{}).(*limit)
	if !ok {
		return
	}
	l.end(context.DeadlineExceeded)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-ctx.Done():
	case <-late.C:
		// It was made to outlive its phase.
	}
}

// limit is a context that can be told to have reached its deadline, which those of
// package context can't.
type limit struct {
	context.Context // the one with the timer
	done            chan struct{}

	mu  sync.Mutex
	err error
}

// end ends it, unless it has ended.
func (l *limit) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.done)
	}
}

// Done implements context.Context.
func (l *limit) Done() <-chan struct{} { return l.done }

// Err implements context.Context.
func (l *limit) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Value implements context.Context.
func (l *limit) Value(key any) any {
	if key == (limitKey{}) {
		return l
	}
	return l.Context.Value(key)
}
