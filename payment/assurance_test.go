package payment_test

import (
	"testing"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/trusted/vault"
)

// strong is a storage that is better protected than the rest, silent one that
// does not say.
type (
	strong struct{ payment.Storage }
	silent struct{ payment.Storage }
)

func (strong) Assurance() channel.Assurance { return channel.AssuranceHardware }

// TestResultNamesTheLevel: a unit is as good as its weakest module, and says so.
func TestResultNamesTheLevel(t *testing.T) {
	for want, storage := range map[string]func(*vault.Vault) payment.Storage{
		"software": func(v *vault.Vault) payment.Storage { return strong{v} },
		"unknown":  func(v *vault.Vault) payment.Storage { return silent{v} },
	} {
		w, c := newWorld(t), plain()
		c.storage = storage
		r := w.rig(c)
		w.order("A-1", 1234)
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
		if err != nil || got.Assurance != want {
			t.Errorf("%q, %v, want %q", got.Assurance, err, want)
		}
	}
}
