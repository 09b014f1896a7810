package payment_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// dying is a storage whose n-th write fails and, like a dead process or a full
// disk, every one after it; took says whether the n-th still took effect.
type dying struct {
	payment.Storage
	left int
	took bool
	err  error
	met  bool
}

func (d *dying) write(ctx context.Context, do func() error) error {
	d.left--
	if d.left > 0 {
		return do()
	}
	first := !d.met
	d.met = true
	if first && d.took {
		return errors.Join(d.err, do())
	}
	return d.err
}

func (d *dying) Put(ctx context.Context, name string, value []byte) error {
	return d.write(ctx, func() error { return d.Storage.Put(ctx, name, value) })
}

func (d *dying) Delete(ctx context.Context, name string) error {
	return d.write(ctx, func() error { return d.Storage.Delete(ctx, name) })
}

func (d *dying) Next(ctx context.Context, name string) (n uint64, err error) {
	err = d.write(ctx, func() error { n, err = d.Storage.Next(ctx, name); return err })
	return n, err
}

var errDied = errors.New("the process died")

// settled checks that after everything was recovered the ledger holds, nothing
// is pending, and the order is paid exactly when the last word was approval.
func (w *world) settled(r *rig, id string, got payment.Result, perr error) {
	w.t.Helper()
	rep, err := r.unit.Recover(w.ctx)
	if err != nil || len(rep.Pending) != 0 {
		w.t.Fatalf("Recover: %+v, %v", rep, err)
	}
	last := got.Outcome
	for _, s := range rep.Settled {
		if s.Order == id {
			last = s.Outcome
		}
	}
	if got.Outcome == payment.Approved && last != payment.Approved || got.Reversed && last == payment.Approved {
		w.t.Errorf("the app was told %s, reversed %v, and it became %s", got.Outcome, got.Reversed, last)
	}
	if perr != nil && got.Outcome != "" {
		w.t.Errorf("an error and an outcome: %v, %s", perr, got.Outcome)
	}
	want := trade.Open
	if last == payment.Approved {
		want = trade.Paid
	}
	if s := w.state(id); s != want {
		w.t.Errorf("order is %s, want %s (outcome %q, error %v)", s, want, got.Outcome, perr)
	}
	if a := w.audit(); a.Pending != 0 {
		w.t.Errorf("%d payments pending", a.Pending)
	}
	// Whatever happened, the order can be paid, once.
	again, err := r.unit.Pay(w.ctx, payment.Order{ID: id})
	if err != nil || again.Outcome != payment.Approved || again.Repeated != (last == payment.Approved) {
		w.t.Errorf("paying it now: %s repeated %v, %v", again.Outcome, again.Repeated, err)
	}
	if s := w.state(id); s != trade.Paid {
		w.t.Errorf("order is %s in the end", s)
	}
	w.audit()
}

// TestStorageFailsAtEveryWrite stops the unit's storage at its n-th write and
// opens it again: nothing is lost and nothing is charged twice.
func TestStorageFailsAtEveryWrite(t *testing.T) {
	for _, took := range []bool{false, true} {
		for _, cause := range []error{errDied, trusted.ErrStorageFull} {
			for n := 1; ; n++ {
				met := false
				t.Run(fmt.Sprint(cause, " at write ", n, " took ", took), func(t *testing.T) {
					w := newWorld(t)
					c := plain()
					var d *dying
					c.storage = func(v *vault.Vault) payment.Storage {
						d = &dying{Storage: v, left: n, took: took, err: cause}
						return d
					}
					r := w.rig(c)
					w.order("A-1", 1234)
					got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
					met = d.met
					if d.met && err != nil && !errors.Is(err, cause) {
						t.Errorf("the cause is lost: %v", err)
					}
					c.storage = nil
					w.settled(w.open(c, r.vault), "A-1", got, err)
				})
				if !met {
					if n < 5 {
						t.Fatalf("only %d writes", n-1)
					}
					break
				}
			}
		}
	}
}

// meter counts what a card is sent.
type meter struct {
	cardreader.Reader
	commands *int
}

type meteredCard struct {
	cardreader.Card
	commands *int
}

func (c meter) Connect(ctx context.Context) (cardreader.Card, error) {
	card, err := c.Reader.Connect(ctx)
	return meteredCard{card, c.commands}, err
}

func (c meteredCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	*c.commands++
	return c.Card.Transmit(ctx, command)
}

// TestCardFailsAtEveryCommand takes the card away, or lets it answer nonsense,
// at each of its commands.
func TestCardFailsAtEveryCommand(t *testing.T) {
	commands := 0
	w := newWorld(t)
	c := plain()
	c.reader = func(r cardreader.Reader) cardreader.Reader { return meter{r, &commands} }
	w.order("A-0", 1234)
	if got, err := w.rig(c).unit.Pay(t.Context(), payment.Order{ID: "A-0"}); err != nil || got.Outcome != payment.Approved {
		t.Fatalf("%+v, %v", got, err)
	}
	if commands < 12 {
		t.Fatalf("the card got %d commands", commands)
	}
	for _, fault := range []string{"remove", "remove-after", "mute", "short=0", "short=1", "sw=6F00", "sw=6985", "replay", "malformed", "corrupt"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			r := w.rig(plain())
			for n := 1; n <= commands; n++ {
				c := plain()
				c.faults = fmt.Sprintf("%s@command:%d", fault, n)
				if _, err := simcard.ParseFaults(c.faults); err != nil {
					t.Fatal(err)
				}
				id := fmt.Sprint("A-", n)
				w.order(id, 1234)
				r = w.open(c, r.vault)
				got, err := r.unit.Pay(t.Context(), payment.Order{ID: id})
				if err != nil && !errors.Is(err, payment.ErrCard) {
					t.Errorf("command %d: %v", n, err)
				}
				c.faults = ""
				w.settled(w.open(c, r.vault), id, got, err)
				if t.Failed() {
					t.Fatalf("at command %d: %s %v", n, got.Outcome, got.Reasons)
				}
			}
		})
	}
}

// TestServerCutsAtEveryMessage cuts the channel before or after each financial
// message is booked, with the link back at once or not.
func TestServerCutsAtEveryMessage(t *testing.T) {
	for _, stays := range []bool{false, true} {
		for _, stage := range []host.Stage{host.StageVerified, host.StageCommitted} {
			for n := 1; n <= 3; n++ {
				t.Run(fmt.Sprint("stage ", stage, " message ", n, " link stays down ", stays), func(t *testing.T) {
					w := newWorld(t)
					c := plain()
					link := &switchable{under: w}
					c.link = link
					r := w.rig(c)
					seen := 0
					w.intercept = func(p host.Point) error {
						if p.Stage != stage {
							return nil
						}
						if seen++; seen == n || stays && seen > n {
							link.set(!stays)
							return errCut
						}
						return nil
					}
					w.order("A-1", 1234)
					got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
					w.intercept = nil
					link.set(true)
					w.settled(r, "A-1", got, err)
				})
			}
		}
	}
}
