package mobile

import (
	"context"
	"sync"
	"time"

	"github.com/payunit/payunit/payment"
)

// Bounds on waiting for a host that is only told something: without, and with an
// ended context.
const (
	patience = time.Second
	grace    = 50 * time.Millisecond
)

// events tells an observer what happens, in order and one at a time, on a
// goroutine of its own while there is something to tell: an observer that hangs
// holds up no payment. Nil tells nobody.
type events struct {
	host Observer

	mu      sync.Mutex
	waiting []payment.Event
	// told is closed when all is told; nil when nothing waits.
	told chan struct{}
}

func (o *events) add(e payment.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, e)
	if o.told == nil {
		o.told = make(chan struct{})
		go o.run()
	}
}

func (o *events) run() {
	for {
		o.mu.Lock()
		if len(o.waiting) == 0 {
			close(o.told)
			o.told = nil
			o.mu.Unlock()
			return
		}
		e := o.waiting[0]
		o.waiting = o.waiting[1:]
		o.mu.Unlock()
		// What goes wrong at an observer must not end a payment.
		protect("observing", func() (struct{}, error) { o.host.OnEvent(newEvent(e)); return struct{}{}, nil })
	}
}

// drain waits until all is told, but not for an observer that hangs.
func (o *events) drain(ctx context.Context) {
	if o == nil {
		return
	}
	o.mu.Lock()
	told := o.told
	o.mu.Unlock()
	if told == nil {
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-told:
		return
	case <-t.C:
		return
	case <-ctx.Done():
	}
	t.Reset(grace)
	select {
	case <-told:
	case <-t.C:
	}
}
