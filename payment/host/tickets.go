package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/channel/tlschan"
)

// Tickets keeps what channels leave for their resumption in the ledger, where
// every server on it finds them. Their content is sealed with AES-256-GCM under a
// key that derives from RegistryConfig.Key.
func (r *Registry) Tickets() (noise.Tickets, error) {
	aead, err := r.sealer("ticket")
	if err != nil {
		return nil, err
	}
	return &tickets{resumptions{r, aead, ""}}, nil
}

// Sessions is Tickets for channels over TLS.
func (r *Registry) Sessions() (tlschan.Sessions, error) {
	aead, err := r.sealer("session")
	if err != nil {
		return nil, err
	}
	return &sessions{resumptions{r, aead, "tls/"}}, nil
}

type tickets struct{ resumptions }

// Put implements noise.Tickets.
func (t *tickets) Put(ctx context.Context, id string, v noise.Ticket) error {
	if err := t.put(ctx, id, content{v.Secret, v.Peer, v.Expires}); err != nil {
		return fmt.Errorf("host: ticket: %w", err)
	}
	return nil
}

// Take implements noise.Tickets.
func (t *tickets) Take(ctx context.Context, id string) (noise.Ticket, error) {
	c, err := t.take(ctx, id)
	switch {
	case errors.Is(err, errNoResumption):
		return noise.Ticket{}, fmt.Errorf("%w: %w", noise.ErrTicket, err)
	case err != nil:
		return noise.Ticket{}, fmt.Errorf("host: ticket: %w", err)
	}
	return noise.Ticket{Secret: c.secret, Peer: c.peer, Expires: c.expires}, nil
}

type sessions struct{ resumptions }

// Put implements tlschan.Sessions.
func (s *sessions) Put(ctx context.Context, id string, v tlschan.Session) error {
	if err := s.put(ctx, id, content{v.State, v.Peer, v.Expires}); err != nil {
		return fmt.Errorf("host: session: %w", err)
	}
	return nil
}

// Take implements tlschan.Sessions.
func (s *sessions) Take(ctx context.Context, id string) (tlschan.Session, error) {
	c, err := s.take(ctx, id)
	switch {
	case errors.Is(err, errNoResumption):
		return tlschan.Session{}, fmt.Errorf("%w: %w", tlschan.ErrSession, err)
	case err != nil:
		return tlschan.Session{}, fmt.Errorf("host: session: %w", err)
	}
	return tlschan.Session{State: c.secret, Peer: c.peer, Expires: c.expires}, nil
}
