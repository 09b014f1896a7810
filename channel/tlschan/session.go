package tlschan

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
)

// A resumed connection takes a pre-shared key of TLS 1.3 with a new key agreement
// (psk_dhe_ke; RFC 8446, 2.2), and no early data. It stands for the certificates,
// and for nothing else: hello, welcome and evidence pass in it as in any other, and
// the server asks its verifier and its policy again.
//
// What TLS leaves open is decided here. A ticket is the random name of a session
// that the server keeps; it counts once, and only after the channel that it came
// with was up. A resumed channel leaves one, too, which ends with the first.

// ErrSession: a session is not known, used already, or past its time.
var ErrSession = errors.New("tlschan: no such session")

const (
	sessionIDLen = 16
	// sessionLife is how long after a whole handshake channels may be resumed.
	sessionLife = 24 * time.Hour
)

// Session is what a server keeps of a channel for its resumption.
type Session struct {
	// State is TLS's, with the pre-shared key in it.
	State secret.Bytes
	// Peer is who had the channel.
	Peer channel.Identity
	// Expires is when the session ends: within 24 hours of the whole handshake
	// that it descends from.
	Expires time.Time
}

// Sessions keeps sessions, each for one use. Safe for concurrent use.
type Sessions interface {
	// Put keeps a session; its state is the store's from then on.
	Put(ctx context.Context, id string, s Session) error
	// Take removes a session and returns it; of two calls with one id one gets
	// it. Error: ErrSession.
	Take(ctx context.Context, id string) (Session, error)
}

// MemorySessions keeps sessions in this process.
type MemorySessions struct {
	limit int
	now   func() time.Time
	mu    sync.Mutex
	held  map[string]Session
}

var _ Sessions = (*MemorySessions)(nil)

// NewMemorySessions makes a store of at most limit sessions; now nil means
// time.Now. A full store forgets the oldest: its unit makes a whole handshake.
func NewMemorySessions(limit int, now func() time.Time) *MemorySessions {
	if now == nil {
		now = time.Now
	}
	return &MemorySessions{limit: max(limit, 1), now: now, held: map[string]Session{}}
}

// Put implements Sessions.
func (m *MemorySessions) Put(_ context.Context, id string, s Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.held) >= m.limit {
		m.makeRoomLocked()
	}
	m.held[id] = s
	return nil
}

func (m *MemorySessions) makeRoomLocked() {
	now := m.now()
	maps.DeleteFunc(m.held, func(_ string, s Session) bool {
		old := !now.Before(s.Expires)
		if old {
			s.State.Wipe()
		}
		return old
	})
	if len(m.held) < m.limit {
		return
	}
	oldest := ""
	for id, s := range m.held {
		if oldest == "" || s.Expires.Before(m.held[oldest].Expires) {
			oldest = id
		}
	}
	m.held[oldest].State.Wipe()
	delete(m.held, oldest)
}

// Take implements Sessions.
func (m *MemorySessions) Take(_ context.Context, id string) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.held[id]
	if !ok {
		return Session{}, ErrSession
	}
	delete(m.held, id)
	return s, nil
}

// chainEnd is when a new session ends.
func chainEnd(now, before time.Time) time.Time {
	end := now.Add(sessionLife)
	if !before.IsZero() && before.Before(end) {
		return before
	}
	return end
}

// visit is what a server has of one connection's sessions.
type visit struct {
	id    string
	state secret.Bytes
	// taken is the session that the client named; whether TLS went by it, TLS
	// says.
	taken *Session
}

// resumable lets a connection's TLS take sessions and leave one.
func (k *Server) resumable(ctx context.Context, c *tls.Config) *visit {
	v := &visit{}
	if k.c.Sessions == nil {
		return v
	}
	c.SessionTicketsDisabled = false
	c.UnwrapSession = func(id []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
		// Whatever is wrong with it, TLS goes on with a whole handshake.
		if len(id) != sessionIDLen || v.taken != nil {
			return nil, nil
		}
		s, err := k.c.Sessions.Take(ctx, hex.EncodeToString(id))
		if err != nil {
			return nil, nil
		}
		defer s.State.Wipe()
		now := k.c.Now()
		if !now.Before(s.Expires) || now.Before(s.Expires.Add(-sessionLife)) || s.State.Blank() {
			return nil, nil
		}
		// TLS holds on to the bytes, and shares the certificate in them with
		// other connections: what is wiped has to be another copy.
		state, err := tls.ParseSessionState(bytes.Clone(s.State.Reveal()))
		if err != nil {
			return nil, nil
		}
		v.taken = &s
		return state, nil
	}
	c.WrapSession = func(_ tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		b, err := s.Bytes()
		if err != nil {
			return nil, err
		}
		id := make([]byte, sessionIDLen)
		if _, err := io.ReadFull(rand.Reader, id); err != nil {
			return nil, err
		}
		v.state.Wipe()
		v.id, v.state = hex.EncodeToString(id), secret.NewBytes(b)
		return id, nil
	}
	return v
}

// checks compares a channel with the session that it was resumed by, nil for a whole
// handshake.
func (v *visit) checks(resumed bool, peer channel.Identity) error {
	if resumed != (peer.Purpose == channel.PurposeResume) || resumed && v.taken == nil {
		return fmt.Errorf("%w: purpose %v", channel.ErrPolicy, peer.Purpose)
	}
	if !resumed {
		return nil
	}
	was := v.taken.Peer
	if peer.DeviceClass != was.DeviceClass || peer.TerminalID != was.TerminalID || peer.MerchantID != was.MerchantID ||
		subtle.ConstantTimeCompare(peer.Key, was.Key) != 1 {
		return fmt.Errorf("%w: %w: another unit's", channel.ErrPolicy, ErrSession)
	}
	return nil
}

// holds compares the evidence with that of the session.
func (v *visit) holds(resumed bool, now channel.Claims) error {
	if !resumed {
		return nil
	}
	was := v.taken.Peer.Claims
	if now.Assurance < was.Assurance {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, channel.RefuseEvidence(channel.ReasonAssurance, "%v, and the session's is %v", now.Assurance, was.Assurance))
	}
	if subtle.ConstantTimeCompare([]byte(was.Device), []byte(now.Device)) != 1 {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, channel.RefuseEvidence(channel.ReasonDevice, "not the session's"))
	}
	return nil
}

// keep makes the ticket that the client has count.
func (k *Server) keep(ctx context.Context, v *visit, resumed bool, peer channel.Identity) error {
	if v.id == "" || peer.Purpose == channel.PurposeEnrol {
		return nil
	}
	before := time.Time{}
	if resumed {
		before = v.taken.Expires
	}
	state := v.state.Clone()
	if err := k.c.Sessions.Put(ctx, v.id, Session{State: state, Peer: peer, Expires: chainEnd(k.c.Now(), before)}); err != nil {
		state.Wipe()
		return fmt.Errorf("%w: session: %w", errModule, err)
	}
	return nil
}

// clientSession is the client's half.
type clientSession struct {
	state   *tls.ClientSessionState
	expires time.Time
}

// cache is a connection's view of the client's session: TLS takes the one that there
// is, once, and leaves one that counts when the channel is up.
type cache struct {
	mu   sync.Mutex
	took *clientSession
	left *tls.ClientSessionState
}

// Get implements tls.ClientSessionCache.
func (c *cache) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.took == nil {
		return nil, false
	}
	return c.took.state, true
}

// Put implements tls.ClientSessionCache.
func (c *cache) Put(_ string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = s
}

// resuming lets a connection's TLS go by the session that there is.
func (k *Client) resuming(c *tls.Config) *cache {
	if !k.c.Resume || k.c.Activation != nil {
		return nil
	}
	k.mu.Lock()
	s := k.session
	k.session = nil
	k.mu.Unlock()
	if s != nil && !k.c.Now().Before(s.expires) {
		s = nil
	}
	x := &cache{took: s}
	c.SessionTicketsDisabled, c.ClientSessionCache = false, x
	return x
}

// keep keeps the session that a channel left.
func (k *Client) keep(x *cache, resumed bool) {
	if x == nil {
		return
	}
	x.mu.Lock()
	left := x.left
	x.mu.Unlock()
	if left == nil {
		return
	}
	before := time.Time{}
	if resumed && x.took != nil {
		before = x.took.expires
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.session = &clientSession{left, chainEnd(k.c.Now(), before)}
}
