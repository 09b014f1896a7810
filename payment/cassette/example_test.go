package cassette_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/cassette"
	"github.com/payunit/payunit/payment/softunit"
)

// An app records a payment by putting a tape between the unit and its modules.
// What it writes to has to seal, as everything that the unit knows passes.
func ExampleRecord() {
	record := func(ctx context.Context, sealing io.Writer, state cassette.State, c softunit.Config, order payment.Order) (payment.Result, error) {
		tape, err := cassette.Record(sealing, cassette.Setup{}, nil)
		if err != nil {
			return payment.Result{}, err
		}
		ctx, stop := tape.Context(ctx)
		defer stop()
		c.State, c.Link, c.Reader = tape.State(state), tape.Link(c.Link), tape.Reader(c.Reader)
		c.UI, c.Panel = tape.UI(c.UI), tape.Panel(c.Panel)
		c.Rand, c.Now, c.Timeout = tape.Rand(c.Rand), tape.Now, tape.Timeout
		unit, err := softunit.Open(ctx, c)
		if err != nil {
			return payment.Result{}, err
		}
		defer unit.Close()
		result, failed := unit.Pay(ctx, order)
		// The payment stands, whatever became of its recording.
		if err := tape.End(result, failed); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return result, failed
	}
	_ = record
}
