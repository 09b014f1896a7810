package host

import (
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/trusted"
)

// TestMinimumAssurance: the level of a unit is what its evidence proves, and no
// better than the weakest module that it declares; the server may ask for more
// than that.
func TestMinimumAssurance(t *testing.T) {
	r := newRig(t)
	const soft, isolated, hard = channel.AssuranceSoftware, channel.AssuranceIsolated, channel.AssuranceHardware
	for _, c := range []struct {
		name            string
		minimum, proven channel.Assurance
		declared        string
		admitted        bool
	}{
		{"no minimum", 0, 0, "phone", true},
		{"as asked for", isolated, isolated, trusted.DeclareClass("phone", isolated), true},
		{"better", soft, hard, trusted.DeclareClass("phone", isolated), true},
		{"evidence too weak", isolated, soft, trusted.DeclareClass("phone", hard), false},
		{"a module too weak", isolated, hard, trusted.DeclareClass("phone", soft), false},
		{"a module that does not say", soft, hard, trusted.DeclareClass("phone", 0), false},
		{"nothing declared", soft, hard, "phone", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := r.reg.c
			config.MinimumAssurance = c.minimum
			reg, err := NewRegistry(config)
			if err != nil {
				t.Fatal(err)
			}
			device := enrolling(r.activation(), 1)
			device.DeviceClass, device.Claims.Assurance = c.declared, c.proven
			if err := reg.Authorize(context.Background(), device); (err == nil) != c.admitted || err != nil && !errors.Is(err, errNotAdmitted) {
				t.Errorf("%v, want admitted %t", err, c.admitted)
			}
		})
	}
}
