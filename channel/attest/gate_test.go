package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
)

// TestChallengeFormat writes the two challenges out by hand.
func TestChallengeFormat(t *testing.T) {
	binding := bytes.Repeat([]byte{0xB1}, 32)
	want := sha256.Sum256(append(append([]byte("payunit attestation 1"), binding...), 2))
	if got := Challenge(binding, channel.PurposeEnrol); !bytes.Equal(got, want[:]) {
		t.Errorf("handshake: %x, want %x", got, want)
	}
	q := Question{Binding: binding, Moment: BeforePIN, Payment: "order-7"}
	copy(q.Nonce[:], bytes.Repeat([]byte{0xA5}, 32))
	text := []byte("payunit re-attestation 1")
	text = append(text, q.Nonce[:]...)
	text = append(append(text, 32), binding...)
	text = append(append(text, 3), "pin"...)
	text = append(append(text, 7), "order-7"...)
	want = sha256.Sum256(text)
	if got, err := q.Challenge(); err != nil || !bytes.Equal(got, want[:]) {
		t.Errorf("in band: %x, %v, want %x", got, err, want)
	}
}

// TestQuestionsDiffer: each field counts, and none flows into the next.
func TestQuestionsDiffer(t *testing.T) {
	base := Question{Binding: []byte("bb"), Moment: BeforePIN, Payment: "pp"}
	seen := map[string]string{}
	for name, change := range map[string]func(*Question){
		"base":    func(*Question) {},
		"nonce":   func(q *Question) { q.Nonce[31] = 1 },
		"binding": func(q *Question) { q.Binding = []byte("bc") },
		"shifted": func(q *Question) { q.Binding = []byte("bb\x03pin\x02p"); q.Payment = "p" },
		"moment":  func(q *Question) { q.Moment = BeforePayment },
		"payment": func(q *Question) { q.Payment = "pq" },
	} {
		q := base
		change(&q)
		c, err := q.Challenge()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if other, ok := seen[string(c)]; ok {
			t.Errorf("%s and %s have one challenge", name, other)
		}
		seen[string(c)] = name
	}
	for name, q := range map[string]Question{
		"no binding":   {Moment: BeforePIN, Payment: "p"},
		"no payment":   {Moment: BeforePIN, Binding: []byte("b")},
		"no moment":    {Payment: "p", Binding: []byte("b")},
		"long payment": {Moment: BeforePIN, Payment: string(make([]byte, 256)), Binding: []byte("b")},
	} {
		if _, err := q.Challenge(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// gateRig is a gate over the software verifier, with a clock and nonces that
// count.
type gateRig struct {
	t   *testing.T
	g   *Gate
	now time.Time
}

// counting gives each nonce another first byte.
type counting struct{ n uint32 }

func (c *counting) Read(b []byte) (int, error) {
	c.n++
	clear(b)
	binary.BigEndian.PutUint32(b, c.n)
	return len(b), nil
}

func newGateRig(t *testing.T, v channel.Verifier) *gateRig {
	t.Helper()
	r := &gateRig{t: t, now: testNow}
	c, err := SoftwareVerifier{}.Verify(t.Context(), []byte("c"), evidence(t, 1, []byte("c")))
	if err != nil {
		t.Fatal(err)
	}
	r.g, err = NewGate(GateConfig{
		Verifier: v, Binding: bytes.Repeat([]byte{7}, 32), Device: c, Rand: &counting{}, Now: func() time.Time { return r.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// answer answers a question as the device with a seed.
func (r *gateRig) answer(q Question, seed byte) channel.Evidence {
	r.t.Helper()
	c, err := q.Challenge()
	if err != nil {
		r.t.Fatal(err)
	}
	return evidence(r.t, seed, c)
}

func (r *gateRig) ask(m Moment, payment string) Question {
	r.t.Helper()
	q, err := r.g.Ask(m, payment)
	if err != nil {
		r.t.Fatal(err)
	}
	return q
}

// prove asks, answers and expects the answer to be taken.
func (r *gateRig) prove(m Moment, payment string) {
	r.t.Helper()
	if _, err := r.g.Judge(r.t.Context(), r.answer(r.ask(m, payment), 1)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *gateRig) fresh(m Moment, payment string, want bool) {
	r.t.Helper()
	err := r.g.Fresh(m, payment)
	if (err == nil) != want || err != nil && !errors.Is(err, ErrNotFresh) {
		r.t.Errorf("fresh before the %s of %s: %v, want %v", m, payment, err, want)
	}
}

func TestGate(t *testing.T) {
	r := newGateRig(t, SoftwareVerifier{})
	r.fresh(BeforePayment, "o1", false)
	r.prove(BeforePayment, "o1")
	r.fresh(BeforePayment, "o1", true)
	r.fresh(BeforePIN, "o1", false)
	r.fresh(BeforePayment, "o2", false)
	r.prove(BeforePIN, "o1")
	r.fresh(BeforePIN, "o1", true)
	r.now = r.now.Add(10*time.Minute - 1)
	r.fresh(BeforePIN, "o1", true)
	r.now = r.now.Add(1)
	r.fresh(BeforePIN, "o1", false)
	r.fresh(BeforePayment, "o1", false)
	// A channel that came up in the middle of a payment.
	r.prove(BeforePIN, "o2")
	r.fresh(BeforePayment, "o2", true)
	r.fresh(BeforePayment, "o1", false)
	// Another payment ends what was proven for this one.
	r.prove(BeforePayment, "o3")
	r.fresh(BeforePIN, "o2", false)
	r.fresh(BeforePIN, "o3", false)
}

func TestGateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		judge func(r *gateRig) error
		want  string
	}{
		"nothing was asked": {func(r *gateRig) error {
			_, err := r.g.Judge(t.Context(), r.answer(Question{Binding: []byte("b"), Moment: BeforePIN, Payment: "o"}, 1))
			return err
		}, "challenge"},
		"one answer twice": {func(r *gateRig) error {
			e := r.answer(r.ask(BeforePIN, "o"), 1)
			if _, err := r.g.Judge(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			_, err := r.g.Judge(t.Context(), e)
			return err
		}, "challenge"},
		"a wrong answer closes the question": {func(r *gateRig) error {
			q := r.ask(BeforePIN, "o")
			if _, err := r.g.Judge(t.Context(), r.answer(q, 2)); err == nil {
				t.Fatal("taken")
			}
			_, err := r.g.Judge(t.Context(), r.answer(q, 1))
			return err
		}, "challenge"},
		"the answer to an older question": {func(r *gateRig) error {
			e := r.answer(r.ask(BeforePIN, "o"), 1)
			r.ask(BeforePIN, "o")
			_, err := r.g.Judge(t.Context(), e)
			return err
		}, "signature"},
		"the answer for another payment": {func(r *gateRig) error {
			q := r.ask(BeforePIN, "o")
			q.Payment = "p"
			_, err := r.g.Judge(t.Context(), r.answer(q, 1))
			return err
		}, "signature"},
		"the answer for another moment": {func(r *gateRig) error {
			q := r.ask(BeforePIN, "o")
			q.Moment = BeforePayment
			_, err := r.g.Judge(t.Context(), r.answer(q, 1))
			return err
		}, "signature"},
		"the answer in another channel": {func(r *gateRig) error {
			q := r.ask(BeforePIN, "o")
			q.Binding = bytes.Repeat([]byte{8}, 32)
			_, err := r.g.Judge(t.Context(), r.answer(q, 1))
			return err
		}, "signature"},
		"another device": {func(r *gateRig) error {
			_, err := r.g.Judge(t.Context(), r.answer(r.ask(BeforePIN, "o"), 2))
			return err
		}, "device"},
		"late": {func(r *gateRig) error {
			e := r.answer(r.ask(BeforePIN, "o"), 1)
			r.now = r.now.Add(time.Minute)
			_, err := r.g.Judge(t.Context(), e)
			return err
		}, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newGateRig(t, SoftwareVerifier{})
			err := c.judge(r)
			if got := reason(t, err); got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
			if name != "one answer twice" {
				r.fresh(BeforePIN, "o", false)
			}
		})
	}
}

// TestGateKeepsKindsApart: what the verifier says of itself is not held against
// the device, and what it says of the level and the end counts.
func TestGateKeepsKindsApart(t *testing.T) {
	r := newGateRig(t, says(channel.Claims{}, errors.New("dial tcp")))
	if _, err := r.g.Judge(t.Context(), r.answer(r.ask(BeforePIN, "o"), 1)); reason(t, err) != "unavailable" {
		t.Errorf("a verifier that breaks: %v", err)
	}
	r.fresh(BeforePIN, "o", false)
	weaker := r.g.c.Device
	weaker.Assurance = channel.AssuranceUnknown
	r = newGateRig(t, says(weaker, nil))
	if _, err := r.g.Judge(t.Context(), r.answer(r.ask(BeforePIN, "o"), 1)); reason(t, err) != "assurance" {
		t.Errorf("weaker than in the handshake: %v", err)
	}
	short := r.g.c.Device
	short.Expires = testNow.Add(time.Second)
	r = newGateRig(t, says(short, nil))
	end, err := r.g.Judge(t.Context(), r.answer(r.ask(BeforePIN, "o"), 1))
	if err != nil || !end.Equal(short.Expires) {
		t.Errorf("it ends at %v, %v", end, err)
	}
	r.now = short.Expires
	r.fresh(BeforePIN, "o", false)
	if _, err := r.g.Judge(t.Context(), r.answer(r.ask(BeforePIN, "o"), 1)); reason(t, err) != "expired" {
		t.Errorf("evidence that has ended: %v", err)
	}
}

func TestGateHasNoDefault(t *testing.T) {
	for name, c := range map[string]GateConfig{"no verifier": {Binding: []byte("b")}, "no binding": {Verifier: SoftwareVerifier{}}} {
		if _, err := NewGate(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
