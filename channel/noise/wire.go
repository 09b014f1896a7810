package noise

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/payunit/payunit/channel"
)

// Every frame, of the handshake and after it:
//
//	offset  size  field
//	0       1     type
//	1       1     flags: bit 0, the last fragment of a message
//	2       2     length n of what follows, big endian
//	4       n     body
//
// Bodies: a handshake frame holds the hello and the first Noise message, or a
// later Noise message alone; a refusal is empty; the others are sealed, with
// the four bytes of the header as additional data.
const (
	frameHandshake byte = 1
	frameData      byte = 2
	frameClose     byte = 3
	frameRefusal   byte = 4
	frameReady     byte = 5

	flagLast byte = 0x01

	headerLen = 4
	// maxHandshake bounds a frame of the handshake: the third message with
	// 16 KiB of evidence.
	maxHandshake = 24 << 10
)

// Plaintext of a sealed frame: the length of the data (2 bytes), the data,
// zeros up to a multiple of bucket bytes, so that a relay sees sizes in coarse
// steps only.
const (
	bucket     = 256
	maxPlain   = 63 * bucket
	maxData    = maxPlain - 2
	maxRecord  = maxPlain + tagLen
	prologueID = "payunit channel 1"
)

// The suites that a hello can offer.
const (
	suiteHybrid25519 byte = 1 // 25519+MLKEM768, ChaChaPoly, SHA256

	nameXKhfs = "Noise_XKhfs_25519+MLKEM768_ChaChaPoly_SHA256"
	nameXXhfs = "Noise_XXhfspsk3_25519+MLKEM768_ChaChaPoly_SHA256"
)

const helloVersion = 1

// hello opens a handshake, in clear; it is in the prologue of both ends, so that
// whoever alters it makes the handshake fail:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     purpose: 1 pay, 2 enrol
//	2       1     number k of suites offered, the one in use first
//	3       k     suites
//	3+k     8     server key id: the first bytes of SHA-256 of the server's
//	              static key; zeros when the client does not know it yet
//	11+k    1     length a of the activation id, 0 but to enrol
//	12+k    a     activation id
type hello struct {
	purpose    channel.Purpose
	suites     []byte
	keyID      [8]byte
	activation string
}

func (h hello) append(dst []byte) []byte {
	dst = append(dst, helloVersion, byte(h.purpose), byte(len(h.suites)))
	dst = append(dst, h.suites...)
	dst = append(dst, h.keyID[:]...)
	dst = append(dst, byte(len(h.activation)))
	return append(dst, h.activation...)
}

// parseHello returns the hello and the bytes after it. Errors wrap
// channel.ErrFormat.
func parseHello(b []byte) (hello, []byte, error) {
	bad := func(what string) (hello, []byte, error) {
		return hello{}, nil, fmt.Errorf("%w: hello: %s", channel.ErrFormat, what)
	}
	if len(b) < 3 {
		return bad("cut off")
	}
	if b[0] != helloVersion {
		return bad("unknown version")
	}
	h := hello{purpose: channel.Purpose(b[1])}
	if h.purpose != channel.PurposePay && h.purpose != channel.PurposeEnrol {
		return bad("unknown purpose")
	}
	k := int(b[2])
	b = b[3:]
	if k == 0 || len(b) < k+9 {
		return bad("cut off")
	}
	h.suites, b = slices.Clone(b[:k]), b[k:]
	copy(h.keyID[:], b)
	a := int(b[8])
	b = b[9:]
	if len(b) < a {
		return bad("cut off")
	}
	if (a > 0) != (h.purpose == channel.PurposeEnrol) {
		return bad("activation id and purpose do not go together")
	}
	h.activation = string(b[:a])
	return h, b[a:], nil
}

// declaration is what the client says about itself in the third message, sealed:
// device class, terminal id, merchant id and evidence type with a length of one
// byte each, the statement with one of two, then zeros up to a multiple of
// bucket bytes.
type declaration struct {
	class, terminal, merchant string
	evidence                  channel.Evidence
}

const maxStatement = 16 << 10

func (d declaration) append(dst []byte) ([]byte, error) {
	for _, s := range []string{d.class, d.terminal, d.merchant, d.evidence.Type} {
		if len(s) > 255 {
			return nil, fmt.Errorf("noise: declaration of %d bytes, want at most 255", len(s))
		}
		dst = append(append(dst, byte(len(s))), s...)
	}
	if len(d.evidence.Statement) > maxStatement {
		return nil, fmt.Errorf("noise: evidence of %d bytes, want at most %d", len(d.evidence.Statement), maxStatement)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(d.evidence.Statement)))
	dst = append(dst, d.evidence.Statement...)
	for len(dst)%bucket != 0 {
		dst = append(dst, 0)
	}
	return dst, nil
}

func parseDeclaration(b []byte) (declaration, error) {
	var d declaration
	bad := fmt.Errorf("%w: declaration", channel.ErrFormat)
	for _, into := range []*string{&d.class, &d.terminal, &d.merchant, &d.evidence.Type} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return d, bad
		}
		*into, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	}
	if len(b) < 2 {
		return d, bad
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > maxStatement || len(b) < 2+n {
		return d, bad
	}
	d.evidence.Statement, b = slices.Clone(b[2:2+n]), b[2+n:]
	for _, c := range b {
		if c != 0 {
			return d, bad
		}
	}
	return d, nil
}

// writeFrame sends a frame in one write.
func writeFrame(w io.Writer, kind, flags byte, body []byte) error {
	b := make([]byte, 0, headerLen+len(body))
	b = append(b, kind, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	_, err := w.Write(append(b, body...))
	return err
}

// readHandshake reads a frame of the handshake. A refusal is
// channel.ErrRefused.
func readHandshake(r io.Reader) ([]byte, error) {
	var head [headerLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: in the handshake: %w", channel.ErrTruncated, err)
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case head[0] == frameRefusal && head[1] == 0 && n == 0:
		return nil, channel.ErrRefused
	case head[0] != frameHandshake || head[1] != 0 || n > maxHandshake:
		return nil, fmt.Errorf("%w: in the handshake", channel.ErrFormat)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("%w: in the handshake: %w", channel.ErrTruncated, err)
	}
	return body, nil
}
