package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/trusted"
)

// Errors that callers branch on.
var (
	// ErrIdle: nothing passed for the time that Config.Idle allows, because
	// nobody spoke or because an end does not read.
	ErrIdle = errors.New("relay: connection idle")
	// ErrConfig: New was given a Config that can't work.
	ErrConfig = errors.New("relay: configuration")
)

// Config makes a Relay.
type Config struct {
	// Link opens connections to the server. No default.
	Link trusted.Link
	// Idle ends a connection on which nothing passed for so long; zero means
	// three minutes, which is more than a cardholder takes for the PIN.
	Idle time.Duration
	// Dial bounds the opening of a connection to the server; zero means 15 s.
	Dial time.Duration
	// Connections bounds how many are open at a time; zero means 64. One more
	// is closed at once.
	Connections int
	// Observe is told of each connection's end, from its goroutine: what
	// passed, and why it ended, nil when an end closed it. Nil tells nobody.
	Observe func(up, down int64, err error)
}

// Relay moves bytes between units and a server, for an app whose unit is another
// process or another device. It reads nothing of them.
//
// A connection holds one buffer a direction, and takes no more from an end before
// the other end took what there is: an end that never reads stops the one that
// writes, costs that buffer, and is let go after the idle time.
type Relay struct {
	c       Config
	slots   chan struct{}
	buffers sync.Pool
	open    sync.WaitGroup
}

const (
	defaultIdle        = 3 * time.Minute
	defaultDial        = 15 * time.Second
	defaultConnections = 64
	// bufferSize takes any frame of the channel.
	bufferSize = 32 << 10
	// linger is how long the end that still speaks may go on after the other
	// has closed.
	linger = 2 * time.Second
	// acceptPause is how long a listener that can't take a connection now is
	// left alone.
	acceptPause = 20 * time.Millisecond
)

// New makes a relay. Errors wrap ErrConfig.
func New(c Config) (*Relay, error) {
	if c.Link == nil {
		return nil, fmt.Errorf("%w: Link is nil and has no default", ErrConfig)
	}
	if c.Idle <= 0 {
		c.Idle = defaultIdle
	}
	if c.Dial <= 0 {
		c.Dial = defaultDial
	}
	if c.Connections <= 0 {
		c.Connections = defaultConnections
	}
	if c.Observe == nil {
		c.Observe = func(int64, int64, error) {}
	}
	return &Relay{c: c, slots: make(chan struct{}, c.Connections), buffers: sync.Pool{New: func() any { return new([bufferSize]byte) }}}, nil
}

// Serve takes units' connections until ctx ends, which is no error, or l fails. It
// closes l, and returns when every connection has ended.
func (r *Relay) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer r.open.Wait()
	for {
		unit, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			// Out of descriptors, or a unit that is gone already: that passes.
			var t interface{ Temporary() bool }
			if errors.As(err, &t) && t.Temporary() {
				pause(ctx)
				continue
			}
			return errors.Join(fmt.Errorf("relay: accepting: %w", err), l.Close())
		}
		select {
		case r.slots <- struct{}{}:
		default:
			_ = unit.Close()
			continue
		}
		r.open.Go(func() {
			defer func() { <-r.slots }()
			_ = r.Forward(ctx, unit)
		})
	}
}

func pause(ctx context.Context) {
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Forward opens a connection to the server for one unit's and moves bytes between
// the two until either end closes (nil), ctx ends, or nothing passes (ErrIdle). It
// closes both.
func (r *Relay) Forward(ctx context.Context, unit io.ReadWriteCloser) error {
	dialling, cancel := context.WithTimeout(ctx, r.c.Dial)
	server, err := r.c.Link.Open(dialling)
	cancel()
	if err != nil {
		err = errors.Join(fmt.Errorf("relay: opening the way to the server: %w", err), unit.Close())
		r.c.Observe(0, 0, err)
		return err
	}
	f := &forwarding{idle: r.c.Idle, unit: unit, server: server, buffers: &r.buffers}
	err = f.run(ctx)
	r.c.Observe(f.up.Load(), f.down.Load(), err)
	return err
}

// forwarding is one connection under way.
type forwarding struct {
	idle         time.Duration
	unit, server io.ReadWriteCloser
	buffers      *sync.Pool
	up, down     atomic.Int64

	mu    sync.Mutex
	timer *time.Timer
	cause error
	over  bool
}

func (f *forwarding) run(ctx context.Context) error {
	f.mu.Lock()
	f.timer = time.AfterFunc(f.idle, func() { f.end(ErrIdle) })
	f.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { f.end(fmt.Errorf("relay: %w", ctx.Err())) })
	defer stop()
	done := make(chan error, 2)
	go func() { done <- f.move(f.server, f.unit, &f.up) }()
	go func() { done <- f.move(f.unit, f.server, &f.down) }()
	err := <-done
	// The other direction may still have something to say to an end that has
	// closed its half only.
	f.limit(linger)
	err = errors.Join(err, <-done)
	f.end(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause != nil {
		return f.cause
	}
	return err
}

// move copies one direction. The end of a stream, and whatever a closed one says,
// is no error.
func (f *forwarding) move(to io.Writer, from io.Reader, passed *atomic.Int64) error {
	buf, ok := f.buffers.Get().(*[bufferSize]byte)
	if !ok {
		buf = new([bufferSize]byte)
	}
	defer f.buffers.Put(buf)
	for {
		n, err := from.Read(buf[:])
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				// Nobody takes it: there is nothing to read on for.
				f.end(nil)
				return broken("writing", werr)
			}
			passed.Add(int64(n))
			f.alive()
		}
		if err != nil {
			f.half(to)
			return broken("reading", err)
		}
	}
}

// half tells an end that nothing more comes.
func (f *forwarding) half(to io.Writer) {
	if c, ok := to.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		return
	}
	f.end(nil)
}

// broken names a failure, unless it is one of the ways in which a stream ends.
func broken(doing string, err error) error {
	for _, e := range []error{io.EOF, io.ErrClosedPipe, net.ErrClosed, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return fmt.Errorf("relay: %s: %w", doing, err)
}

// alive puts the idle time's end off.
func (f *forwarding) alive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.timer.Reset(f.idle)
	}
}

// limit makes d the longest that anything may still last.
func (f *forwarding) limit(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.timer.Stop()
	f.idle = min(f.idle, d)
	f.timer = time.AfterFunc(d, func() { f.end(nil) })
}

// end closes both ends, once; the first cause counts.
func (f *forwarding) end(cause error) {
	f.mu.Lock()
	if f.over {
		f.mu.Unlock()
		return
	}
	f.over, f.cause = true, cause
	f.timer.Stop()
	f.mu.Unlock()
	_ = f.unit.Close()
	_ = f.server.Close()
}
