package noise

import (
	"context"
	"crypto/ecdh"
	"crypto/mlkem"
	"errors"
	"fmt"
	"io"
)

// Errors inside the package; the handshaker translates them.
var (
	errAuth     = errors.New("noise: authentication failed")
	errNonces   = errors.New("noise: nonces are used up")
	errShort    = errors.New("noise: message too short")
	errOrder    = errors.New("noise: handshake called out of order")
	errFinished = errors.New("noise: handshake is finished")
	errLowOrder = errors.New("noise: peer's key is of low order")
)

// maxNoiseMessage is the longest message (Noise, 3).
const maxNoiseMessage = 65535

// StaticKey is an X25519 key pair whose private half stays where it is.
type StaticKey interface {
	// PublicKey returns 32 bytes (RFC 7748).
	PublicKey(ctx context.Context) ([]byte, error)
	// ECDH returns the 32-byte shared secret; the caller wipes it.
	ECDH(ctx context.Context, peer []byte) ([]byte, error)
}

// encapsulator makes a KEM ciphertext for a public key.
type encapsulator func(ek *mlkem.EncapsulationKey768) (shared, ciphertext []byte, err error)

func encapsulate(ek *mlkem.EncapsulationKey768) (shared, ciphertext []byte, err error) {
	shared, ciphertext = ek.Encapsulate()
	return shared, ciphertext, nil
}

// handshakeConfig is what a handshakeState starts from.
type handshakeConfig struct {
	name      string
	initiator bool
	prologue  []byte
	static    StaticKey
	// remote is the peer's static key where the pattern knows it beforehand.
	remote []byte
	// psks are taken in the order of the pattern's psk tokens. askPSK gives
	// the next one where they are not known at the start.
	psks      [][]byte
	rand      io.Reader
	encap     encapsulator
	ephemeral *ecdh.PrivateKey // fixed by known-answer tests
}

// handshakeState is the HandshakeState of Noise, 5.3. It serves one handshake.
type handshakeState struct {
	c        handshakeConfig
	y        symmetricState
	p        pattern
	at       int
	hasPSK   bool
	e        *ecdh.PrivateKey
	public   []byte // own static public key
	rs       []byte
	re       *ecdh.PublicKey
	kem      *mlkem.DecapsulationKey768
	remoteEK *mlkem.EncapsulationKey768
	failed   bool
}

func newHandshake(ctx context.Context, c handshakeConfig) (*handshakeState, error) {
	p, s, err := parseName(c.name)
	if err != nil {
		return nil, err
	}
	if c.encap == nil {
		c.encap = encapsulate
	}
	h := &handshakeState{c: c, p: p, hasPSK: p.uses(tokenPSK), rs: c.remote}
	h.y.initialize(s, c.name)
	h.y.mixHash(c.prologue)
	if c.static != nil {
		if h.public, err = c.static.PublicKey(ctx); err != nil {
			return nil, fmt.Errorf("noise: static key: %w", err)
		}
	}
	pre := func(initiators bool) error {
		key := h.public
		if initiators != c.initiator {
			key = h.rs
		}
		if len(key) != dhLen {
			return fmt.Errorf("noise: %s knows a static key beforehand, and it is missing", c.name)
		}
		h.y.mixHash(key)
		return nil
	}
	if p.preInitiator {
		err = pre(true)
	}
	if err == nil && p.preResponder {
		err = pre(false)
	}
	return h, err
}

// done reports that all messages have passed.
func (h *handshakeState) done() bool { return h.at == len(h.p.messages) }

func (h *handshakeState) turn(writing bool) error {
	switch {
	case h.failed || h.done():
		return errFinished
	case (h.at%2 == 0) == h.c.initiator != writing:
		return errOrder
	}
	return nil
}

// write appends the next message to dst.
func (h *handshakeState) write(ctx context.Context, dst, payload []byte) ([]byte, error) {
	if err := h.turn(true); err != nil {
		return nil, err
	}
	at := len(dst)
	out, err := h.writeTokens(ctx, dst, payload)
	if err == nil && len(out)-at > maxNoiseMessage {
		err = errors.New("noise: message over 65535 bytes")
	}
	if err != nil {
		h.fail()
		return nil, err
	}
	h.at++
	return out, nil
}

func (h *handshakeState) writeTokens(ctx context.Context, dst, payload []byte) ([]byte, error) {
	var err error
	for _, t := range h.p.messages[h.at] {
		switch t {
		case tokenE:
			if dst, err = h.writeE(dst); err != nil {
				return nil, err
			}
		case tokenS:
			if len(h.public) != dhLen {
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

func (h *handshakeState) writeE(dst []byte) ([]byte, error) {
	e := h.c.ephemeral
	if e == nil {
		var seed [dhLen]byte
		if _, err := io.ReadFull(h.c.rand, seed[:]); err != nil {
			return nil, fmt.Errorf("noise: randomness: %w", err)
		}
		var err error
		if e, err = ecdh.X25519().NewPrivateKey(seed[:]); err != nil {
			return nil, fmt.Errorf("noise: ephemeral key: %w", err)
		}
		clear(seed[:])
	}
	h.e = e
	pub := e.PublicKey().Bytes()
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

func (h *handshakeState) writeE1(dst []byte) ([]byte, error) {
	var seed [mlkem.SeedSize]byte
	if _, err := io.ReadFull(h.c.rand, seed[:]); err != nil {
		return nil, fmt.Errorf("noise: randomness: %w", err)
	}
	defer clear(seed[:])
	var err error
	if h.kem, err = mlkem.NewDecapsulationKey768(seed[:]); err != nil {
		return nil, fmt.Errorf("noise: KEM key: %w", err)
	}
	return h.y.encryptAndHash(dst, h.kem.EncapsulationKey().Bytes())
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

// read takes the next message and returns its payload.
func (h *handshakeState) read(ctx context.Context, message []byte) ([]byte, error) {
	if err := h.turn(false); err != nil {
		return nil, err
	}
	payload, err := h.readTokens(ctx, message)
	if err != nil {
		h.fail()
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
		b, err := take(n + h.y.keyed())
		if err != nil {
			return nil, err
		}
		return h.y.decryptAndHash(b)
	}
	for _, t := range h.p.messages[h.at] {
		var b []byte
		var err error
		switch t {
		case tokenE:
			if b, err = take(dhLen); err == nil {
				err = h.readE(b)
			}
		case tokenS:
			if b, err = takeSealed(dhLen); err == nil {
				h.rs = append([]byte(nil), b...)
			}
		case tokenE1:
			if b, err = takeSealed(mlkem.EncapsulationKeySize768); err == nil {
				h.remoteEK, err = mlkem.NewEncapsulationKey768(b)
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
	re, err := ecdh.X25519().NewPublicKey(b)
	if err != nil {
		return fmt.Errorf("noise: peer's ephemeral key: %w", err)
	}
	h.re = re
	return h.mixE(b)
}

func (h *handshakeState) readEKEM1(ciphertext []byte) error {
	if h.kem == nil {
		return errOrder
	}
	shared, err := h.kem.Decapsulate(ciphertext)
	if err != nil {
		return fmt.Errorf("noise: KEM: %w", err)
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
		if peer, err = ecdh.X25519().NewPublicKey(h.rs); err != nil {
			return nil, fmt.Errorf("noise: peer's static key: %w", err)
		}
	}
	switch {
	case peer == nil:
		return nil, errOrder
	case ownStatic && h.c.static == nil:
		return nil, errors.New("noise: no static key")
	case ownStatic:
		b, err := h.c.static.ECDH(ctx, peer.Bytes())
		if err != nil {
			return nil, fmt.Errorf("noise: static key: %w", err)
		}
		return b, nil
	case h.e == nil:
		return nil, errOrder
	}
	b, err := h.e.ECDH(peer)
	if err != nil {
		return nil, errLowOrder
	}
	return b, nil
}

// split ends the handshake: send and receive ciphers, and a secret for
// exporters.
func (h *handshakeState) split() (send, receive cipherState, ck [hashLen]byte, err error) {
	if h.failed || !h.done() {
		return send, receive, ck, errOrder
	}
	first, second, err := h.y.split()
	ck = h.y.ck
	h.fail()
	if h.c.initiator {
		return first, second, ck, err
	}
	return second, first, ck, err
}

// fail ends the state's use and wipes it.
func (h *handshakeState) fail() {
	h.failed = true
	h.y.wipe()
	h.e, h.kem = nil, nil
	h.c.psks = nil
}
