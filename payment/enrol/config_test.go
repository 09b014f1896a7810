package enrol_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/comm"
	"github.com/payunit/payunit/trusted/config"
	"github.com/payunit/payunit/trusted/vault"
)

// estate is a server whose configuration and keys change while it runs.
type estate struct {
	*server
	t *testing.T

	mu      sync.Mutex
	signed  []byte
	handler channel.Handshaker
	base    noise.ServerConfig
	// asked and answer, where set, keep whoever asks for the configuration waiting.
	asked, answer chan struct{}
}

func serverKey(t testing.TB, fill byte) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	firstKey = 2 // newServer's
	nextKey  = 3
)

func signer(fill byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{fill}, 32))
}

func verification(fill byte) ed25519.PublicKey { return signer(fill).Public().(ed25519.PublicKey) }

// signed makes a configuration with server keys, the one to use first.
func signed(t testing.TB, by byte, version uint64, change func(*config.Statement), keys ...byte) []byte {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	s := config.Statement{
		Version: version, Issued: now.Add(-time.Hour), Expires: now.Add(30 * 24 * time.Hour), Name: "bank.test", Suites: []config.Suite{config.SuiteX25519},
		Purposes: config.Allow(channel.PurposePay, channel.PurposeEnrol, channel.PurposeResume),
	}
	for _, k := range keys {
		s.Keys = append(s.Keys, config.Key{Suite: config.SuiteX25519, Public: serverKey(t, k).PublicKey().Bytes(), From: s.Issued, Until: s.Expires})
	}
	if change != nil {
		change(&s)
	}
	b, err := config.Sign(s, signer(by))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newEstate(t *testing.T) *estate {
	e := &estate{t: t, signed: signed(t, 1, 1, nil, firstKey)}
	e.server = newServer(t, func(n *noise.ServerConfig, h *host.Config) {
		e.base = *n
		h.Handshaker, h.ConfigKey = e, verification(1)
		h.Configuration = func() []byte {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.asked != nil {
				e.asked <- struct{}{}
				<-e.answer
			}
			return e.signed
		}
	})
	e.serve(firstKey)
	return e
}

// serve takes channels under keys from now on.
func (e *estate) serve(keys ...byte) {
	e.t.Helper()
	n := e.base
	n.Static, n.Routing = static{serverKey(e.t, keys[0])}, []byte("bank.test")
	for _, k := range keys[1:] {
		n.Others = append(n.Others, static{serverKey(e.t, k)})
	}
	h, err := noise.NewServer(n)
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handler = h
}

func (e *estate) hand(b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.signed = b
}

func (e *estate) Server(ctx context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	e.mu.Lock()
	h := e.handler
	e.mu.Unlock()
	return h.Server(ctx, rw)
}

func (e *estate) Client(context.Context, io.ReadWriteCloser) (channel.Conn, error) {
	return nil, errors.New("a server")
}

// enrols makes a terminal of a new device.
func (e *estate) enrols(change func(*enrol.Config)) (*enrol.Terminal, enrol.Config, *vault.Vault, error) {
	e.t.Helper()
	c, v := device(e.t, e.server)
	if change != nil {
		change(&c)
	}
	term, err := enrol.Enrol(e.t.Context(), c, e.code(e.t), 4)
	return term, c, v, err
}

// under opens a channel and returns the number of the server's key in it.
func under(t *testing.T, term *enrol.Terminal) byte {
	t.Helper()
	s, err := term.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key := s.(*comm.Session).Conn().Peer().Key
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, k := range []byte{firstKey, nextKey} {
		if bytes.Equal(key, serverKey(t, k).PublicKey().Bytes()) {
			return k
		}
	}
	t.Fatalf("a key that nobody has: %x", key)
	return 0
}

func versionOf(t *testing.T, term *enrol.Terminal) uint64 {
	t.Helper()
	v, err := term.ConfigurationVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func reasonOf(err error) config.Reason {
	var e *config.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Reason
}

func open(t *testing.T, c enrol.Config) *enrol.Terminal {
	t.Helper()
	term, err := enrol.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// TestServerChangesItsKey: units learn the new key under the old one, inside their
// channels, and use it from the next channel on, in this process and in the next.
func TestServerChangesItsKey(t *testing.T) {
	e := newEstate(t)
	term, c, _, err := e.enrols(nil)
	if err != nil {
		t.Fatal(err)
	}
	asleep, _, _, err := e.enrols(nil)
	if err != nil {
		t.Fatal(err)
	}
	if k, v := under(t, term), versionOf(t, term); k != firstKey || v != 1 {
		t.Fatalf("key %d under version %d", k, v)
	}
	// Both keys are served; new units are to use the next one.
	e.serve(firstKey, nextKey)
	e.hand(signed(t, 1, 2, nil, nextKey, firstKey))
	// A process that asked goes on with what it has, one that begins asks.
	if k := under(t, term); k != firstKey {
		t.Errorf("key %d before anything was asked", k)
	}
	term = open(t, c)
	for i, want := range []byte{firstKey, nextKey, nextKey} {
		if k := under(t, term); k != want {
			t.Errorf("channel %d under key %d, want %d", i, k, want)
		}
	}
	if k := under(t, open(t, c)); k != nextKey {
		t.Errorf("the next process: key %d", k)
	}
	// The old key goes.
	e.serve(nextKey)
	e.hand(signed(t, 1, 3, nil, nextKey))
	if k := under(t, open(t, c)); k != nextKey {
		t.Errorf("key %d", k)
	}
	// One that slept through all of it is refused, until its app brings what the
	// server says now.
	if _, err := asleep.Open(t.Context()); !errors.Is(err, channel.ErrRefused) {
		t.Errorf("under a key that is gone: %v", err)
	}
	if err := asleep.Configure(t.Context(), signed(t, 1, 3, nil, nextKey)); err != nil {
		t.Fatal(err)
	}
	if k, v := under(t, asleep), versionOf(t, asleep); k != nextKey || v != 3 {
		t.Errorf("key %d under version %d", k, v)
	}
	if err := asleep.Rotate(t.Context()); !errors.Is(err, enrol.ErrGrant) {
		t.Errorf("new keys from a server that says it has a key that is gone: %v", err)
	}
}

// TestServerHandsOutWhatIsNoGood: what is older, of the same number or of another
// signer stays out, and the unit pays on.
func TestServerHandsOutWhatIsNoGood(t *testing.T) {
	e := newEstate(t)
	e.hand(signed(t, 1, 5, nil, firstKey))
	_, c, _, err := e.enrols(nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := signed(t, 1, 6, nil, firstKey)
	broken[40] ^= 1
	for name, x := range map[string]struct {
		b    []byte
		want config.Reason
	}{
		"older":          {signed(t, 1, 4, nil, nextKey), config.ReasonRollback},
		"number twice":   {signed(t, 1, 5, nil, nextKey), config.ReasonConflict},
		"another signer": {signed(t, 2, 6, nil, nextKey), config.ReasonSignature},
		"altered":        {broken, config.ReasonSignature},
		"expired":        {signed(t, 1, 6, func(s *config.Statement) { s.Expires = time.Now().Add(-time.Second).Truncate(time.Second) }, nextKey), config.ReasonExpired},
	} {
		e.hand(x.b)
		term := open(t, c)
		for range 2 {
			if k := under(t, term); k != firstKey {
				t.Errorf("%s: key %d", name, k)
			}
		}
		if err := term.ConfigurationRefused(); reasonOf(err) != x.want {
			t.Errorf("%s: %v", name, err)
		}
		if err := term.Configure(t.Context(), x.b); reasonOf(err) != x.want {
			t.Errorf("%s, brought by the app: %v", name, err)
		}
		first := c
		first.Configuration = x.b
		if _, err := enrol.Open(t.Context(), first); reasonOf(err) != x.want {
			t.Errorf("%s, brought by the app at first: %v", name, err)
		}
	}
}

// TestServerTakesItsTime: while one channel waits for the server's configuration,
// whoever else wants something of the terminal goes with his own context.
func TestServerTakesItsTime(t *testing.T) {
	e := newEstate(t)
	_, c, _, err := e.enrols(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	e.asked, e.answer = make(chan struct{}), make(chan struct{})
	e.mu.Unlock()
	term := open(t, c)
	first := make(chan error)
	go func() {
		s, err := term.Open(t.Context())
		if err == nil {
			err = s.Close()
		}
		first <- err
	}()
	<-e.asked
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := term.Open(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	if err := term.Rotate(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("rotate: %v", err)
	}
	if err := term.ConfigurationRefused(); err != nil {
		t.Error(err)
	}
	close(e.answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// TestPinned: a unit that was built with a key takes configurations of that key
// alone, before, while and after it enrols.
func TestPinned(t *testing.T) {
	e := newEstate(t)
	for name, x := range map[string]struct {
		key, brings []byte
		reason      config.Reason
		want        error
	}{
		"the server's signer":          {key: verification(1)},
		"brought before":               {key: verification(1), brings: e.signed},
		"another signer":               {key: verification(2), reason: config.ReasonSignature, want: enrol.ErrGrant},
		"brought by another signer":    {key: verification(1), brings: signed(t, 2, 1, nil, firstKey), reason: config.ReasonSignature},
		"without the server's key":     {key: verification(1), brings: signed(t, 1, 1, nil, nextKey), want: enrol.ErrGrant},
		"for payments alone":           {key: verification(1), brings: signed(t, 1, 1, func(s *config.Statement) { s.Purposes = config.Allow(channel.PurposePay) }, firstKey), reason: config.ReasonPurpose},
		"version twice, other content": {key: verification(1), brings: signed(t, 1, 1, nil, firstKey, nextKey), reason: config.ReasonConflict, want: enrol.ErrGrant},
	} {
		term, _, _, err := e.enrols(func(c *enrol.Config) { c.ConfigKey, c.Configuration = x.key, x.brings })
		switch {
		case x.want == nil && x.reason == "":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if k := under(t, term); k != firstKey {
				t.Errorf("%s: key %d", name, k)
			}
		case err == nil, x.want != nil && !errors.Is(err, x.want), reasonOf(err) != x.reason:
			t.Errorf("%s: %v", name, err)
		}
	}
	// A server whose configuration does not list it enrols nobody, whoever signed.
	e.hand(signed(t, 1, 2, nil, nextKey))
	if _, _, _, err := e.enrols(nil); !errors.Is(err, enrol.ErrGrant) {
		t.Errorf("under a configuration without the server's key: %v", err)
	}
	// A server without configurations is none for a unit that wants one.
	bare := newServer(t)
	c, v := device(t, bare)
	c.ConfigKey = verification(1)
	code := bare.code(t)
	if _, err := enrol.Enrol(t.Context(), c, code, 4); !errors.Is(err, enrol.ErrGrant) {
		t.Errorf("from a server without: %v", err)
	}
	if _, err := enrol.Open(t.Context(), c); !errors.Is(err, enrol.ErrNotEnrolled) {
		t.Errorf("half an enrolment counts: %v", err)
	}
	// One that enrolled without a key may learn it later, and then needs what it signs.
	c.ConfigKey = nil
	if _, err := enrol.Enrol(t.Context(), c, code, 4); err != nil {
		t.Fatal(err)
	}
	c.Configuration = signed(t, 1, 1, nil, firstKey)
	if _, err := enrol.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "ConfigKey") {
		t.Errorf("a configuration and no key: %v", err)
	}
	c.ConfigKey, c.Configuration = verification(1), nil
	term := open(t, c)
	if _, err := term.Open(t.Context()); reasonOf(err) != config.ReasonKey {
		t.Errorf("with a key and no configuration: %v", err)
	}
	if err := term.Configure(t.Context(), signed(t, 1, 1, nil, firstKey)); err != nil {
		t.Fatal(err)
	}
	if k := under(t, term); k != firstKey {
		t.Errorf("key %d", k)
	}
	c.Counter, c.Storage = nil, struct{ trusted.Storage }{v}
	if _, err := enrol.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "Counter") {
		t.Errorf("without a counter: %v", err)
	}
}

// TestConfigurationEnds: a unit does not speak to a server whose configuration is
// past its time, also when it was not when the unit was opened.
func TestConfigurationEnds(t *testing.T) {
	e := newEstate(t)
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	e.hand(signed(t, 1, 1, func(s *config.Statement) { s.Keys[0].Until = end; s.Expires = end.Add(time.Hour) }, firstKey))
	at := time.Now()
	term, _, _, err := e.enrols(func(c *enrol.Config) { c.Now = func() time.Time { return at } })
	if err != nil {
		t.Fatal(err)
	}
	under(t, term)
	for _, x := range []struct {
		at     time.Time
		reason config.Reason
	}{{end.Add(-time.Second), ""}, {end, config.ReasonKey}, {end.Add(time.Hour), config.ReasonExpired}, {end.Add(-48 * time.Hour), config.ReasonEarly}, {end.Add(-time.Minute), ""}} {
		at = x.at
		s, err := term.Open(t.Context())
		if reasonOf(err) != x.reason || (err == nil) != (x.reason == "") {
			t.Errorf("at %v: %v", x.at.Sub(end), err)
		}
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestEnrolsAfterTheEnd: a device that enrols long after its app brought a configuration
// is not kept out by what it knew then, and does not do without either.
func TestEnrolsAfterTheEnd(t *testing.T) {
	e := newEstate(t)
	at := time.Now()
	c, _ := device(t, e.server)
	link := c.Link
	c.ConfigKey, c.Configuration, c.Link = verification(1), e.signed, nobodyThere{}
	c.Now = func() time.Time { return at }
	code := e.code(t)
	if _, err := enrol.Enrol(t.Context(), c, code, 4); err == nil {
		t.Fatal("enrolled by nobody")
	}
	// A clock that is set back is no reason to forget it.
	c.Configuration = nil
	at = at.Add(-2 * time.Hour)
	if _, err := enrol.Enrol(t.Context(), c, code, 4); reasonOf(err) != config.ReasonEarly {
		t.Errorf("with a clock set back: %v", err)
	}
	at, c.Link = at.Add(31*24*time.Hour), link
	if _, err := enrol.Enrol(t.Context(), c, code, 4); !errors.Is(err, enrol.ErrGrant) || reasonOf(err) != config.ReasonExpired {
		t.Errorf("from a server that has no newer one: %v", err)
	}
	e.hand(signed(t, 1, 2, func(s *config.Statement) {
		s.Expires = at.Add(time.Hour).Truncate(time.Second)
		s.Keys[0].Until = s.Expires
	}, firstKey))
	term, err := enrol.Enrol(t.Context(), c, code, 4)
	if err != nil {
		t.Fatal(err)
	}
	if v := versionOf(t, term); v != 2 {
		t.Errorf("version %d", v)
	}
}

// TestRecordPutBack: the record of an older configuration is noticed before the
// unit speaks to anybody.
func TestRecordPutBack(t *testing.T) {
	e := newEstate(t)
	_, c, v, err := e.enrols(nil)
	if err != nil {
		t.Fatal(err)
	}
	names, err := v.List(t.Context(), "configuration/")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	old, err := v.Get(t.Context(), names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, c).Configure(t.Context(), signed(t, 1, 2, nil, nextKey)); err != nil {
		t.Fatal(err)
	}
	if err := v.Put(t.Context(), names[0], old); err != nil {
		t.Fatal(err)
	}
	c.Link = nobodyThere{}
	if _, err := open(t, c).Open(t.Context()); !errors.Is(err, trusted.ErrRollback) || reasonOf(err) != config.ReasonRollback {
		t.Errorf("put back: %v", err)
	}
	if err := v.Delete(t.Context(), names[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, c).Open(t.Context()); !errors.Is(err, trusted.ErrRollback) {
		t.Errorf("removed: %v", err)
	}
}

type nobodyThere struct{}

func (nobodyThere) Open(context.Context) (io.ReadWriteCloser, error) {
	return nil, errors.New("somebody was spoken to")
}

// TestConfiguredStorageDiesAtEveryWrite: as TestStorageDiesAtEveryWrite, with a
// configuration in the grant.
func TestConfiguredStorageDiesAtEveryWrite(t *testing.T) {
	e := newEstate(t)
	for n := 0; ; n++ {
		c, v := device(t, e.server)
		code := e.code(t)
		c.Storage, c.Counter = &dying{v, n}, v
		_, err := enrol.Enrol(t.Context(), c, code, 4)
		if err == nil {
			if n < 4 {
				t.Fatalf("only %d writes", n)
			}
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("write %d: %v", n, err)
		}
		c.Storage = v
		term, err := enrol.Enrol(t.Context(), c, code, 4)
		if err != nil {
			t.Fatalf("write %d: repeated: %v", n, err)
		}
		if k := under(t, term); k != firstKey {
			t.Errorf("write %d: key %d", n, k)
		}
	}
}
