package noise

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"sync"

	"testing"
	"time"

	flynn "github.com/flynn/noise"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
)

// BenchmarkMessages is a handshake's messages alone, both ends, without stream and
// evidence: this package and flynn/noise, the same pattern and suite, payloads and
// long-lived keys.
func BenchmarkMessages(b *testing.B) {
	for _, name := range []string{"XK", "XX", "IK", "NN"} {
		for who, messages := range map[string]func(testing.TB, string) func(){"payunit": ourMessages, "flynn": flynnMessages} {
			b.Run(name+"/"+who, func(b *testing.B) {
				run := messages(b, name)
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
			})
		}
	}
}

// ourMessages returns what runs a pattern between two ends.
func ourMessages(b testing.TB, name string) func() {
	p, err := parseName("Noise_" + name + "_25519_ChaChaPoly_SHA256")
	if err != nil {
		b.Fatal(err)
	}
	ours, theirs := testKey(ecdh.X25519(), 1), testKey(ecdh.X25519(), 2)
	return func() {
		ends := [2]*handshakeState{}
		for i := range ends {
			c := handshakeConfig{protocol: p, initiator: i == 0, static: ours, rand: rand.Reader}
			if i == 1 {
				c.static = theirs
			} else if p.pattern.preResponder {
				c.remote = theirs.public()
			}
			if ends[i], err = newHandshake(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		for i := range p.pattern.messages {
			m, err := ends[i%2].write(b.Context(), nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := ends[(i+1)%2].read(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
		for _, h := range ends {
			if _, _, _, err := h.split(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// flynnMessages is ourMessages by flynn/noise.
func flynnMessages(b testing.TB, name string) func() {
	pattern := theirs()[name]
	suite := flynn.NewCipherSuite(flynn.DH25519, flynn.CipherChaChaPoly, flynn.HashSHA256)
	ours, err := flynn.DH25519.GenerateKeypair(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	their, err := flynn.DH25519.GenerateKeypair(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		ends := [2]*flynn.HandshakeState{}
		for i := range ends {
			c := flynn.Config{CipherSuite: suite, Random: rand.Reader, Pattern: pattern, Initiator: i == 0, StaticKeypair: ours}
			if i == 1 {
				c.StaticKeypair = their
			} else if name == "XK" || name == "IK" {
				c.PeerStatic = their.Public
			}
			if ends[i], err = flynn.NewHandshakeState(c); err != nil {
				b.Fatal(err)
			}
		}
		for i := range pattern.Messages {
			m, _, _, err := ends[i%2].WriteMessage(nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, _, _, err := ends[(i+1)%2].ReadMessage(nil, m); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkHandshake brings channels up over one kind of stream in memory: this
// package's, with evidence and its verification, and TLS 1.3, mutual, with the
// hybrid key exchange X25519MLKEM768, whole and resumed.
func BenchmarkHandshake(b *testing.B) {
	for name, change := range map[string]func(w *world){
		"pay, 25519":   func(*world) {},
		"pay, P256":    func(w *world) { onP256(w) },
		"enrol, 25519": func(w *world) { w.client.ServerKey, w.client.Activation = nil, &w.activation },
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			change(w)
			c, s := w.pair(b)
			benchmarkHandshake(b, c, s)
		})
	}
	b.Run("pay, 25519, evidence that costs nothing", func(b *testing.B) {
		c, s := freely(newWorld(b)).pair(b)
		benchmarkHandshake(b, c, s)
	})
	b.Run("resume, 25519", func(b *testing.B) {
		w := newWorld(b)
		w.client.Resume = true
		c, s := w.pair(b)
		over(b, c, s)
		benchmarkHandshake(b, c, s)
	})
	b.Run("TLS 1.3 hybrid, mutual", func(b *testing.B) { benchmarkTLS(b, false) })
	b.Run("TLS 1.3 hybrid, mutual, resumed", func(b *testing.B) { benchmarkTLS(b, true) })
}

// freely gives evidence that costs nothing.
func freely(w *world) *world {
	w.client.Attester = attesterFunc(func([]byte) (channel.Evidence, error) { return channel.Evidence{Type: "none"}, nil })
	w.server.Verifier = verifierFunc(func([]byte, channel.Evidence) (channel.Claims, error) { return channel.Claims{Device: "d"}, nil })
	return w
}

func onP256(w *world) {
	w.client.Suite, w.client.Static, w.client.ServerKey = SuiteP256, testKey(ecdh.P256(), 3), testKey(ecdh.P256(), 2).public()
}

// over brings one channel up and down, and returns how many bytes passed.
func over(b *testing.B, c, s channel.Handshaker) int {
	x, y := channeltest.Pipe()
	done := make(chan error, 1)
	go func() {
		conn, err := s.Server(context.Background(), y)
		if err == nil {
			err = conn.Close()
		}
		done <- err
	}()
	conn, err := c.Client(context.Background(), x)
	if err == nil {
		err = conn.Close()
	}
	if serr := <-done; err != nil || serr != nil {
		b.Fatal(err, serr)
	}
	return x.Written() + y.Written()
}

func benchmarkHandshake(b *testing.B, c, s channel.Handshaker) {
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = over(b, c, s)
	}
	b.ReportMetric(float64(n), "wire-B/op")
}

// tlsPair are configurations of two ends that know each other's certificate.
func tlsPair(b *testing.B) (client, server *tls.Config) {
	b.Helper()
	pool := x509.NewCertPool()
	make := func(name string) tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
			IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			b.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			b.Fatal(err)
		}
		pool.AddCert(leaf)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	}
	client = &tls.Config{Certificates: []tls.Certificate{make("client")}, RootCAs: pool, ServerName: "server"}
	server = &tls.Config{Certificates: []tls.Certificate{make("server")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	for _, c := range []*tls.Config{client, server} {
		c.MinVersion, c.CurvePreferences = tls.VersionTLS13, []tls.CurveID{tls.X25519MLKEM768}
	}
	return client, server
}

func benchmarkTLS(b *testing.B, resumed bool) {
	run := tlsHandshake(b, resumed)
	if resumed {
		run()
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = run()
	}
	b.ReportMetric(float64(n), "wire-B/op")
}

// tlsHandshake returns what brings one connection up and down, and returns how many
// bytes passed. Of resumed ones the first is whole.
func tlsHandshake(b *testing.B, resumed bool) func() int {
	client, server := tlsPair(b)
	if resumed {
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	} else {
		server.SessionTicketsDisabled = true
	}
	runs := 0
	return func() int {
		x, y := channeltest.Pipe()
		done := make(chan error, 1)
		go func() {
			s := tls.Server(y, server)
			// A byte each way brings the ticket over, and the client's last
			// flight.
			_, err := io.ReadFull(s, make([]byte, 1))
			if err == nil {
				_, err = s.Write([]byte{1})
			}
			// The client may have closed already.
			_ = s.Close()
			done <- err
		}()
		c := tls.Client(x, client)
		_, err := c.Write([]byte{1})
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		if did := c.ConnectionState().DidResume; err == nil && did != (resumed && runs > 0) {
			b.Fatalf("resumed: %v", did)
		}
		runs++
		_ = c.Close()
		if serr := <-done; err != nil || serr != nil {
			b.Fatal(err, serr)
		}
		return x.Written() + y.Written()
	}
}

// BenchmarkRecord encrypts and decrypts one record's bytes with its header as
// additional data, both into buffers that are there: this package's cipher and
// flynn/noise's.
func BenchmarkRecord(b *testing.B) {
	head := []byte{frameData, flagLast, 0, 0}
	for _, size := range []int{256, 1 << 10, 4 << 10, maxPlain} {
		b.Run(fmt.Sprintf("%d B/payunit", size), func(b *testing.B) {
			from, c := halves(b, newBelt())
			to := &c.read.cipher
			data, sealed, opened := make([]byte, size), make([]byte, 0, size+tagLen), make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				out, err := from.encrypt(sealed, head, data)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := to.decrypt(opened, head, out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d B/flynn", size), func(b *testing.B) {
			suite := flynn.NewCipherSuite(flynn.DH25519, flynn.CipherChaChaPoly, flynn.HashSHA256)
			from, to := flynn.UnsafeNewCipherState(suite, [32]byte{1}, 0), flynn.UnsafeNewCipherState(suite, [32]byte{1}, 0)
			data, sealed, opened := make([]byte, size), make([]byte, 0, size+tagLen), make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				out, err := from.Encrypt(sealed, head, data)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := to.Decrypt(opened, head, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConn writes to one end of a channel and reads from the other, padding,
// framing and wiping included, beside TLS 1.3 (which takes AES-GCM where the
// processor has it).
func BenchmarkConn(b *testing.B) {
	for _, size := range []int{254, 1022, 4094, maxData} {
		carry := func(b *testing.B, from io.Writer, to io.Reader) {
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := from.Write(data); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(to, data); err != nil {
					b.Fatal(err)
				}
			}
		}
		for _, aead := range []string{"ChaChaPoly", "AESGCM"} {
			b.Run(fmt.Sprintf("%d B/payunit %s", size, aead), func(b *testing.B) {
				from, to := channelEnds(b, aead)
				carry(b, from, to)
			})
		}
		b.Run(fmt.Sprintf("%d B/TLS 1.3", size), func(b *testing.B) {
			client, server := tlsPair(b)
			x, y := channeltest.Pipe()
			from, to := tls.Client(x, client), tls.Server(y, server)
			done := make(chan error, 1)
			go func() { done <- to.Handshake() }()
			if err := from.Handshake(); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			carry(b, from, to)
		})
	}
}

// BenchmarkIdle holds 10,000 channels at a server, each with a goroutine that
// waits for a message, and reports what one takes of heap and stacks; the client's
// ends are gone.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(idle(b, 10_000)), "B/connection")
	}
}

// idle returns the bytes that one of n idle connections of a server holds.
func idle(tb testing.TB, n int) uint64 {
	tb.Helper()
	c, s := newWorld(tb).pair(tb)
	var waiting sync.WaitGroup
	conns := make([]channel.Conn, n)
	far := make([]*channeltest.End, n)
	before := memory()
	for i := range n {
		x, y := channeltest.Pipe()
		far[i] = x
		done := make(chan error, 1)
		go func() {
			var err error
			conns[i], err = s.Server(context.Background(), y)
			done <- err
		}()
		client, err := c.Client(context.Background(), x)
		if serr := <-done; err != nil || serr != nil {
			tb.Fatal(err, serr)
		}
		if err := client.WriteMessage(context.Background(), make([]byte, 100)); err != nil {
			tb.Fatal(err)
		}
		waiting.Go(func() {
			for {
				if _, err := conns[i].ReadMessage(context.Background()); err != nil {
					return
				}
			}
		})
	}
	after := memory()
	for i := range n {
		_ = far[i].Close()
	}
	waiting.Wait()
	for _, c := range conns {
		_ = c.Close()
	}
	return (after - before) / uint64(n)
}

// memory is what the process holds in heap and stacks, after what is garbage is
// gone.
func memory() uint64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// belt carries bytes from Write to Read in one goroutine, without allocation.
type belt struct{ buf []byte }

func newBelt() *belt { return &belt{make([]byte, 0, 1<<16)} }

func (t *belt) Write(b []byte) (int, error) { t.buf = append(t.buf, b...); return len(b), nil }
func (t *belt) Read(b []byte) (int, error) {
	n := copy(b, t.buf)
	t.buf = t.buf[:copy(t.buf, t.buf[n:])]
	return n, nil
}
func (t *belt) Close() error                     { return nil }
func (t *belt) SetReadDeadline(time.Time) error  { return nil }
func (t *belt) SetWriteDeadline(time.Time) error { return nil }

// channelEnds are the ends of a channel's one direction, over a belt.
func channelEnds(tb testing.TB, aead string) (from, to *Conn) {
	tb.Helper()
	t := newBelt()
	_, from = halves(tb, t)
	_, to = halves(tb, t)
	p, err := parseName("Noise_NN_25519_" + aead + "_SHA256")
	if err != nil {
		tb.Fatal(err)
	}
	for _, k := range []*cipherState{&from.write.cipher, &to.read.cipher} {
		if err := k.set(p.suite, make([]byte, keyLen)); err != nil {
			tb.Fatal(err)
		}
	}
	return from, to
}

// TestSteadyState: a record costs no allocation, at either end, in the stream and
// written as a message.
func TestSteadyState(t *testing.T) {
	if raced {
		t.Log("the race detector's pools forget: not judged")
		return
	}
	for _, aead := range []string{"ChaChaPoly", "AESGCM"} {
		for _, size := range []int{1, 254, 4094, maxData, 3 * maxData} {
			from, to := channelEnds(t, aead)
			data := make([]byte, size)
			pass := func(write func() error) func() {
				return func() {
					if err := write(); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(to, data); err != nil {
						t.Fatal(err)
					}
				}
			}
			// Fewer runs than records between two keys.
			for name, f := range map[string]func() error{
				"Write":        func() error { _, err := from.Write(data); return err },
				"WriteMessage": func() error { return from.WriteMessage(context.Background(), data) },
			} {
				if n := testing.AllocsPerRun(50, pass(f)); n >= 1 {
					t.Errorf("%s, %s of %d bytes: %v allocations", aead, name, size, n)
				}
			}
		}
	}
}

// TestIdleMemory: an idle connection of a server holds no more than 12 KiB, stack
// included.
func TestIdleMemory(t *testing.T) {
	if raced {
		t.Log("the race detector's own memory counts: not judged")
		return
	}
	if n := idle(t, 200); n > 12<<10 {
		t.Errorf("%d bytes", n)
	}
}
