// Package noise is channel.Handshaker by the Noise Protocol Framework, revision
// 34, with hybrid forward secrecy: X25519 and ML-KEM-768 (FIPS 203).
//
// A unit that pays knows its server's static key and runs
// Noise_XKhfs_25519+MLKEM768_ChaChaPoly_SHA256; one that enrols knows an
// activation code and runs Noise_XXhfspsk3 of the same suite. The app between
// them sees the server key's id, an activation id, and sizes in steps of 256
// bytes. The device's identity travels in the third message, with evidence over
// a challenge that binds the channel (channel.Attester).
//
// The server says last whether it takes the client, inside the channel; a peer
// that is refused before gets one fixed answer, whatever the reason.
package noise

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
)

// ErrConfig: NewClient or NewServer was given something that can't work.
var ErrConfig = errors.New("noise: configuration")

const defaultTimeout = 15 * time.Second

// ClientConfig configures a device's end.
type ClientConfig struct {
	// Static is the device's key. No default.
	Static StaticKey
	// Attester produces the device's evidence. No default.
	Attester channel.Attester
	// ServerKey is the server's static key, 32 bytes: the channel is for
	// payments. Without it there must be an Activation, and the channel is
	// for enrolment.
	ServerKey  []byte
	Activation *Activation
	// DeviceClass, TerminalID and MerchantID are declared to the server, at
	// most 255 bytes each.
	DeviceClass, TerminalID, MerchantID string
	// Timeout bounds a handshake; zero means 15 s.
	Timeout time.Duration
	// Rand is the source of ephemeral keys; nil means crypto/rand. The KEM's
	// encapsulation draws from the system whatever is set here.
	Rand io.Reader
	// Now is the clock of the channel's age; nil means time.Now.
	Now func() time.Time
}

// Client is a device's end. Safe for concurrent use as far as its modules are.
type Client struct{ c ClientConfig }

var (
	_ channel.Handshaker = (*Client)(nil)
	_ channel.Handshaker = (*Server)(nil)
)

// NewClient makes a client. Errors wrap ErrConfig.
func NewClient(c ClientConfig) (*Client, error) {
	switch {
	case c.Static == nil:
		return nil, fmt.Errorf("%w: Static is nil and has no default", ErrConfig)
	case c.Attester == nil:
		return nil, fmt.Errorf("%w: Attester is nil and has no default", ErrConfig)
	case (len(c.ServerKey) == 0) == (c.Activation == nil):
		return nil, fmt.Errorf("%w: set one of ServerKey, to pay, and Activation, to enrol", ErrConfig)
	case len(c.ServerKey) != 0 && len(c.ServerKey) != dhLen:
		return nil, fmt.Errorf("%w: ServerKey of %d bytes, want %d", ErrConfig, len(c.ServerKey), dhLen)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	return &Client{c}, nil
}

// ServerConfig configures a server's end.
type ServerConfig struct {
	// Static is the server's key. No default.
	Static StaticKey
	// Verifier judges clients' evidence. No default.
	Verifier channel.Verifier
	// Authorize decides, after everything is proven, whether the client may
	// have the channel; what it returns is not told to the client. No default.
	Authorize func(ctx context.Context, peer channel.Identity) error
	// Activations gives the pre-shared key of an activation id; nil refuses
	// all enrolments.
	Activations func(ctx context.Context, id string) (secret.Bytes, error)
	// Timeout bounds a handshake; zero means 15 s.
	Timeout time.Duration
	// Rand is the source of ephemeral keys; nil means crypto/rand. The KEM's
	// encapsulation draws from the system whatever is set here.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Server is a server's end. Safe for concurrent use as far as its modules are.
type Server struct{ c ServerConfig }

// NewServer makes a server. Errors wrap ErrConfig.
func NewServer(c ServerConfig) (*Server, error) {
	switch {
	case c.Static == nil:
		return nil, fmt.Errorf("%w: Static is nil and has no default", ErrConfig)
	case c.Verifier == nil:
		return nil, fmt.Errorf("%w: Verifier is nil and has no default", ErrConfig)
	case c.Authorize == nil:
		return nil, fmt.Errorf("%w: Authorize is nil and has no default", ErrConfig)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	return &Server{c}, nil
}

// Server is refused: a client's keys make no server.
func (*Client) Server(_ context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return nil, errors.Join(fmt.Errorf("%w: a client can't take connections", ErrConfig), rw.Close())
}

// Client is refused: a server's keys make no client.
func (*Server) Client(_ context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return nil, errors.Join(fmt.Errorf("%w: a server can't open connections", ErrConfig), rw.Close())
}

// bounded runs a handshake and closes the stream when it fails or ctx ends.
func bounded(ctx context.Context, limit time.Duration, rw io.ReadWriteCloser, run func(ctx context.Context) (*Conn, error)) (channel.Conn, error) {
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// Closing is the one thing that ends a Read of any stream.
	stop := context.AfterFunc(inner, func() { _ = rw.Close() })
	c, err := run(inner)
	if !stop() && err == nil {
		err = inner.Err()
	}
	if err == nil {
		return c, nil
	}
	if inner.Err() != nil {
		err = fmt.Errorf("channel: handshake: %w", errors.Join(inner.Err(), err))
	}
	_ = rw.Close()
	return nil, err
}

func keyID(key []byte) [8]byte {
	sum := sha256.Sum256(key)
	return [8]byte(sum[:8])
}

// challenge is what evidence has to answer.
func challenge(h [hashLen]byte, p channel.Purpose) []byte {
	sum := sha256.New()
	sum.Write([]byte("payunit attestation 1"))
	sum.Write(h[:])
	sum.Write([]byte{byte(p)})
	return sum.Sum(nil)
}

// The payload of the second message: a nonce of the server (32 bytes), its
// clock in Unix seconds (8), policy bits (2, none yet).
const serverPayloadLen = 32 + 8 + 2

// translate turns what the engine says into the channel's terms.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errAuth), errors.Is(err, errShort), errors.Is(err, errLowOrder):
		return fmt.Errorf("%w: in the handshake", channel.ErrAuthentication)
	}
	return err
}

// Client runs a handshake as the device.
func (k *Client) Client(ctx context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return bounded(ctx, k.c.Timeout, rw, func(ctx context.Context) (*Conn, error) { return k.run(ctx, rw) })
}

func (k *Client) run(ctx context.Context, rw io.ReadWriteCloser) (*Conn, error) {
	open := hello{purpose: channel.PurposePay, suites: []byte{suiteHybrid25519}}
	hc := handshakeConfig{name: nameXKhfs, initiator: true, static: k.c.Static, remote: k.c.ServerKey, rand: k.c.Rand}
	if k.c.Activation != nil {
		psk, err := k.c.Activation.PSK()
		if err != nil {
			return nil, err
		}
		defer psk.Wipe()
		open.purpose, open.activation = channel.PurposeEnrol, k.c.Activation.ID
		hc.name, hc.remote, hc.psks = nameXXhfs, nil, [][]byte{psk.Reveal()}
	} else {
		open.keyID = keyID(k.c.ServerKey)
	}
	clear1 := open.append(nil)
	hc.prologue = append([]byte(prologueID), clear1...)
	h, err := newHandshake(ctx, hc)
	if err != nil {
		return nil, err
	}
	defer h.fail()
	first, err := h.write(ctx, clear1, nil)
	if err != nil {
		return nil, translate(err)
	}
	if err := writeFrame(rw, frameHandshake, 0, first); err != nil {
		return nil, fmt.Errorf("channel: handshake: %w", err)
	}
	second, err := readHandshake(rw)
	if err != nil {
		return nil, err
	}
	payload, err := h.read(ctx, second)
	if err != nil {
		return nil, translate(err)
	}
	if len(payload) != serverPayloadLen {
		return nil, fmt.Errorf("%w: server's payload", channel.ErrFormat)
	}
	evidence, err := k.c.Attester.Attest(ctx, challenge(h.y.h, open.purpose))
	if err != nil {
		return nil, fmt.Errorf("channel: attestation: %w", err)
	}
	body, err := declaration{k.c.DeviceClass, k.c.TerminalID, k.c.MerchantID, evidence}.append(nil)
	if err != nil {
		return nil, err
	}
	third, err := h.write(ctx, nil, body)
	if err != nil {
		return nil, translate(err)
	}
	if err := writeFrame(rw, frameHandshake, 0, third); err != nil {
		return nil, fmt.Errorf("channel: handshake: %w", err)
	}
	c, err := newConn(rw, h, k.c.Now, channel.Identity{Key: h.rs, Purpose: open.purpose, ActivationID: open.activation})
	if err != nil {
		return nil, err
	}
	return c, c.awaitReady()
}

// Server runs a handshake as the payment server. A client that it does not take
// is told so without a reason, and the error has the reason.
func (k *Server) Server(ctx context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return bounded(ctx, k.c.Timeout, rw, func(ctx context.Context) (*Conn, error) {
		c, err := k.run(ctx, rw)
		if err != nil && ctx.Err() == nil {
			// The peer may be gone; the reason matters more.
			_ = writeFrame(rw, frameRefusal, 0, nil)
		}
		return c, err
	})
}

func (k *Server) run(ctx context.Context, rw io.ReadWriteCloser) (*Conn, error) {
	first, err := readHandshake(rw)
	if err != nil {
		return nil, err
	}
	open, message, err := parseHello(first)
	if err != nil {
		return nil, err
	}
	hc := handshakeConfig{name: nameXKhfs, static: k.c.Static, rand: k.c.Rand}
	hc.prologue = append([]byte(prologueID), first[:len(first)-len(message)]...)
	if err := k.accepts(ctx, open); err != nil {
		return nil, err
	}
	if open.purpose == channel.PurposeEnrol {
		if k.c.Activations == nil {
			return nil, fmt.Errorf("%w: this server enrols nobody", channel.ErrPolicy)
		}
		psk, err := k.c.Activations(ctx, open.activation)
		if err != nil {
			return nil, fmt.Errorf("%w: activation id: %w", channel.ErrPolicy, err)
		}
		defer psk.Wipe()
		hc.name, hc.psks = nameXXhfs, [][]byte{psk.Reveal()}
	}
	h, err := newHandshake(ctx, hc)
	if err != nil {
		return nil, err
	}
	defer h.fail()
	if _, err := h.read(ctx, message); err != nil {
		return nil, translate(err)
	}
	payload := make([]byte, serverPayloadLen)
	if _, err := io.ReadFull(k.c.Rand, payload[:32]); err != nil {
		return nil, fmt.Errorf("noise: randomness: %w", err)
	}
	binary.BigEndian.PutUint64(payload[32:], uint64(k.c.Now().Unix()))
	second, err := h.write(ctx, nil, payload)
	if err != nil {
		return nil, translate(err)
	}
	if err := writeFrame(rw, frameHandshake, 0, second); err != nil {
		return nil, fmt.Errorf("channel: handshake: %w", err)
	}
	question := challenge(h.y.h, open.purpose)
	third, err := readHandshake(rw)
	if err != nil {
		return nil, err
	}
	body, err := h.read(ctx, third)
	if err != nil {
		return nil, translate(err)
	}
	d, err := parseDeclaration(body)
	if err != nil {
		return nil, err
	}
	peer := channel.Identity{
		Key: h.rs, Purpose: open.purpose, DeviceClass: d.class, TerminalID: d.terminal, MerchantID: d.merchant,
		ActivationID: open.activation,
	}
	if peer.Claims, err = k.c.Verifier.Verify(ctx, question, d.evidence); err != nil {
		return nil, err
	}
	if err := k.c.Authorize(ctx, peer); err != nil {
		return nil, fmt.Errorf("%w: %w", channel.ErrPolicy, err)
	}
	c, err := newConn(rw, h, k.c.Now, peer)
	if err != nil {
		return nil, err
	}
	return c, c.sendReady()
}

// accepts checks what a hello asks for.
func (k *Server) accepts(ctx context.Context, h hello) error {
	if h.suites[0] != suiteHybrid25519 {
		return fmt.Errorf("%w: suite %d", channel.ErrPolicy, h.suites[0])
	}
	if h.purpose != channel.PurposePay {
		return nil
	}
	key, err := k.c.Static.PublicKey(ctx)
	if err != nil {
		return fmt.Errorf("noise: static key: %w", err)
	}
	want := keyID(key)
	if subtle.ConstantTimeCompare(want[:], h.keyID[:]) != 1 {
		return fmt.Errorf("%w: the client wants another server key", channel.ErrPolicy)
	}
	return nil
}
