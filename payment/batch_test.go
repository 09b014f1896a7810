package payment_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted/vault"
)

// day makes a sale of 12.34 that is voided, one with cashback of 30.00, a refund
// of 1.00, a pre-authorisation of which 75.00 is taken, a sale that is declined
// and one that is taken back.
func (w *world) day(r *rig) {
	w.t.Helper()
	pay := func(id string, want payment.Outcome) {
		w.t.Helper()
		if got, err := r.unit.Pay(w.ctx, payment.Order{ID: id}); err != nil || got.Outcome != want {
			w.t.Fatalf("%s: %+v, %v", id, got, err)
		}
	}
	w.order("A-1", 1234)
	pay("A-1", payment.Approved)
	w.order("A-2", 500)
	pay("A-2", payment.Approved)
	w.place(host.Order{ID: "C-1", Type: trade.Cashback, Amount: euros(w.t, 3000), Cashback: euros(w.t, 2000)})
	pay("C-1", payment.Approved)
	w.refund("R-1", "A-2", 100)
	pay("R-1", payment.Approved)
	w.void("V-1", "A-1", 1234)
	pay("V-1", payment.Approved)
	w.place(host.Order{ID: "P-1", Type: trade.Preauth, Amount: euros(w.t, 10000)})
	pay("P-1", payment.Approved)
	w.place(host.Order{ID: "P-2", Type: trade.Completion, Original: "P-1", Amount: euros(w.t, 7500)})
	pay("P-2", payment.Approved)
	w.mu.Lock()
	w.partial = true
	w.mu.Unlock()
	w.order("T-1", 100)
	pay("T-1", payment.Declined)
	w.mu.Lock()
	w.partial = false
	w.mu.Unlock()
}

// dayTotals are what day comes to.
var dayTotals = payment.Totals{
	Debits: payment.Total{Count: 4, Minor: 1234 + 500 + 3000 + 7500}, DebitReversals: payment.Total{Count: 1, Minor: 1234},
	Credits: payment.Total{Count: 1, Minor: 100},
}

func TestCloseBatch(t *testing.T) {
	w := onSQLite(t)
	r := w.rig(plain())
	w.day(r)
	got, err := r.unit.CloseBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := payment.Settlement{Currencies: []payment.Settled{{Currency: "EUR", Unit: dayTotals, Server: dayTotals, Agreed: true, Missing: []string{}}}, Refused: []payment.RefusedDebt{}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if n := dayTotals.Net(); n != 500+3000+7500-100 {
		t.Errorf("net %d", n)
	}
	// The next batch begins empty, on both sides.
	if got, err = r.unit.CloseBatch(t.Context()); err != nil || got.Number != 1 || len(got.Currencies) != 0 {
		t.Errorf("nothing to settle: %+v, %v", got, err)
	}
	w.order("B-1", 700)
	if p, err := r.unit.Pay(t.Context(), payment.Order{ID: "B-1"}); err != nil || p.Outcome != payment.Approved {
		t.Fatalf("%+v, %v", p, err)
	}
	one := payment.Totals{Debits: payment.Total{Count: 1, Minor: 700}}
	if got, err = r.unit.CloseBatch(t.Context()); err != nil || len(got.Currencies) != 1 || got.Currencies[0].Unit != one || !got.Currencies[0].Agreed {
		t.Errorf("the next batch: %+v, %v", got, err)
	}
	w.audit()
}

// TestCloseBatchDiffers: a difference is found, the transactions are sent one by
// one, what the server does not have is named, and the server's totals close the
// batch.
func TestCloseBatchDiffers(t *testing.T) {
	w := onSQLite(t)
	r := w.rig(plain())
	w.day(r)
	// The unit counts one that the server has never seen.
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	err = journal.New(r.vault).Book(w.ctx, journal.Item{
		Order: "X-1", Type: "sale", Effect: journal.Debit, STAN: "000099", RRN: "632810000099", MTI: "0200", TransmissionTime: now(),
		ProcessingCode: "000000", Amount: money.New(999, eur), EntryMode: "051",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.unit.CloseBatch(t.Context())
	if err != nil || len(got.Currencies) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	unit := dayTotals
	unit.Debits.Count, unit.Debits.Minor = unit.Debits.Count+1, unit.Debits.Minor+999
	want := payment.Settled{Currency: "EUR", Unit: unit, Server: dayTotals, Uploaded: 7, Missing: []string{"X-1"}}
	if d := cmp.Diff(want, got.Currencies[0]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got, err = r.unit.CloseBatch(t.Context()); err != nil || got.Number != 1 || len(got.Currencies) != 0 {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}

// TestCloseBatchUploadForgotten: a server that does not know of the upload any more
// refuses the settlement after it; the next call sends the transactions again.
func TestCloseBatchUploadForgotten(t *testing.T) {
	w := onSQLite(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	if p, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || p.Outcome != payment.Approved {
		t.Fatalf("%+v, %v", p, err)
	}
	tid, _ := r.identity()
	change := func(f func(*ledger.Batch)) {
		err := w.ledger.Update(w.ctx, func(tx ledger.Tx) error {
			b, err := tx.Batch(tid, "EUR")
			if err != nil {
				return err
			}
			f(&b)
			return tx.PutBatch(b)
		})
		if err != nil {
			t.Error(err)
		}
	}
	change(func(b *ledger.Batch) { b.Totals.Debits.Minor++ })
	settlements := 0
	w.intercept = func(p host.Point) error {
		if p.Stage == host.StageVerified && p.MTI[:3] == "050" {
			if settlements++; settlements == 2 {
				change(func(b *ledger.Batch) { b.Last.Uploaded = 0 })
			}
		}
		return nil
	}
	if got, err := r.unit.CloseBatch(t.Context()); !errors.Is(err, payment.ErrServer) {
		t.Fatalf("%+v, %v", got, err)
	}
	got, err := r.unit.CloseBatch(t.Context())
	if err != nil || settlements != 4 || len(got.Currencies) != 1 || got.Currencies[0].Agreed || got.Currencies[0].Uploaded != 1 {
		t.Errorf("after %d settlements: %+v, %v", settlements, got, err)
	}
}

// TestCloseBatchInterrupted cuts the channel around each message of a settlement
// whose totals differ, and stops the storage at each of its writes: the next
// call ends it, once.
func TestCloseBatchInterrupted(t *testing.T) {
	run := func(name string, alter func(w *world, r *rig, c rigConfig) *rig) {
		t.Run(name, func(t *testing.T) {
			w := onSQLite(t)
			c := plain()
			r := w.rig(c)
			w.order("A-1", 1234)
			if p, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || p.Outcome != payment.Approved {
				t.Fatalf("%+v, %v", p, err)
			}
			r = alter(w, r, c)
			_, err := r.unit.CloseBatch(t.Context())
			w.mu.Lock()
			w.intercept = nil
			w.mu.Unlock()
			got := payment.Settlement{}
			if err != nil {
				if got, err = w.open(c, r.vault).unit.CloseBatch(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if len(got.Currencies) == 1 && (!got.Currencies[0].Agreed || got.Currencies[0].Server.Debits != payment.Total{Count: 1, Minor: 1234}) {
				t.Errorf("%+v", got)
			}
			var b ledger.Batch
			tid, _ := r.identity()
			if err := w.ledger.View(w.ctx, func(tx ledger.Tx) (err error) { b, err = tx.Batch(tid, "EUR"); return err }); err != nil {
				t.Fatal(err)
			}
			if b.Number != 1 || b.Totals != (ledger.Totals{}) {
				t.Errorf("the server's batch is %+v", b)
			}
		})
	}
	for _, stage := range []host.Stage{host.StageVerified, host.StageCommitted} {
		run(fmt.Sprint("stage ", stage), func(w *world, r *rig, _ rigConfig) *rig {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.intercept = func(p host.Point) error {
				if p.Stage == stage && p.MTI[:3] == "050" {
					return errCut
				}
				return nil
			}
			return r
		})
	}
	for n := 1; n <= 5; n++ {
		for _, took := range []bool{false, true} {
			run(fmt.Sprint("write ", n, " took ", took), func(w *world, r *rig, c rigConfig) *rig {
				c.storage = func(v *vault.Vault) payment.Storage { return &dying{Storage: v, left: n, took: took, err: errDied} }
				return w.open(c, r.vault)
			})
		}
	}
}

// TestCloseBatchWaitsForDebts: what is owed comes first, and counts.
func TestCloseBatchWaitsForDebts(t *testing.T) {
	w := onSQLite(t)
	link := &switchable{under: w}
	c := plain()
	c.link = link
	c.observe = func(e payment.Event) {
		if e.State == payment.StateAdvising {
			link.set(false)
		}
	}
	r := w.rig(c)
	w.order("A-1", 1234)
	w.intercept = func(p host.Point) error {
		if p.MTI == "0220" {
			return errCut
		}
		return nil
	}
	if p, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || p.Outcome != payment.Approved {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := r.unit.CloseBatch(t.Context()); !errors.Is(err, payment.ErrOwed) {
		t.Errorf("with a debt: %v", err)
	}
	w.mu.Lock()
	w.intercept = nil
	w.mu.Unlock()
	link.set(true)
	got, err := r.unit.CloseBatch(t.Context())
	if err != nil || len(got.Currencies) != 1 || !got.Currencies[0].Agreed || got.Currencies[0].Unit.Debits.Minor != 1234 {
		t.Errorf("%+v, %v", got, err)
	}
}
