package enrol_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"database/sql"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the ledger's driver

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// server enrols devices.
type server struct {
	*host.Server
	registry *host.Registry
	key      []byte
	ctx      context.Context
	serving  sync.WaitGroup
}

func bytesOf(fill byte, n int) secret.Bytes { return secret.NewBytes(bytes.Repeat([]byte{fill}, n)) }

func newServer(t *testing.T, change ...func(*noise.ServerConfig, *host.Config)) *server {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &server{ctx: ctx}
	l, err := sqlledger.OpenVolatile(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		s.serving.Wait()
		if err := errors.Join(l.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	if s.registry, err = host.NewRegistry(host.RegistryConfig{Ledger: l, Key: bytesOf(1, 32)}); err != nil {
		t.Fatal(err)
	}
	k, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	s.key = k.PublicKey().Bytes()
	nc := noise.ServerConfig{
		Static: static{k}, Verifier: attest.SoftwareVerifier{}, Authorize: s.registry.Authorize, Activations: s.registry.ActivationKey,
	}
	tdes := func(from byte) secret.Bytes {
		b := make([]byte, 16)
		for i := range b {
			b[i] = from + byte(3*i)
		}
		return secret.NewBytes(b)
	}
	hc := host.Config{
		Ledger: l, Registry: s.registry, Verifier: attest.SoftwareVerifier{}, Issuer: nobody{}, ServerKey: s.key,
		Keys: host.Keys{
			PIN: host.Base{ID: [4]byte{1}, Key: bytesOf(3, 16)}, MAC: host.Base{ID: [4]byte{2}, Key: bytesOf(4, 16)},
			PINTDES: host.Base{ID: [4]byte{3}, Key: tdes(5)}, MACTDES: host.Base{ID: [4]byte{4}, Key: tdes(6)},
		},
	}
	for _, f := range change {
		f(&nc, &hc)
	}
	if hc.Handshaker == nil {
		if hc.Handshaker, err = noise.NewServer(nc); err != nil {
			t.Fatal(err)
		}
	}
	s.Server, err = host.New(hc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nobody has no cards.
type nobody struct{}

func (nobody) Authorize(context.Context, ledger.Tx, issuer.Request) (issuer.Decision, error) {
	return issuer.Decision{Code: issuer.CodeUnknownCard}, nil
}

func (nobody) Raise(context.Context, ledger.Tx, string, time.Time, money.Amount, money.Amount) (issuer.Decision, error) {
	return issuer.Decision{Code: issuer.CodeUnknownCard}, nil
}

func (nobody) Heard(context.Context, ledger.Tx, string, ledger.Key, []byte) error { return nil }

type static struct{ k *ecdh.PrivateKey }

func (s static) PublicKey(context.Context) ([]byte, error) { return s.k.PublicKey().Bytes(), nil }
func (s static) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return s.k.ECDH(p)
}

// Open implements trusted.Link.
func (s *server) Open(context.Context) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	s.serving.Go(func() { _ = s.ServeConn(s.ctx, far) })
	return near, nil
}

func (s *server) code(t *testing.T) string {
	t.Helper()
	a, err := s.registry.CreateActivation(t.Context(), host.Merchant{ID: "TESTMERCHANT001", Name: "Test Merchant"})
	if err != nil {
		t.Fatal(err)
	}
	code, err := a.Code()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func device(t *testing.T, s *server) (enrol.Config, *vault.Vault) {
	t.Helper()
	v, err := vault.Open(t.Context(), t.TempDir(), vault.Config{Key: vault.FixedKey(bytesOf(9, 32))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return enrol.Config{Storage: v, Keys: v, Link: s, Attester: attest.Software{Keys: v}, DeviceClass: "test"}, v
}

func TestEnrol(t *testing.T) {
	for _, format := range []uint8{4, 0} {
		s := newServer(t)
		c, _ := device(t, s)
		c.ServerKey = s.key
		if _, err := enrol.Open(t.Context(), c); !errors.Is(err, enrol.ErrNotEnrolled) {
			t.Fatalf("before: %v", err)
		}
		code := s.code(t)
		term, err := enrol.Enrol(t.Context(), c, code, format)
		if err != nil {
			t.Fatalf("format %d: %v", format, err)
		}
		tid, mid := term.Identity()
		if len(tid) != 8 || mid != "TESTMERCHANT001" || term.Merchant() != "Test Merchant" || term.PINFormat() != format {
			t.Errorf("terminal %q of %q %q, format %d", tid, mid, term.Merchant(), term.PINFormat())
		}
		if _, err := enrol.Enrol(t.Context(), c, code, format); !errors.Is(err, enrol.ErrEnrolled) {
			t.Errorf("again: %v", err)
		}
		// A later process goes on as the same terminal, over a pay channel.
		again, err := enrol.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		session, err := again.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		if err := enrol.Forget(t.Context(), c.Storage); err != nil {
			t.Fatal(err)
		}
		if _, err := enrol.Open(t.Context(), c); !errors.Is(err, enrol.ErrNotEnrolled) {
			t.Errorf("after Forget: %v", err)
		}
	}
}

// unclosable is a link whose connections fail to close.
type unclosable struct{ *server }

func (u unclosable) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	c, err := u.server.Open(ctx)
	if err != nil {
		return nil, err
	}
	return failing{c.(net.Conn)}, nil
}

type failing struct{ net.Conn }

func (f failing) Close() error { return errors.Join(f.Conn.Close(), errors.New("late")) }

// TestClosingFails: what came whole counts, however its channel ended.
func TestClosingFails(t *testing.T) {
	s := newServer(t)
	c, _ := device(t, s)
	c.Link = unclosable{s}
	term, err := enrol.Enrol(t.Context(), c, s.code(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := term.Rotate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	s := newServer(t)
	c, _ := device(t, s)
	if _, err := enrol.Enrol(t.Context(), c, "no code", 4); !errors.Is(err, noise.ErrActivation) {
		t.Errorf("no code: %v", err)
	}
	other := newServer(t).code(t)
	if _, err := enrol.Enrol(t.Context(), c, other, 4); err != nil && errors.Is(err, enrol.ErrGrant) {
		t.Errorf("another server's code reached the grant: %v", err)
	}
	wrong := c
	wrong.ServerKey = bytes.Repeat([]byte{7}, 32)
	if _, err := enrol.Enrol(t.Context(), wrong, s.code(t), 4); !errors.Is(err, enrol.ErrGrant) {
		t.Errorf("another server than the one expected: %v", err)
	}
	// A code serves one device.
	code := s.code(t)
	if _, err := enrol.Enrol(t.Context(), c, code, 4); err != nil {
		t.Fatal(err)
	}
	second, _ := device(t, s)
	if _, err := enrol.Enrol(t.Context(), second, code, 4); err == nil {
		t.Error("a second device enrolled under the same code")
	}
	for _, missing := range []func(*enrol.Config){
		func(c *enrol.Config) { c.Storage = nil },
		func(c *enrol.Config) { c.Keys = nil },
		func(c *enrol.Config) { c.Link = nil },
		func(c *enrol.Config) { c.Attester = channel.Attester(nil) },
	} {
		broken := c
		missing(&broken)
		if _, err := enrol.Open(t.Context(), broken); err == nil {
			t.Errorf("taken: %+v", broken)
		}
	}
}

var errDisk = errors.New("disk gave up")

// dying is a storage whose n-th write is its last.
type dying struct {
	trusted.Storage
	left int
}

func (d *dying) Put(ctx context.Context, name string, value []byte) error {
	if d.left--; d.left < 0 {
		return errDisk
	}
	return d.Storage.Put(ctx, name, value)
}

// TestStorageDiesAtEveryWrite: an enrolment that broke off is none, and the same
// device repeats it under the same code.
func TestStorageDiesAtEveryWrite(t *testing.T) {
	s := newServer(t)
	for n := 0; ; n++ {
		c, v := device(t, s)
		code := s.code(t)
		c.Storage = &dying{v, n}
		_, err := enrol.Enrol(t.Context(), c, code, 4)
		if err == nil {
			if n < 3 {
				t.Fatalf("only %d writes", n)
			}
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("write %d: %v", n, err)
		}
		c.Storage = v
		if _, err := enrol.Open(t.Context(), c); !errors.Is(err, enrol.ErrNotEnrolled) {
			t.Errorf("write %d: half an enrolment counts: %v", n, err)
		}
		if _, err := enrol.Enrol(t.Context(), c, code, 4); err != nil {
			t.Errorf("write %d: repeated: %v", n, err)
		}
	}
}
