// Package crowd bounds the handshakes that are under way at a server, so that
// strangers who begin one and do not go on are in nobody's way.
package crowd

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// DefaultLimit is how many handshakes a server has under way at a time, unless it
// is told otherwise.
const DefaultLimit = 256

// ErrCrowded: a handshake was given up for newer ones, since it was the oldest of
// too many.
var ErrCrowded = errors.New("channel: too many handshakes under way")

// Crowd are the handshakes under way, the oldest first. It is safe for concurrent
// use.
type Crowd struct {
	// Limit is how many there may be, at least one.
	Limit int
	mu    sync.Mutex
	list  list.List // of context.CancelCauseFunc
}

// Enter counts a handshake in, until leave is called, and ends the oldest where
// there are too many, whose context then has ErrCrowded as its cause. A handshake
// is a round trip or two for a client that means it: to crowd it out, others have
// to begin as many as the limit within that time.
func (c *Crowd) Enter(ctx context.Context) (under context.Context, leave func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list.Len() > 0 && c.list.Len() >= c.Limit {
		if end, ok := c.list.Remove(c.list.Front()).(context.CancelCauseFunc); ok {
			end(ErrCrowded)
		}
	}
	e := c.list.PushBack(cancel)
	return ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.list.Remove(e)
		cancel(nil)
	}
}

// Len is how many are under way.
func (c *Crowd) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list.Len()
}

// Ending is why a handshake's context has ended, with its cause.
func Ending(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return errors.Join(ctx.Err(), cause)
	}
	return ctx.Err()
}
