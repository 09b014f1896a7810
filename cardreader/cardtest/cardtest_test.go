package cardtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/cardtest"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
)

func TestContractSimcard(t *testing.T) {
	for _, name := range []string{"default", "t0"} {
		t.Run(name, func(t *testing.T) {
			cardtest.Run(t, func() cardreader.Reader {
				p, err := simcard.LookupProfile(name)
				if err != nil {
					t.Fatal(err)
				}
				c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI()})
				if err != nil {
					t.Fatal(err)
				}
				return c.Reader("test reader")
			})
		})
	}
}

// watcher is a testing.TB that notes failures instead of failing.
type watcher struct {
	testing.TB
	said     []string
	cleanups []func()
}

func (w *watcher) Errorf(format string, a ...any) { w.said = append(w.said, fmt.Sprintf(format, a...)) }
func (w *watcher) Failed() bool                   { return len(w.said) > 0 }
func (w *watcher) Cleanup(f func())               { w.cleanups = append(w.cleanups, f) }
func (w *watcher) Helper()                        {}

func (w *watcher) end() string {
	for _, f := range w.cleanups {
		f()
	}
	return strings.Join(w.said, "\n")
}

func TestScript(t *testing.T) {
	steps := []cardtest.Step{
		{Command: "00A40400 05 A000000003 00", Response: "6A82"},
		{Command: "80A8*", Response: "8002 1C00 9000"},
		{Command: "", Err: cardreader.ErrCardRemoved},
	}
	sel := []byte{0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x00, 0x03, 0x00}
	gpo := []byte{0x80, 0xA8, 0x00, 0x00, 0x02, 0x83, 0x00, 0x00}
	for _, tt := range []struct {
		name string
		send [][]byte
		want string // what the test is told, "" for nothing
	}{
		{"as written", [][]byte{sel, gpo, gpo}, ""},
		{"another command", [][]byte{gpo}, "step 1: command 80A80000"},
		{"one too many", [][]byte{sel, gpo, gpo, gpo}, "after the last step"},
		{"one left over", [][]byte{sel, gpo}, "step 3 of 3 was never reached"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &watcher{TB: t}
			c := cardtest.Script(w, steps...)
			var last error
			for _, b := range tt.send {
				if _, last = c.Transmit(context.Background(), b); last != nil && !errors.Is(last, cardreader.ErrCardRemoved) {
					t.Fatal(last)
				}
			}
			got := w.end()
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("the test was told %q, want %q", got, tt.want)
			}
			if n := len(c.Commands()); n != len(tt.send) {
				t.Errorf("%d commands noted, want %d", n, len(tt.send))
			}
		})
	}
}
