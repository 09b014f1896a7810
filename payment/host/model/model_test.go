// Package model holds a model of the protocol between a payment unit and a
// payment server, in Promela, for the model checker spin: see payment.pml. Its
// tests, with the build tag spin, have spin search all of its states.
package model

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
)

// name is a name in the model: what stands for blanks is an underscore.
func name[T ~string](prefix string, of T) string {
	return prefix + strings.ReplaceAll(string(of), " ", "_")
}

func debt[T ~string](of T) string {
	if of == "" {
		return "d_nothing"
	}
	return name("d_", of)
}

// machine writes payment.Machine in Promela: its names, its moves, and where a
// unit goes on after a restart. A move that the machine has not is an assertion
// that fails.
func machine() string {
	d := payment.Machine()
	var states, triggers, debts, finals []string
	for _, s := range d.States {
		states = append(states, name("s_", s.State))
		if s.Final {
			finals = append(finals, "(s) == "+name("s_", s.State))
		}
	}
	for _, on := range d.Triggers {
		triggers = append(triggers, name("t_", on))
	}
	var moves, restarts strings.Builder
	for _, e := range d.Transitions {
		from, to := name("s_", e.From), name("s_", e.To)
		if e.On == payment.TriggerRestart {
			fmt.Fprintf(&restarts, "\t:: at == %s && owed == %s -> at = %s\n", from, debt(e.Owing), to)
			if !slices.Contains(debts, debt(e.Owing)) {
				debts = append(debts, debt(e.Owing))
			}
			continue
		}
		fmt.Fprintf(&moves, "\t:: at == %s && on == %s -> at = %s\n", from, name("t_", e.On), to)
	}
	const none = "\t:: else -> assert(false)\n\tfi\n}\n"
	return fmt.Sprintf("mtype:state = { %s };\nmtype:trigger = { %s };\nmtype:debt = { %s };\n#define FINAL(s) (%s)\ninline move(on) {\n\tif\n%s%sinline restarts(owed) {\n\tif\n%s%s",
		strings.Join(states, ", "), strings.Join(triggers, ", "), strings.Join(debts, ", "), strings.Join(finals, " || "), moves.String(), none, restarts.String(), none)
}

// The model speaks of states, triggers and debts that the machine has.
func TestModelNames(t *testing.T) {
	var b []byte
	for _, model := range []string{"payment.pml", "increments.pml"} {
		text, err := os.ReadFile(model)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, text...)
	}
	d := machine()
	for _, n := range regexp.MustCompile(`\b[std]_[A-Za-z_]+`).FindAllString(string(b), -1) {
		if strings.HasSuffix(n, "_") || n == "d_step" {
			continue
		}
		if !regexp.MustCompile(`\b` + n + `\b`).MatchString(d) {
			t.Errorf("the model says %s, which the unit's machine has not", n)
		}
	}
}
