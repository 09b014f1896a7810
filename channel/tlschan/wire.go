package tlschan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/channel"
)

// TLS is 1.3 with X25519MLKEM768 and the ALPN id "payunit-channel-1"; both ends
// have one certificate, of at most 4096 bytes, of which nothing counts but its key,
// Ed25519 or ECDSA on P-256. A ticket is 16 bytes. Inside TLS, each in one TLS record:
//
//	offset  size  field
//	0       1     type
//	1       1     flags: bit 0, the last fragment of a message
//	2       2     length n of the data, big endian, at most 16124
//	4       n     data
//	4+n     ...   zeros up to a multiple of 256 bytes, so that a relay sees sizes
//	              in coarse steps only
//
// A message is one frame or more, all but its last full. The order of messages:
//
//	client                              server
//	hello
//	                                    welcome
//	evidence
//	                                    ready
//	data                                data
//	close, empty                        close, empty
//
// Instead of any of them either end may send a refusal, which is empty, and
// closes the stream. The end of TLS without a close is a truncation.
const (
	frameHello    byte = 1
	frameData     byte = 2
	frameClose    byte = 3
	frameRefusal  byte = 4
	frameReady    byte = 5
	frameEvidence byte = 6
	frameWelcome  byte = 7

	flagLast byte = 0x01

	headerLen = 4
	bucket    = 256
	maxFrame  = 63 * bucket
	maxData   = maxFrame - headerLen
)

const (
	helloVersion = 1
	digestLen    = sha256.Size
	keyLen       = 32
	nonceLen     = 32
	// maxName bounds each name that a hello declares.
	maxName = 64
	// maxHello and maxEvidence bound the client's messages.
	maxHello    = 2 + digestLen + 4*(1+maxName)
	maxEvidence = digestLen + 1 + maxName + 2 + maxStatement
	// maxStatement bounds the statement of evidence.
	maxStatement = 16 << 10
)

// hello is the client's first message:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     purpose: 1 pay, 2 enrol, 3 resume, which TLS has to agree to
//	2       32    SHA-256 of the routing data that the app supplied, empty ones
//	              included
//	34            device class, terminal id, merchant id, and activation id: each
//	              a length (1 byte, up to 64) and printable ASCII
//
// The activation id is empty, but to enrol.
type hello struct {
	purpose                               channel.Purpose
	routing                               [digestLen]byte
	class, terminal, merchant, activation string
}

func (h *hello) names() [4]*string {
	return [4]*string{&h.class, &h.terminal, &h.merchant, &h.activation}
}

func (h *hello) append(dst []byte) []byte {
	dst = append(dst, helloVersion, byte(h.purpose))
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

// parseHello reads a hello. Errors wrap channel.ErrFormat.
func parseHello(b []byte) (*hello, error) {
	bad := func(what string) (*hello, error) { return nil, fmt.Errorf("%w: hello: %s", channel.ErrFormat, what) }
	if len(b) < 2+digestLen {
		return bad("cut off")
	}
	if b[0] != helloVersion {
		return bad("unknown version")
	}
	h := &hello{purpose: channel.Purpose(b[1])}
	if h.purpose < channel.PurposePay || h.purpose > channel.PurposeResume {
		return bad("unknown purpose")
	}
	b = b[2:]
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
	if len(b) != 0 {
		return bad("bytes after it")
	}
	if (h.activation != "") != (h.purpose == channel.PurposeEnrol) {
		return bad("activation and purpose do not go together")
	}
	return h, nil
}

// welcome is the server's answer:
//
//	offset  size  field
//	0       32    nonce
//	32      8     the server's clock, Unix seconds, big endian
//	40      32    the server's proof, zeros where there is no activation
type welcome struct {
	nonce [nonceLen]byte
	clock int64
	proof [digestLen]byte
}

const welcomeLen = nonceLen + 8 + digestLen

func (w *welcome) append(dst []byte) []byte {
	dst = append(dst, w.nonce[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.clock))
	return append(dst, w.proof[:]...)
}

func parseWelcome(b []byte) (*welcome, error) {
	if len(b) != welcomeLen {
		return nil, fmt.Errorf("%w: welcome of %d bytes, want %d", channel.ErrFormat, len(b), welcomeLen)
	}
	w := &welcome{nonce: [nonceLen]byte(b), clock: int64(binary.BigEndian.Uint64(b[nonceLen:])), proof: [digestLen]byte(b[nonceLen+8:])}
	return w, nil
}

func (w *welcome) time() time.Time { return time.Unix(w.clock, 0) }

// bind makes the channel's binding:
//
//	SHA-256 over
//	offset  size  field
//	0       21    label "payunit tls channel 1"
//	21      32    TLS exporter, channel binding (RFC 9266)
//	53      32    SHA-256 of the hello
//	85      40    nonce and clock of the welcome
func bind(exported []byte, hello []byte, w *welcome) [digestLen]byte {
	sum := sha256.New()
	sum.Write([]byte("payunit tls channel 1"))
	sum.Write(exported)
	h := sha256.Sum256(hello)
	sum.Write(h[:])
	sum.Write(w.append(nil)[:nonceLen+8])
	return [digestLen]byte(sum.Sum(nil))
}

// The labels of proof.
const (
	proofServer = "payunit activation proof, server"
	proofClient = "payunit activation proof, client"
)

// proof shows, in a channel, that an end knows the activation's key:
// HMAC-SHA-256 (RFC 2104) under it over a label and the binding.
func proof(key []byte, label string, binding [digestLen]byte) [digestLen]byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(label))
	m.Write(binding[:])
	return [digestLen]byte(m.Sum(nil))
}

// A ready message holds how long the channel lives from now on, in seconds (4
// bytes, big endian), at most maxAge: until then, or until the client's evidence
// ends.
const readyLen = 4

func appendReady(dst []byte, life time.Duration) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(min(max(life, 0), maxAge)/time.Second))
}

// parseReady errors wrap channel.ErrFormat.
func parseReady(b []byte) (life time.Duration, err error) {
	if len(b) != readyLen {
		return 0, fmt.Errorf("%w: ready message of %d bytes", channel.ErrFormat, len(b))
	}
	life = time.Duration(binary.BigEndian.Uint32(b)) * time.Second
	if life > maxAge {
		return 0, fmt.Errorf("%w: a channel that lives for %v", channel.ErrFormat, life)
	}
	return life, nil
}

// Evidence in the client's second message: its proof, 32 bytes, zeros where there
// is no activation; the evidence's type, with a length of one byte; its
// statement, with one of two, big endian.
func appendEvidence(dst []byte, proof [digestLen]byte, e channel.Evidence) ([]byte, error) {
	if len(e.Type) > maxName || len(e.Statement) > maxStatement {
		return nil, fmt.Errorf("%w: evidence of %d bytes, type of %d, want at most %d and %d",
			errModule, len(e.Statement), len(e.Type), maxStatement, maxName)
	}
	dst = append(dst, proof[:]...)
	dst = append(dst, byte(len(e.Type)))
	dst = append(dst, e.Type...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Statement)))
	return append(dst, e.Statement...), nil
}

// parseEvidence reads the client's second message. Errors wrap channel.ErrFormat.
func parseEvidence(b []byte) (proof [digestLen]byte, e channel.Evidence, err error) {
	bad := fmt.Errorf("%w: evidence", channel.ErrFormat)
	if len(b) < digestLen+1 {
		return proof, e, bad
	}
	b = b[copy(proof[:], b):]
	k := int(b[0])
	if k > maxName || len(b) < 1+k+2 {
		return proof, e, bad
	}
	e.Type, b = string(b[1:1+k]), b[1+k:]
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > maxStatement || len(b) != n || checkName(e.Type) != nil {
		return proof, channel.Evidence{}, bad
	}
	e.Statement = slices.Clone(b)
	return proof, e, nil
}
