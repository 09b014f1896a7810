package host

import (
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment/host/ledger"
)

// Tickets keeps what channels leave for their resumption in the ledger, where
// every server on it finds them. Their content is sealed with AES-256-GCM under a
// key that derives from RegistryConfig.Key.
func (r *Registry) Tickets() (noise.Tickets, error) {
	aead, err := r.sealer("ticket")
	if err != nil {
		return nil, err
	}
	return &tickets{r, aead}, nil
}

type tickets struct {
	r    *Registry
	aead cipher.AEAD
}

// content is a ticket before it is sealed.
type content struct {
	Secret  []byte
	Peer    channel.Identity
	Expires time.Time
}

// Put implements noise.Tickets.
func (t *tickets) Put(ctx context.Context, id string, v noise.Ticket) error {
	defer v.Secret.Wipe()
	plain, err := json.Marshal(content{v.Secret.Reveal(), v.Peer, v.Expires})
	if err != nil {
		return fmt.Errorf("host: ticket: %w", err)
	}
	defer clear(plain)
	sealed := make([]byte, t.aead.NonceSize(), t.aead.NonceSize()+len(plain)+t.aead.Overhead())
	if _, err := io.ReadFull(t.r.c.Rand, sealed); err != nil {
		return fmt.Errorf("host: ticket: %w", err)
	}
	sealed = t.aead.Seal(sealed, sealed, plain, []byte(id))
	err = t.r.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		if err := tx.DeleteTicketsBefore(t.r.c.Now()); err != nil {
			return err
		}
		return tx.PutTicket(ledger.Ticket{ID: id, Sealed: sealed, Expires: v.Expires})
	})
	if err != nil {
		return fmt.Errorf("host: ticket: %w", err)
	}
	return nil
}

// Take implements noise.Tickets.
func (t *tickets) Take(ctx context.Context, id string) (noise.Ticket, error) {
	var kept ledger.Ticket
	err := t.r.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		if kept, err = tx.Ticket(id); err != nil {
			return err
		}
		return tx.DeleteTicket(id)
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return noise.Ticket{}, noise.ErrTicket
	}
	if err != nil {
		return noise.Ticket{}, fmt.Errorf("host: ticket: %w", err)
	}
	n := t.aead.NonceSize()
	if len(kept.Sealed) < n {
		return noise.Ticket{}, fmt.Errorf("%w: it is damaged", noise.ErrTicket)
	}
	plain, err := t.aead.Open(nil, kept.Sealed[:n], kept.Sealed[n:], []byte(id))
	if err != nil {
		return noise.Ticket{}, fmt.Errorf("%w: it is damaged, or of another key", noise.ErrTicket)
	}
	defer clear(plain)
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return noise.Ticket{}, fmt.Errorf("%w: it is of another version", noise.ErrTicket)
	}
	return noise.Ticket{Secret: secret.NewBytes(c.Secret), Peer: c.Peer, Expires: c.Expires}, nil
}
