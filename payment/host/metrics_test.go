package host

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/trade"
)

func (r *rig) metrics() string {
	r.t.Helper()
	var b strings.Builder
	if err := r.s.WriteMetrics(&b); err != nil {
		r.t.Fatal(err)
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 100)
	r.order("o2", 100)
	m := u.sale("o1", 100, testPIN)
	u.want("sale", m, codeApproved)
	u.want("completion", u.completion(m, "123456"), codeApproved)
	u.want("wrong PIN", u.sale("o2", 100, "0000"), issuer55)
	_, b := u.seal(u.sale("o2", 100, testPIN))
	b[len(b)-1] ^= 1
	if _, err := u.post(b); code(err) != trade.CodeRefused {
		t.Fatal(err)
	}
	got := r.metrics()
	for _, want := range []string{
		`payunit_messages_total{mti="0200",code="00"} 1`, `payunit_messages_total{mti="0200",code="55"} 1`, `payunit_messages_total{mti="0220",code="00"} 1`,
		`payunit_refused_total{why="message"} 1`, "# TYPE payunit_message_seconds histogram", `payunit_message_seconds_bucket{le="+Inf"} 3`,
		"payunit_message_seconds_count 3", "payunit_channels_open 0", "payunit_owed_above 0",
	} {
		if !strings.Contains("\n"+got, "\n"+want+"\n") {
			t.Errorf("no line %s in\n%s", want, got)
		}
	}
	for _, secret := range []string{testPAN, testPIN, u.grant.TerminalID, "o1"} {
		if strings.Contains(got, secret) {
			t.Errorf("the metrics hold %q", secret)
		}
	}
	// Every line is a comment, or a name with a number.
	for line := range strings.Lines(got) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(line, "{") {
			name, value, ok = strings.Cut(strings.TrimSpace(line), " ")
		}
		var n float64
		if _, err := fmt.Sscan(value, &n); !strings.HasPrefix(line, "# TYPE ") && (!ok || err != nil || !strings.HasPrefix(name, "payunit_")) {
			t.Errorf("line %q", line)
		}
	}
	// However many kinds there are, the list has an end.
	for i := range 2 * maxSeries {
		r.s.counters.count(fmt.Sprint("payunit_x", i))
	}
	if n := strings.Count(r.metrics(), "\n"); n > 3*maxSeries {
		t.Errorf("%d lines", n)
	}
}

func TestHealth(t *testing.T) {
	r := newRig(t)
	if err := r.s.Health(t.Context()); err != nil {
		t.Error(err)
	}
	r.faults.Arm(1, 0)
	if err := r.s.Health(t.Context()); err == nil {
		t.Error("healthy without a ledger")
	}
}

// A unit that asks too much is told to wait, and holds up nobody else.
func TestRate(t *testing.T) {
	r := newRig(t)
	u, v := r.enrol(1, 4), r.enrol(2, 4)
	r.order("o1", 100)
	now := testNow
	r.s.rates = newRates(2, 3, func() time.Time { return now })
	ask := func(u *unit, want trade.Code) {
		t.Helper()
		if _, err := u.post([]byte("no message")); code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for range 3 {
		ask(u, trade.CodeMalformed)
	}
	ask(u, trade.CodeBusy)
	ask(v, trade.CodeMalformed)
	now = now.Add(500 * time.Millisecond)
	ask(u, trade.CodeMalformed)
	ask(u, trade.CodeBusy)
	now = now.Add(-time.Hour)
	ask(u, trade.CodeBusy)
	now = now.Add(time.Hour)
	for range 3 {
		ask(u, trade.CodeMalformed)
	}
	ask(u, trade.CodeBusy)
	if got := r.metrics(); !strings.Contains(got, `payunit_refused_total{why="rate"} 4`) {
		t.Error(got)
	}
	for i := range 3 * maxPeers {
		r.s.rates.allow(fmt.Sprint(i))
		now = now.Add(time.Second)
	}
	if n := len(r.s.rates.peers); n > maxPeers+1 {
		t.Errorf("%d peers are remembered", n)
	}
}
