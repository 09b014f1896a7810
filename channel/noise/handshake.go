package noise

import (
	"context"
	"crypto/ecdh"
	"crypto/mlkem"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Errors inside the package; the handshaker translates them.
var (
	errAuth     = errors.New("noise: authentication failed")
	errNonces   = errors.New("noise: nonces are used up")
	errShort    = errors.New("noise: message too short")
	errOrder    = errors.New("noise: handshake called out of order")
	errFinished = errors.New("noise: handshake is finished")
	errKey      = errors.New("noise: peer's key is not acceptable")
	errTooLong  = errors.New("noise: message over 65535 bytes")
)

// maxNoiseMessage is the longest message (Noise, 3).
const maxNoiseMessage = 65535

// encapsulator makes a KEM ciphertext for a public key.
type encapsulator func(ek *mlkem.EncapsulationKey768) (shared, ciphertext []byte, err error)

func encapsulate(ek *mlkem.EncapsulationKey768) (shared, ciphertext []byte, err error) {
	shared, ciphertext = ek.Encapsulate()
	return shared, ciphertext, nil
}

// handshakeConfig is what a handshakeState starts from.
type handshakeConfig struct {
	protocol  protocol
	initiator bool
	prologue  []byte
	static    StaticKey
	// remote is the peer's static key where the pattern knows it beforehand.
	remote []byte
	// psks are taken in the order of the pattern's psk tokens.
	psks      [][]byte
	rand      io.Reader
	encap     encapsulator     // nil means the system's
	ephemeral *ecdh.PrivateKey // made beforehand, or fixed by known-answer tests
}

// handshakeState is the HandshakeState of Noise, 5.3. It serves one handshake,
// and nothing after a failure.
type handshakeState struct {
	c        handshakeConfig
	y        symmetricState
	at       int
	hasPSK   bool
	e        *ecdh.PrivateKey
	public   []byte // own static public key
	rs       []byte
	re       *ecdh.PublicKey
	kem      *mlkem.DecapsulationKey768
	making   *making
	remoteEK *mlkem.EncapsulationKey768
	failed   bool
}

func newHandshake(ctx context.Context, c handshakeConfig) (*handshakeState, error) {
	if c.encap == nil {
		c.encap = encapsulate
	}
	p, s := c.protocol.pattern, c.protocol.suite
	h := &handshakeState{c: c, hasPSK: p.uses(tokenPSK), rs: c.remote}
	h.y.initialize(s, c.protocol.name)
	h.y.mixHash(c.prologue)
	if c.static != nil {
		var err error
		if h.public, err = c.static.PublicKey(ctx); err != nil {
			return nil, fmt.Errorf("noise: static key: %w", err)
		}
		if len(h.public) != s.dhLen {
			return nil, fmt.Errorf("noise: static key: public key of %d bytes, want %d", len(h.public), s.dhLen)
		}
	}
	for _, initiators := range []bool{true, false} {
		if initiators && !p.preInitiator || !initiators && !p.preResponder {
			continue
		}
		key := h.public
		if initiators != c.initiator {
			key = h.rs
		}
		if len(key) != s.dhLen {
			return nil, fmt.Errorf("noise: %s knows a static key beforehand, and it is missing", c.protocol.name)
		}
		h.y.mixHash(key)
	}
	return h, nil
}

// done reports that all messages have passed.
func (h *handshakeState) done() bool { return h.at == len(h.c.protocol.pattern.messages) }

func (h *handshakeState) turn(writing bool) error {
	switch {
	case h.failed || h.done():
		return errFinished
	case (h.at%2 == 0) == h.c.initiator != writing:
		return errOrder
	}
	return nil
}

// write appends the next message to dst. A failure is final.
func (h *handshakeState) write(ctx context.Context, dst, payload []byte) ([]byte, error) {
	if err := h.turn(true); err != nil {
		return nil, err
	}
	at := len(dst)
	out, err := h.writeTokens(ctx, dst, payload)
	if err == nil && len(out)-at > maxNoiseMessage {
		err = errTooLong
	}
	if err != nil {
		h.end()
		return nil, err
	}
	h.at++
	return out, nil
}

func (h *handshakeState) writeTokens(ctx context.Context, dst, payload []byte) ([]byte, error) {
	var err error
	tokens := h.c.protocol.pattern.messages[h.at]
	defer func() { h.making.wait() }()
	for i, t := range tokens {
		switch t {
		case tokenE:
			if dst, err = h.writeE(dst); err == nil && slices.Contains(tokens[i:], tokenE1) {
				err = h.beginE1()
			}
		case tokenS:
			if h.public == nil {
				return nil, errors.New("noise: no static key to send")
			}
			dst, err = h.y.encryptAndHash(dst, h.public)
		case tokenE1:
			dst, err = h.writeE1(dst)
		case tokenEKEM1:
			dst, err = h.writeEKEM1(dst)
		default:
			err = h.mix(ctx, t)
		}
		if err != nil {
			return nil, err
		}
	}
	return h.y.encryptAndHash(dst, payload)
}

// ephemeral makes a key pair of a curve. Not every 32 bytes are a scalar of P-256,
// and one in 2^32 misses.
func ephemeral(curve ecdh.Curve, rand io.Reader) (*ecdh.PrivateKey, error) {
	var seed [sharedLen]byte
	defer clear(seed[:])
	for range 4 {
		if _, err := io.ReadFull(rand, seed[:]); err != nil {
			return nil, fmt.Errorf("noise: randomness: %w", err)
		}
		if e, err := curve.NewPrivateKey(seed[:]); err == nil {
			return e, nil
		}
	}
	return nil, errors.New("noise: randomness: no ephemeral key comes of it")
}

func (h *handshakeState) writeE(dst []byte) ([]byte, error) {
	h.e = h.c.ephemeral
	if h.e == nil {
		var err error
		if h.e, err = ephemeral(h.y.s.curve, h.c.rand); err != nil {
			return nil, err
		}
	}
	pub := h.e.PublicKey().Bytes()
	return append(dst, pub...), h.mixE(pub)
}

func (h *handshakeState) mixE(pub []byte) error {
	h.y.mixHash(pub)
	if h.hasPSK {
		// Noise, 9.2.
		return h.y.mixKey(pub)
	}
	return nil
}

// making is a KEM key pair that is being made while its message is: what stands
// before it does not depend on it.
type making struct {
	done   chan struct{}
	kem    *mlkem.DecapsulationKey768
	public []byte
	err    error
}

func (m *making) wait() {
	if m != nil {
		<-m.done
	}
}

// beginE1 draws the randomness of e1 at once, so that the order of what is drawn
// is always the same.
func (h *handshakeState) beginE1() error {
	seed := new([mlkem.SeedSize]byte)
	if _, err := io.ReadFull(h.c.rand, seed[:]); err != nil {
		return fmt.Errorf("noise: randomness: %w", err)
	}
	m := &making{done: make(chan struct{})}
	h.making = m
	go func() {
		defer close(m.done)
		defer clear(seed[:])
		if m.kem, m.err = mlkem.NewDecapsulationKey768(seed[:]); m.err == nil {
			m.public = m.kem.EncapsulationKey().Bytes()
		}
	}()
	return nil
}

func (h *handshakeState) writeE1(dst []byte) ([]byte, error) {
	m := h.making
	if m == nil {
		return nil, errOrder
	}
	m.wait()
	h.making = nil
	if m.err != nil {
		return nil, fmt.Errorf("noise: KEM key: %w", m.err)
	}
	h.kem = m.kem
	return h.y.encryptAndHash(dst, m.public)
}

func (h *handshakeState) writeEKEM1(dst []byte) ([]byte, error) {
	if h.remoteEK == nil {
		return nil, errOrder
	}
	shared, ciphertext, err := h.c.encap(h.remoteEK)
	if err != nil {
		return nil, fmt.Errorf("noise: KEM: %w", err)
	}
	defer clear(shared)
	if dst, err = h.y.encryptAndHash(dst, ciphertext); err != nil {
		return nil, err
	}
	return dst, h.y.mixKey(shared)
}

// read takes the next message and returns its payload. A failure is final.
func (h *handshakeState) read(ctx context.Context, message []byte) ([]byte, error) {
	if err := h.turn(false); err != nil {
		return nil, err
	}
	if len(message) > maxNoiseMessage {
		h.end()
		return nil, errTooLong
	}
	payload, err := h.readTokens(ctx, message)
	if err != nil {
		h.end()
		return nil, err
	}
	h.at++
	return payload, nil
}

func (h *handshakeState) readTokens(ctx context.Context, m []byte) ([]byte, error) {
	take := func(n int) ([]byte, error) {
		if len(m) < n {
			return nil, errShort
		}
		var b []byte
		b, m = m[:n], m[n:]
		return b, nil
	}
	takeSealed := func(n int) ([]byte, error) {
		b, err := take(n + h.y.overhead())
		if err != nil {
			return nil, err
		}
		return h.y.decryptAndHash(b)
	}
	for _, t := range h.c.protocol.pattern.messages[h.at] {
		var b []byte
		var err error
		switch t {
		case tokenE:
			if b, err = take(h.y.s.dhLen); err == nil {
				err = h.readE(b)
			}
		case tokenS:
			// decryptAndHash returns a slice of its own.
			h.rs, err = takeSealed(h.y.s.dhLen)
		case tokenE1:
			if b, err = takeSealed(mlkem.EncapsulationKeySize768); err == nil {
				err = h.readE1(b)
			}
		case tokenEKEM1:
			if b, err = takeSealed(mlkem.CiphertextSize768); err == nil {
				err = h.readEKEM1(b)
			}
		default:
			err = h.mix(ctx, t)
		}
		if err != nil {
			return nil, err
		}
	}
	return h.y.decryptAndHash(m)
}

func (h *handshakeState) readE(b []byte) error {
	re, err := h.y.s.curve.NewPublicKey(b)
	if err != nil {
		return errKey
	}
	h.re = re
	return h.mixE(b)
}

// readE1 takes the peer's KEM key, with the checks of FIPS 203, 7.2.
func (h *handshakeState) readE1(b []byte) error {
	ek, err := mlkem.NewEncapsulationKey768(b)
	if err != nil {
		return errKey
	}
	h.remoteEK = ek
	return nil
}

func (h *handshakeState) readEKEM1(ciphertext []byte) error {
	if h.kem == nil {
		return errOrder
	}
	shared, err := h.kem.Decapsulate(ciphertext)
	if err != nil {
		return errKey
	}
	defer clear(shared)
	return h.y.mixKey(shared)
}

// mix carries out a DH or psk token.
func (h *handshakeState) mix(ctx context.Context, t token) error {
	if t == tokenPSK {
		if len(h.c.psks) == 0 || len(h.c.psks[0]) != keyLen {
			return errors.New("noise: psk is missing")
		}
		psk := h.c.psks[0]
		h.c.psks = h.c.psks[1:]
		return h.y.mixKeyAndHash(psk)
	}
	shared, err := h.dh(ctx, t)
	if err != nil {
		return err
	}
	defer clear(shared)
	return h.y.mixKey(shared)
}

func (h *handshakeState) dh(ctx context.Context, t token) ([]byte, error) {
	// The first letter is the initiator's key, the second the responder's.
	ownStatic, peerStatic := t[0] == 's', t[1] == 's'
	if !h.c.initiator {
		ownStatic, peerStatic = peerStatic, ownStatic
	}
	peer := h.re
	if peerStatic {
		var err error
		if peer, err = h.y.s.curve.NewPublicKey(h.rs); err != nil {
			return nil, errKey
		}
	}
	switch {
	case peer == nil:
		return nil, errOrder
	case ownStatic && h.c.static == nil:
		return nil, errors.New("noise: no static key")
	case ownStatic:
		return staticDH(ctx, h.c.static, peer.Bytes())
	case h.e == nil:
		return nil, errOrder
	}
	b, err := h.e.ECDH(peer)
	if err != nil {
		return nil, errKey
	}
	return b, nil
}

// split ends the handshake: send and receive ciphers, and the chaining key for
// exporters, which the caller wipes.
func (h *handshakeState) split() (send, receive cipherState, ck [hashLen]byte, err error) {
	if h.failed || !h.done() {
		return send, receive, ck, errOrder
	}
	first, second, err := h.y.split()
	ck = h.y.ck
	h.end()
	if h.c.initiator {
		return first, second, ck, err
	}
	return second, first, ck, err
}

// end makes the state useless and wipes it.
func (h *handshakeState) end() {
	h.failed = true
	h.y.wipe()
	h.e, h.kem, h.making, h.c.ephemeral = nil, nil, nil, nil
	h.c.psks = nil
}
