package host

import (
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// settles makes a 0500 that claims so many debits of one euro.
func (u *unit) settles(debits uint64, final bool) *acquirer.Message {
	u.stan++
	stan := fmt.Sprintf("%06d", u.stan)
	t := &acquirer.Totals{Currency: u.r.eur(1).Currency, Debits: acquirer.Total{Count: debits, Minor: 100 * debits}}
	t.Net = t.Balance()
	m := &acquirer.Message{
		MTI: "0500", ProcessingCode: "920000", STAN: stan, RRN: acquirer.RRN(testNow, stan), TransmissionTime: testNow,
		TerminalID: u.grant.TerminalID, MerchantID: u.grant.MerchantID, Totals: t,
	}
	if final {
		m.ProcessingCode = processingFinal
	}
	return m
}

// uploads makes the 0320 of a sale.
func (u *unit) uploads(sale *acquirer.Message) *acquirer.Message {
	m := u.completion(sale, "")
	m.MTI, m.ICC, m.Order = "0320", nil, sale.Order
	return m
}

func (u *unit) batch() (b ledger.Batch) {
	u.r.t.Helper()
	err := u.r.l.View(u.r.t.Context(), func(tx ledger.Tx) (err error) {
		b, err = tx.Batch(u.grant.TerminalID, "EUR")
		return err
	})
	if err != nil {
		u.r.t.Fatal(err)
	}
	return b
}

// TestSettlementNeedsItsUpload: totals that differ close a batch only after as many
// transactions were sent as they claim; a settlement that says so and sent none, or
// too few, is refused, and changes nothing.
func TestSettlementNeedsItsUpload(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	var sales []*acquirer.Message
	for n := range 2 {
		id := fmt.Sprint("o", n)
		r.order(id, 100)
		m := u.sale(id, 100, "")
		u.want("completion", u.completion(m, u.want("sale", m, codeApproved).AuthCode), codeApproved)
		sales = append(sales, m)
	}
	before := u.batch()
	u.want("final at once", u.settles(3, true), codeInvalid)
	if got := u.batch(); got != before {
		t.Errorf("changed by what was refused: %+v, was %+v", got, before)
	}
	u.want("a difference", u.settles(3, false), codeTotals)
	u.want("final without an upload", u.settles(3, true), codeInvalid)
	for _, m := range sales {
		u.want("upload", u.uploads(m), codeApproved)
	}
	u.want("final after two of three", u.settles(3, true), codeInvalid)
	if got := u.batch(); got.Number != 0 || got.Totals != before.Totals {
		t.Errorf("closed: %+v", got)
	}
	none := u.uploads(sales[0])
	none.RRN = "999999999999"
	u.want("upload of what is not there", none, codeNoOriginal)
	u.want("final after three", u.settles(3, true), codeApproved)
	b := u.batch()
	if b.Number != 1 || !b.Counted || b.Settled != before.Totals || b.Totals != (ledger.Totals{}) {
		t.Errorf("closed: %+v", b)
	}
	u.want("final of totals that agree", u.settles(0, true), codeApproved)
}

// TestAuditRecomputesTotals: totals that were changed, in the open batch or in those
// that were closed, are named by the audit; a void and a refund are in them.
func TestAuditRecomputesTotals(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 100)
	sale := u.sale("o1", 100, "")
	u.want("completion", u.completion(sale, u.want("sale", sale, codeApproved).AuthCode), codeApproved)
	if err := r.place("v1", trade.Void, "o1", 100); err != nil {
		t.Fatal(err)
	}
	u.want("void", u.void("v1", sale), codeApproved)
	u.paid("o2", 300)
	held := u.held("p1", 500)
	if err := r.place("c1", trade.Completion, "p1", 400); err != nil {
		t.Fatal(err)
	}
	u.want("completion", u.capture("c1", held, 400), codeApproved)
	if err := r.refundOrder("r1", "o2", 50); err != nil {
		t.Fatal(err)
	}
	m := u.refund("r1", 50)
	u.want("refund", u.completion(m, u.want("refund", m, codeApproved).AuthCode), codeApproved)
	want := ledger.Totals{Debits: ledger.Total{Count: 3, Minor: 800}, DebitReversals: ledger.Total{Count: 1, Minor: 100}, Credits: ledger.Total{Count: 1, Minor: 50}}
	good := u.batch()
	if good.Totals != want || !good.Counted {
		t.Fatalf("the batch is %+v", good)
	}
	audit := func(b ledger.Batch) (problems string) {
		t.Helper()
		if err := r.l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutBatch(b) }); err != nil {
			t.Fatal(err)
		}
		rep, err := ledger.Audit(t.Context(), r.l)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(rep.Problems, "\n")
	}
	for name, change := range map[string]func(*ledger.Batch){
		"a debit less":        func(b *ledger.Batch) { b.Totals.Debits = ledger.Total{Count: 2, Minor: 400} },
		"a larger credit":     func(b *ledger.Batch) { b.Totals.Credits.Minor++ },
		"a void that is none": func(b *ledger.Batch) { b.Totals.DebitReversals.Add(100) },
		"a closed batch":      func(b *ledger.Batch) { b.Settled.Debits.Add(1) },
		"emptied":             func(b *ledger.Batch) { b.Totals = ledger.Totals{} },
	} {
		b := good
		change(&b)
		if got := audit(b); !strings.Contains(got, "batch 0 of terminal "+u.grant.TerminalID+" in EUR") {
			t.Errorf("%s: the audit says %q", name, got)
		}
	}
	moved := good
	moved.Number, moved.Settled, moved.Totals = 1, good.Totals, ledger.Totals{}
	for name, b := range map[string]ledger.Batch{"as it was": good, "closed": moved} {
		if got := audit(b); got != "" {
			t.Errorf("%s: the audit says %q", name, got)
		}
	}
}
