package payment_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/relay/hostile"
	"github.com/payunit/payunit/channel/tlschan"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/payment/enrol/tlsdevice"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// patience is how long a unit waits for an answer that the app holds back. It is
// virtual time.
const patience = 10 * time.Second

// calm is what the app sees of a payment that it lets through.
func calm(t *testing.T) (seen []hostile.Frame) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		link := hostile.New(w, hostile.Pass)
		c := plain()
		c.link = link
		r := w.rig(c)
		w.order("A-0", 999)
		if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-0"}); err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%+v %v", got, err)
		}
		seen = link.Seen()
	})
	if len(seen) < 10 {
		t.Fatalf("only %d frames", len(seen))
	}
	return seen
}

// every is the part of the trials that runs: all where CI is set and the race
// detector is not at work, else one in so many, each attack and each frame among
// them.
func every(trials []hostile.Trial, n int) []hostile.Trial {
	if os.Getenv("CI") != "" && !raced {
		return trials
	}
	var out []hostile.Trial
	for i, t := range trials {
		if i%n == 0 {
			out = append(out, t)
		}
	}
	return out
}

// TestHostileApp lets the app do everything of the catalogue to each frame of a
// payment in turn. Whatever it does, the payment is right or there is none.
func TestHostileApp(t *testing.T) {
	t.Parallel()
	seen := calm(t)
	trials := every(hostile.Trials(seen), 11)
	if len(trials) < 40 {
		t.Fatalf("only %d trials", len(trials))
	}
	approved := 0
	for _, trial := range trials {
		synctest.Test(t, func(t *testing.T) {
			if hostilePayment(t, trial, trial.Judge()) {
				approved++
			}
		})
		if t.Failed() {
			t.Fatalf("after %v", trial)
		}
	}
	if approved == 0 || approved == len(trials) {
		t.Errorf("%d of %d payments were approved", approved, len(trials))
	}
}

// TestEveryByteOfAPayment flips a bit of the bytes of a payment, one at a time.
// That each byte of each kind of frame counts is the channel's own test.
func TestEveryByteOfAPayment(t *testing.T) {
	t.Parallel()
	trials := every(hostile.Bytes(calm(t), 37), 15)
	for _, trial := range trials {
		synctest.Test(t, func(t *testing.T) { hostilePayment(t, trial, trial.Judge()) })
		if t.Failed() {
			t.Fatalf("after %v", trial)
		}
	}
}

// TestHostileReconnection takes the answer to the request away, and then does
// everything of the catalogue to each frame of the connection that the unit asks
// over what became of it, the resumption and the repeat of the request: a third of
// it, so that each attack meets a third of the frames.
func TestHostileReconnection(t *testing.T) {
	t.Parallel()
	cut, seen := cutAtAnswer(t)
	var all []hostile.Trial
	for n, trial := range hostile.Trials(seen) {
		if trial.Frame > cut && n%3 == 0 {
			all = append(all, trial)
		}
	}
	trials := every(all, 8)
	if len(trials) < 10 {
		t.Fatalf("only %d trials", len(trials))
	}
	for _, trial := range trials {
		synctest.Test(t, func(t *testing.T) {
			judge := trial.Judge()
			hostilePayment(t, trial, func(f hostile.Frame) hostile.Verdict {
				if f.Order == cut {
					return hostile.Cut(f)
				}
				return judge(f)
			})
		})
		if t.Failed() {
			t.Fatalf("after %v, the answer cut at frame %d", trial, cut)
		}
	}
}

// newTLSWorld is a world whose channel is TLS.
func newTLSWorld(t *testing.T) *world {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0xA3}, 32))
	w := newWorld(t, func(hc *host.Config) {
		h, err := tlschan.NewServer(tlschan.ServerConfig{
			Key: key, Verifier: attest.SoftwareVerifier{}, Authorize: hc.Registry.Authorize, Activations: hc.Registry.ActivationKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		hc.Handshaker = h
		if hc.ServerKey, err = tlschan.PublicKey(key.Public()); err != nil {
			t.Fatal(err)
		}
	})
	w.channel = tlsdevice.Channel
	return w
}

// TestHostileAppOverTLS is TestHostileApp over the other kind of channel.
func TestHostileAppOverTLS(t *testing.T) {
	t.Parallel()
	var seen []hostile.Frame
	synctest.Test(t, func(t *testing.T) {
		w := newTLSWorld(t)
		link := hostile.New(w, hostile.Pass)
		c := plain()
		c.link = link
		r := w.rig(c)
		w.order("A-0", 999)
		if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-0"}); err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%+v %v", got, err)
		}
		seen = link.Seen()
	})
	var all []hostile.Trial
	for n, trial := range hostile.Trials(seen) {
		if n%4 == 0 {
			all = append(all, trial)
		}
	}
	trials := every(all, 9)
	if len(trials) < 10 {
		t.Fatalf("only %d trials of %d frames", len(trials), len(seen))
	}
	for _, trial := range trials {
		synctest.Test(t, func(t *testing.T) { hostileIn(t, newTLSWorld(t), trial, trial.Judge()) })
		if t.Failed() {
			t.Fatalf("after %v", trial)
		}
	}
}

// cutAtAnswer finds the frame with the answer to the request, and what the app
// sees of a payment when it cuts the connection there.
func cutAtAnswer(t *testing.T) (cut int, seen []hostile.Frame) {
	t.Helper()
	frames := calm(t)
	for cut = len(frames) - 1; cut >= 0; cut-- {
		if frames[cut].Up {
			continue
		}
		asked := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			link := hostile.New(w, func(f hostile.Frame) hostile.Verdict {
				if f.Order == cut {
					return hostile.Cut(f)
				}
				return hostile.Pass(f)
			})
			c := plain()
			c.link = link
			r := w.rig(c)
			w.order("A-0", 999)
			if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-0"}); err != nil {
				return
			}
			asked = slices.ContainsFunc(w.told(), func(e string) bool { return strings.Contains(e, "0201") })
			seen = link.Seen()
		})
		if asked {
			return cut, seen
		}
	}
	t.Fatal("no frame makes the unit ask again")
	return 0, nil
}

// told returns what the server told its people.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// hostilePayment makes a payment under a trial; it reports whether it was
// approved.
func hostilePayment(t *testing.T, trial hostile.Trial, judge func(hostile.Frame) hostile.Verdict) bool {
	t.Helper()
	return hostileIn(t, newWorld(t), trial, judge)
}

func hostileIn(t *testing.T, w *world, trial hostile.Trial, judge func(hostile.Frame) hostile.Verdict) bool {
	t.Helper()
	c := plain()
	c.link = hostile.New(w, judge)
	c.limits = payment.Limits{Connect: patience, Reply: patience}
	r := w.rig(c)
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil && !errors.Is(err, payment.ErrServer) {
		t.Errorf("not the server's kind of error: %v", err)
	}
	if err == nil && got.Minor != 1234 && got.Outcome != "" {
		t.Errorf("another amount: %+v", got)
	}
	if trial.Benign && (err != nil || got.Outcome != payment.Approved) {
		t.Errorf("a network may do that: %s, %v", got.Outcome, err)
	}
	for _, f := range r.holder.Confirmed() {
		if f.Amount.Minor != 1234 {
			t.Errorf("the cardholder saw %s", f.Amount)
		}
	}
	if n := w.audit(); n.Authorisations > 1 {
		t.Errorf("%d requests for one payment", n.Authorisations)
	}
	c.link, c.limits = nil, payment.Limits{}
	w.settled(w.open(c, r.vault), "A-1", got, err)
	return got.Outcome == payment.Approved
}

// TestOlderSession gives a unit what a server said in an older session, and a
// server what a unit said in one.
func TestOlderSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := hostile.New(w, hostile.Pass)
		c := plain()
		c.link = first
		r := w.rig(c)
		w.order("A-1", 1234)
		if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%+v %v", got, err)
		}
		before := w.audit()
		answers, err := hostile.Replay(t.Context(), w, first.Seen())
		if err != nil || len(answers) == 0 {
			t.Fatalf("%v, %v", answers, err)
		}
		if after := w.audit(); after.Entries != before.Entries {
			t.Errorf("a replayed session booked %d entries", after.Entries-before.Entries)
		}
		w.order("A-2", 5000)
		c.link = hostile.New(w, hostile.RollBack(first.Seen()))
		c.limits = payment.Limits{Connect: patience, Reply: patience}
		if got, err := w.open(c, r.vault).unit.Pay(t.Context(), payment.Order{ID: "A-2"}); err == nil {
			t.Errorf("an old session was taken: %+v", got)
		}
		if s := w.state("A-2"); s != trade.Open {
			t.Errorf("order is %s", s)
		}
		w.audit()
	})
}

// TestHostileEnrolment: an enrolment under every attack ends with the device as a
// terminal or without one, the next under the same code succeeds, and a recorded
// one enrols nobody.
func TestHostileEnrolment(t *testing.T) {
	t.Parallel()
	var seen []hostile.Frame
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		link := hostile.New(w, hostile.Pass)
		if err := w.enrol(w.vault(), link, w.activation()); err != nil {
			t.Fatal(err)
		}
		seen = link.Seen()
		if _, err := hostile.Replay(t.Context(), w, seen); err != nil {
			t.Fatal(err)
		}
		if !w.knows("P0000001") || w.knows("P0000002") {
			t.Error("after a replay there is not one terminal")
		}
	})
	for _, trial := range every(hostile.Trials(seen), 17) {
		synctest.Test(t, func(t *testing.T) { hostileEnrolment(t, trial) })
		if t.Failed() {
			t.Fatalf("after %v", trial)
		}
	}
}

func hostileEnrolment(t *testing.T, trial hostile.Trial) {
	t.Helper()
	w := newWorld(t)
	v := w.vault()
	code := w.activation()
	err := w.enrol(v, hostile.New(w, trial.Judge()), code)
	if trial.Benign && err != nil {
		t.Errorf("a network may do that: %v", err)
	}
	if err != nil {
		if err := w.enrol(v, w, code); err != nil {
			t.Errorf("the next enrolment: %v", err)
		}
	}
	if !w.knows("P0000001") || w.knows("P0000002") {
		t.Error("there is not one terminal")
	}
	w.order("A-1", 1234)
	if got, err := w.open(plain(), v).unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
		t.Errorf("a payment then: %s, %v", got.Outcome, err)
	}
}

// vault makes a device's storage.
func (w *world) vault() *vault.Vault {
	w.t.Helper()
	v, err := vault.Open(w.ctx, w.t.TempDir(), vault.Config{Key: vault.FixedKey(key(0xC1, 32))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = v.Close() })
	return v
}

func (w *world) activation() string {
	w.t.Helper()
	a, err := w.registry.CreateActivation(w.ctx, host.Merchant{ID: testMerchant, Name: "Test Merchant"})
	if err != nil {
		w.t.Fatal(err)
	}
	code, err := a.Code()
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

func (w *world) enrol(v *vault.Vault, link trusted.Link, code string) error {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	_, err := enrol.Enrol(ctx, w.enrolment(v, link), code, 4)
	return err
}

// knows reports whether the server has a terminal.
func (w *world) knows(terminal string) bool {
	w.t.Helper()
	err := w.ledger.View(w.ctx, func(tx ledger.Tx) error {
		_, err := tx.Terminal(terminal)
		return err
	})
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

// TestFlood: connections that say nothing, nonsense, or half a handshake do not
// keep a unit from paying.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.rig(plain())
		w.order("A-1", 1234)
		var open []io.Closer
		for n := range 60 {
			c, err := w.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
			if n%3 > 0 {
				go func() { _, _ = c.Write(make([]byte, 1<<(n%16))) }()
			}
		}
		if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
			t.Errorf("%+v, %v", got, err)
		}
		for _, c := range open {
			_ = c.Close()
		}
		w.audit()
	})
}

// TestRelaySizesTellNothing: the app sees the same sizes whether a PIN was
// entered or not.
func TestRelaySizesTellNothing(t *testing.T) {
	sizes := func(profile string) string {
		w := newWorld(t)
		link := hostile.New(w, hostile.Pass)
		c := plain()
		c.profile = profile
		c.link = link
		r := w.rig(c)
		w.order("A-1", 1234)
		if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%s: %+v %v", profile, got, err)
		}
		var s string
		for _, f := range link.Seen() {
			s += fmt.Sprintf("%v %d\n", f.Up, len(f.Bytes))
		}
		return s
	}
	// Whether the server's last frame, which closes the channel, has passed when
	// the payment is over is chance: the sizes up to then count.
	with, without := sizes("default"), sizes("nocvm")
	n := min(len(with), len(without))
	if with[:n] != without[:n] || strings.Count(with[:n], "\n") < 10 {
		t.Errorf("with a PIN:\n%s\nwithout:\n%s", with, without)
	}
}
