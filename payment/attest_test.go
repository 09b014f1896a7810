package payment_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
)

// TestDeviceIsProvenAgain: in a payment the device gives evidence twice inside
// the channel, beside the handshake's.
func TestDeviceIsProvenAgain(t *testing.T) {
	for _, profile := range []string{"default", "nocvm"} {
		w := newWorld(t)
		c := plain()
		c.profile = profile
		r := w.rig(c)
		w.order("A-1", 1234)
		if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%s: %+v %v", profile, got, err)
		}
		if w.judged != 2 {
			t.Errorf("%s: evidence was judged %d times, want 2", profile, w.judged)
		}
	}
}

// TestDeviceTurnsBad: a device that is refused in the middle of a payment gets no
// trade, or asks for no PIN, and nothing is charged; the app learns why.
func TestDeviceTurnsBad(t *testing.T) {
	for _, c := range []struct {
		name      string
		nth       int
		err       error
		confirmed int
		want      trade.Error
	}{
		{"before the payment", 1, channel.RefuseEvidence(channel.ReasonPlatform, "x"), 0, trade.Error{Code: trade.CodeEvidence, Reason: "platform"}},
		{"before the PIN", 2, channel.RefuseEvidence(channel.ReasonRevoked, "x"), 1, trade.Error{Code: trade.CodeEvidence, Reason: "revoked"}},
		{"nobody can judge", 2, errors.New("dial tcp"), 1, trade.Error{Code: trade.CodeVerifier}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.judge = func(n int, claims channel.Claims, err error) (channel.Claims, error) {
				if n == c.nth {
					return channel.Claims{}, c.err
				}
				return claims, err
			}
			conf := plain()
			asked := false
			conf.script.Observe = func(text string) { asked = asked || strings.Contains(text, "PIN") }
			r := w.rig(conf)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			var said *trade.Error
			if !errors.Is(err, payment.ErrServer) || !errors.As(err, &said) || said.Code != c.want.Code || said.Reason != c.want.Reason {
				t.Errorf("%+v %v, want %v", got, err, c.want)
			}
			if n := len(r.holder.Confirmed()); n != c.confirmed {
				t.Errorf("the cardholder confirmed %d times, want %d", n, c.confirmed)
			}
			if asked {
				t.Error("the cardholder was asked for the PIN")
			}
			if s := w.state("A-1"); s != trade.Open {
				t.Errorf("the order is %s", s)
			}
			if rep := w.audit(); rep.Pending != 0 {
				t.Errorf("booked: %+v", rep)
			}
		})
	}
}

// TestEvidenceEndsEarly: when the server does not count evidence any more, the
// unit gives new one and sends the same request again.
func TestEvidenceEndsEarly(t *testing.T) {
	for nth := range 3 {
		w := newWorld(t)
		w.judge = func(n int, claims channel.Claims, err error) (channel.Claims, error) {
			if n == nth {
				// It counts when it is judged, and a moment later no more.
				w.tick = time.Millisecond
				claims.Expires = now().Add(w.passed + 2*w.tick)
			}
			return claims, err
		}
		r := w.rig(plain())
		w.order("A-1", 1234)
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
		if err != nil || got.Outcome != payment.Approved || got.Minor != 1234 {
			t.Errorf("when number %d ends: %+v %v", nth, got, err)
		}
		want := 2
		if nth > 0 {
			want = 3
		}
		if w.judged != want {
			t.Errorf("when number %d ends: judged %d times, want %d", nth, w.judged, want)
		}
		w.audit()
	}
}
