package noise

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHMAC compares with crypto/hmac, texts of every length around the hash's
// blocks, in one part and in two.
func TestHMAC(t *testing.T) {
	for _, digest := range []string{"SHA256", "BLAKE2s"} {
		p, err := parseName("Noise_NN_25519_ChaChaPoly_" + digest)
		if err != nil {
			t.Fatal(err)
		}
		y := &symmetricState{}
		y.initialize(p.suite, p.name)
		var key, got [hashLen]byte
		text := make([]byte, 3*blockLen)
		if _, err := io.ReadFull(rand.Reader, text); err != nil {
			t.Fatal(err)
		}
		copy(key[:], text[7:])
		for n := range text {
			for _, cut := range []int{0, n / 3, n} {
				m := hmac.New(p.suite.newHash, key[:])
				m.Write(text[:n])
				y.hmac(&got, &key, text[:cut], text[cut:n])
				if d := cmp.Diff(m.Sum(nil), got[:]); d != "" {
					t.Fatalf("%s, %d bytes cut at %d: %s", digest, n, cut, d)
				}
			}
		}
		if y.pad != [blockLen]byte{} || y.inner != [hashLen]byte{} {
			t.Errorf("%s: what derives from keys was left", digest)
		}
	}
}

// TestWipedDigest: nothing that a hash was fed stays in it, wherever it stood.
func TestWipedDigest(t *testing.T) {
	const mark = 0xA7
	for _, digest := range []string{"SHA256", "BLAKE2s"} {
		p, err := parseName("Noise_NN_25519_ChaChaPoly_" + digest)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 2*blockLen + 1 {
			for _, reset := range []bool{false, true} {
				y := &symmetricState{}
				y.initialize(p.suite, p.name)
				y.digest.Write(bytes.Repeat([]byte{mark}, n))
				if reset {
					y.digest.Reset()
				}
				y.wipe()
				if at := marks(reflect.ValueOf(y.digest), mark); at > 0 {
					t.Errorf("%s, %d bytes, reset %v: %d are left", digest, n, reset, at)
				}
			}
		}
	}
}

// marks counts the bytes of a value in the arrays of what a pointer points to.
func marks(v reflect.Value, mark byte) (n int) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			n += marks(v.Field(i), mark)
		}
	case v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Uint8:
		for i := range v.Len() {
			if v.Index(i).Uint() == uint64(mark) {
				n++
			}
		}
	}
	return n
}

// drawn is a source of randomness that remembers how much was drawn at a time, and
// may end.
type drawn struct {
	sizes []int
	left  int
}

func (d *drawn) Read(b []byte) (int, error) {
	if d.left--; d.left < 0 {
		return 0, errModule
	}
	d.sizes = append(d.sizes, len(b))
	for i := range b {
		b[i] = byte(len(d.sizes))
	}
	return len(b), nil
}

// TestDraws: a client draws its ephemeral key and then the KEM's, always, and its
// first message is a function of them; what the source says goes up.
func TestDraws(t *testing.T) {
	p, err := parseName("Noise_XKhfs_25519+MLKEM768_ChaChaPoly_SHA256")
	if err != nil {
		t.Fatal(err)
	}
	first := func(d *drawn, server []byte) ([]byte, error) {
		h, err := newHandshake(t.Context(), handshakeConfig{protocol: p, initiator: true, static: testKey(ecdh.X25519(), 3), remote: server, rand: d})
		if err != nil {
			t.Fatal(err)
		}
		m, err := h.write(t.Context(), nil, nil)
		if err == nil && h.making != nil {
			t.Error("the KEM's key is still being made")
		}
		return m, err
	}
	server := testKey(ecdh.X25519(), 1).public()
	var messages [][]byte
	for range 20 {
		d := &drawn{left: 9}
		m, err := first(d, server)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.sizes, []int{32, 64}) {
			t.Fatalf("drawn: %v", d.sizes)
		}
		messages = append(messages, m)
	}
	for _, m := range messages {
		if !bytes.Equal(m, messages[0]) {
			t.Fatal("the same randomness made another message")
		}
	}
	for n := range 2 {
		if _, err := first(&drawn{left: n}, server); !errors.Is(err, errModule) {
			t.Errorf("the source ended at draw %d: %v", n, err)
		}
	}
	// A key of low order fails es while the KEM's key is being made, and the message
	// does not return before that is done.
	for range 50 {
		h, err := newHandshake(t.Context(), handshakeConfig{protocol: p, initiator: true, static: testKey(ecdh.X25519(), 3), remote: make([]byte, 32), rand: &drawn{left: 9}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.writeTokens(t.Context(), nil, nil); !errors.Is(err, errKey) || h.making == nil {
			t.Fatalf("%v, %v", err, h.making)
		}
		select {
		case <-h.making.done:
		default:
			t.Fatal("the message is over, and the KEM's key is still being made")
		}
	}
	if _, err := first(&drawn{left: 9}, make([]byte, 32)); !errors.Is(err, errKey) {
		t.Errorf("a server key of low order: %v", err)
	}
}
