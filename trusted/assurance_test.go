package trusted

import (
	"testing"

	"github.com/payunit/payunit/channel"
)

type module channel.Assurance

func (m module) Assurance() channel.Assurance { return channel.Assurance(m) }

func TestWeakest(t *testing.T) {
	hard, soft, isolated := module(channel.AssuranceHardware), module(channel.AssuranceSoftware), module(channel.AssuranceIsolated)
	for _, c := range []struct {
		name    string
		modules []any
		want    channel.Assurance
	}{
		{"none", nil, channel.AssuranceUnknown},
		{"one", []any{hard}, channel.AssuranceHardware},
		{"the last is weakest", []any{hard, isolated, soft}, channel.AssuranceSoftware},
		{"the first is weakest", []any{isolated, hard}, channel.AssuranceIsolated},
		{"one does not say", []any{hard, struct{}{}, hard}, channel.AssuranceUnknown},
		{"one is missing", []any{hard, nil}, channel.AssuranceUnknown},
	} {
		if got := Weakest(c.modules...); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDeclaredClass(t *testing.T) {
	for level := channel.AssuranceUnknown; level <= channel.AssuranceHardware; level++ {
		for _, class := range []string{"phone", "", "a/hardware"} {
			if got := DeclaredLevel(DeclareClass(class, level)); got != level {
				t.Errorf("%q at %v is read as %v", class, level, got)
			}
		}
	}
	for _, s := range []string{"", "phone", "hardware", "/", "phone/", "phone/Hardware", "phone/hardware ", "phone/hardware/x"} {
		if got := DeclaredLevel(s); got != channel.AssuranceUnknown {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}
