// Package comm is trusted communication: it brings the secure channel up over
// the app's relay and carries the dialogue of payment/trade through it, one
// request and one reply at a time.
package comm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// Errors that callers branch on.
var (
	// ErrProtocol: the peer does not keep to the dialogue. The session is
	// dead.
	ErrProtocol = errors.New("comm: peer broke the dialogue")
	// ErrClosed: the session is closed or dead.
	ErrClosed = errors.New("comm: session is closed")
	// ErrUnsent: the channel had come to its end before the request was out:
	// a new session can take it as if nothing had been. The session is dead.
	ErrUnsent = errors.New("comm: request not sent")
)

// Client opens sessions.
type Client struct {
	// Link is the app's way to the server.
	Link trusted.Link
	// Handshaker makes the channel.
	Handshaker channel.Handshaker
	// Attester proves the device again inside the channel; nil can't.
	Attester channel.Attester
}

// Open brings a channel up. Where the handshaker says that another attempt takes
// another way, as after a resumption that failed, there is one, over a new stream.
// Errors are the link's and the handshaker's.
func (c *Client) Open(ctx context.Context) (*Session, error) {
	s, err := c.open(ctx)
	var other interface{ Again() bool }
	if err == nil || ctx.Err() != nil || !errors.As(err, &other) || !other.Again() {
		return s, err
	}
	s, again := c.open(ctx)
	if again != nil {
		return nil, fmt.Errorf("%w; before that: %w", again, err)
	}
	return s, nil
}

func (c *Client) open(ctx context.Context) (*Session, error) {
	rw, err := c.Link.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("comm: link: %w", err)
	}
	conn, err := c.Handshaker.Client(ctx, rw)
	if err != nil {
		return nil, fmt.Errorf("comm: %w", err)
	}
	return &Session{conn: conn, attester: c.Attester}, nil
}

// Session is an established channel. Calls run one at a time.
type Session struct {
	mu       sync.Mutex
	conn     channel.Conn
	attester channel.Attester
	next     uint32
	dead     bool
}

// Conn returns the channel, for its peer, binding and exporter.
func (s *Session) Conn() channel.Conn { return s.conn }

// Call sends a request and waits for its reply. A reply of trade.KindError is
// returned as a *trade.Error, after which the session goes on. After any other
// error the session is dead, and, but for ErrUnsent and ErrClosed, whether the
// request arrived is unknown.
func (s *Session) Call(ctx context.Context, kind trade.Kind, body []byte) (trade.Envelope, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return trade.Envelope{}, ErrClosed
	}
	s.next++
	e, err := s.call(ctx, trade.Envelope{Kind: kind, Request: s.next, Body: body})
	if err != nil {
		s.dead = true
		return trade.Envelope{}, errors.Join(err, s.conn.Close())
	}
	if e.Kind != trade.KindError {
		return e, nil
	}
	said := &trade.Error{}
	if err := e.Decode(said); err != nil {
		s.dead = true
		return trade.Envelope{}, errors.Join(fmt.Errorf("%w: %w", ErrProtocol, err), s.conn.Close())
	}
	return e, said
}

func (s *Session) call(ctx context.Context, e trade.Envelope) (trade.Envelope, error) {
	wire := e.Append(make([]byte, 0, 6+len(e.Body)))
	defer clear(wire)
	if err := s.conn.WriteMessage(ctx, wire); err != nil {
		if errors.Is(err, channel.ErrExpired) {
			err = &unsentError{err}
		}
		return trade.Envelope{}, fmt.Errorf("comm: sending: %w", err)
	}
	b, err := s.conn.ReadMessage(ctx)
	if err != nil {
		return trade.Envelope{}, fmt.Errorf("comm: waiting for the reply: %w", err)
	}
	r, err := trade.Parse(b)
	if err != nil {
		return trade.Envelope{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if r.Request != e.Request {
		return trade.Envelope{}, fmt.Errorf("%w: reply to request %d, want %d", ErrProtocol, r.Request, e.Request)
	}
	return r, nil
}

// unsentError is ErrUnsent.
type unsentError struct{ err error }

func (e *unsentError) Error() string        { return ErrUnsent.Error() + ": " + e.err.Error() }
func (e *unsentError) Unwrap() error        { return e.err }
func (e *unsentError) Is(target error) bool { return target == ErrUnsent }

// Unsent reports that the request did not leave.
func (e *unsentError) Unsent() bool { return true }

// Close ends the session. A second Close does nothing.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil
	}
	s.dead = true
	return s.conn.Close()
}

// Handler answers requests of a session.
type Handler interface {
	// Handle returns the reply. A *trade.Error is sent as such; any other
	// error ends the session, and the peer learns nothing of it.
	Handle(ctx context.Context, conn channel.Conn, e trade.Envelope) (trade.Envelope, error)
}

// Serve answers a session's requests in order until the peer closes it (nil),
// ctx ends, or something breaks. It closes conn.
func Serve(ctx context.Context, conn channel.Conn, h Handler) (err error) {
	defer func() {
		if cerr := conn.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("comm: closing: %w", cerr)
		}
	}()
	for {
		b, err := conn.ReadMessage(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("comm: %w", err)
		}
		e, err := trade.Parse(b)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		reply, err := h.Handle(ctx, conn, e)
		var said *trade.Error
		if errors.As(err, &said) {
			reply, err = trade.Encode(trade.KindError, e.Request, said)
		}
		clear(b)
		if err != nil {
			return fmt.Errorf("comm: handling a request of kind %d: %w", e.Kind, err)
		}
		reply.Request = e.Request
		if err := conn.WriteMessage(ctx, reply.Append(nil)); err != nil {
			return fmt.Errorf("comm: replying: %w", err)
		}
	}
}

// StaticKey is a key of a trusted.KeyStore as a handshake takes it.
type StaticKey struct {
	Keys trusted.KeyStore
	Name string
}

// PublicKey returns the X25519 public key.
func (k StaticKey) PublicKey(ctx context.Context) ([]byte, error) {
	return k.Keys.PublicKey(ctx, k.Name)
}

// ECDH returns the shared secret with a peer.
func (k StaticKey) ECDH(ctx context.Context, peer []byte) ([]byte, error) {
	return k.Keys.ECDH(ctx, k.Name, peer)
}
