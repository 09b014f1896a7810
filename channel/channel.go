// Package channel is the contract of the secure channel between a payment unit
// and a payment server: a mutually authenticated, confidential, ordered message
// stream over bytes that somebody hostile carries. channel/noise implements it.
package channel

import (
	"context"
	"errors"
	"io"
	"net"
)

// Errors that callers branch on, wrapped with what was being done. After any
// of them but ErrTimeout the connection is dead.
var (
	// ErrAuthentication: a message does not verify: altered, reordered,
	// replayed, cut, spliced, or from somebody without the key. Nothing finer
	// is told, to this side or to the other.
	ErrAuthentication = errors.New("channel: authentication failed")
	// ErrTruncated: the bytes ended without the authenticated close.
	ErrTruncated = errors.New("channel: stream cut off")
	// ErrFormat: a frame is not of the wire format (seen before anything
	// could be authenticated).
	ErrFormat = errors.New("channel: malformed frame")
	// ErrRefused: the peer ended the handshake with its one fixed answer.
	// Its reason is a hint and is not to be trusted.
	ErrRefused = errors.New("channel: refused by the peer")
	// ErrPolicy: this side refuses the peer: unknown key, evidence not
	// accepted, suite not allowed.
	ErrPolicy = errors.New("channel: peer not acceptable")
	// ErrExpired: the channel has reached its limit of records or age.
	ErrExpired = errors.New("channel: expired")
	// ErrTooLarge: a message over MaxMessage.
	ErrTooLarge = errors.New("channel: message too large")
)

// MaxMessage is the largest message that WriteMessage takes, in bytes.
const MaxMessage = 1 << 20

// Purpose is what a channel is opened for. It is bound into the handshake, so
// that a recording of one kind can't serve as another.
type Purpose uint8

// The purposes. The zero value is none, and refused.
const (
	PurposeNone   Purpose = iota
	PurposePay            // payments of an enrolled unit
	PurposeEnrol          // first contact, under an activation code
	PurposeResume         // a further channel under a single-use secret
)

// String returns the purpose in words.
func (p Purpose) String() string {
	switch p {
	case PurposePay:
		return "pay"
	case PurposeEnrol:
		return "enrol"
	case PurposeResume:
		return "resume"
	}
	return "none"
}

// Identity is who is at the other end, as the handshake proved it.
type Identity struct {
	// Key is the peer's static public key, in the suite's encoding. Empty
	// only for a peer that a resumption secret stands for.
	Key []byte
	// Purpose, DeviceClass, TerminalID and MerchantID are what the client
	// declared in the prologue, authenticated by the handshake.
	Purpose                             Purpose
	DeviceClass, TerminalID, MerchantID string
	// ActivationID names the activation code that an enrolment ran under.
	ActivationID string
	// Claims is what the verifier made of the peer's evidence. Zero on the
	// client's side: a server is trusted by its key.
	Claims Claims
}

// Conn is an established channel. Reads and writes may run at once; two reads,
// or two writes, may not. As a net.Conn it carries a byte stream in messages of
// the sender's choosing; use either the stream or the messages, not both.
type Conn interface {
	net.Conn
	// ReadMessage returns the next whole message; the caller owns it. io.EOF
	// after the peer's authenticated close. Errors: ErrAuthentication,
	// ErrTruncated, ErrFormat, ErrTooLarge, ErrExpired, or one that wraps
	// ctx.Err().
	ReadMessage(ctx context.Context) ([]byte, error)
	// WriteMessage sends one message of up to MaxMessage bytes.
	WriteMessage(ctx context.Context, message []byte) error
	// Peer returns who is at the other end.
	Peer() Identity
	// Binding returns the handshake hash: the same at both ends, different
	// for every channel, not secret.
	Binding() []byte
	// Export derives n bytes that only the two ends of this channel know,
	// different for every label. The caller wipes them.
	Export(label string, n int) ([]byte, error)
}

// Handshaker makes channels over a byte stream. Both methods own rw from the
// call on: the Conn closes it, and a failed handshake has closed it. They
// return within 100 ms of the end of ctx.
type Handshaker interface {
	Client(ctx context.Context, rw io.ReadWriteCloser) (Conn, error)
	Server(ctx context.Context, rw io.ReadWriteCloser) (Conn, error)
}
