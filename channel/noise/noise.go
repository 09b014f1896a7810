// Package noise is channel.Handshaker by the Noise Protocol Framework, revision
// 34, with hybrid forward secrecy: X25519 or P-256 and ML-KEM-768 (FIPS 203).
//
// A unit that pays knows its server's static key and runs
// Noise_XKhfs_25519+MLKEM768_ChaChaPoly_SHA256; one that enrols knows an
// activation code and runs XXhfs+psk3 of the same suite; one that had a channel
// before may run NNpsk0 under a ticket. The app between them sees what the hello
// declares and sizes in steps of 256 bytes. The device's key travels in the third
// message, with evidence over a challenge that binds the channel
// (channel.Attester); a resumption asks for new evidence.
//
// The server says last whether it takes the client, inside the channel; a peer
// that is refused before gets one fixed answer, whatever the reason.
//
// What this package can't do: Go's key objects can't be wiped, and are dropped;
// the sizes and times of messages, padded, are open to a relay. Evidence is asked
// for again inside a channel by the dialogue that it carries (channel/attest.Gate).
package noise

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/internal/crowd"
	"github.com/payunit/payunit/channel/internal/patient"
)

// stream is what a channel runs over.
type stream = patient.Stream

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
func bounded(ctx context.Context, limit time.Duration, rw io.ReadWriteCloser, run func(ctx context.Context, rw stream) (*Conn, error)) (channel.Conn, error) {
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
		done <- outcome{c, translate(err)}
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
	if ctx.Err() != nil {
		o.err = fmt.Errorf("channel: handshake: %w", errors.Join(crowd.Ending(ctx), o.err))
	} else if !errors.Is(o.err, channel.ErrRefused) {
		patient.LastWord(ctx, s, func() error { return writeFrame(s, frameRefusal, nil) })
	}
	_ = s.Close()
	if o.conn != nil {
		o.conn.wipe()
	}
	return nil, o.err
}

// keyID is how a hello names a server's static key.
func keyID(key []byte) [keyIDLen]byte {
	sum := sha256.Sum256(key)
	return [keyIDLen]byte(sum[:])
}

// translate turns what the engine says of a peer's message into the channel's
// terms.
func translate(err error) error {
	for _, e := range []error{errAuth, errShort, errKey, errTooLong} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: in the handshake", channel.ErrAuthentication)
		}
	}
	return err
}
