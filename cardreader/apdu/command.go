// Package apdu builds and reads the commands and responses of ISO/IEC 7816-4,
// cases 1 to 4, names their status words, and sends a command through the
// procedure bytes of T=0 (EMV 4.4 Book 1, 9.3.1).
package apdu

import (
	"errors"
	"fmt"
)

// ErrMalformed: bytes are no command or no response, or a Command can't be
// encoded.
var ErrMalformed = errors.New("apdu: malformed")

// Command is a command APDU.
type Command struct {
	CLA, INS, P1, P2 byte
	// Data is at most 255 bytes, or 65535 in extended form.
	Data []byte
	// Ne is the number of response bytes asked for: 0 for none, up to 256
	// (which is encoded as 00), or up to 65536 in extended form.
	Ne int
}

// Append appends the encoding to dst: the short form where data and Ne allow
// it, else the extended one. Errors wrap ErrMalformed.
func (c Command) Append(dst []byte) ([]byte, error) {
	if len(c.Data) > 0xFFFF || c.Ne < 0 || c.Ne > 0x10000 {
		return dst, fmt.Errorf("%w: %d data bytes, Ne %d", ErrMalformed, len(c.Data), c.Ne)
	}
	dst = append(dst, c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) <= 0xFF && c.Ne <= 0x100 {
		if len(c.Data) > 0 {
			dst = append(append(dst, byte(len(c.Data))), c.Data...)
		}
		if c.Ne > 0 {
			dst = append(dst, byte(c.Ne))
		}
		return dst, nil
	}
	if len(c.Data) > 0 {
		dst = append(dst, 0, byte(len(c.Data)>>8), byte(len(c.Data)))
		dst = append(dst, c.Data...)
	} else {
		dst = append(dst, 0)
	}
	if c.Ne > 0 {
		dst = append(dst, byte(c.Ne>>8), byte(c.Ne))
	}
	return dst, nil
}

// ParseCommand reads a command as a card does; Data points into b. Errors wrap
// ErrMalformed.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < 4 {
		return Command{}, fmt.Errorf("%w: command of %d bytes", ErrMalformed, len(b))
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	body := b[4:]
	switch {
	case len(body) == 0:
		return c, nil
	case len(body) == 1:
		c.Ne = upTo(int(body[0]), 0x100)
		return c, nil
	case body[0] != 0:
		return c.short(body)
	case len(body) == 2:
		return Command{}, fmt.Errorf("%w: extended length cut off", ErrMalformed)
	}
	return c.extended(body)
}

func (c Command) short(body []byte) (Command, error) {
	lc := int(body[0])
	rest := len(body) - 1 - lc
	if rest < 0 || rest > 1 {
		return Command{}, fmt.Errorf("%w: Lc %d with %d bytes after it", ErrMalformed, lc, len(body)-1)
	}
	c.Data = body[1 : 1+lc]
	if rest == 1 {
		c.Ne = upTo(int(body[1+lc]), 0x100)
	}
	return c, nil
}

func (c Command) extended(body []byte) (Command, error) {
	n := int(body[1])<<8 | int(body[2])
	if len(body) == 3 {
		c.Ne = upTo(n, 0x10000)
		return c, nil
	}
	rest := len(body) - 3 - n
	if n == 0 || rest != 0 && rest != 2 {
		return Command{}, fmt.Errorf("%w: extended Lc %d with %d bytes after it", ErrMalformed, n, len(body)-3)
	}
	c.Data = body[3 : 3+n]
	if rest == 2 {
		c.Ne = upTo(int(body[3+n])<<8|int(body[4+n]), 0x10000)
	}
	return c, nil
}

func upTo(n, zero int) int {
	if n == 0 {
		return zero
	}
	return n
}
