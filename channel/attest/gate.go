package attest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/channel"
)

// GateConfig makes a Gate.
type GateConfig struct {
	// Verifier judges. No default.
	Verifier channel.Verifier
	// Binding is the channel's. No default.
	Binding []byte
	// Device is what the handshake proved: later evidence has to be of the
	// same device, and no weaker.
	Device channel.Claims
	// Answer is how long an answer to a challenge is waited for; zero means a
	// minute.
	Answer time.Duration
	// Lifetime is how long evidence for a moment of a payment counts at most;
	// zero means ten minutes. The verifier's claims may end it before.
	Lifetime time.Duration
	// Rand is the source of nonces; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ErrNotFresh: there is no evidence for this moment of this payment that still
// counts. It says nothing against the device, which is to be asked.
var ErrNotFresh = errors.New("attest: new evidence is needed")

// Gate is the server's end of re-attestation in one channel. It asks one
// question at a time, takes one answer to each, and remembers what was proven
// for the payment that runs. It is safe for concurrent use.
type Gate struct {
	c GateConfig

	mu sync.Mutex
	// asked is the question that is open, nil for none; until is its end.
	asked *Question
	until time.Time
	// payment is what evidence is held for, and proven when it ends to count.
	payment string
	proven  map[Moment]time.Time
}

// NewGate makes a gate. Errors wrap ErrConfig.
func NewGate(c GateConfig) (*Gate, error) {
	if c.Verifier == nil {
		return nil, fmt.Errorf("%w: Verifier is nil and has no default", ErrConfig)
	}
	if len(c.Binding) == 0 {
		return nil, fmt.Errorf("%w: Binding is empty and has no default", ErrConfig)
	}
	if c.Answer <= 0 {
		c.Answer = time.Minute
	}
	if c.Lifetime <= 0 {
		c.Lifetime = 10 * time.Minute
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Gate{c: c, proven: map[Moment]time.Time{}}, nil
}

// Ask makes a question with a new nonce. One that is open is forgotten.
func (g *Gate) Ask(m Moment, payment string) (Question, error) {
	q := Question{Binding: g.c.Binding, Moment: m, Payment: payment}
	if _, err := io.ReadFull(g.c.Rand, q.Nonce[:]); err != nil {
		return Question{}, fmt.Errorf("attest: nonce: %w", err)
	}
	if _, err := q.Challenge(); err != nil {
		return Question{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked, g.until = &q, g.c.Now().Add(g.c.Answer)
	return q, nil
}

// Judge takes the answer to the open question, which is closed by it whatever
// comes out, and returns when the evidence ends to count. Errors: an
// *channel.EvidenceError, channel.ErrVerifierUnavailable.
func (g *Gate) Judge(ctx context.Context, e channel.Evidence) (time.Time, error) {
	g.mu.Lock()
	q, until := g.asked, g.until
	g.asked = nil
	g.mu.Unlock()
	if q == nil {
		return time.Time{}, channel.RefuseEvidence(channel.ReasonChallenge, "nothing was asked")
	}
	if !g.c.Now().Before(until) {
		return time.Time{}, channel.RefuseEvidence(channel.ReasonExpired, "the answer came after its time")
	}
	challenge, err := q.Challenge()
	if err != nil {
		return time.Time{}, err
	}
	claims, err := g.c.Verifier.Verify(ctx, challenge, e)
	if err != nil {
		return time.Time{}, unavailableUnlessRefused(err)
	}
	if claims.Device != g.c.Device.Device {
		return time.Time{}, channel.RefuseEvidence(channel.ReasonDevice, "another device than the one that opened the channel")
	}
	if claims.Assurance < g.c.Device.Assurance {
		return time.Time{}, channel.RefuseEvidence(channel.ReasonAssurance, "it proves the level %v, the handshake proved %v", claims.Assurance, g.c.Device.Assurance)
	}
	now := g.c.Now()
	end := now.Add(g.c.Lifetime)
	if !claims.Expires.IsZero() && claims.Expires.Before(end) {
		if end = claims.Expires; !now.Before(end) {
			return time.Time{}, channel.RefuseEvidence(channel.ReasonExpired, "the evidence ended before it was judged")
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.payment != q.Payment {
		g.payment = q.Payment
		clear(g.proven)
	}
	g.proven[q.Moment] = end
	return end, nil
}

// Fresh says whether there is evidence for a moment of a payment that still
// counts. What was proven before the PIN serves for the payment too. Error:
// ErrNotFresh.
func (g *Gate) Fresh(m Moment, payment string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.c.Now()
	if g.payment == payment && (now.Before(g.proven[m]) || m == BeforePayment && now.Before(g.proven[BeforePIN])) {
		return nil
	}
	return fmt.Errorf("%w: before the %s", ErrNotFresh, string(m))
}
