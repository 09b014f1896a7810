package noise

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// ErrCrowded: a handshake was given up for newer ones, since it was the oldest of
// too many.
var ErrCrowded = errors.New("noise: too many handshakes under way")

// pending are the handshakes under way, the oldest first.
type pending struct {
	limit int
	mu    sync.Mutex
	list  list.List // of context.CancelCauseFunc
}

// enter counts a handshake in, and ends the oldest where there are too many. A
// handshake is one round trip for a client that means it: to crowd it out, others
// have to begin as many as the limit within that time.
func (p *pending) enter(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list.Len() >= p.limit {
		if end, ok := p.list.Remove(p.list.Front()).(context.CancelCauseFunc); ok {
			end(ErrCrowded)
		}
	}
	e := p.list.PushBack(cancel)
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.list.Remove(e)
		cancel(nil)
	}
}
