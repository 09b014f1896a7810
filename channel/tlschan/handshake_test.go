package tlschan

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/channeltest"
)

// judge is a verifier that says what the test wants.
type judge func(channel.Claims, error) (channel.Claims, error)

func (j judge) Verify(ctx context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	return j(attest.SoftwareVerifier{}.Verify(ctx, challenge, e))
}

// TestIdentity: the server knows of the client what was proven and what it
// declared, and both know the same time.
func TestIdentity(t *testing.T) {
	w := newWorld(t)
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	device := server.Peer().Claims.Device
	want := channel.Identity{
		Key: public(t, edKey(3)), Purpose: channel.PurposePay, DeviceClass: "test", TerminalID: "T0000001", MerchantID: "M00000000000001",
		Claims: channel.Claims{Assurance: channel.AssuranceSoftware, Device: device},
	}
	if d := cmp.Diff(want, server.Peer()); d != "" || device == "" {
		t.Errorf("the client, as the server knows it (-want +got):\n%s", d)
	}
	if d := cmp.Diff(channel.Identity{Key: public(t, edKey(1)), Purpose: channel.PurposePay}, client.Peer()); d != "" {
		t.Errorf("the server, as the client knows it (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]channel.Identity{want}, w.seen); d != "" {
		t.Errorf("authorised (-want +got):\n%s", d)
	}
	if a, b := client.(*Conn).ServerTime(), server.(*Conn).ServerTime(); !a.Equal(b) || a.IsZero() {
		t.Errorf("times %v and %v", a, b)
	}
	w = newWorld(t)
	enrol(w)
	c, s = w.pair(t)
	_, server, cerr, serr = meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	if p := server.Peer(); p.Purpose != channel.PurposeEnrol || p.ActivationID != "AAAABBBB" {
		t.Errorf("enrolling: %+v", p)
	}
}

// TestRefusals: whom a server does not take, and whom a client does not. The
// client is told nothing but that.
func TestRefusals(t *testing.T) {
	down := errors.New("dial tcp")
	for _, c := range []struct {
		name   string
		change func(w *world)
		client error
		server []error
	}{
		{"another server key", func(w *world) { w.client.ServerKey = public(t, edKey(9)) }, channel.ErrPolicy, []error{channel.ErrRefused}},
		{"other routing data", func(w *world) { w.server.Routing = []byte("to: elsewhere") }, channel.ErrRefused, []error{channel.ErrPolicy}},
		{"not authorised", func(w *world) {
			w.server.Authorize = func(context.Context, channel.Identity) error { return errors.New("unknown") }
		}, channel.ErrRefused, []error{channel.ErrPolicy}},
		{"evidence refused", func(w *world) {
			w.server.Verifier = judge(func(channel.Claims, error) (channel.Claims, error) {
				return channel.Claims{}, channel.RefuseEvidence(channel.ReasonRevoked, "x")
			})
		}, channel.ErrRefused, []error{channel.ErrPolicy, channel.ErrEvidence}},
		{"evidence for another channel", func(w *world) { w.client.Attester = old{w.client.Attester} }, channel.ErrRefused, []error{channel.ErrPolicy, channel.ErrEvidence}},
		{"verifier down", func(w *world) {
			w.server.Verifier = judge(func(channel.Claims, error) (channel.Claims, error) { return channel.Claims{}, down })
		}, channel.ErrRefused, []error{down}},
		{"evidence too long", func(w *world) { w.client.Attester = long{} }, errModule, []error{channel.ErrRefused}},
		{"nobody is enrolled", func(w *world) { enrol(w); w.server.Activations = nil }, channel.ErrRefused, []error{channel.ErrPolicy}},
		{"unknown activation", func(w *world) { enrol(w); w.activation.ID = "OTHER" }, channel.ErrAuthentication, []error{channel.ErrRefused}},
		{"wrong activation key", func(w *world) {
			enrol(w)
			w.client.Activation = &Activation{ID: w.activation.ID, Key: secret.NewBytes(bytes.Repeat([]byte{6}, 32))}
		}, channel.ErrAuthentication, []error{channel.ErrRefused}},
		{"short activation key", func(w *world) {
			enrol(w)
			w.server.Activations = func(context.Context, string) (secret.Bytes, error) { return secret.NewBytes(make([]byte, 31)), nil }
		}, channel.ErrAuthentication, []error{channel.ErrRefused}},
	} {
		// In a bubble, where a busy machine does not outrun the time that a refusal has.
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c.change(w)
				if c.name == "unknown activation" {
					w.client.Activation = &Activation{ID: "NOBODY", Key: w.activation.Key}
				}
				client, server := w.pair(t)
				cc, sc, cerr, serr := meet(t, client, server, channeltest.Faults{})
				if cc != nil || sc != nil {
					t.Fatal("a channel came up")
				}
				if !errors.Is(cerr, c.client) {
					t.Errorf("client: %v, want %v", cerr, c.client)
				}
				for _, want := range c.server {
					if !errors.Is(serr, want) {
						t.Errorf("server: %v, want %v", serr, want)
					}
				}
				if errors.Is(serr, channel.ErrEvidence) && c.name == "verifier down" {
					t.Errorf("the device is blamed: %v", serr)
				}
				if len(w.seen) != 0 {
					t.Error("it was authorised")
				}
			})
		})
	}
}

// old answers an older challenge; long says too much.
type (
	old  struct{ channel.Attester }
	long struct{}
)

func (o old) Attest(ctx context.Context, _ []byte) (channel.Evidence, error) {
	return o.Attester.Attest(ctx, make([]byte, 32))
}

func (long) Attest(context.Context, []byte) (channel.Evidence, error) {
	return channel.Evidence{Type: "software", Statement: make([]byte, maxStatement+1)}, nil
}

// TestRelayInTheMiddle: somebody between a device that enrols and the server,
// with a TLS connection to each, gets no further.
func TestRelayInTheMiddle(t *testing.T) {
	w := newWorld(t)
	enrol(w)
	c, s := w.pair(t)
	a, b := channeltest.Pipe()
	a2, b2 := channeltest.Pipe()
	cert, err := certificate(edKey(66))
	if err != nil {
		t.Fatal(err)
	}
	accept := func(tls.ConnectionState) error { return nil }
	done := make(chan struct{}, 2)
	go func() {
		down := tls.Server(b, config(cert, accept))
		up := tls.Client(a2, config(cert, accept))
		go func() {
			pipe(up, down)
			done <- struct{}{}
		}()
		pipe(down, up)
		done <- struct{}{}
	}()
	serr := make(chan error, 1)
	go func() {
		_, err := s.Server(t.Context(), b2)
		serr <- err
	}()
	if conn, err := c.Client(t.Context(), a); conn != nil || !errors.Is(err, channel.ErrAuthentication) {
		t.Errorf("the device: %v, %v", conn, err)
	}
	if err := <-serr; err == nil {
		t.Error("the server took it")
	}
	<-done
	<-done
}

// pipe carries what comes from one to the other, and closes both.
func pipe(from, to *tls.Conn) {
	b := make([]byte, 1<<14)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			_, _ = from.NetConn().Close(), to.NetConn().Close()
			return
		}
	}
}

// TestOtherTLS: what speaks TLS otherwise than agreed gets no channel.
func TestOtherTLS(t *testing.T) {
	cert, err := certificate(edKey(3))
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.2":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
		"no hybrid":      func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} },
		"no certificate": func(c *tls.Config) { c.Certificates = nil },
		"another ALPN":   func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"no ALPN":        func(c *tls.Config) { c.NextProtos = nil },
		"an RSA key":     func(c *tls.Config) { c.Certificates[0] = selfSigned(t, rsaKey) },
		"two of them": func(c *tls.Config) {
			c.Certificates[0].Certificate = append(c.Certificates[0].Certificate, cert.Certificate[0])
		},
		"the right thing": func(*tls.Config) {},
	} {
		_, s := newWorld(t).pair(t)
		a, b := channeltest.Pipe()
		serr := make(chan error, 1)
		go func() {
			_, err := s.Server(t.Context(), b)
			serr <- err
		}()
		conf := config(tls.Certificate{Certificate: cert.Certificate[:1:1], PrivateKey: cert.PrivateKey}, func(tls.ConnectionState) error { return nil })
		change(conf)
		c := tls.Client(a, conf)
		err := c.HandshakeContext(t.Context())
		if err == nil {
			// A server's refusal comes after a TLS 1.3 client has finished.
			frame := make([]byte, bucket)
			frame[0], frame[1] = frameHello, flagLast
			if _, err = c.Write(frame); err == nil {
				_, err = c.Read(frame)
			}
			_ = a.Close()
		}
		got := <-serr
		if right := name == "the right thing"; right != errors.Is(got, channel.ErrFormat) || got == nil {
			t.Errorf("%s: server %v, client %v", name, got, err)
		}
	}
}

// TestEndOfEvidence: a channel lasts as long as the evidence that it was opened
// with, and no longer than an hour.
func TestEndOfEvidence(t *testing.T) {
	for end, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 2 * time.Hour: time.Hour, 0: time.Hour} {
		w := newWorld(t)
		start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		now := start
		w.server.Now = func() time.Time { return now }
		w.server.Verifier = judge(func(c channel.Claims, err error) (channel.Claims, error) {
			if end != 0 {
				c.Expires = start.Add(end)
			}
			return c, err
		})
		c, s := w.pair(t)
		_, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
		now = start.Add(want - 1)
		if err := server.WriteMessage(t.Context(), nil); err != nil {
			t.Errorf("evidence for %v, just before: %v", end, err)
		}
		now = start.Add(want)
		if err := server.WriteMessage(t.Context(), nil); !errors.Is(err, channel.ErrExpired) {
			t.Errorf("evidence for %v, writing: %v", end, err)
		}
		if _, err := server.ReadMessage(t.Context()); !errors.Is(err, channel.ErrExpired) {
			t.Errorf("evidence for %v, reading: %v", end, err)
		}
	}
}

func TestRecordLimit(t *testing.T) {
	c, s := newWorld(t).pair(t)
	client, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	k := client.(*Conn)
	k.write.records = maxRecords - 1
	if err := k.WriteMessage(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := k.WriteMessage(t.Context(), nil); !errors.Is(err, channel.ErrExpired) {
		t.Errorf("past the limit: %v", err)
	}
}

func TestConfig(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*world){
		"no key":              func(w *world) { w.client.Key, w.server.Key = nil, nil },
		"RSA":                 func(w *world) { w.client.Key, w.server.Key = rsaKey, rsaKey },
		"P-384":               func(w *world) { w.client.Key, w.server.Key = p384, p384 },
		"nobody who attests":  func(w *world) { w.client.Attester, w.server.Verifier = nil, nil },
		"neither way":         func(w *world) { w.client.ServerKey, w.server.Authorize = nil, nil },
		"both ways":           func(w *world) { w.client.Activation, w.server.Authorize = &w.activation, nil },
		"short server key":    func(w *world) { w.client.ServerKey, w.server.Authorize = []byte{1}, nil },
		"empty activation":    func(w *world) { w.client.ServerKey, w.client.Activation, w.server.Key = nil, &Activation{}, nil },
		"name with a newline": func(w *world) { w.client.TerminalID, w.server.Key = "a\n", nil },
	} {
		w := newWorld(t)
		change(w)
		if c, err := NewClient(w.client); c != nil || !errors.Is(err, ErrConfig) {
			t.Errorf("%s: client %v", name, err)
		}
		if s, err := NewServer(w.server); s != nil || !errors.Is(err, ErrConfig) {
			t.Errorf("%s: server %v", name, err)
		}
	}
	c, s := newWorld(t).pair(t)
	a, b := channeltest.Pipe()
	if _, err := c.Server(t.Context(), a); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	if _, err := s.Client(t.Context(), b); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	if _, err := PublicKey(ed25519.PublicKey{1}); !errors.Is(err, ErrConfig) {
		t.Errorf("a short key: %v", err)
	}
}

// TestSizesTellNothing: what a relay sees of two messages in the same bucket is
// the same.
func TestSizesTellNothing(t *testing.T) {
	sizes := func(m []byte) (n []int) {
		c, s := newWorld(t).pair(t)
		up := false
		f := channeltest.Faults{Alter: func(u bool, _, _ int, b []byte) []byte {
			if up && u {
				n = append(n, len(b))
			}
			return b
		}}
		client, server, cerr, serr := meet(t, c, s, f)
		if cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
		up = true
		if err := client.WriteMessage(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ReadMessage(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if d := cmp.Diff(sizes(nil), sizes(make([]byte, bucket-headerLen))); d != "" {
		t.Errorf("an empty message and one of 252 bytes:\n%s", d)
	}
	if a, b := sizes(make([]byte, bucket-headerLen)), sizes(make([]byte, bucket-headerLen+1)); cmp.Equal(a, b) {
		t.Errorf("the next bucket is as long: %v", a)
	}
}

// TestRogueClient: a device that knows an activation's id, and not its key, and
// does not care what the server proves, is not enrolled.
func TestRogueClient(t *testing.T) {
	w := newWorld(t)
	_, s := w.pair(t)
	cert, err := certificate(edKey(3))
	if err != nil {
		t.Fatal(err)
	}
	for name, knows := range map[string]bool{"it does not know": false, "it knows": true} {
		a, b := channeltest.Pipe()
		serr := make(chan error, 1)
		go func() {
			_, err := s.Server(t.Context(), b)
			serr <- err
		}()
		under := &strict{Stream: a}
		tc := tls.Client(under, config(cert, func(tls.ConnectionState) error { return nil }))
		if err := tc.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := newConn(under, tc, time.Now, &frames{})
		sent := (&hello{purpose: channel.PurposeEnrol, activation: w.activation.ID}).append(nil)
		if err := c.send(t.Context(), frameHello, sent); err != nil {
			t.Fatal(err)
		}
		m, err := c.receive(t.Context(), frameWelcome, welcomeLen)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := parseWelcome(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.bind(tc.ConnectionState(), sent, answer); err != nil {
			t.Fatal(err)
		}
		// The server's own proof, sent back, is not the client's.
		given := answer.proof
		if knows {
			given = proof(w.activation.Key.Reveal(), proofClient, c.binding)
		}
		e, err := w.client.Attester.Attest(t.Context(), attest.Challenge(c.binding[:], channel.PurposeEnrol))
		if err != nil {
			t.Fatal(err)
		}
		body, err := appendEvidence(nil, given, e)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.send(t.Context(), frameEvidence, body); err != nil {
			t.Fatal(err)
		}
		if _, err := c.receive(t.Context(), frameReady, readyLen); knows != (err == nil) || !knows && !errors.Is(err, channel.ErrRefused) {
			t.Errorf("%s: client %v", name, err)
		}
		if err := <-serr; knows != (err == nil) || !knows && !errors.Is(err, channel.ErrAuthentication) {
			t.Errorf("%s: server %v", name, err)
		}
	}
}
