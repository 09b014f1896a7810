package attest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/payunit/payunit/channel"
)

// ErrConfig: something was given a configuration that can't work.
var ErrConfig = errors.New("attest: configuration")

const defaultLifetime = time.Hour

// PolicyConfig makes a Policy.
type PolicyConfig struct {
	// Verifiers are who judges, by type of evidence. Other types are refused.
	// No default.
	Verifiers map[string]channel.Verifier
	// Minimum is the weakest assurance that is accepted. No default: a policy
	// that takes AssuranceSoftware says so.
	Minimum channel.Assurance
	// Lifetime is how long evidence counts at most; zero means an hour. A
	// verifier may say less.
	Lifetime time.Duration
	// Revoked says whether a device, by its name in channel.Claims, was
	// revoked; nil means that none was. An error is not held against the
	// device: the evidence could not be judged.
	Revoked func(ctx context.Context, device string) (bool, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Policy is a server's rules for evidence, over the verifiers of its types. It
// is safe for concurrent use as far as they are.
type Policy struct{ c PolicyConfig }

var _ channel.Verifier = (*Policy)(nil)

// NewPolicy makes a policy. Errors wrap ErrConfig.
func NewPolicy(c PolicyConfig) (*Policy, error) {
	if len(c.Verifiers) == 0 {
		return nil, fmt.Errorf("%w: there are no Verifiers, and no default", ErrConfig)
	}
	for t, v := range c.Verifiers {
		if v == nil {
			return nil, fmt.Errorf("%w: the verifier of %q is nil", ErrConfig, t)
		}
	}
	if c.Minimum == channel.AssuranceUnknown || c.Minimum > channel.AssuranceHardware {
		return nil, fmt.Errorf("%w: Minimum is %d and has no default", ErrConfig, c.Minimum)
	}
	if c.Lifetime <= 0 {
		c.Lifetime = defaultLifetime
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Verifiers = maps.Clone(c.Verifiers)
	return &Policy{c}, nil
}

// Verify implements channel.Verifier.
func (p *Policy) Verify(ctx context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	v, ok := p.c.Verifiers[e.Type]
	if !ok {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonType, "evidence of type %.32q", e.Type)
	}
	claims, err := v.Verify(ctx, challenge, e)
	if err != nil {
		return channel.Claims{}, unavailableUnlessRefused(err)
	}
	if claims.Device == "" {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonDevice, "the evidence names no device")
	}
	if claims.Assurance < p.c.Minimum {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonAssurance, "it proves the level %v, want at least %v", claims.Assurance, p.c.Minimum)
	}
	if p.c.Revoked != nil {
		revoked, err := p.c.Revoked(ctx, claims.Device)
		if err != nil {
			return channel.Claims{}, fmt.Errorf("%w: revoked devices: %w", channel.ErrVerifierUnavailable, err)
		}
		if revoked {
			return channel.Claims{}, channel.RefuseEvidence(channel.ReasonRevoked, "the device was revoked")
		}
	}
	now := p.c.Now()
	if !claims.Expires.IsZero() && !now.Before(claims.Expires) {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonExpired, "the evidence ended before it was judged")
	}
	if end := now.Add(p.c.Lifetime); claims.Expires.IsZero() || claims.Expires.After(end) {
		claims.Expires = end
	}
	return claims, nil
}

// unavailableUnlessRefused keeps the two kinds of failure apart: what is not a
// judgement does not count against the device.
func unavailableUnlessRefused(err error) error {
	if errors.Is(err, channel.ErrEvidence) || errors.Is(err, channel.ErrVerifierUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", channel.ErrVerifierUnavailable, err)
}
