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
	"github.com/payunit/payunit/payment/host/ledger"
)

// errNoResumption: there is nothing under an id that could be taken.
var errNoResumption = errors.New("host: nothing to resume")

// resumptions keeps sealed content under ids that begin with a prefix, each to be
// taken once.
type resumptions struct {
	r      *Registry
	aead   cipher.AEAD
	prefix string
}

// content is what resumes a channel.
type content struct {
	secret  secret.Bytes
	peer    channel.Identity
	expires time.Time
}

// sealedContent is a content before it is sealed.
type sealedContent struct {
	Secret  []byte
	Peer    channel.Identity
	Expires time.Time
}

// put keeps c, whose secret is wiped.
func (s *resumptions) put(ctx context.Context, id string, c content) error {
	defer c.secret.Wipe()
	id = s.prefix + id
	plain, err := json.Marshal(sealedContent{c.secret.Reveal(), c.peer, c.expires})
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	if _, err := io.ReadFull(s.r.c.Rand, sealed); err != nil {
		return err
	}
	sealed = s.aead.Seal(sealed, sealed, plain, []byte(id))
	return s.r.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		if err := tx.DeleteTicketsBefore(s.r.c.Now()); err != nil {
			return err
		}
		return tx.PutTicket(ledger.Ticket{ID: id, Sealed: sealed, Expires: c.expires})
	})
}

// take removes what is under id and returns it. Error: errNoResumption, those of
// the ledger.
func (s *resumptions) take(ctx context.Context, id string) (content, error) {
	id = s.prefix + id
	var kept ledger.Ticket
	err := s.r.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		if kept, err = tx.Ticket(id); err != nil {
			return err
		}
		return tx.DeleteTicket(id)
	})
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return content{}, errNoResumption
	case err != nil:
		return content{}, err
	}
	n := s.aead.NonceSize()
	if len(kept.Sealed) < n {
		return content{}, fmt.Errorf("%w: it is damaged", errNoResumption)
	}
	plain, err := s.aead.Open(nil, kept.Sealed[:n], kept.Sealed[n:], []byte(id))
	if err != nil {
		return content{}, fmt.Errorf("%w: it is damaged, or of another key", errNoResumption)
	}
	defer clear(plain)
	var c sealedContent
	if err := json.Unmarshal(plain, &c); err != nil {
		return content{}, fmt.Errorf("%w: it is of another version", errNoResumption)
	}
	return content{secret.NewBytes(c.Secret), c.Peer, c.Expires}, nil
}
