package comm

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/trade"
)

// ErrNoAttester: the session's Client has no Attester.
var ErrNoAttester = errors.New("comm: nothing here can attest")

// Attest proves the device again, at a moment of a payment: it fetches the
// server's nonce and answers it. A *trade.Error says that the server refuses the
// evidence (trade.CodeEvidence, with the reason) or can't judge it now
// (trade.CodeVerifier); the session goes on after it, and after an error of the
// Attester.
func (s *Session) Attest(ctx context.Context, m attest.Moment, payment string) error {
	if s.attester == nil {
		return ErrNoAttester
	}
	q := attest.Question{Binding: s.conn.Binding(), Moment: m, Payment: payment}
	var c trade.Challenge
	if err := s.ask(ctx, trade.KindAttest, trade.Attest{Moment: string(m), Order: payment}, trade.KindChallenge, &c); err != nil {
		return err
	}
	if len(c.Nonce) != attest.NonceLen {
		return s.broken(fmt.Errorf("%w: nonce of %d bytes, want %d", ErrProtocol, len(c.Nonce), attest.NonceLen))
	}
	copy(q.Nonce[:], c.Nonce)
	challenge, err := q.Challenge()
	if err != nil {
		return err
	}
	e, err := s.attester.Attest(ctx, challenge)
	if err != nil {
		return fmt.Errorf("comm: attestation: %w", err)
	}
	var taken trade.Attested
	return s.ask(ctx, trade.KindEvidence, trade.Evidence{Type: e.Type, Statement: e.Statement}, trade.KindAttested, &taken)
}

// ask is a Call with a body each way.
func (s *Session) ask(ctx context.Context, kind trade.Kind, body any, want trade.Kind, reply any) error {
	e, err := trade.Encode(kind, 0, body)
	if err != nil {
		return err
	}
	if e, err = s.Call(ctx, kind, e.Body); err != nil {
		return err
	}
	if e.Kind != want {
		return s.broken(fmt.Errorf("%w: reply of kind %d, want %d", ErrProtocol, e.Kind, want))
	}
	if err := e.Decode(reply); err != nil {
		return s.broken(fmt.Errorf("%w: %w", ErrProtocol, err))
	}
	return nil
}

// broken ends the session.
func (s *Session) broken(err error) error { return errors.Join(err, s.Close()) }
