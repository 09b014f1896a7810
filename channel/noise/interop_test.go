package noise

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	flynn "github.com/flynn/noise"
)

// seeded is a source of the same bytes in every run.
func seeded(name string) io.Reader {
	var seed [32]byte
	copy(seed[:], name)
	return rand.NewChaCha8(seed)
}

// theirs are the patterns that flynn/noise has, by name.
func theirs() map[string]flynn.HandshakePattern {
	return map[string]flynn.HandshakePattern{
		"N": flynn.HandshakeN, "K": flynn.HandshakeK, "X": flynn.HandshakeX,
		"NN": flynn.HandshakeNN, "NK": flynn.HandshakeNK, "NX": flynn.HandshakeNX,
		"KN": flynn.HandshakeKN, "KK": flynn.HandshakeKK, "KX": flynn.HandshakeKX,
		"XN": flynn.HandshakeXN, "XK": flynn.HandshakeXK, "XX": flynn.HandshakeXX,
		"IN": flynn.HandshakeIN, "IK": flynn.HandshakeIK, "IX": flynn.HandshakeIX,
	}
}

// TestInterop runs every pattern that flynn/noise has, in every suite that both
// have, without a pre-shared key and with one at each place, with this package at
// either end: payloads, handshake hash, transport messages, and rekeying.
func TestInterop(t *testing.T) {
	for name, p := range theirs() {
		for psk := -1; psk <= len(p.Messages); psk++ {
			for aead, theirAEAD := range map[string]flynn.CipherFunc{"ChaChaPoly": flynn.CipherChaChaPoly, "AESGCM": flynn.CipherAESGCM} {
				for digest, theirHash := range map[string]flynn.HashFunc{"SHA256": flynn.HashSHA256, "BLAKE2s": flynn.HashBLAKE2s} {
					modified := name
					if psk >= 0 {
						modified = fmt.Sprintf("%spsk%d", name, psk)
					}
					m := meeting{
						name: "Noise_" + modified + "_25519_" + aead + "_" + digest, pattern: p, psk: psk,
						suite: flynn.NewCipherSuite(flynn.DH25519, theirAEAD, theirHash),
					}
					t.Run(m.name, func(t *testing.T) {
						m.run(t, true)
						m.run(t, false)
					})
				}
			}
		}
	}
}

// meeting is a handshake between this package and the other.
type meeting struct {
	name    string
	pattern flynn.HandshakePattern
	psk     int
	suite   flynn.CipherSuite
}

// other is the other package's end.
type other struct {
	h        *flynn.HandshakeState
	up, down *flynn.CipherState
}

func (m meeting) run(t *testing.T, initiator bool) {
	t.Helper()
	protocol, err := parseName(m.name)
	if err != nil {
		t.Fatal(err)
	}
	random := seeded(m.name)
	prologue := []byte("a prologue of both")
	ours, err := flynn.DH25519.GenerateKeypair(random)
	if err != nil {
		t.Fatal(err)
	}
	their, err := flynn.DH25519.GenerateKeypair(random)
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{0x5A}, keyLen)
	c := handshakeConfig{protocol: protocol, initiator: initiator, prologue: prologue, static: fixedKey{private(t, ours.Private)}, rand: random}
	fc := flynn.Config{CipherSuite: m.suite, Random: random, Pattern: m.pattern, Initiator: !initiator, Prologue: prologue, StaticKeypair: their}
	if m.psk >= 0 {
		c.psks = [][]byte{key}
		fc.PresharedKey, fc.PresharedKeyPlacement = key, m.psk
	}
	known := map[bool]bool{true: protocol.pattern.preInitiator, false: protocol.pattern.preResponder}
	if known[!initiator] {
		c.remote = their.Public
	}
	if known[initiator] {
		fc.PeerStatic = ours.Public
	}
	h, err := newHandshake(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	f := &other{}
	if f.h, err = flynn.NewHandshakeState(fc); err != nil {
		t.Fatal(err)
	}
	for i := range protocol.pattern.messages {
		m.pass(t, h, f, (i%2 == 0) == initiator, fmt.Appendf(nil, "payload %d", i))
	}
	if !bytes.Equal(h.y.h[:], f.h.ChannelBinding()) {
		t.Error("the handshake hashes differ")
	}
	send, receive, _, err := h.split()
	if err != nil {
		t.Fatal(err)
	}
	theirReceive, theirSend := f.up, f.down
	if !initiator {
		theirReceive, theirSend = f.down, f.up
	}
	if len(protocol.pattern.messages) == 1 {
		// Nothing goes down after a one-way handshake (Noise, 7.4).
		if initiator {
			transport(t, &send, theirReceive)
		} else {
			back(t, theirSend, &receive)
		}
		return
	}
	transport(t, &send, theirReceive)
	back(t, theirSend, &receive)
}

// pass carries one handshake message.
func (meeting) pass(t *testing.T, h *handshakeState, f *other, fromOurs bool, payload []byte) {
	t.Helper()
	var got []byte
	var up, down *flynn.CipherState
	if fromOurs {
		wire, err := h.write(t.Context(), nil, payload)
		if err != nil {
			t.Fatal(err)
		}
		if got, up, down, err = f.h.ReadMessage(nil, wire); err != nil {
			t.Fatalf("the other reading: %v", err)
		}
	} else {
		wire, u, d, err := f.h.WriteMessage(nil, payload)
		if err != nil {
			t.Fatal(err)
		}
		up, down = u, d
		if got, err = h.read(t.Context(), wire); err != nil {
			t.Fatalf("reading the other: %v", err)
		}
	}
	if !bytes.Equal(got, payload) {
		t.Fatalf("payload %q arrived as %q", payload, got)
	}
	if up != nil {
		f.up, f.down = up, down
	}
}

// transport sends from this package's cipher, before and after a rekey.
func transport(t *testing.T, from *cipherState, to *flynn.CipherState) {
	t.Helper()
	for i := range 4 {
		text := fmt.Appendf(nil, "message %d", i)
		sealed, err := from.encrypt(nil, []byte("header"), text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := to.Decrypt(nil, []byte("header"), sealed); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
		if i == 1 {
			if err := from.rekey(); err != nil {
				t.Fatal(err)
			}
			to.Rekey()
		}
	}
}

// back sends from the other package's cipher.
func back(t *testing.T, from *flynn.CipherState, to *cipherState) {
	t.Helper()
	for i := range 4 {
		text := fmt.Appendf(nil, "message %d", i)
		sealed, err := from.Encrypt(nil, []byte("header"), text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := to.decrypt(nil, []byte("header"), sealed); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
		if i == 1 {
			from.Rekey()
			if err := to.rekey(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
