package noise

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
	"golang.org/x/crypto/chacha20poly1305"
)

// ends brings a channel up and returns both ends and the stream between them.
func ends(t testing.TB, f channeltest.Faults) (client, server *Conn) {
	t.Helper()
	c, s := newWorld(t).pair(t)
	a, b, cerr, serr := meet(t, c, s, f)
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	return a.(*Conn), b.(*Conn)
}

// TestHeaderIsAuthenticated changes type and flags of a record to every other
// value: a data record passes for no close, and a full fragment for no message.
func TestHeaderIsAuthenticated(t *testing.T) {
	for at := range 2 {
		for value := range 256 {
			from, _ := halves(t, said{})
			head := []byte{frameData, 0, maxRecord >> 8, maxRecord & 0xFF}
			plain := make([]byte, maxPlain)
			binary.BigEndian.PutUint16(plain, maxData)
			wire, err := from.encrypt(bytes.Clone(head), head, plain)
			if err != nil {
				t.Fatal(err)
			}
			touched := wire[at] != byte(value)
			wire[at] = byte(value)
			_, c := halves(t, said{bytes.NewReader(wire)})
			m, err := c.ReadMessage(t.Context())
			switch {
			case !touched && !errors.Is(err, channel.ErrTruncated):
				t.Errorf("as it was: %v", err)
			case touched && !errors.Is(err, channel.ErrAuthentication):
				t.Errorf("byte %d as %#x: %d bytes, %v", at, value, len(m), err)
			}
		}
	}
}

// TestSizes: what a relay sees of messages of up to 254 bytes is one size.
func TestSizes(t *testing.T) {
	last := 0
	c, s := ends(t, channeltest.Faults{Alter: func(_ bool, _, _ int, b []byte) []byte {
		last = len(b)
		return b
	}})
	for _, x := range []struct{ message, wire int }{
		{0, 276}, {1, 276}, {254, 276}, {255, 532}, {510, 532}, {511, 788}, {maxData, 4 + maxRecord},
	} {
		if err := c.WriteMessage(t.Context(), make([]byte, x.message)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadMessage(t.Context()); err != nil {
			t.Fatal(err)
		}
		if last != x.wire {
			t.Errorf("message of %d bytes: frame of %d, want %d", x.message, last, x.wire)
		}
	}
	if maxRecord+headerLen > 16<<10 {
		t.Errorf("frames of %d bytes", maxRecord+headerLen)
	}
}

// TestRekey: keys change after every 1024 records, to what Noise, 4.2, says.
func TestRekey(t *testing.T) {
	var frame []byte
	c, s := ends(t, channeltest.Faults{Alter: func(up bool, _, _ int, b []byte) []byte {
		if up {
			frame = b
		}
		return b
	}})
	key := bytes.Repeat([]byte{7}, keyLen)
	for _, k := range []*cipherState{&c.write.cipher, &s.read.cipher} {
		if err := k.set(k.s, key); err != nil {
			t.Fatal(err)
		}
	}
	c.write.records, s.read.records = 0, 0
	for n := range 3 * rekeyEvery {
		m := fmt.Appendf(nil, "message %d", n)
		if err := c.WriteMessage(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got, err := s.ReadMessage(t.Context()); err != nil || !bytes.Equal(got, m) {
			t.Fatalf("message %d: %q, %v", n, got, err)
		}
		aead, err := chacha20poly1305.New(key)
		if err != nil {
			t.Fatal(err)
		}
		nonce := make([]byte, 12)
		nonce[4], nonce[5] = byte(n), byte(n>>8)
		plain, err := aead.Open(nil, nonce, frame[4:], frame[:4])
		if err != nil || !bytes.Equal(plain[2:2+len(m)], m) {
			t.Fatalf("record %d is not under the key that it should be: %v", n, err)
		}
		if n%rekeyEvery == rekeyEvery-1 {
			key = aead.Seal(nil, []byte{0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255}, make([]byte, 32), nil)[:32]
		}
	}
}

// TestLimits: a channel ends after an hour, or 2^20 records, and can still be
// closed as it should.
func TestLimits(t *testing.T) {
	now := time.Unix(1e9, 0)
	clock := func() time.Time { return now }
	for name, expire := range map[string]func(c, s *Conn){
		"age":     func(*Conn, *Conn) { now = now.Add(maxAge + time.Second) },
		"records": func(c, s *Conn) { c.write.records, s.read.records = maxRecords, maxRecords },
	} {
		w := newWorld(t)
		w.client.Now, w.server.Now = clock, clock
		ch, sh := w.pair(t)
		a, b, cerr, serr := meet(t, ch, sh, channeltest.Faults{})
		if cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
		c, s := a.(*Conn), b.(*Conn)
		if err := c.WriteMessage(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadMessage(t.Context()); err != nil {
			t.Fatal(err)
		}
		expire(c, s)
		if err := c.WriteMessage(t.Context(), nil); !errors.Is(err, channel.ErrExpired) {
			t.Errorf("%s: writing: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.ReadMessage(t.Context()); err != io.EOF {
			t.Errorf("%s: after the close: %v", name, err)
		}
		now = time.Unix(1e9, 0)
	}
}

// TestPeerBeyondLimit: a peer that does not keep to the limit is not read.
func TestPeerBeyondLimit(t *testing.T) {
	c, s := ends(t, channeltest.Faults{})
	s.read.records = maxRecords
	if err := c.WriteMessage(t.Context(), []byte("one too many")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m, err := s.ReadMessage(t.Context()); !errors.Is(err, channel.ErrExpired) {
			t.Errorf("%q, %v", m, err)
		}
	}
}

// send seals what a peer that does not keep to the format might send.
func send(t *testing.T, c *Conn, kind, flags byte, plain []byte) {
	t.Helper()
	n := len(plain) + tagLen
	head := []byte{kind, flags, byte(n >> 8), byte(n)}
	b, err := c.write.cipher.encrypt(bytes.Clone(head), head, plain)
	if err == nil {
		_, err = c.rw.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPeerBreaksFormat: records that verify and are not of the format.
func TestPeerBreaksFormat(t *testing.T) {
	plain := func(size, length int) []byte {
		b := make([]byte, size)
		b[0], b[1] = byte(length>>8), byte(length)
		return b
	}
	for _, c := range []struct {
		name string
		send func(t *testing.T, c *Conn)
		want error
	}{
		{"inner length over the record", func(t *testing.T, c *Conn) { send(t, c, frameData, flagLast, plain(256, 255)) }, channel.ErrFormat},
		{"a bucket more than needed", func(t *testing.T, c *Conn) { send(t, c, frameData, flagLast, plain(512, 254)) }, channel.ErrFormat},
		{"empty fragment", func(t *testing.T, c *Conn) { send(t, c, frameData, 0, plain(256, 0)) }, channel.ErrFormat},
		{"unknown flag", func(t *testing.T, c *Conn) { send(t, c, frameData, 3, plain(256, 1)) }, channel.ErrFormat},
		{"unknown type", func(t *testing.T, c *Conn) { send(t, c, 9, flagLast, plain(256, 1)) }, channel.ErrFormat},
		{"second ready", func(t *testing.T, c *Conn) { send(t, c, frameReady, flagLast, plain(256, 0)) }, channel.ErrFormat},
		{"close inside a message", func(t *testing.T, c *Conn) {
			send(t, c, frameData, 0, plain(maxPlain, maxData))
			send(t, c, frameClose, flagLast, plain(256, 0))
		}, channel.ErrTruncated},
		{"message over the limit", func(t *testing.T, c *Conn) {
			for range channel.MaxMessage/maxData + 1 {
				send(t, c, frameData, 0, plain(maxPlain, maxData))
			}
		}, channel.ErrTooLarge},
		{"refusal", func(t *testing.T, c *Conn) {
			if _, err := c.rw.Write([]byte{frameRefusal, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
		}, channel.ErrRefused},
		{"short record", func(t *testing.T, c *Conn) {
			if _, err := c.rw.Write([]byte{frameData, flagLast, 0, 16}); err != nil {
				t.Fatal(err)
			}
		}, channel.ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := ends(t, channeltest.Faults{})
			c.send(t, a)
			for range 2 {
				if m, err := b.ReadMessage(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("%d bytes, %v", len(m), err)
				}
			}
			// It is dead in both directions, and at both ends.
			if err := b.WriteMessage(t.Context(), nil); !errors.Is(err, c.want) {
				t.Errorf("writing: %v", err)
			}
			if _, err := a.ReadMessage(t.Context()); err == nil || err == io.EOF {
				t.Errorf("the other end: %v", err)
			}
			if b.read.cipher.aead != nil || b.write.cipher.aead != nil {
				t.Error("keys are kept")
			}
		})
	}
}

// TestNonceStays: a record that does not verify does not move the nonce.
func TestNonceStays(t *testing.T) {
	p, err := parseName("Noise_NN_25519_ChaChaPoly_SHA256")
	if err != nil {
		t.Fatal(err)
	}
	var a, b cipherState
	for _, k := range []*cipherState{&a, &b} {
		if err := k.set(p.suite, make([]byte, keyLen)); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := a.encrypt(nil, nil, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.decrypt(nil, nil, make([]byte, 40)); !errors.Is(err, errAuth) {
		t.Fatal(err)
	}
	if got, err := b.decrypt(nil, nil, sealed); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
	a.n = maxNonce
	if _, err := a.encrypt(nil, nil, nil); !errors.Is(err, errNonces) {
		t.Errorf("the reserved nonce: %v", err)
	}
	b.n = maxNonce
	if _, err := b.decrypt(nil, nil, sealed); !errors.Is(err, errNonces) {
		t.Errorf("the reserved nonce: %v", err)
	}
}

// TestHandshakeStateServesOnce: order is kept, and nothing works after a failure
// or the end.
func TestHandshakeStateServesOnce(t *testing.T) {
	p, err := parseName("Noise_NN_25519_ChaChaPoly_SHA256")
	if err != nil {
		t.Fatal(err)
	}
	side := func(initiator bool) *handshakeState {
		h, err := newHandshake(t.Context(), handshakeConfig{protocol: p, initiator: initiator, rand: bytes.NewReader(bytes.Repeat([]byte{byte(len(p.name))}, 64))})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	i, r := side(true), side(false)
	if _, err := r.write(t.Context(), nil, nil); !errors.Is(err, errOrder) {
		t.Errorf("the responder first: %v", err)
	}
	if _, _, _, err := i.split(); !errors.Is(err, errOrder) {
		t.Errorf("split before the end: %v", err)
	}
	m, err := i.write(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.write(t.Context(), nil, nil); !errors.Is(err, errOrder) {
		t.Errorf("two messages: %v", err)
	}
	if _, err := r.read(t.Context(), m[:31]); !errors.Is(err, errShort) {
		t.Errorf("short: %v", err)
	}
	if _, err := r.read(t.Context(), m); !errors.Is(err, errFinished) {
		t.Errorf("after a failure: %v", err)
	}
	if r = side(false); r.y.ck == ([hashLen]byte{}) {
		t.Fatal("no chaining key")
	}
	if _, err := r.read(t.Context(), make([]byte, 65536)); !errors.Is(err, errTooLong) {
		t.Errorf("too long: %v", err)
	}
	if r.y.ck != ([hashLen]byte{}) {
		t.Error("the chaining key is not wiped")
	}
	// A public key of low order (RFC 7748, 6.1).
	r = side(false)
	if _, err := r.read(t.Context(), make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.write(t.Context(), nil, nil); !errors.Is(err, errKey) {
		t.Errorf("key of low order: %v", err)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"Noise_XX_25519_ChaChaPoly_SHA256":                  true,
		"Noise_XXhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256": true,
		"Noise_XXpsk0+psk3_P256_AESGCM_BLAKE2s":             true,
		"Noise_XX_25519+MLKEM768_ChaChaPoly_SHA256":         false,
		"Noise_XXhfs_25519_ChaChaPoly_SHA256":               false,
		"Noise_XXhfs_25519+Kyber_ChaChaPoly_SHA256":         false,
		"Noise_Nhfs_25519+MLKEM768_ChaChaPoly_SHA256":       false,
		"Noise_XXpsk4_25519_ChaChaPoly_SHA256":              false,
		"Noise_XXpsk03_25519_ChaChaPoly_SHA256":             false,
		"Noise_XXpsk3+psk3_25519_ChaChaPoly_SHA256":         false,
		"Noise_XXpsk3psk0_25519_ChaChaPoly_SHA256":          false,
		"Noise_XXpsk-1_25519_ChaChaPoly_SHA256":             false,
		"Noise_XXfallback_25519_ChaChaPoly_SHA256":          false,
		"Noise_QQ_25519_ChaChaPoly_SHA256":                  false,
		"Noise_XX_448_ChaChaPoly_SHA256":                    false,
		"Noise_XX_25519_ChaChaPoly_SHA512":                  false,
		"Noise_XX_25519_Salsa_SHA256":                       false,
		"Noise_XX_25519_ChaChaPoly":                         false,
		"NoisePSK_XX_25519_ChaChaPoly_SHA256":               false,
		"":                                                  false,
	} {
		if _, err := parseName(name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestHybridPatterns(t *testing.T) {
	for name, want := range map[string]string{
		"XXhfs":      "[[e e1] [e ee ekem1 s es] [s se]]",
		"XKhfs":      "[[e es e1] [e ee ekem1] [s se]]",
		"XXhfs+psk3": "[[e e1] [e ee ekem1 s es] [s se psk]]",
		"IKhfs":      "[[e es e1 s ss] [e ee ekem1 se]]",
		"NNhfs+psk0": "[[psk e e1] [e ee ekem1]]",
		"KXhfs":      "[[e e1] [e ee ekem1 se s es]]",
	} {
		p, err := parsePattern(name)
		if got := fmt.Sprint(p.messages); err != nil || got != want {
			t.Errorf("%s: %s, want %s, %v", name, got, want, err)
		}
	}
}

// TestIdleHoldsNoBuffer: between records a channel keeps neither a buffer nor a
// byte of what passed.
func TestIdleHoldsNoBuffer(t *testing.T) {
	c, s := ends(t, channeltest.Faults{})
	if err := c.WriteMessage(t.Context(), make([]byte, 100000)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadMessage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.read.buf != nil || s.read.data != nil || s.read.message != nil {
		t.Error("an idle channel holds memory")
	}
	b := newBuffers()
	r := b.get()
	copy(r[:], "secret")
	b.put(r, 6)
	if !bytes.Equal(r[:6], make([]byte, 6)) {
		t.Error("a buffer comes back as it was")
	}
}

func TestDeadlineAndContext(t *testing.T) {
	// The end of a context passes, and the user's deadline stands again.
	_, s := ends(t, channeltest.Faults{})
	if err := s.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.ReadMessage(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if _, err := s.ReadMessage(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestExportLabels(t *testing.T) {
	c, _ := ends(t, channeltest.Faults{})
	a, err := c.Export("label", 32)
	if err != nil {
		t.Fatal(err)
	}
	long, err := c.Export("label", 64)
	if err != nil || !bytes.Equal(long[:32], a) {
		t.Errorf("HKDF-Expand is a prefix of a longer one: %v", err)
	}
	b, err := c.Export("label2", 32)
	if err != nil || bytes.Equal(a, b) {
		t.Errorf("%v", err)
	}
}
