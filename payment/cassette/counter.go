package cassette

import (
	"errors"
	"io"
	"sync"
	"time"
)

// counter counts the bytes that were written to a link. The nil counter is one
// that nothing waits for.
type counter struct {
	mu      sync.Mutex
	n       int64
	closed  bool
	changed chan struct{}
}

func newCounter() *counter { return &counter{changed: make(chan struct{})} }

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += int64(n)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *counter) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

func (c *counter) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *counter) count() int64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// errNotWritten: so many bytes were not written in time.
var errNotWritten = errors.New("cassette: not written")

// await waits until n bytes were written, for no longer than patience unless
// that is zero. Errors: io.ErrClosedPipe, errNotWritten.
func (c *counter) await(n int64, patience time.Duration) error {
	if c == nil {
		return nil
	}
	var late <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		late = t.C
	}
	for {
		c.mu.Lock()
		reached, closed, changed := c.n >= n, c.closed, c.changed
		c.mu.Unlock()
		switch {
		case reached:
			return nil
		case closed:
			return io.ErrClosedPipe
		}
		select {
		case <-changed:
		case <-late:
			return errNotWritten
		}
	}
}
