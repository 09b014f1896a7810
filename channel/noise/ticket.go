package noise

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
)

// ErrTicket: a ticket is not known, used already, expired, or another unit's.
var ErrTicket = errors.New("noise: no such ticket")

// ticketLife is the longest that a ticket can serve, and that the tickets which
// resumed channels leave can serve after it: with it ends the time in which a client
// goes without proving its static key.
const ticketLife = 24 * time.Hour

// Both ends export id and secret of a ticket from their channel: nothing of it
// passes the wire until it is used.
const (
	ticketIDLabel     = "payunit resumption id"
	ticketSecretLabel = "payunit resumption secret"
	ticketIDLen       = 16
)

// ResumptionError says that a resumption failed. The ticket is used up, so that
// the client's next channel is a whole handshake.
type ResumptionError struct{ Err error }

// Error implements error.
func (e *ResumptionError) Error() string { return "noise: resumption: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ResumptionError) Unwrap() error { return e.Err }

// Again reports that opening the channel once more, over a new stream, takes
// another way.
func (e *ResumptionError) Again() bool { return true }

// Ticket is what a server keeps of a channel for its resumption.
type Ticket struct {
	// Secret is the pre-shared key, 32 bytes.
	Secret secret.Bytes
	// Peer is who had the channel.
	Peer channel.Identity
	// Expires is when the ticket ends: within 24 hours of the channel with a whole
	// handshake that it descends from.
	Expires time.Time
}

// check compares what a client declares with the ticket's owner.
func (t Ticket) check(declared channel.Identity, now time.Time) error {
	switch {
	case !now.Before(t.Expires), now.Before(t.Expires.Add(-ticketLife)):
		return fmt.Errorf("%w: expired", ErrTicket)
	case declared.DeviceClass != t.Peer.DeviceClass, declared.TerminalID != t.Peer.TerminalID,
		declared.MerchantID != t.Peer.MerchantID:
		return fmt.Errorf("%w: another unit's", ErrTicket)
	case t.Secret.Len() != keyLen, t.Secret.Blank():
		return fmt.Errorf("%w: without a secret", ErrTicket)
	}
	return nil
}

// Tickets keeps tickets, each for one use. Safe for concurrent use.
type Tickets interface {
	// Put keeps a ticket; its secret is the store's from then on.
	Put(ctx context.Context, id string, t Ticket) error
	// Take removes a ticket and returns it; of two calls with one id one gets
	// it. Error: ErrTicket.
	Take(ctx context.Context, id string) (Ticket, error)
}

// MemoryTickets keeps tickets in this process.
type MemoryTickets struct {
	limit int
	now   func() time.Time
	mu    sync.Mutex
	held  map[string]Ticket
}

var _ Tickets = (*MemoryTickets)(nil)

// NewMemoryTickets makes a store of at most limit tickets; now nil means
// time.Now. A full store forgets the oldest: its unit makes a whole handshake.
func NewMemoryTickets(limit int, now func() time.Time) *MemoryTickets {
	if now == nil {
		now = time.Now
	}
	return &MemoryTickets{limit: max(limit, 1), now: now, held: map[string]Ticket{}}
}

// Put implements Tickets.
func (m *MemoryTickets) Put(_ context.Context, id string, t Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.held) >= m.limit {
		m.makeRoomLocked()
	}
	m.held[id] = t
	return nil
}

func (m *MemoryTickets) makeRoomLocked() {
	now := m.now()
	maps.DeleteFunc(m.held, func(_ string, t Ticket) bool {
		old := !now.Before(t.Expires)
		if old {
			t.Secret.Wipe()
		}
		return old
	})
	if len(m.held) < m.limit {
		return
	}
	oldest := ""
	for id, t := range m.held {
		if oldest == "" || t.Expires.Before(m.held[oldest].Expires) {
			oldest = id
		}
	}
	m.held[oldest].Secret.Wipe()
	delete(m.held, oldest)
}

// Take implements Tickets.
func (m *MemoryTickets) Take(_ context.Context, id string) (Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.held[id]
	if !ok {
		return Ticket{}, ErrTicket
	}
	delete(m.held, id)
	return t, nil
}

// exportTicket derives id and secret of a channel's ticket.
func exportTicket(c *Conn) (string, secret.Bytes, error) {
	id, err := c.Export(ticketIDLabel, ticketIDLen)
	if err != nil {
		return "", secret.Bytes{}, err
	}
	k, err := c.Export(ticketSecretLabel, keyLen)
	return hex.EncodeToString(id), secret.NewBytes(k), err
}

// chainEnd is when a new ticket ends: that of a resumed channel ends with the one
// that it was resumed by.
func chainEnd(now, before time.Time) time.Time {
	end := now.Add(ticketLife)
	if !before.IsZero() && before.Before(end) {
		return before
	}
	return end
}

// leaveTicket keeps the server's half.
func (k *Server) leaveTicket(ctx context.Context, c *Conn, resumed *Ticket) error {
	before := time.Time{}
	if resumed != nil {
		before = resumed.Expires
	}
	id, s, err := exportTicket(c)
	if err == nil {
		err = k.c.Tickets.Put(ctx, id, Ticket{Secret: s, Peer: c.peer, Expires: chainEnd(k.c.Now(), before)})
	}
	if err != nil {
		return fmt.Errorf("noise: ticket: %w", err)
	}
	return nil
}

// clientTicket is the client's half.
type clientTicket struct {
	id      string
	secret  secret.Bytes
	expires time.Time
}

// keepTicket keeps the client's half, in the place of an older one.
func (k *Client) keepTicket(c *Conn, resumed *clientTicket) error {
	if !k.c.Resume || k.c.Activation != nil {
		return nil
	}
	before := time.Time{}
	if resumed != nil {
		before = resumed.expires
	}
	id, s, err := exportTicket(c)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ticket != nil {
		k.ticket.secret.Wipe()
	}
	k.ticket = &clientTicket{id, s, chainEnd(k.c.Now(), before)}
	return nil
}

// takeTicket returns the ticket to use, once.
func (k *Client) takeTicket() *clientTicket {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.ticket
	k.ticket = nil
	if t != nil && !k.c.Now().Before(t.expires) {
		t.secret.Wipe()
		return nil
	}
	return t
}
