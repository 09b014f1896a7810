// Package tlschan is channel.Handshaker by TLS 1.3 (RFC 8446) of the standard
// library, for estates that have to run the FIPS 140-3 module: X25519MLKEM768
// key agreement, client and server certificates that only carry a pinned public
// key, Ed25519 or ECDSA on P-256.
//
// Inside TLS runs what a certificate does not say: the client declares its
// purpose and names, the server answers with a nonce, and the client gives
// evidence over a challenge that binds all of it (channel/attest). An enrolment
// is proven at both ends by the activation's key over the same binding. A relay
// sees TLS, in records of few sizes; who the device is and what it wants it does
// not see.
//
// What this package can't do: crypto/tls draws its own randomness and keeps its keys,
// those of resumption among them, in memory that can't be wiped.
package tlschan

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/internal/crowd"
	"github.com/payunit/payunit/channel/internal/patient"
)

// ErrConfig: NewClient or NewServer was given something that can't work.
var ErrConfig = errors.New("tlschan: configuration")

// ErrCrowded: a handshake was given up for newer ones, since it was the oldest of
// too many.
var ErrCrowded = crowd.ErrCrowded

var (
	_ channel.Handshaker = (*Client)(nil)
	_ channel.Handshaker = (*Server)(nil)
)

// Server is refused: a client's keys make no server.
func (*Client) Server(_ context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return nil, errors.Join(fmt.Errorf("%w: a client can't take connections", ErrConfig), rw.Close())
}

// Client is refused: a server's keys make no client.
func (*Server) Client(_ context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return nil, errors.Join(fmt.Errorf("%w: a server can't open connections", ErrConfig), rw.Close())
}

// bounded runs a handshake, and gives it up when ctx or the time limit ends. A
// module that does not heed its context is left behind with a closed stream, and
// its goroutine ends when it returns.
func bounded(ctx context.Context, limit time.Duration, rw io.ReadWriteCloser, run func(ctx context.Context, rw patient.Stream) (*Conn, error)) (channel.Conn, error) {
	s := patient.With(rw)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type outcome struct {
		conn *Conn
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		c, err := run(ctx, s)
		done <- outcome{c, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		// Closing is what ends a Read of any stream.
		_ = s.Close()
		go func() {
			if late := <-done; late.conn != nil {
				late.conn.wipe()
			}
		}()
		return nil, fmt.Errorf("channel: handshake: %w", crowd.Ending(ctx))
	}
	if o.err == nil {
		return o.conn, nil
	}
	err := translate(o.err)
	if ctx.Err() != nil {
		err = fmt.Errorf("channel: handshake: %w", errors.Join(crowd.Ending(ctx), err))
	}
	if o.conn != nil {
		o.conn.giveUp(ctx, !errors.Is(err, channel.ErrRefused) && ctx.Err() == nil)
	}
	_ = s.Close()
	return nil, err
}

// translate turns what TLS and the stream say into the channel's terms.
func translate(err error) error {
	for _, known := range []error{
		channel.ErrAuthentication, channel.ErrTruncated, channel.ErrFormat, channel.ErrRefused, channel.ErrPolicy,
		channel.ErrExpired, channel.ErrTooLarge, channel.ErrEvidence, channel.ErrVerifierUnavailable,
		context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded, errModule,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	var header tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &header):
		return fmt.Errorf("%w: %w", channel.ErrFormat, err)
	case errors.As(err, &op) && op.Op == "remote error":
		// An alert; its text is a hint.
		return channel.ErrRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed),
		errors.As(err, &op) && op.Op != "local error":
		return fmt.Errorf("%w: %w", channel.ErrTruncated, err)
	}
	return fmt.Errorf("%w: %w", channel.ErrAuthentication, err)
}

// errModule marks a failure of a module on this side.
var errModule = errors.New("channel")
