package attest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel"
)

var testNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// judge is a verifier that says what the test wants.
type judge func(challenge []byte, e channel.Evidence) (channel.Claims, error)

func (j judge) Verify(_ context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	return j(challenge, e)
}

func says(c channel.Claims, err error) judge {
	return func([]byte, channel.Evidence) (channel.Claims, error) { return c, err }
}

// reason is why evidence was refused, or "unavailable", or "".
func reason(t *testing.T, err error) string {
	t.Helper()
	var e *channel.EvidenceError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		if !errors.Is(err, channel.ErrEvidence) || errors.Is(err, channel.ErrVerifierUnavailable) {
			t.Errorf("%v is not one of the two kinds", err)
		}
		return string(e.Reason)
	case errors.Is(err, channel.ErrVerifierUnavailable) && !errors.Is(err, channel.ErrEvidence):
		return "unavailable"
	}
	t.Errorf("unexpected error %v", err)
	return err.Error()
}

func TestPolicy(t *testing.T) {
	good := channel.Claims{Assurance: channel.AssuranceIsolated, Device: "d1"}
	with := func(f func(*channel.Claims)) channel.Claims { c := good; f(&c); return c }
	for _, c := range []struct {
		name    string
		kind    string
		claims  channel.Claims
		err     error
		revoked error
		want    string
		ends    time.Time
	}{
		{name: "accepted", kind: "a", claims: good, ends: testNow.Add(time.Hour)},
		{name: "ends sooner", kind: "a", claims: with(func(c *channel.Claims) { c.Expires = testNow.Add(time.Minute) }), ends: testNow.Add(time.Minute)},
		{name: "ends later", kind: "a", claims: with(func(c *channel.Claims) { c.Expires = testNow.Add(time.Hour + 1) }), ends: testNow.Add(time.Hour)},
		{name: "ended", kind: "a", claims: with(func(c *channel.Claims) { c.Expires = testNow }), want: "expired"},
		{name: "other type", kind: "b", claims: good, want: "type"},
		{name: "no type", claims: good, want: "type"},
		{name: "too weak", kind: "a", claims: with(func(c *channel.Claims) { c.Assurance = channel.AssuranceSoftware }), want: "assurance"},
		{name: "nameless", kind: "a", claims: with(func(c *channel.Claims) { c.Device = "" }), want: "device"},
		{name: "revoked", kind: "a", claims: with(func(c *channel.Claims) { c.Device = "stolen" }), want: "revoked"},
		{name: "refused", kind: "a", err: channel.RefuseEvidence(channel.ReasonChain, "x"), want: "chain"},
		{name: "verifier is down", kind: "a", err: channel.ErrVerifierUnavailable, want: "unavailable"},
		{name: "verifier breaks", kind: "a", err: errors.New("dial tcp"), want: "unavailable"},
		{name: "verifier takes too long", kind: "a", err: context.DeadlineExceeded, want: "unavailable"},
		{name: "nobody knows who is revoked", kind: "a", claims: good, revoked: errors.New("down"), want: "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := NewPolicy(PolicyConfig{
				Verifiers: map[string]channel.Verifier{"a": says(c.claims, c.err)}, Minimum: channel.AssuranceIsolated,
				Revoked: func(_ context.Context, device string) (bool, error) { return device == "stolen", c.revoked },
				Now:     func() time.Time { return testNow },
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Verify(t.Context(), make([]byte, 32), channel.Evidence{Type: c.kind})
			if r := reason(t, err); r != c.want {
				t.Fatalf("refused for %q (%v), want %q", r, err, c.want)
			}
			want := channel.Claims{}
			if c.want == "" {
				want = c.claims
				want.Expires = c.ends
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("claims (-want +got):\n%s", d)
			}
		})
	}
}

// TestPolicyHasNoDefault: what decides trust has to be said.
func TestPolicyHasNoDefault(t *testing.T) {
	some := map[string]channel.Verifier{TypeSoftware: SoftwareVerifier{}}
	for name, c := range map[string]PolicyConfig{
		"nothing":     {},
		"no verifier": {Minimum: channel.AssuranceSoftware},
		"nil":         {Minimum: channel.AssuranceSoftware, Verifiers: map[string]channel.Verifier{"a": nil}},
		"no minimum":  {Verifiers: some},
		"no level":    {Verifiers: some, Minimum: channel.AssuranceHardware + 1},
	} {
		if p, err := NewPolicy(c); p != nil || !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewPolicy(PolicyConfig{Verifiers: some, Minimum: channel.AssuranceSoftware}); err != nil {
		t.Error(err)
	}
}

// TestPolicyOverSoftware runs the real verifier below a policy.
func TestPolicyOverSoftware(t *testing.T) {
	p, err := NewPolicy(PolicyConfig{Verifiers: map[string]channel.Verifier{TypeSoftware: SoftwareVerifier{}}, Minimum: channel.AssuranceSoftware})
	if err != nil {
		t.Fatal(err)
	}
	challenge := Challenge([]byte("binding"), channel.PurposePay)
	if c, err := p.Verify(t.Context(), challenge, evidence(t, 1, challenge)); err != nil || c.Expires.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := p.Verify(t.Context(), Challenge([]byte("binding"), channel.PurposeEnrol), evidence(t, 1, challenge)); reason(t, err) != "signature" {
		t.Errorf("for another purpose: %v", err)
	}
}

func TestInsecureAcceptAnything(t *testing.T) {
	c, err := InsecureAcceptAnything{}.Verify(t.Context(), nil, channel.Evidence{})
	if err != nil || c.Assurance != channel.AssuranceUnknown {
		t.Errorf("%+v, %v: it must not claim a level", c, err)
	}
}
