package noise

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
)

// FuzzHello: what parses is written again as it was, and refuses nothing but by
// channel.ErrFormat.
func FuzzHello(f *testing.F) {
	h := hello{purpose: channel.PurposePay, suites: []byte{1, 2}, class: "phone", terminal: "T0000001", merchant: "M1"}
	f.Add(h.append(nil))
	h.purpose, h.credential = channel.PurposeEnrol, "ABCDEFGH"
	f.Add(append(h.append(nil), "the first message"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := parseHello(b)
		if err != nil {
			if !errors.Is(err, channel.ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if got := append(h.append(nil), rest...); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
	})
}

// FuzzEvidence: what parses is written again as it was.
func FuzzEvidence(f *testing.F) {
	for _, e := range []channel.Evidence{{}, {Type: "software", Statement: make([]byte, 96)}, {Type: "t", Statement: make([]byte, 252)}} {
		b, err := appendEvidence(nil, e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEvidence(b)
		if err != nil {
			if !errors.Is(err, channel.ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if got, err := appendEvidence(nil, e); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%x became %x, %v", b, got, err)
		}
	})
}

// FuzzName: a protocol's name is refused or understood whole: its pattern has
// two parties at most and a token in every message.
func FuzzName(f *testing.F) {
	f.Add("Noise_XKhfs_25519+MLKEM768_ChaChaPoly_SHA256")
	f.Add("Noise_XXpsk0+psk3_P256_AESGCM_BLAKE2s")
	f.Fuzz(func(t *testing.T, name string) {
		p, err := parseName(name)
		if err != nil {
			return
		}
		if p.name != name || len(p.pattern.messages) == 0 || p.suite.dhLen == 0 {
			t.Errorf("%q: %+v", name, p)
		}
		for _, m := range p.pattern.messages {
			if len(m) == 0 {
				t.Errorf("%q: an empty message", name)
			}
		}
	})
}

// FuzzActivation: a code that is read gives itself again.
func FuzzActivation(f *testing.F) {
	a, err := NewActivation(seeded("activation"))
	if err != nil {
		f.Fatal(err)
	}
	code, err := a.Code()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(code)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseActivation(text)
		if err != nil {
			if !errors.Is(err, ErrActivation) {
				t.Fatal(err)
			}
			return
		}
		code, err := a.Code()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := ParseActivation(code); err != nil || b.ID != a.ID || !b.secret.Equal(a.secret) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// said is a peer that says what it has to say, hears nothing, and hangs up.
type said struct{ *bytes.Reader }

func (said) Write(b []byte) (int, error)      { return len(b), nil }
func (said) Close() error                     { return nil }
func (said) SetReadDeadline(time.Time) error  { return nil }
func (said) SetWriteDeadline(time.Time) error { return nil }

// typed are the errors that a handshake's peer can cause.
func typed(err error) bool {
	for _, want := range []error{channel.ErrAuthentication, channel.ErrTruncated, channel.ErrFormat, channel.ErrRefused, channel.ErrPolicy} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// recorded adds the frames of a handshake, up or down.
func recorded(f *testing.F, up bool) {
	c, s := newWorld(f).pair(f)
	var all []byte
	_, _, cerr, serr := meet(f, c, s, channeltest.Faults{Alter: func(u bool, _, _ int, b []byte) []byte {
		if u == up {
			all = append(all, b...)
		}
		return b
	}})
	if cerr != nil || serr != nil {
		f.Fatal(cerr, serr)
	}
	f.Add(all)
}

// FuzzServerHandshake: no stranger's bytes bring a channel up, and each ends in
// an error that says what kind of thing was wrong.
func FuzzServerHandshake(f *testing.F) {
	_, s := newWorld(f).pair(f)
	recorded(f, true)
	f.Add([]byte{frameHandshake, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := s.Server(t.Context(), said{bytes.NewReader(b)}); c != nil || !typed(err) {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// FuzzClientHandshake: the same of a server's bytes.
func FuzzClientHandshake(f *testing.F) {
	c, _ := newWorld(f).pair(f)
	recorded(f, false)
	f.Add([]byte{frameRefusal, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := c.Client(t.Context(), said{bytes.NewReader(b)}); c != nil || !typed(err) {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// halves are two ends of a channel whose first comes from the fuzzer.
func halves(t testing.TB, rw stream) (from *cipherState, to *Conn) {
	t.Helper()
	p, err := parseName("Noise_NN_25519_ChaChaPoly_SHA256")
	if err != nil {
		t.Fatal(err)
	}
	from = &cipherState{}
	to = &Conn{rw: rw, now: time.Now, until: time.Now().Add(maxAge), buffers: newBuffers()}
	for _, k := range []*cipherState{from, &to.read.cipher, &to.write.cipher} {
		if err := k.set(p.suite, make([]byte, keyLen)); err != nil {
			t.Fatal(err)
		}
	}
	return from, to
}

// FuzzRecords reads records that a peer sealed as it should and filled as it
// liked: b is a list of type, flags, two bytes of length, and plaintext. What is
// read is what was sent in the agreed form; the first other record ends the
// channel.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{frameData, flagLast, 1, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'})
	f.Add([]byte{frameClose, flagLast, 1, 0})
	f.Add(append([]byte{frameData, 0, 63, 0, 0x3E, 0xFE}, make([]byte, maxData)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var wire []byte
		from, _ := halves(t, said{})
		for len(b) >= 4 && len(wire) < 1<<17 {
			n := int(binary.BigEndian.Uint16(b[2:])) % (maxPlain + 1)
			plain := make([]byte, n)
			head := []byte{b[0], b[1], byte((n + tagLen) >> 8), byte(n + tagLen)}
			b = b[4:]
			b = b[copy(plain, b):]
			sealed, err := from.encrypt(bytes.Clone(head), head, plain)
			if err != nil {
				t.Fatal(err)
			}
			wire = append(wire, sealed...)
		}
		readAll(t, wire)
	})
}

// FuzzStream reads bytes that nobody sealed.
func FuzzStream(f *testing.F) {
	f.Add(append([]byte{frameData, flagLast, 1, 16}, make([]byte, 272)...))
	f.Add([]byte{frameRefusal, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) { readAll(t, b) })
}

func readAll(t *testing.T, wire []byte) {
	t.Helper()
	_, c := halves(t, said{bytes.NewReader(wire)})
	for {
		m, err := c.ReadMessage(t.Context())
		if err == nil {
			if len(m) > channel.MaxMessage {
				t.Fatalf("message of %d bytes", len(m))
			}
			continue
		}
		if err != io.EOF && !typed(err) && !errors.Is(err, channel.ErrTooLarge) {
			t.Errorf("%v", err)
		}
		if _, again := c.ReadMessage(t.Context()); again != err {
			t.Errorf("%v, and then %v", err, again)
		}
		if err != io.EOF && c.read.cipher.aead != nil {
			t.Error("the key is kept")
		}
		return
	}
}
