package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
)

// Errors of Exchange. They say what a caller has to know: whether the request
// may have been carried out.
var (
	// ErrNotSent: the request did not leave. Nothing has to be reversed.
	ErrNotSent = errors.New("link: request was not sent")
	// ErrNoAnswer: the request left, in whole or in part, and no answer to it
	// came. Its outcome is unknown.
	ErrNoAnswer = errors.New("link: no answer")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("link: client is closed")
	// ErrInFlight: a request with the same terminal, STAN and message class
	// is still waiting for its answer.
	ErrInFlight = errors.New("link: the same request is in flight")
	// ErrFull: as many requests are in flight as the client takes.
	ErrFull = errors.New("link: too many requests in flight")
)

// Config configures a Client.
type Config struct {
	// Dial opens a connection to the host. It is needed.
	Dial func(ctx context.Context) (net.Conn, error)
	// Framing is the form of frames; the zero value is a two-byte length.
	Framing Framing
	// TPDU goes in front of each request, when Framing has one.
	TPDU TPDU
	// Dialect is the messages' dialect; nil means acquirer.Default().
	Dialect *acquirer.Dialect
	// Seal makes the bytes of a request, and Open reads an answer and checks
	// its MAC; nil means the dialect's Pack and Unpack, without a MAC, for
	// lines that are authenticated by other means. Both or neither.
	Seal func(m *acquirer.Message) ([]byte, error)
	Open func(b []byte) (*acquirer.Message, error)
	// Timeout bounds an Exchange beside its context; 0 means 30 seconds.
	Timeout time.Duration
	// MaxInFlight bounds the requests that wait for answers; 0 means 64.
	MaxInFlight int
	// BackOff is the time after a failed connection in which none is made,
	// doubled with each failure up to MaxBackOff; 0 means 500 milliseconds, and
	// 30 seconds. A request that can't wait for its end is told so at once.
	BackOff, MaxBackOff time.Duration
	// Late gets each message that answers no request in flight; it is the
	// owner's to wipe. It is called from the client's goroutine, may not
	// block, and may be nil: such messages are dropped.
	Late func(m *acquirer.Message)
	// Observe gets what happens to the connection: opened, lost and why, a
	// frame that could not be read. It may be nil and may not block.
	Observe func(text string, err error)
	// Wait waits for d or the end of ctx; nil means a timer.
	Wait func(ctx context.Context, d time.Duration) error
	// Now is the clock that BackOff is counted by; nil means time.Now.
	Now func() time.Time
}

// Client sends requests to a host over one connection, which it opens when it
// is needed and again when it was lost. Any number of goroutines may use it at
// once; answers are matched by message class, terminal, STAN and whatever else
// acquirer.Matches compares.
type Client struct {
	c    Config
	stop context.CancelFunc
	ctx  context.Context

	connecting chan struct{} // held while a connection is made
	wg         sync.WaitGroup

	mu      sync.Mutex
	conn    *conn
	waiting map[*call]struct{}
	closed  bool
	fails   int
	failed  time.Time // when the last connection failed
}

// conn is a connection and the right to write to it.
type conn struct {
	net.Conn
	writing chan struct{}
}

// call is a request in flight.
type call struct {
	request *acquirer.Message
	conn    *conn
	done    chan result
}

type result struct {
	m   *acquirer.Message
	err error
}

// NewClient returns a client that has not connected yet. It fails when Dial is
// missing, or one of Seal and Open.
func NewClient(c Config) (*Client, error) {
	if c.Dial == nil {
		return nil, errors.New("link: Config.Dial is missing")
	}
	if (c.Seal == nil) != (c.Open == nil) {
		return nil, errors.New("link: Config.Seal and Config.Open belong together")
	}
	if c.Dialect == nil {
		c.Dialect = acquirer.Default()
	}
	if c.Seal == nil {
		c.Seal, c.Open = c.Dialect.Pack, c.Dialect.Unpack
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 64
	}
	if c.BackOff <= 0 {
		c.BackOff = 500 * time.Millisecond
	}
	if c.MaxBackOff < c.BackOff {
		c.MaxBackOff = max(30*time.Second, c.BackOff)
	}
	if c.Late == nil {
		c.Late = func(m *acquirer.Message) { m.Wipe() }
	}
	if c.Observe == nil {
		c.Observe = func(string, error) {}
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Client{c: c, ctx: ctx, stop: stop, connecting: make(chan struct{}, 1), waiting: map[*call]struct{}{}}, nil
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Exchange sends a request and returns its answer, which the caller wipes. It
// ends with ctx, with Config.Timeout and with the connection. Errors wrap
// ErrNotSent, ErrNoAnswer, or, when the message can't be packed,
// acquirer.ErrInvalid; an error of ErrNotSent wraps ErrClosed, ErrInFlight or
// ErrFull where that is the cause.
func (c *Client) Exchange(ctx context.Context, m *acquirer.Message) (*acquirer.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, c.c.Timeout)
	defer cancel()
	body, err := c.c.Seal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	defer clear(body)
	frame, err := c.c.Framing.Append(make([]byte, 0, len(body)+9), c.c.TPDU, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	defer clear(frame)
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	w := &call{request: m, conn: conn, done: make(chan result, 1)}
	if err := c.enter(w); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	defer c.leave(w)
	if n, err := c.write(ctx, conn, frame); err != nil {
		if n == 0 {
			return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	select {
	case r := <-w.done:
		if r.err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoAnswer, r.err)
		}
		return r.m, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())
	}
}

// enter registers a request before it is written, so that no answer is too
// early for it.
func (c *Client) enter(w *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if len(c.waiting) >= c.c.MaxInFlight {
		return ErrFull
	}
	for o := range c.waiting {
		if same(o.request, w.request) {
			return ErrInFlight
		}
	}
	if c.conn != w.conn {
		return net.ErrClosed
	}
	c.waiting[w] = struct{}{}
	return nil
}

// same: an answer without an RRN could belong to either.
func same(a, b *acquirer.Message) bool {
	return a.MTI[:2] == b.MTI[:2] && a.STAN == b.STAN && a.TerminalID == b.TerminalID
}

// leave takes a request off, and hands on an answer that came with its end.
func (c *Client) leave(w *call) {
	c.mu.Lock()
	delete(c.waiting, w)
	c.mu.Unlock()
	select {
	case r := <-w.done:
		if r.m != nil {
			c.c.Late(r.m)
		}
	default:
	}
}

// write writes a frame, one at a time, and returns how much of it may have
// left. A frame that was cut off leaves the stream out of step, so the
// connection goes with it.
func (c *Client) write(ctx context.Context, conn *conn, frame []byte) (int, error) {
	select {
	case conn.writing <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-conn.writing }()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// A peer that stops reading blocks a write for good; the end of ctx
	// releases it.
	released := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(released)
		_ = conn.SetWriteDeadline(time.Unix(1, 0))
	})
	n, err := conn.Write(frame)
	if !release() {
		// The frame may have left whole just before: then the connection is
		// good for others, without the deadline.
		<-released
		_ = conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		c.lose(conn, err)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	return n, err
}

// connect returns the connection, and makes it when there is none.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	select {
	case c.connecting <- struct{}{}:
		defer func() { <-c.connecting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, ErrClosed
	}
	c.mu.Lock()
	conn0, closed, pause := c.conn, c.closed, c.pauseLocked()
	c.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if conn0 != nil {
		return conn0, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if pause > 0 {
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= pause {
			return nil, fmt.Errorf("%w: none is made for another %v", errPause, pause.Round(time.Millisecond))
		}
		if err := c.c.Wait(ctx, pause); err != nil {
			return nil, err
		}
	}
	nc, err := c.c.Dial(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.closed {
		_ = nc.Close()
		err = ErrClosed
	}
	if err != nil {
		c.fails++
		c.failed = c.c.Now()
		c.c.Observe("connection failed", err)
		return nil, err
	}
	c.fails = 0
	c.conn = &conn{Conn: nc, writing: make(chan struct{}, 1)}
	c.wg.Add(1)
	go c.read(c.conn)
	c.c.Observe("connected", nil)
	return c.conn, nil
}

var errPause = errors.New("link: the last connection failed")

// pauseLocked is how long no connection is made yet. It is counted from the last
// failure, not from each request: requests that end before it would put it off for
// ever.
func (c *Client) pauseLocked() time.Duration {
	if c.fails == 0 {
		return 0
	}
	d := c.backOff(c.fails)
	return min(d, d-c.c.Now().Sub(c.failed))
}

func (c *Client) backOff(fails int) time.Duration {
	d := c.c.BackOff
	for range fails - 1 {
		if d >= c.c.MaxBackOff/2 {
			return c.c.MaxBackOff
		}
		d *= 2
	}
	return d
}

// lose ends a connection: all that wait on it are told.
func (c *Client) lose(conn *conn, err error) {
	_ = conn.Close()
	c.mu.Lock()
	if c.conn == conn {
		c.conn = nil
	}
	for w := range c.waiting {
		if w.conn == conn {
			delete(c.waiting, w)
			w.done <- result{err: fmt.Errorf("connection lost: %w", err)}
		}
	}
	c.mu.Unlock()
}

// read hands the answers of one connection to those that wait.
func (c *Client) read(conn *conn) {
	defer c.wg.Done()
	for {
		_, b, err := c.c.Framing.Read(conn)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				c.c.Observe("connection closed", nil)
			} else {
				c.c.Observe("connection lost", err)
			}
			c.lose(conn, err)
			return
		}
		m, err := c.c.Open(b)
		clear(b)
		if err != nil {
			// The frame was whole: the stream goes on.
			c.c.Observe("unreadable message", err)
			continue
		}
		c.deliver(conn, m)
	}
}

// deliver finds the request that m answers.
func (c *Client) deliver(conn *conn, m *acquirer.Message) {
	c.mu.Lock()
	for w := range c.waiting {
		if w.conn == conn && acquirer.Matches(w.request, m) == nil {
			delete(c.waiting, w)
			w.done <- result{m: m}
			c.mu.Unlock()
			return
		}
	}
	c.mu.Unlock()
	c.c.Late(m)
}

// Keep sends what echo makes, a 0800 as a rule, each time interval has passed,
// until ctx ends or the client is closed, and so keeps the connection open and
// known to be alive. An echo that is not answered closes the connection.
func (c *Client) Keep(ctx context.Context, interval time.Duration, echo func() (*acquirer.Message, error)) error {
	for {
		if err := c.c.Wait(ctx, interval); err != nil {
			return err
		}
		m, err := echo()
		if err != nil {
			return fmt.Errorf("link: making an echo: %w", err)
		}
		answer, err := c.Exchange(ctx, m)
		switch {
		case err == nil:
			answer.Wipe()
		case errors.Is(err, ErrClosed) || ctx.Err() != nil:
			return err
		case errors.Is(err, ErrNoAnswer):
			c.mu.Lock()
			conn := c.conn
			c.mu.Unlock()
			if conn != nil {
				c.lose(conn, err)
			}
		}
	}
}

// Close closes the connection, ends all that wait with ErrNoAnswer, and returns
// when the client's goroutine has ended. A second Close does nothing.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	conn := c.conn
	c.mu.Unlock()
	c.stop()
	if conn != nil {
		c.lose(conn, ErrClosed)
	}
	c.wg.Wait()
	return nil
}
