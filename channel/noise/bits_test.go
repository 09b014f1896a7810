package noise

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/payunit/payunit/channel"
)

// parties makes both ends of a protocol, each knowing what its pattern says, from
// the same randomness each time but for the KEM's.
func parties(t testing.TB, p protocol) (initiator, responder *handshakeState) {
	t.Helper()
	ours, theirs := testKey(p.suite.curve, 11), testKey(p.suite.curve, 12)
	psk := bytes.Repeat([]byte{13}, keyLen)
	side := func(first bool) *handshakeState {
		c := handshakeConfig{protocol: p, initiator: first, prologue: []byte("prologue"), static: theirs, rand: seeded(fmt.Sprint(p.name, first))}
		if first {
			c.static = ours
		}
		if p.pattern.uses(tokenPSK) {
			c.psks = [][]byte{psk}
		}
		if first && p.pattern.preResponder {
			c.remote = theirs.public()
		}
		h, err := newHandshake(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	return side(true), side(false)
}

// fork copies a state, so that one message can be read in many ways.
func (h *handshakeState) fork() *handshakeState {
	c := *h
	c.y.digest = c.y.s.newHash()
	return &c
}

// spoken are the protocols that a hello can lead to.
func spoken(t testing.TB) map[string]protocol {
	t.Helper()
	out := map[string]protocol{}
	for _, s := range []Suite{SuiteX25519, SuiteP256} {
		all, err := s.protocols()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			out[p.name] = p
		}
	}
	return out
}

// TestEveryByteOfEveryMessage flips a bit of each byte of each handshake message
// of every protocol in use, and cuts the message at some. Whoever reads it sees it
// at once, or, before there is a key, the handshake does not end; and the state is
// dead.
func TestEveryByteOfEveryMessage(t *testing.T) {
	for name, p := range spoken(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := parties(t, p)
			for i := range p.pattern.messages {
				m, err := from.write(t.Context(), nil, []byte("payload"))
				if err != nil {
					t.Fatal(err)
				}
				for at := range m {
					if raced && at%31 != 0 {
						continue
					}
					bad := bytes.Clone(m)
					bad[at] ^= 1 << (at % 8)
					mustFail(t, from.fork(), to.fork(), bad, fmt.Sprintf("message %d, byte %d", i+1, at))
					if at%5 == 0 || at > len(m)-20 {
						mustFail(t, from.fork(), to.fork(), m[:at], fmt.Sprintf("message %d, cut at %d", i+1, at))
					}
				}
				mustFail(t, from.fork(), to.fork(), append(bytes.Clone(m), 0), fmt.Sprintf("message %d, a byte more", i+1))
				if _, err := to.read(t.Context(), m); err != nil {
					t.Fatalf("message %d as it was: %v", i+1, err)
				}
				from, to = to, from
			}
		})
	}
}

// mustFail lets to read what is not from's message and, where it can't know yet,
// goes on until an end notices.
func mustFail(t *testing.T, from, to *handshakeState, m []byte, what string) {
	t.Helper()
	for {
		if _, err := to.read(t.Context(), m); err != nil {
			if peer := translate(err); !errors.Is(peer, channel.ErrAuthentication) {
				t.Fatalf("%s: %v", what, err)
			}
			dead(t, to, what)
			return
		}
		if to.done() {
			t.Fatalf("%s: nobody noticed", what)
		}
		from, to = to, from
		var err error
		if m, err = from.write(t.Context(), nil, nil); err != nil {
			if !errors.Is(err, errKey) {
				t.Fatalf("%s: %v", what, err)
			}
			dead(t, from, what)
			return
		}
	}
}

// dead checks that a state serves nothing any more and holds no secret.
func dead(t *testing.T, h *handshakeState, what string) {
	t.Helper()
	if _, err := h.read(t.Context(), nil); !errors.Is(err, errFinished) {
		t.Fatalf("%s: reading again: %v", what, err)
	}
	if _, err := h.write(t.Context(), nil, nil); !errors.Is(err, errFinished) {
		t.Fatalf("%s: writing: %v", what, err)
	}
	if _, _, _, err := h.split(); !errors.Is(err, errOrder) {
		t.Fatalf("%s: splitting: %v", what, err)
	}
	if h.e != nil || h.kem != nil || h.c.psks != nil || h.y.cipher.aead != nil || h.y.ck != ([hashLen]byte{}) {
		t.Fatalf("%s: secrets are kept", what)
	}
}

// TestSplitOnce: a state that made its ciphers makes no others.
func TestSplitOnce(t *testing.T) {
	for name, p := range spoken(t) {
		i, r := parties(t, p)
		for from, to := i, r; !to.done(); from, to = to, from {
			m, err := from.write(t.Context(), nil, nil)
			if err == nil {
				_, err = to.read(t.Context(), m)
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, h := range []*handshakeState{i, r} {
			if _, _, _, err := h.split(); err != nil {
				t.Fatal(err)
			}
			dead(t, h, name)
		}
	}
}

// TestWrongKnowledge: each thing that the two ends have to have in common is part
// of the handshake.
func TestWrongKnowledge(t *testing.T) {
	for name, p := range spoken(t) {
		for what, change := range map[string]func(h *handshakeState){
			"prologue": func(h *handshakeState) { h.y.mixHash([]byte("more")) },
			"psk": func(h *handshakeState) {
				if len(h.c.psks) > 0 {
					h.c.psks = [][]byte{make([]byte, keyLen)}
				} else {
					h.y.mixHash(nil)
				}
			},
		} {
			i, r := parties(t, p)
			change(r)
			m, err := i.write(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			mustFail(t, i, r, m, name+" "+what)
		}
	}
}

// TestEveryByteOfARecord flips each bit of a record's header and tag and one of
// each other byte: it does not open, and the nonce stays where it was, so that the
// record as it was still opens.
func TestEveryByteOfARecord(t *testing.T) {
	for name, p := range spoken(t) {
		var a, b cipherState
		for _, k := range []*cipherState{&a, &b} {
			if err := k.set(p.suite, bytes.Repeat([]byte{3}, keyLen)); err != nil {
				t.Fatal(err)
			}
		}
		for n := range uint64(3) {
			head := []byte{frameData, flagLast, 1, tagLen}
			sealed, err := a.encrypt(nil, head, make([]byte, bucket))
			if err != nil {
				t.Fatal(err)
			}
			for at := range 8 * (len(head) + len(sealed)) {
				if at > 64 && at < 8*(len(sealed)-8) && at%9 != 0 {
					continue
				}
				all := append(bytes.Clone(head), sealed...)
				all[at/8] ^= 1 << (at % 8)
				if got, err := b.decrypt(nil, all[:len(head)], all[len(head):]); !errors.Is(err, errAuth) || got != nil {
					t.Fatalf("%s: bit %d: %v", name, at, err)
				}
				if b.n != n {
					t.Fatalf("%s: bit %d moved the nonce to %d", name, at, b.n)
				}
			}
			if _, err := b.decrypt(nil, head, sealed); err != nil || b.n != n+1 {
				t.Fatalf("%s: the record as it was: %v, nonce %d", name, err, b.n)
			}
		}
	}
}

// TestWipedIsNotKeyless: a cipher without a key passes bytes in clear (Noise, 5.1),
// one whose key was wiped passes nothing.
func TestWipedIsNotKeyless(t *testing.T) {
	secret := []byte("in clear")
	for _, p := range []string{"ChaChaPoly", "AESGCM"} {
		s, err := newSuite("25519", p, "SHA256")
		if err != nil {
			t.Fatal(err)
		}
		var k cipherState
		if b, err := k.encrypt(nil, nil, secret); err != nil || !bytes.Equal(b, secret) {
			t.Errorf("%s: without a key: %x, %v", p, b, err)
		}
		if err := k.set(s, make([]byte, keyLen)); err != nil {
			t.Fatal(err)
		}
		k.wipe()
		if b, err := k.encrypt(nil, nil, secret); !errors.Is(err, errFinished) || b != nil {
			t.Errorf("%s: sealing with a wiped key: %x, %v", p, b, err)
		}
		if b, err := k.decrypt(nil, nil, secret); !errors.Is(err, errFinished) || b != nil {
			t.Errorf("%s: opening with a wiped key: %x, %v", p, b, err)
		}
		if err := k.rekey(); !errors.Is(err, errFinished) {
			t.Errorf("%s: rekeying: %v", p, err)
		}
	}
}
