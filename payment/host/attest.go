package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

// gate is a channel's attest.Gate.
type gate interface {
	Ask(m attest.Moment, payment string) (attest.Question, error)
	Judge(ctx context.Context, e channel.Evidence) (time.Time, error)
	Fresh(m attest.Moment, payment string) error
}

var _ gate = (*attest.Gate)(nil)

func (s *Server) newGate(conn channel.Conn) (gate, error) {
	g, err := attest.NewGate(attest.GateConfig{
		Verifier: s.c.Verifier, Binding: conn.Binding(), Device: conn.Peer().Claims, Lifetime: s.c.Limits.Evidence, Rand: s.c.Rand, Now: s.c.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	return g, nil
}

// challenge answers an Attest.
func (s *Server) challenge(p *peer, e trade.Envelope) (trade.Envelope, error) {
	var req trade.Attest
	if err := e.Decode(&req); err != nil {
		return trade.Envelope{}, errMalformed
	}
	if !word(req.Order, trade.MaxOrderID) {
		return trade.Envelope{}, errMalformed
	}
	switch attest.Moment(req.Moment) {
	case attest.BeforePayment, attest.BeforePIN:
	default:
		return trade.Envelope{}, errMalformed
	}
	q, err := p.gate.Ask(attest.Moment(req.Moment), req.Order)
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	return trade.Encode(trade.KindChallenge, e.Request, trade.Challenge{Nonce: q.Nonce[:]})
}

// maxStatement bounds a statement of evidence.
const maxStatement = 16 << 10

// evidence answers an Evidence.
func (s *Server) evidence(ctx context.Context, p *peer, e trade.Envelope) (trade.Envelope, error) {
	var ev trade.Evidence
	if err := e.Decode(&ev); err != nil || len(ev.Statement) > maxStatement {
		return trade.Envelope{}, errMalformed
	}
	until, err := p.gate.Judge(ctx, channel.Evidence{Type: ev.Type, Statement: ev.Statement})
	var refused *channel.EvidenceError
	switch {
	case errors.As(err, &refused):
		s.tell(p.identity.TerminalID, "", "evidence refused: %v", err)
		return trade.Envelope{}, &trade.Error{Code: trade.CodeEvidence, Reason: string(refused.Reason), Text: "the device's evidence is not accepted"}
	case errors.Is(err, channel.ErrVerifierUnavailable):
		s.tell(p.identity.TerminalID, "", "evidence not judged: %v", err)
		return trade.Envelope{}, &trade.Error{Code: trade.CodeVerifier, Text: "the device's evidence can't be judged now"}
	case err != nil:
		return trade.Envelope{}, s.refuse(err)
	}
	return trade.Encode(trade.KindAttested, e.Request, trade.Attested{Seconds: int64(until.Sub(s.c.Now()) / time.Second)})
}

// fresh says, as an error for the unit, that evidence is needed first.
func (p *peer) fresh(m attest.Moment, order string) error {
	if err := p.gate.Fresh(m, order); err != nil {
		return &trade.Error{Code: trade.CodeAttest, Reason: string(m), Text: "new evidence of the device is needed first"}
	}
	return nil
}

// freshFor checks the evidence for a financial message. A request needs what is
// proven before the PIN, whether there is one or not: a relay that counts
// messages must not learn which. An increment needs what its trade
// did: it takes a new amount, also where it is sent again. What settles an
// earlier request, a reversal above all, needs none.
func (p *peer) freshFor(m *acquirer.Message) error {
	switch {
	case increments(m):
		return p.fresh(attest.BeforePayment, m.Order)
	case m.MTI[:3] == "010", m.MTI[:3] == "020":
		return p.fresh(attest.BeforePIN, m.Order)
	}
	return nil
}
