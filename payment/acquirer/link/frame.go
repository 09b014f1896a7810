// Package link moves ISO 8583 messages over a stream: frames with a length in
// front and an optional TPDU, a client that keeps one connection to a host and
// matches answers to requests, and the host's end of it. It authenticates no
// peer and enciphers nothing: that is for the connection it is given (TLS, a
// private line) and for the MAC inside the messages.
package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Errors that callers branch on.
var (
	// ErrFrame: the peer sent a frame that is not of the agreed form. The
	// stream is out of step and must be closed.
	ErrFrame = errors.New("link: malformed frame")
	// ErrTooLong: a message is longer than the framing takes.
	ErrTooLong = errors.New("link: message too long")
)

// Length is how the length in front of a message is written.
type Length uint8

// The lengths. The zero value is Binary2.
const (
	Binary2 Length = iota // two bytes, most significant first
	Digits4               // four decimal digits in ASCII
)

// TPDU is the transport header that point-of-sale networks put between length
// and message: an id (60 for transactions), destination and origin address.
type TPDU [5]byte

// Answer is the header of the answer: destination and origin change places.
func (t TPDU) Answer() TPDU { return TPDU{t[0], t[3], t[4], t[1], t[2]} }

// Framing is the form of the frames on a connection.
//
//	Binary2   2 bytes  length of what follows, TPDU included
//	Digits4   4 bytes  the same in decimal digits
//	TPDU      5 bytes  if HasTPDU
//	message
//
// A frame of length zero is a keep-alive; readers pass over it.
type Framing struct {
	Length Length
	// HasTPDU: each message has a TPDU in front.
	HasTPDU bool
	// Max is the greatest length of a message; 0 means 4096, and no more
	// than the length can say.
	Max int
}

// tpduTransactions is the id of a TPDU that carries transactions.
const tpduTransactions = 0x60

// limit is the greatest length of a message.
func (f Framing) limit() int {
	n := f.Max
	if n <= 0 {
		n = 4096
	}
	most := 65535
	if f.Length == Digits4 {
		most = 9999
	}
	return min(n, most-len(TPDU{}))
}

// header is the size of the length.
func (f Framing) header() int {
	if f.Length == Digits4 {
		return 4
	}
	return 2
}

// Append appends a frame to dst. Errors wrap ErrTooLong.
func (f Framing) Append(dst []byte, t TPDU, message []byte) ([]byte, error) {
	if len(message) > f.limit() {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(message), f.limit())
	}
	n := len(message)
	if f.HasTPDU {
		n += len(t)
	}
	if f.Length == Digits4 {
		dst = fmt.Appendf(dst, "%04d", n)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	if f.HasTPDU {
		dst = append(dst, t[:]...)
	}
	return append(dst, message...), nil
}

// Read reads frames until one holds a message. It returns io.EOF when the
// stream ends between frames, an error that wraps io.ErrUnexpectedEOF when it
// ends inside one, ErrFrame, ErrTooLong, or what r returned.
func (f Framing) Read(r io.Reader) (TPDU, []byte, error) {
	for {
		t, b, err := f.next(r)
		if err != nil || len(b) > 0 {
			return t, b, err
		}
	}
}

func (f Framing) next(r io.Reader) (TPDU, []byte, error) {
	var head [4]byte
	var t TPDU
	h := head[:f.header()]
	if _, err := io.ReadFull(r, h); err != nil {
		if err == io.EOF {
			return t, nil, err
		}
		return t, nil, fmt.Errorf("link: reading a length: %w", err)
	}
	n, err := f.parse(h)
	if err != nil || n == 0 {
		return t, nil, err
	}
	if f.HasTPDU {
		if n <= len(t) {
			return t, nil, fmt.Errorf("%w: %d bytes, no room for TPDU and message", ErrFrame, n)
		}
		n -= len(t)
	}
	if n > f.limit() {
		return t, nil, fmt.Errorf("%w: frame of %d bytes, at most %d", ErrTooLong, n, f.limit())
	}
	if f.HasTPDU {
		if err := whole(r, t[:]); err != nil {
			return t, nil, err
		}
		if t[0] != tpduTransactions {
			return t, nil, fmt.Errorf("%w: TPDU id %02X", ErrFrame, t[0])
		}
	}
	b := make([]byte, n)
	if err := whole(r, b); err != nil {
		return t, nil, err
	}
	return t, b, nil
}

func (f Framing) parse(h []byte) (int, error) {
	if f.Length != Digits4 {
		return int(binary.BigEndian.Uint16(h)), nil
	}
	n := 0
	for _, c := range h {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: length is not decimal", ErrFrame)
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}

// whole fills b; an end of the stream is inside a frame.
func whole(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("link: reading a frame: %w", err)
	}
	return nil
}
