package tlschan

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/channeltest"
)

// resumer is a world whose client resumes.
func resumer(t testing.TB) (*world, *MemorySessions) {
	t.Helper()
	w, m := newWorld(t), NewMemorySessions(10, nil)
	w.client.Resume, w.server.Sessions = true, m
	return w, m
}

// up brings a channel up and down.
func up(t testing.TB, c *Client, s *Server) {
	t.Helper()
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	_, _ = client.Close(), server.Close()
}

// purposes are those of the channels that the server gave.
func (w *world) purposes() []channel.Purpose {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []channel.Purpose
	for _, id := range w.seen {
		out = append(out, id.Purpose)
	}
	return out
}

// verifierFunc and attesterFunc are modules of one function.
type verifierFunc func(challenge []byte, e channel.Evidence) (channel.Claims, error)

func (f verifierFunc) Verify(_ context.Context, c []byte, e channel.Evidence) (channel.Claims, error) {
	return f(c, e)
}

// TestResumption: each channel leaves a session for the next, and in each the device
// is asked for evidence over a challenge of its own.
func TestResumption(t *testing.T) {
	w, m := resumer(t)
	var challenges []string
	inner := w.server.Verifier
	w.server.Verifier = verifierFunc(func(c []byte, e channel.Evidence) (channel.Claims, error) {
		challenges = append(challenges, string(c))
		return inner.Verify(t.Context(), c, e)
	})
	c, s := w.pair(t)
	for range 3 {
		up(t, c, s)
	}
	want := []channel.Purpose{channel.PurposePay, channel.PurposeResume, channel.PurposeResume}
	if d := cmp.Diff(want, w.purposes()); d != "" {
		t.Error(d)
	}
	for _, id := range w.seen {
		if !slices.Equal(id.Key, public(t, edKey(3))) || id.TerminalID != "T0000001" || id.Claims != w.seen[0].Claims {
			t.Errorf("%+v", id)
		}
	}
	if slices.Sort(challenges); len(slices.Compact(challenges)) != 3 {
		t.Errorf("%d challenges", len(challenges))
	}
	if len(m.held) != 1 {
		t.Errorf("%d sessions are held", len(m.held))
	}
	for _, v := range m.held {
		if p := fmt.Sprintf("%+v %#v", v, v); strings.Contains(p, fmt.Sprintf("%v", v.State.Reveal())) {
			t.Errorf("a session prints its secret: %s", p)
		}
	}
}

// TestSessionServesOnce: a client that uses a session again makes a whole handshake,
// and so does one whose server has forgotten it.
func TestSessionServesOnce(t *testing.T) {
	w, m := resumer(t)
	c, s := w.pair(t)
	up(t, c, s)
	used := c.session
	up(t, c, s)
	c.session = used
	up(t, c, s)
	clear(m.held)
	up(t, c, s)
	w.server.Sessions = brokenSessions{m, nil, errModule}
	_, s = w.pair(t)
	up(t, c, s)
	want := []channel.Purpose{channel.PurposePay, channel.PurposeResume, channel.PurposePay, channel.PurposePay, channel.PurposePay}
	if d := cmp.Diff(want, w.purposes()); d != "" {
		t.Error(d)
	}
}

// TestChainOfResumptions: after a day the client proves its key again, also one that
// would rather not.
func TestChainOfResumptions(t *testing.T) {
	for _, honest := range []bool{true, false} {
		w, _ := resumer(t)
		began := time.Now()
		now := began
		clock := func() time.Time { return now }
		w.client.Now, w.server.Now, w.server.Sessions = clock, clock, NewMemorySessions(10, clock)
		c, s := w.pair(t)
		var want []channel.Purpose
		for hours := 0; hours <= 48; hours += 8 {
			now = began.Add(time.Duration(hours) * time.Hour)
			if !honest && c.session != nil {
				c.session.expires = now.Add(time.Hour)
			}
			up(t, c, s)
			p := channel.PurposeResume
			if hours%24 == 0 {
				p = channel.PurposePay
			}
			want = append(want, p)
		}
		if d := cmp.Diff(want, w.purposes()); d != "" {
			t.Errorf("honest %v: %s", honest, d)
		}
	}
}

// TestNothingToResume: no session is left where none is wanted, none by a channel to
// enrol, and none by a client that the server did not take.
func TestNothingToResume(t *testing.T) {
	for name, x := range map[string]struct {
		change func(w *world)
		fails  bool
	}{
		"not wanted":     {func(w *world) { w.client.Resume = false }, false},
		"server without": {func(w *world) { w.server.Sessions = nil }, false},
		"to enrol":       {enrol, false},
		"not authorized": {func(w *world) {
			w.server.Authorize = func(context.Context, channel.Identity) error { return errModule }
		}, true},
		"evidence of another": {func(w *world) {
			w.server.Verifier = verifierFunc(func([]byte, channel.Evidence) (channel.Claims, error) {
				return channel.Claims{}, channel.RefuseEvidence(channel.ReasonRevoked, "test")
			})
		}, true},
		"store out of order": {func(w *world) { w.server.Sessions = brokenSessions{NewMemorySessions(1, nil), errModule, nil} }, true},
	} {
		w, m := resumer(t)
		x.change(w)
		c, s := w.pair(t)
		client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if x.fails != (cerr != nil) || x.fails != (serr != nil) {
			t.Errorf("%s: %v, %v", name, cerr, serr)
		}
		if !x.fails {
			_, _ = client.Close(), server.Close()
		}
		// Not every client that could is one that does.
		if c.session != nil || len(m.held) != 0 && name != "not wanted" {
			t.Errorf("%s: a session, at the server %d", name, len(m.held))
		}
	}
}

// TestLargeCertificate: what a client wraps its key in does not fill the server's
// memory, with every session once more.
func TestLargeCertificate(t *testing.T) {
	for pad, good := range map[int]bool{0: true, 2 << 10: true, maxCertificate: false, 60 << 10: false} {
		w, m := resumer(t)
		c, s := w.pair(t)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, pad)}},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, c.c.Key.Public(), c.c.Key)
		if err != nil {
			t.Fatal(err)
		}
		c.cert.Certificate = [][]byte{der}
		client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if good != (cerr == nil) || good != (serr == nil) || !good && !errors.Is(serr, channel.ErrPolicy) {
			t.Errorf("%d bytes: %v, %v", len(der), cerr, serr)
		}
		if client != nil && server != nil {
			_, _ = client.Close(), server.Close()
		}
		for _, v := range m.held {
			if v.State.Len() > 2*maxCertificate {
				t.Errorf("%d bytes: a session of %d", len(der), v.State.Len())
			}
		}
	}
}

// brokenSessions is a store that is out of order.
type brokenSessions struct {
	*MemorySessions
	put, take error
}

func (b brokenSessions) Put(ctx context.Context, id string, s Session) error {
	if b.put != nil {
		return b.put
	}
	return b.MemorySessions.Put(ctx, id, s)
}

func (b brokenSessions) Take(ctx context.Context, id string) (Session, error) {
	if b.take != nil {
		return Session{}, b.take
	}
	return b.MemorySessions.Take(ctx, id)
}

// TestSessionOfAnother: who resumes is who had the session, by name and by evidence.
func TestSessionOfAnother(t *testing.T) {
	other := attest.Software{Keys: signer{edKey(44)}}
	weaker := verifierFunc(func([]byte, channel.Evidence) (channel.Claims, error) { return channel.Claims{Device: "d"}, nil })
	for name, x := range map[string]struct {
		first, then func(c *Client, s *Server)
		want        error
		reason      channel.Reason
	}{
		"another terminal": {nil, func(c *Client, _ *Server) { c.c.TerminalID = "T0000002" }, ErrSession, ""},
		"another merchant": {nil, func(c *Client, _ *Server) { c.c.MerchantID = "M2" }, ErrSession, ""},
		"another class":    {nil, func(c *Client, _ *Server) { c.c.DeviceClass = "phone" }, ErrSession, ""},
		"another device":   {nil, func(c *Client, _ *Server) { c.c.Attester = other }, channel.ErrEvidence, channel.ReasonDevice},
		"weaker": {func(_ *Client, s *Server) {
			s.c.Verifier = verifierFunc(func([]byte, channel.Evidence) (channel.Claims, error) {
				return channel.Claims{Device: "d", Assurance: channel.AssuranceHardware}, nil
			})
		}, func(_ *Client, s *Server) { s.c.Verifier = weaker }, channel.ErrEvidence, channel.ReasonAssurance},
		"refused by now": {nil, func(_ *Client, s *Server) {
			s.c.Authorize = func(context.Context, channel.Identity) error { return errModule }
		}, errModule, ""},
	} {
		w, _ := resumer(t)
		c, s := w.pair(t)
		if x.first != nil {
			x.first(c, s)
		}
		up(t, c, s)
		x.then(c, s)
		_, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
		var e *channel.EvidenceError
		if !errors.Is(cerr, channel.ErrRefused) || !errors.Is(serr, channel.ErrPolicy) || !errors.Is(serr, x.want) || errors.As(serr, &e) && e.Reason != x.reason {
			t.Errorf("%s: %v, %v", name, cerr, serr)
		}
		if c.session != nil {
			t.Errorf("%s: the session is still there", name)
		}
	}
}

// TestPurposeAgreesWithTLS: a client does not say that it resumes when TLS does not,
// nor the other way round.
func TestPurposeAgreesWithTLS(t *testing.T) {
	peer := channel.Identity{Key: []byte("k"), TerminalID: "T"}
	taken := &Session{Peer: peer}
	for _, x := range []struct {
		resumed bool
		purpose channel.Purpose
		taken   *Session
		good    bool
	}{
		{false, channel.PurposePay, nil, true}, {false, channel.PurposePay, taken, true}, {false, channel.PurposeEnrol, nil, true}, {true, channel.PurposeResume, taken, true},
		{false, channel.PurposeResume, nil, false}, {false, channel.PurposeResume, taken, false},
		{true, channel.PurposePay, taken, false}, {true, channel.PurposeEnrol, taken, false}, {true, channel.PurposeResume, nil, false},
	} {
		v, p := &visit{taken: x.taken}, peer
		p.Purpose = x.purpose
		if err := v.checks(x.resumed, p); (err == nil) != x.good || err != nil && !errors.Is(err, channel.ErrPolicy) {
			t.Errorf("TLS resumed %v, the client says %v: %v", x.resumed, x.purpose, err)
		}
	}
}

// TestKeep: a session counts for who had a channel for payments, whatever a client
// that enrols asks TLS for.
func TestKeep(t *testing.T) {
	for purpose, want := range map[channel.Purpose]int{channel.PurposePay: 1, channel.PurposeEnrol: 0} {
		w, m := resumer(t)
		_, s := w.pair(t)
		v := &visit{id: "id", state: secret.NewBytes([]byte("state"))}
		if err := s.keep(t.Context(), v, false, channel.Identity{Purpose: purpose}); err != nil || len(m.held) != want {
			t.Errorf("to %v: %d sessions, %v", purpose, len(m.held), err)
		}
	}
}

func TestMemorySessions(t *testing.T) {
	now := time.Now()
	m := NewMemorySessions(2, func() time.Time { return now })
	put := func(id string, life time.Duration) secret.Bytes {
		s := secret.NewBytes([]byte(id))
		if err := m.Put(t.Context(), id, Session{State: s, Expires: now.Add(life)}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := put("a", time.Hour), put("b", 2*time.Hour)
	put("c", 3*time.Hour)
	if !a.Blank() || b.Blank() {
		t.Error("the oldest made no room, or another did")
	}
	now = now.Add(150 * time.Minute)
	put("d", time.Hour)
	if !b.Blank() || len(m.held) != 2 {
		t.Error("what is past its time made no room")
	}
	if _, err := m.Take(t.Context(), "c"); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"a", "b", "c", ""} {
		if _, err := m.Take(t.Context(), id); !errors.Is(err, ErrSession) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestServerChangesItsKey: a client that was told of several keys is served under
// each of them, and under no other.
func TestServerChangesItsKey(t *testing.T) {
	w := newWorld(t)
	w.client.OtherServerKeys = [][]byte{public(t, edKey(21)), public(t, edKey(22))}
	for key, good := range map[byte]bool{1: true, 21: true, 22: true, 23: false} {
		w.server.Key = edKey(key)
		c, s := w.pair(t)
		client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if good != (cerr == nil) || good != (serr == nil) || !good && !errors.Is(cerr, channel.ErrPolicy) {
			t.Errorf("key %d: %v, %v", key, cerr, serr)
		}
		if client != nil && server != nil {
			_, _ = client.Close(), server.Close()
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
				enrol(w)
			}
			c, s := w.pair(t)
			client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
			if want := good && (enrols || routing != ""); want != (cerr == nil && serr == nil) {
				t.Errorf("routing %q, enrols %v: %v, %v", routing, enrols, cerr, serr)
			}
			if client != nil && server != nil {
				_, _ = client.Close(), server.Close()
			}
		}
	}
}
