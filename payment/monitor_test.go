package payment_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// lookout is a monitor that sees something from its n-th look on.
type lookout struct {
	at, looks int
	err       error
}

func (l *lookout) Check(context.Context) ([]trusted.Signal, error) {
	l.looks++
	if l.looks < l.at {
		return nil, nil
	}
	return []trusted.Signal{{ID: trusted.SignalDebugger, Detail: "process 7"}, {ID: trusted.SignalBinary}}, l.err
}

// TestMonitor: at signs of tampering nothing is begun, and no PIN is asked for.
func TestMonitor(t *testing.T) {
	errBlind := errors.New("can't look")
	for _, c := range []struct {
		name  string
		watch *lookout
		looks int
	}{
		{"at once", &lookout{at: 1}, 1},
		{"before the PIN", &lookout{at: 2}, 2},
		{"blind", &lookout{at: 1, err: errBlind}, 1},
		{"never", &lookout{at: 99}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, rc := newWorld(t), plain()
			rc.monitor = c.watch
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			var tampered *trusted.TamperError
			switch {
			case c.watch.at == 99:
				if err != nil || got.Outcome != payment.Approved {
					t.Errorf("%s, %v", got.Outcome, err)
				}
			case c.watch.err != nil:
				if !errors.Is(err, errBlind) {
					t.Errorf("%v, want the monitor's error", err)
				}
			case !errors.As(err, &tampered) || errors.Is(err, payment.ErrCard) || !strings.Contains(err.Error(), "debugger (process 7), binary"):
				t.Errorf("%s, %v, want a TamperError", got.Outcome, err)
			}
			if c.watch.looks != c.looks {
				t.Errorf("looked %d times, want %d", c.watch.looks, c.looks)
			}
			if s := w.state("A-1"); c.watch.at != 99 && s != trade.Open {
				t.Errorf("the order is %s", s)
			}
			if n := len(r.final()); n != 1 {
				t.Errorf("%d final events", n)
			}
			w.audit()
		})
	}
}
