package payment_test

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/journal"
)

var update = flag.Bool("update", false, "write the README's picture of the machine")

// debts are what a journal may hold for an order when a unit comes up.
var debts = []journal.State{"", payment.Kept, journal.Reversal, journal.Completion, journal.Advice, journal.Void, journal.Capture, journal.Increment}

// TestMachineEveryTriggerInEveryState: what the table lists happens, everything
// else is refused and moves nothing.
func TestMachineEveryTriggerInEveryState(t *testing.T) {
	m := payment.Machine()
	type edge struct {
		s     payment.State
		on    payment.Trigger
		owing journal.State
	}
	listed := map[edge]payment.State{}
	known := map[payment.State]bool{}
	for _, s := range m.States {
		if known[s.State] {
			t.Errorf("state %s is listed twice", s.State)
		}
		known[s.State] = true
	}
	for _, x := range m.Transitions {
		e := edge{x.From, x.On, x.Owing}
		if _, twice := listed[e]; twice {
			t.Errorf("two ways out of %s on %s owing %q", x.From, x.On, x.Owing)
		}
		if !known[x.From] || !known[x.To] || !slices.Contains(m.Triggers, x.On) {
			t.Errorf("%+v names what is not listed", x)
		}
		if x.Owing != "" && x.On != payment.TriggerRestart {
			t.Errorf("%+v: only a restart asks the journal", x)
		}
		listed[e] = x.To
	}
	checked := 0
	for _, s := range m.States {
		for _, on := range m.Triggers {
			for _, owing := range debts {
				if on != payment.TriggerRestart && owing != "" {
					continue
				}
				checked++
				got, err := m.Next(s.State, on, owing)
				want, ok := listed[edge{s.State, on, owing}]
				var refused *payment.TransitionError
				switch {
				case ok && (err != nil || got != want):
					t.Errorf("%s on %s owing %q: %s, %v, want %s", s.State, on, owing, got, err, want)
				case !ok && (!errors.As(err, &refused) || got != s.State || refused.From != s.State || refused.On != on):
					t.Errorf("%s on %s owing %q: %s, %v, want a refusal", s.State, on, owing, got, err)
				}
			}
		}
	}
	if want := len(m.States) * (len(m.Triggers) - 1 + len(debts)); checked != want || len(listed) != len(m.Transitions) {
		t.Errorf("%d checked, want %d", checked, want)
	}
}

// TestMachineEnds: each state can be reached, every way ends, and it ends in a
// final state, which nothing but a restart leaves.
func TestMachineEnds(t *testing.T) {
	m := payment.Machine()
	out := map[payment.State][]payment.State{}
	restarts := map[payment.State]int{}
	for _, x := range m.Transitions {
		if x.On == payment.TriggerRestart {
			restarts[x.From]++
			continue
		}
		out[x.From] = append(out[x.From], x.To)
	}
	seen, longest := map[payment.State]bool{}, 0
	var walk func(s payment.State, path []payment.State)
	walk = func(s payment.State, path []payment.State) {
		if slices.Contains(path, s) {
			t.Fatalf("a circle: %v %s", path, s)
		}
		seen[s] = true
		path = append(path, s)
		longest = max(longest, len(path))
		if final := len(out[s]) == 0; final != s.Final() {
			t.Errorf("%s: final %v, %d ways out", s, s.Final(), len(out[s]))
		}
		for _, n := range out[s] {
			walk(n, path)
		}
	}
	walk(m.States[0].State, nil)
	for _, s := range m.States {
		if !seen[s.State] {
			t.Errorf("%s is never reached", s.State)
		}
		if s.Final != s.State.Final() || s.Text == "" {
			t.Errorf("%s is not described", s.State)
		}
		if restarts[s.State] == 0 {
			t.Errorf("nobody knows what a restart does in %s", s.State)
		}
	}
	if longest != 10 {
		t.Errorf("the longest payment has %d states", longest)
	}
	// Changing what was returned changes no payment.
	m.Transitions[0].To = payment.StateApproved
	if payment.Machine().Transitions[0].To == payment.StateApproved {
		t.Error("the machine can be altered from outside")
	}
}

// TestMachineNeverChargesByRestart: no restart turns a payment whose reversal is
// owed into one that stands, or the other way round.
func TestMachineNeverChargesByRestart(t *testing.T) {
	for _, x := range payment.Machine().Transitions {
		want := map[journal.State]payment.State{
			journal.Reversal: payment.StateReversing, journal.Completion: payment.StateAdvising, payment.Kept: payment.StateApproved,
			journal.Advice: payment.StateAdvising, journal.Void: payment.StateFollowing, journal.Capture: payment.StateFollowing, journal.Increment: payment.StateFollowing,
		}[x.Owing]
		if x.On == payment.TriggerRestart && want != "" && x.To != want {
			t.Errorf("%+v, want %s", x, want)
		}
	}
}

// TestReadmePicture keeps the README's picture of the machine true.
func TestReadmePicture(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "```mermaid\nstateDiagram-v2\n")
	picture, _, ended := strings.Cut(rest, "```")
	if !ok || !ended {
		t.Fatal("the README has no state diagram")
	}
	if *update {
		s := strings.Replace(string(b), "stateDiagram-v2\n"+picture, payment.Machine().Mermaid(), 1)
		if err := os.WriteFile("../README.md", []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(payment.Machine().Mermaid(), "stateDiagram-v2\n"+picture); d != "" {
		t.Errorf("the README's picture is not the machine's (-machine +README):\n%s", d)
	}
}

func TestTransitionErrorSaysWhat(t *testing.T) {
	_, err := payment.Machine().Next(payment.StateApproved, payment.TriggerRestart, journal.Void)
	if want := `payment: "restart" can't happen to a payment that is approved, owing a void`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
