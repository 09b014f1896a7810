package softpad

import (
	"testing"

	"github.com/payunit/payunit/pinpad"
)

// TestLayoutWiped: whichever way a keypad ends, which digit lay where is not in
// memory any more.
func TestLayoutWiped(t *testing.T) {
	for name, c := range map[string]struct {
		script
		accessible bool
	}{
		"done":                  {script: script{keys: "1234E"}},
		"accessible":            {script: script{keys: "1234E"}, accessible: true},
		"cancelled":             {script: script{keys: "12X"}},
		"to the accessible one": {script: script{keys: "12A"}},
		"the panel fails":       {script: script{keys: "12?"}},
		"the panel breaks":      {script: script{keys: "12!"}},
		"it does not open":      {script: script{openErr: errPanel}},
		"it does not close":     {script: script{keys: "1234E", closeErr: errPanel}},
	} {
		s := &c.script
		p, err := New(Config{Panel: s})
		if err != nil {
			t.Fatal(err)
		}
		var during Layout
		e := &entering{p: p, buf: make([]byte, 12), idle: func() func() bool { return func() bool { return true } }}
		s.drawn = func() { during = e.layout }
		func() {
			defer func() { _ = recover() }()
			_ = e.once(t.Context(), pinpad.Prompt{Accessible: c.accessible, AllowAccessible: true})
		}()
		if during == (Layout{}) || during != s.layout {
			t.Errorf("%s: the panel drew %v, the pad reads %v", name, s.layout, during)
		}
		if e.layout != (Layout{}) {
			t.Errorf("%s: the layout is still there", name)
		}
	}
}
