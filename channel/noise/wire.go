package noise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/payunit/payunit/channel"
)

// The protocol is a suite's for the purpose that a hello names:
//
//	          suite 1                                        suite 2
//	pay       Noise_XKhfs_25519+MLKEM768_ChaChaPoly_SHA256   Noise_XKhfs_P256+MLKEM768_AESGCM_SHA256
//	enrol     Noise_XXhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256
//	                                                         Noise_XXhfs+psk3_P256+MLKEM768_AESGCM_SHA256
//	resume    Noise_NNpsk0_25519_ChaChaPoly_SHA256           Noise_NNpsk0_P256_AESGCM_SHA256
//
// e1 is an encapsulation key of ML-KEM-768 (1184 bytes), ekem1 a ciphertext (1088
// bytes; FIPS 203), both by EncryptAndHash, and ekem1's shared secret (32 bytes)
// goes into MixKey. A public key of P-256 is an uncompressed point (65 bytes; SEC
// 1, 2.3.3), a DH output of it the x coordinate (32 bytes). The prologue is
// prologueLabel and the hello, as sent.
//
// The pre-shared key of an enrolment is the activation's (Activation.PSK), that of
// a resumption a ticket's. Every channel for payments whose server says so in its
// payload (policyTickets) leaves one: its id, in hexadecimal, and its key are what
// Conn.Export gives for ticketIDLabel (16 bytes) and ticketSecretLabel (32).
//
// The payloads of the Noise messages: of the first, empty; of the second, the
// server's (serverPayloadLen); of the third, evidence (appendEvidence), which
// answers attest.Challenge over the handshake hash as it is after the second.
//
// Every frame, of the handshake and after it:
//
//	offset  size  field
//	0       1     type
//	1       1     flags: bit 0, the last fragment of a message
//	2       2     length n of what follows, big endian
//	4       n     body
//
// Bodies: a handshake frame holds the hello and the first Noise message, or a
// later Noise message alone; a refusal is empty, and the same whatever the
// reason; the others are sealed records, with the four bytes of the header as
// additional data. The order of frames:
//
//	client                              server
//	handshake: hello, first message
//	                                    handshake: second message
//	handshake: third message, or, in a
//	resumption, an evidence record
//	                                    ready record
//	data records                        data records
//	close record                        close record
//
// Instead of any of them either end may send a refusal, and closes the stream.
const (
	frameHandshake byte = 1
	frameData      byte = 2
	frameClose     byte = 3
	frameRefusal   byte = 4
	frameReady     byte = 5
	frameEvidence  byte = 6

	flagLast byte = 0x01

	headerLen = 4
	// maxFirst bounds the frames of the first two messages, which anybody may
	// send; maxThird that of the third, with 16 KiB of evidence.
	maxFirst = 4 << 10
	maxThird = 24 << 10
)

// Additional data of a record is its frame's header, and so the length of what is
// sealed is authenticated, too. Plaintext of a record: the length of the data (2 bytes, big endian), the data,
// zeros up to a multiple of bucket bytes, so that a relay sees sizes in coarse
// steps only. A message is one record or more, all but its last full.
//
// Each direction has a key of its own and counts its records from 0; the count
// is the nonce. After every rekeyEvery-th record the key is replaced (Noise,
// 4.2 and 11.3), and the count goes on.
const (
	bucket    = 256
	maxPlain  = 63 * bucket
	maxData   = maxPlain - 2
	maxRecord = maxPlain + tagLen
)

// prologueLabel stands before the hello in the prologue (Noise, 6). What a relay
// alters of a hello makes the handshake fail, and so does a suite that it takes
// from the list.
const prologueLabel = "payunit channel 1"

const (
	helloVersion = 1
	maxSuites    = 8
	keyIDLen     = 8
	digestLen    = 32
	// maxName bounds each name that a hello declares.
	maxName = 64
)

// hello opens a handshake, in clear:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     purpose: 1 pay, 2 enrol, 3 resume
//	2       1     number k of suites offered, 1 to 8
//	3       k     suites, the one in use first
//	3+k     8     server key id: the first bytes of SHA-256 of the server's
//	              static key; zeros when the client does not know it yet
//	11+k    32    SHA-256 of the routing data that the app supplied, empty ones
//	              included
//	43+k          device class, terminal id, merchant id, and credential: each a
//	              length (1 byte, up to 64) and printable ASCII
//
// The credential is the activation id to enrol, the ticket id to resume, and
// empty to pay.
type hello struct {
	purpose                               channel.Purpose
	suites                                []byte
	keyID                                 [keyIDLen]byte
	routing                               [digestLen]byte
	class, terminal, merchant, credential string
}

func (h *hello) names() [4]*string {
	return [4]*string{&h.class, &h.terminal, &h.merchant, &h.credential}
}

func (h *hello) append(dst []byte) []byte {
	dst = append(dst, helloVersion, byte(h.purpose), byte(len(h.suites)))
	dst = append(dst, h.suites...)
	dst = append(dst, h.keyID[:]...)
	dst = append(dst, h.routing[:]...)
	for _, s := range h.names() {
		dst = append(dst, byte(len(*s)))
		dst = append(dst, *s...)
	}
	return dst
}

// checkName checks a name that goes into a hello.
func checkName(s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%d bytes, want at most %d", len(s), maxName)
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E {
			return errors.New("not printable ASCII")
		}
	}
	return nil
}

// parseHello returns the hello and the bytes after it. Errors wrap
// channel.ErrFormat.
func parseHello(b []byte) (*hello, []byte, error) {
	bad := func(what string) (*hello, []byte, error) {
		return nil, nil, fmt.Errorf("%w: hello: %s", channel.ErrFormat, what)
	}
	if len(b) < 3 {
		return bad("cut off")
	}
	if b[0] != helloVersion {
		return bad("unknown version")
	}
	h := &hello{purpose: channel.Purpose(b[1])}
	if h.purpose < channel.PurposePay || h.purpose > channel.PurposeResume {
		return bad("unknown purpose")
	}
	k := int(b[2])
	b = b[3:]
	if k == 0 || k > maxSuites {
		return bad("number of suites")
	}
	if len(b) < k+keyIDLen+digestLen {
		return bad("cut off")
	}
	h.suites, b = slices.Clone(b[:k]), b[k:]
	b = b[copy(h.keyID[:], b):]
	b = b[copy(h.routing[:], b):]
	for _, s := range h.names() {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return bad("cut off")
		}
		*s, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
		if checkName(*s) != nil {
			return bad("a name is not printable or too long")
		}
	}
	if (h.credential == "") != (h.purpose == channel.PurposePay) {
		return bad("credential and purpose do not go together")
	}
	return h, b, nil
}

// maxStatement bounds the statement of evidence.
const maxStatement = 16 << 10

// Evidence in a third message or an evidence record: its type, with a length of
// one byte; its statement, with one of two, big endian; then zeros up to a
// multiple of bucket bytes.
func appendEvidence(dst []byte, e channel.Evidence) ([]byte, error) {
	if len(e.Type) > maxName || len(e.Statement) > maxStatement {
		return nil, fmt.Errorf("noise: evidence of %d bytes, type of %d, want at most %d and %d",
			len(e.Statement), len(e.Type), maxStatement, maxName)
	}
	at := len(dst)
	dst = append(dst, byte(len(e.Type)))
	dst = append(dst, e.Type...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Statement)))
	dst = append(dst, e.Statement...)
	for (len(dst)-at)%bucket != 0 {
		dst = append(dst, 0)
	}
	return dst, nil
}

func parseEvidence(b []byte) (channel.Evidence, error) {
	bad := fmt.Errorf("%w: evidence", channel.ErrFormat)
	if len(b) == 0 || len(b)%bucket != 0 {
		return channel.Evidence{}, bad
	}
	k := int(b[0])
	if k > maxName || len(b) < 1+k+2 {
		return channel.Evidence{}, bad
	}
	e := channel.Evidence{Type: string(b[1 : 1+k])}
	b = b[1+k:]
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > maxStatement || len(b) < n || len(b)-n >= bucket || checkName(e.Type) != nil {
		return channel.Evidence{}, bad
	}
	e.Statement, b = slices.Clone(b[:n]), b[n:]
	if slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return channel.Evidence{}, bad
	}
	return e, nil
}

// The payload of the server's message: a nonce (32 bytes), its clock in Unix
// seconds (8, big endian), policy bits (2, big endian).
const serverPayloadLen = 32 + 8 + 2

// policyTickets: the server keeps a ticket of this channel for a resumption.
const policyTickets uint16 = 1

// A ready record holds how long the channel lives from now on, in seconds (4 bytes,
// big endian), at most maxAge: until then, or until the client's evidence ends.
const readyLen = 4

func appendReady(dst []byte, life time.Duration) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(min(max(life, 0), maxAge)/time.Second))
}

// parseReady errors wrap channel.ErrFormat.
func parseReady(b []byte) (life time.Duration, err error) {
	if len(b) != readyLen {
		return 0, fmt.Errorf("%w: ready record of %d bytes", channel.ErrFormat, len(b))
	}
	life = time.Duration(binary.BigEndian.Uint32(b)) * time.Second
	if life > maxAge {
		return 0, fmt.Errorf("%w: a channel that lives for %v", channel.ErrFormat, life)
	}
	return life, nil
}

// writeFrame sends a frame in one write.
func writeFrame(w io.Writer, kind byte, body []byte) error {
	b := make([]byte, 0, headerLen+len(body))
	b = append(b, kind, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	if _, err := w.Write(append(b, body...)); err != nil {
		return fmt.Errorf("channel: handshake: %w", err)
	}
	return nil
}

// readHandshake reads a frame of the handshake of up to limit bytes. A refusal
// is channel.ErrRefused.
func readHandshake(r io.Reader, limit int) ([]byte, error) {
	var head [headerLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: in the handshake: %w", channel.ErrTruncated, err)
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case isRefusal(head, n):
		return nil, channel.ErrRefused
	case head[0] >= 20 && head[0] <= 23 && head[1] == 3:
		// A TLS record begins with its type and a version (RFC 8446, 5.1).
		return nil, fmt.Errorf("%w: in the handshake: the other end speaks TLS", channel.ErrFormat)
	case head[0] != frameHandshake || head[1] != 0 || n > limit:
		return nil, fmt.Errorf("%w: in the handshake", channel.ErrFormat)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("%w: in the handshake: %w", channel.ErrTruncated, err)
	}
	return body, nil
}

func isRefusal(head [headerLen]byte, n int) bool {
	return head[0] == frameRefusal && head[1] == 0 && n == 0
}
