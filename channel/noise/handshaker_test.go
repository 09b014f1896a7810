package noise

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
)

func TestIdentity(t *testing.T) {
	w := newWorld(t)
	now := time.Unix(1700000000, 5)
	w.server.Now = func() time.Time { return now }
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	want := channel.Identity{
		Key: testKey(ecdh.X25519(), 3).public(), Purpose: channel.PurposePay, DeviceClass: "test",
		TerminalID: "T0000001", MerchantID: "M00000000000001", Claims: server.Peer().Claims,
	}
	if d := cmp.Diff(want, server.Peer()); d != "" {
		t.Errorf("client (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]channel.Identity{want}, w.seen); d != "" {
		t.Errorf("Authorize was asked about (-want +got):\n%s", d)
	}
	if want.Claims.Assurance != channel.AssuranceSoftware || want.Claims.Device == "" {
		t.Errorf("claims %+v", want.Claims)
	}
	want = channel.Identity{Key: w.client.ServerKey, Purpose: channel.PurposePay}
	if d := cmp.Diff(want, client.Peer()); d != "" {
		t.Errorf("server (-want +got):\n%s", d)
	}
	for _, conn := range []channel.Conn{client, server} {
		if at := conn.(*Conn).ServerTime(); !at.Equal(time.Unix(1700000000, 0)) {
			t.Errorf("server's clock %v", at)
		}
	}
}

func TestEnrolIdentity(t *testing.T) {
	w := newWorld(t)
	w.client.ServerKey, w.client.Activation = nil, &w.activation
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	if p := server.Peer(); p.Purpose != channel.PurposeEnrol || p.ActivationID != w.activation.ID || !bytes.Equal(p.Key, testKey(ecdh.X25519(), 3).public()) {
		t.Errorf("client %+v", p)
	}
	if p := client.Peer(); p.Purpose != channel.PurposeEnrol || !bytes.Equal(p.Key, testKey(ecdh.X25519(), 1).public()) {
		t.Errorf("server %+v", p)
	}
}

// attesterFunc and verifierFunc are modules made of a function.
type (
	attesterFunc func(challenge []byte) (channel.Evidence, error)
	verifierFunc func(challenge []byte, e channel.Evidence) (channel.Claims, error)
)

func (f attesterFunc) Attest(_ context.Context, c []byte) (channel.Evidence, error) { return f(c) }
func (f verifierFunc) Verify(_ context.Context, c []byte, e channel.Evidence) (channel.Claims, error) {
	return f(c, e)
}

var errModule = errors.New("a module's own trouble")

// TestRefusals: whatever the server's reason, the client sees one answer, and
// the reason is in the server's error.
func TestRefusals(t *testing.T) {
	other := func(w *world) {
		a, err := NewActivation(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.client.ServerKey, w.client.Activation = nil, &a
	}
	for _, c := range []struct {
		name   string
		change func(w *world)
		want   []error
	}{
		{"wrong server key", func(w *world) { w.client.ServerKey = testKey(ecdh.X25519(), 9).public() }, []error{channel.ErrPolicy}},
		{"unknown activation", other, []error{channel.ErrPolicy}},
		{"activation code of another server", func(w *world) {
			other(w)
			real := w.activation
			w.server.Activations = func(context.Context, string) (secret.Bytes, error) { return real.PSK() }
		}, []error{channel.ErrAuthentication}},
		{"activation key of a wrong length", func(w *world) {
			other(w)
			w.server.Activations = func(context.Context, string) (secret.Bytes, error) { return secret.CopyBytes([]byte("short")), nil }
		}, []error{channel.ErrPolicy}},
		{"no enrolment here", func(w *world) {
			other(w)
			w.server.Activations = nil
		}, []error{channel.ErrPolicy}},
		{"not authorized", func(w *world) {
			w.server.Authorize = func(context.Context, channel.Identity) error { return errModule }
		}, []error{channel.ErrPolicy, errModule}},
		{"evidence of another type", func(w *world) {
			w.client.Attester = attesterFunc(func([]byte) (channel.Evidence, error) { return channel.Evidence{Type: "none"}, nil })
		}, []error{channel.ErrPolicy, channel.ErrEvidence}},
		{"no evidence", func(w *world) {
			w.client.Attester = attesterFunc(func([]byte) (channel.Evidence, error) { return channel.Evidence{}, nil })
		}, []error{channel.ErrPolicy, channel.ErrEvidence}},
		{"evidence of another channel", func(w *world) {
			w.client.Attester = attesterFunc(func(c []byte) (channel.Evidence, error) {
				c[0] ^= 1
				return attester(4).Attest(t.Context(), c)
			})
		}, []error{channel.ErrPolicy, channel.ErrEvidence}},
		{"verifier not there", func(w *world) {
			w.server.Verifier = verifierFunc(func([]byte, channel.Evidence) (channel.Claims, error) {
				return channel.Claims{}, channel.ErrVerifierUnavailable
			})
		}, []error{channel.ErrVerifierUnavailable}},
		{"other routing", func(w *world) { w.server.Routing = []byte("to: another bank") }, []error{channel.ErrPolicy}},
		{"suite without a key", func(w *world) {
			w.client.Suite, w.client.Static, w.client.ServerKey = SuiteP256, testKey(ecdh.P256(), 3), testKey(ecdh.P256(), 2).public()
			w.server.StaticP256 = nil
		}, []error{channel.ErrPolicy}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			k, s := w.pair(t)
			var down [][]byte
			client, server, cerr, serr := meet(t, k, s, channeltest.Faults{Alter: func(up bool, _, _ int, b []byte) []byte {
				if !up {
					down = append(down, bytes.Clone(b))
				}
				return b
			}})
			if client != nil || server != nil {
				t.Error("a channel came up")
			}
			if !errors.Is(cerr, channel.ErrRefused) || cerr.Error() != channel.ErrRefused.Error() {
				t.Errorf("client: %v", cerr)
			}
			for _, want := range c.want {
				if !errors.Is(serr, want) {
					t.Errorf("server: %v, want %v", serr, want)
				}
			}
			if errors.Is(serr, channel.ErrVerifierUnavailable) && errors.Is(serr, channel.ErrPolicy) {
				t.Errorf("a verifier that is not there blames the device: %v", serr)
			}
			if len(down) == 0 || !bytes.Equal(down[len(down)-1], []byte{frameRefusal, 0, 0, 0}) {
				t.Errorf("the last frame is %x", down[len(down)-1])
			}
		})
	}
}

// TestActivationProbe: nobody learns which activation ids exist, from frames and
// their sizes.
func TestActivationProbe(t *testing.T) {
	shape := func(known bool) (out []int) {
		w := newWorld(t)
		a, err := NewActivation(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if known {
			a.ID = w.activation.ID
		}
		w.client.ServerKey, w.client.Activation = nil, &a
		c, s := w.pair(t)
		var mu sync.Mutex
		_, _, cerr, serr := meet(t, c, s, channeltest.Faults{Alter: func(up bool, _, _ int, b []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			n := len(b)
			if up {
				n = -n
			}
			out = append(out, n)
			return b
		}})
		if !errors.Is(cerr, channel.ErrRefused) || serr == nil {
			t.Errorf("%v, %v", cerr, serr)
		}
		return out
	}
	if d := cmp.Diff(shape(true), shape(false)); d != "" {
		t.Errorf("a known id (-) and an unknown one (+) look different:\n%s", d)
	}
}

// TestImpostor: a server without the key, that takes every hello, is found out
// by the client.
func TestImpostor(t *testing.T) {
	w := newWorld(t)
	w.server.Static = impostor{testKey(ecdh.X25519(), 9), w.client.ServerKey}
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if client != nil || server != nil || serr == nil || cerr == nil {
		t.Errorf("%v, %v", cerr, serr)
	}
	// A man in the middle who answers the first message without reading it.
	a, b := channeltest.Pipe()
	go func() {
		if _, err := readHandshake(b, maxFirst); err == nil {
			_ = writeFrame(b, frameHandshake, make([]byte, 32+1088+tagLen+serverPayloadLen+tagLen))
		}
	}()
	if _, err := c.Client(t.Context(), a); !errors.Is(err, channel.ErrAuthentication) {
		t.Errorf("made-up second message: %v", err)
	}
}

// impostor says that it has another's public key.
type impostor struct {
	fixedKey
	claims []byte
}

func (i impostor) PublicKey(context.Context) ([]byte, error) { return i.claims, nil }

// TestModulesFail: trouble of this side's own modules is an error of their own,
// and the peer sees the one answer.
func TestModulesFail(t *testing.T) {
	for name, change := range map[string]func(*world){
		"attester": func(w *world) {
			w.client.Attester = attesterFunc(func([]byte) (channel.Evidence, error) { return channel.Evidence{}, errModule })
		},
		"static key": func(w *world) { w.client.Static = brokenKey{} },
		"randomness": func(w *world) { w.client.Rand = brokenRand{} },
		"evidence too long": func(w *world) {
			w.client.Attester = attesterFunc(func([]byte) (channel.Evidence, error) {
				return channel.Evidence{Statement: make([]byte, maxStatement+1)}, nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(w)
			c, s := w.pair(t)
			client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
			if client != nil || server != nil || !errors.Is(serr, channel.ErrRefused) {
				t.Errorf("server: %v", serr)
			}
			if cerr == nil || name != "evidence too long" && !errors.Is(cerr, errModule) || errors.Is(cerr, channel.ErrAuthentication) {
				t.Errorf("client: %v", cerr)
			}
		})
	}
}

type brokenKey struct{}

func (brokenKey) PublicKey(context.Context) ([]byte, error)    { return nil, errModule }
func (brokenKey) ECDH(context.Context, []byte) ([]byte, error) { return nil, errModule }

type brokenRand struct{}

func (brokenRand) Read([]byte) (int, error) { return 0, errModule }

// TestLargestEvidence fits, in the third message and in a resumption.
func TestLargestEvidence(t *testing.T) {
	w := newWorld(t)
	big := make([]byte, maxStatement)
	w.client.Resume = true
	w.client.Attester = attesterFunc(func([]byte) (channel.Evidence, error) {
		return channel.Evidence{Type: strings.Repeat("t", maxName), Statement: big}, nil
	})
	w.server.Verifier = verifierFunc(func(_ []byte, e channel.Evidence) (channel.Claims, error) {
		if !bytes.Equal(e.Statement, big) {
			return channel.Claims{}, channel.ErrEvidence
		}
		return channel.Claims{Device: "d"}, nil
	})
	c, s := w.pair(t)
	for range 2 {
		if _, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
	}
	if p := w.seen[1].Purpose; p != channel.PurposeResume {
		t.Errorf("second channel for %v", p)
	}
}

// TestBlockingModules: a module that does not heed its context does not hold a
// handshake up.
func TestBlockingModules(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	w := newWorld(t)
	w.server.Authorize = func(context.Context, channel.Identity) error {
		<-release
		return nil
	}
	c, s := w.pair(t)
	a, b := channeltest.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := s.Server(ctx, b)
		done <- err
	}()
	_, cerr := c.Client(ctx, a)
	if serr := <-done; !errors.Is(serr, context.DeadlineExceeded) || cerr == nil {
		t.Errorf("server %v, client %v", serr, cerr)
	}
}

// TestSuiteListIsBound: a relay that changes anything of the hello breaks the
// handshake, the list of suites included.
func TestSuiteListIsBound(t *testing.T) {
	w := newWorld(t)
	c, s := w.pair(t)
	_, _, cerr, serr := meet(t, c, s, channeltest.Faults{Alter: func(up bool, n, _ int, b []byte) []byte {
		if !up || n != 0 {
			return b
		}
		// One suite more: k is at offset 2 of the body.
		out := append([]byte{b[0], b[1], b[2], b[3] + 1, b[4], b[5], 2, b[7], byte(SuiteP256)}, b[8:]...)
		if b[3] == 0xFF {
			out[2]++
		}
		return out
	}})
	if !errors.Is(serr, channel.ErrAuthentication) || !errors.Is(cerr, channel.ErrRefused) {
		t.Errorf("server %v, client %v", serr, cerr)
	}
}

func TestConfig(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(c *ClientConfig){
		"Static":     func(c *ClientConfig) { c.Static = nil },
		"Attester":   func(c *ClientConfig) { c.Attester = nil },
		"neither":    func(c *ClientConfig) { c.ServerKey = nil },
		"both":       func(c *ClientConfig) { c.Activation = &w.activation },
		"short key":  func(c *ClientConfig) { c.ServerKey = c.ServerKey[1:] },
		"curve":      func(c *ClientConfig) { c.Suite = SuiteP256 },
		"suite":      func(c *ClientConfig) { c.Suite = 77 },
		"long name":  func(c *ClientConfig) { c.TerminalID = strings.Repeat("x", maxName+1) },
		"odd name":   func(c *ClientConfig) { c.MerchantID = "caf\u00e9" },
		"line break": func(c *ClientConfig) { c.DeviceClass = "a\nb" },
	} {
		c := w.client
		change(&c)
		if _, err := NewClient(c); !errors.Is(err, ErrConfig) {
			t.Errorf("client, %s: %v", name, err)
		}
	}
	for name, change := range map[string]func(c *ServerConfig){
		"Static":    func(c *ServerConfig) { c.Static = nil },
		"Verifier":  func(c *ServerConfig) { c.Verifier = nil },
		"Authorize": func(c *ServerConfig) { c.Authorize = nil },
	} {
		c := w.server
		change(&c)
		if _, err := NewServer(c); !errors.Is(err, ErrConfig) {
			t.Errorf("server without %s: %v", name, err)
		}
	}
	c, s := w.pair(t)
	a, b := channeltest.Pipe()
	if _, err := c.Server(t.Context(), a); !errors.Is(err, ErrConfig) {
		t.Errorf("a client that serves: %v", err)
	}
	if _, err := b.Write([]byte{1}); err == nil {
		t.Error("the stream stays open")
	}
	if _, err := s.Client(t.Context(), b); !errors.Is(err, ErrConfig) {
		t.Errorf("a server that opens: %v", err)
	}
}

// TestStaticKeyOfWrongKind: a key store's fault is found, and no channel made.
func TestStaticKeyOfWrongKind(t *testing.T) {
	for name, k := range map[string]StaticKey{
		"zero secret":   faultyKey{testKey(ecdh.X25519(), 3), make([]byte, 32)},
		"short secret":  faultyKey{testKey(ecdh.X25519(), 3), make([]byte, 31)},
		"another curve": testKey(ecdh.P256(), 3),
	} {
		w := newWorld(t)
		w.client.Static = k
		c, s := w.pair(t)
		if client, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); client != nil || cerr == nil || serr == nil {
			t.Errorf("%s: client %v, server %v", name, cerr, serr)
		}
	}
	// As what the peer's key of low order makes of a key store that takes it.
	peer := testKey(ecdh.X25519(), 4).public()
	if _, err := staticDH(t.Context(), faultyKey{testKey(ecdh.X25519(), 3), make([]byte, sharedLen)}, peer); !errors.Is(err, errKey) {
		t.Errorf("a zero secret: %v", err)
	}
}

type faultyKey struct {
	fixedKey
	secret []byte
}

func (f faultyKey) ECDH(context.Context, []byte) ([]byte, error) { return bytes.Clone(f.secret), nil }

// TestOnePort: one server takes both purposes, in any order.
func TestOnePort(t *testing.T) {
	w := newWorld(t)
	pay, s := w.pair(t)
	w.client.ServerKey, w.client.Activation = nil, &w.activation
	enrol, _ := w.pair(t)
	for _, c := range []*Client{enrol, pay, enrol} {
		if _, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); cerr != nil || serr != nil {
			t.Error(cerr, serr)
		}
	}
}

// TestFloods: garbage of every kind ends in an error at once.
func TestFloods(t *testing.T) {
	w := newWorld(t)
	c, s := w.pair(t)
	for name, garbage := range map[string][]byte{
		"zeros":       make([]byte, 1<<16),
		"large frame": {frameHandshake, 0, 0xFF, 0xFF},
		"HTTP":        []byte("GET / HTTP/1.1\r\n\r\n"),
		"TLS":         {0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3},
		"empty hello": {frameHandshake, 0, 0, 0},
		"record":      append([]byte{frameData, flagLast, 1, 16}, make([]byte, 272)...),
	} {
		for _, run := range []func(context.Context, io.ReadWriteCloser) (channel.Conn, error){s.Server, c.Client} {
			a, b := channeltest.Pipe()
			if _, err := b.Write(garbage); err != nil {
				t.Fatal(err)
			}
			if _, err := run(t.Context(), a); !errors.Is(err, channel.ErrFormat) && !errors.Is(err, channel.ErrAuthentication) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestSeveralServerKeys: a server that changes its key serves clients under each of
// its keys, of both curves, whole and resumed; one that enrols is served under the
// first; a key that it has no more, and one of another suite, are refused.
func TestSeveralServerKeys(t *testing.T) {
	w := newWorld(t)
	w.server.Others, w.server.OthersP256 = []StaticKey{testKey(ecdh.X25519(), 21)}, []StaticKey{testKey(ecdh.P256(), 22)}
	w.client.Resume = true
	for _, x := range []struct {
		suite Suite
		curve ecdh.Curve
		key   byte
		good  bool
	}{
		{SuiteX25519, ecdh.X25519(), 1, true}, {SuiteX25519, ecdh.X25519(), 21, true}, {SuiteX25519, ecdh.X25519(), 23, false},
		{SuiteP256, ecdh.P256(), 2, true}, {SuiteP256, ecdh.P256(), 22, true}, {SuiteP256, ecdh.P256(), 24, false},
	} {
		w.client.Suite, w.client.Static, w.client.ServerKey = x.suite, testKey(x.curve, 3), testKey(x.curve, x.key).public()
		c, s := w.pair(t)
		for _, purpose := range []channel.Purpose{channel.PurposePay, channel.PurposeResume} {
			conn, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
			if !x.good {
				if !errors.Is(cerr, channel.ErrRefused) || !errors.Is(serr, channel.ErrPolicy) {
					t.Errorf("suite %d, key %d: %v, %v", x.suite, x.key, cerr, serr)
				}
				break
			}
			if cerr != nil || serr != nil {
				t.Fatalf("suite %d, key %d: %v, %v", x.suite, x.key, cerr, serr)
			}
			if p := w.seen[len(w.seen)-1].Purpose; p != purpose || !bytes.Equal(conn.Peer().Key, w.client.ServerKey) {
				t.Errorf("suite %d, key %d: %v under %x", x.suite, x.key, p, conn.Peer().Key)
			}
		}
	}
	w.client.Suite, w.client.Static, w.client.ServerKey, w.client.Activation = SuiteX25519, testKey(ecdh.X25519(), 3), nil, &w.activation
	c, s := w.pair(t)
	conn, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil || !bytes.Equal(conn.Peer().Key, testKey(ecdh.X25519(), 1).public()) {
		t.Errorf("to enrol: %v, %v", cerr, serr)
	}
	for name, change := range map[string]func(c *ServerConfig){
		"a nil key":                    func(c *ServerConfig) { c.Others = []StaticKey{nil} },
		"others of P-256 and no first": func(c *ServerConfig) { c.StaticP256 = nil },
	} {
		sc := w.server
		change(&sc)
		if _, err := NewServer(sc); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRoutingOfEnrolment: a client that enrols may not know yet what the server is
// called; what it does say has to be right.
func TestRoutingOfEnrolment(t *testing.T) {
	for routing, good := range map[string]bool{"": true, "to: bank": true, "to: another": false} {
		for _, enrols := range []bool{true, false} {
			w := newWorld(t)
			w.server.Routing, w.client.Routing = []byte("to: bank"), []byte(routing)
			if enrols {
				w.client.ServerKey, w.client.Activation = nil, &w.activation
			}
			c, s := w.pair(t)
			_, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
			if want := good && (enrols || routing != ""); want != (cerr == nil && serr == nil) {
				t.Errorf("routing %q, enrols %v: %v, %v", routing, enrols, cerr, serr)
			}
		}
	}
}
