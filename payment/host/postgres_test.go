//go:build postgres && unix

package host

import (
	"testing"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/payunit/payunit/payment/host/ledger/sqlledger/pgtest"
	"github.com/payunit/payunit/payment/trade"
)

// TestPostgres has two servers on one database.
func TestPostgres(t *testing.T) {
	postgres = stdlib.GetDefaultDriver()
	c := pgtest.Start(t)
	newRig := func(t testing.TB) *rig { return openRig(t, c.Schema()) }
	t.Run("concurrent repeats", func(t *testing.T) { concurrentRepeats(t, newRig(t)) })
	t.Run("reversal races", func(t *testing.T) { reversalRaces(t, newRig) })
	t.Run("many terminals, one order", func(t *testing.T) { manyTerminalsOneOrder(t, newRig(t)) })
	t.Run("a card at two servers", func(t *testing.T) {
		r := newRig(t)
		velocityOfServers(t, r, openRig(t, r.path))
	})
	t.Run("another server takes over", func(t *testing.T) {
		r := newRig(t)
		u := r.enrol(1, 4)
		r.order("o1", 1234)
		m := u.sale("o1", 1234, testPIN)
		resp := u.want("sale", m, "00")
		second := openRig(t, r.path)
		r.close()
		u = u.at(second)
		again := u.want("repeat, elsewhere", u.repeat(m), "00")
		if again.AuthCode != resp.AuthCode {
			t.Errorf("authorisation code %s, then %s", resp.AuthCode, again.AuthCode)
		}
		u.want("completion, elsewhere", u.completion(m, resp.AuthCode), "00")
		second.state("in the end", "o1", trade.Paid)
		second.booked("in the end", 1234, 0, 1234)
	})
	t.Run("the database goes down in the middle", func(t *testing.T) {
		r := newRig(t)
		u := r.enrol(1, 4)
		r.order("o1", 1234)
		s := &script{u: u, m: u.sale("o1", 1234, testPIN)}
		s.step()
		c.Crash()
		s.finish("after the database came back")
	})
}

func BenchmarkPostgresSales(b *testing.B) {
	postgres = stdlib.GetDefaultDriver()
	c := pgtest.Start(b)
	benchmarkSales(b, func(t testing.TB) *rig { return openRig(t, c.Schema()) }, b.TempDir())
}
