package softpad

import (
	"context"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/pinpad/padtest"
)

// again is a panel whose script begins anew with every entry.
type again struct {
	script
	keys string
}

func (a *again) Open(ctx context.Context, p pinpad.Prompt, l Layout) (Entry, error) {
	a.script.keys = a.keys
	return a.script.Open(ctx, p, l)
}

// TestContract holds the pad against the contract of all pads, under each kind of
// key.
func TestContract(t *testing.T) {
	for _, alg := range []dukpt.Algorithm{dukpt.TDES, dukpt.AES128, dukpt.AES192, dukpt.AES256} {
		t.Run(alg.String(), func(t *testing.T) {
			h, err := dukpt.NewHost(alg, secret.NewBytes(make([]byte, alg.KeyType().Len())))
			if err != nil {
				t.Fatal(err)
			}
			padtest.Run(t, padtest.Fixture{
				Pad: func(t testing.TB, c padtest.Cardholder) pinpad.Pad { return padOf(t, h, c) },
				Decrypt: func(t testing.TB, b pinpad.EncryptedBlock, pan secret.PAN) (secret.Bytes, error) {
					x, err := h.Transaction(b.KSN)
					if err != nil {
						t.Fatal(err)
					}
					return x.DecryptPIN(b.Block, pan)
				},
			})
		})
	}
}

func padOf(t testing.TB, h *dukpt.Host, c padtest.Cardholder) pinpad.Pad {
	t.Helper()
	id := make([]byte, 8)
	if h.Algorithm() == dukpt.TDES {
		id = make([]byte, 10)
	}
	ik, err := h.InitialKey(id)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dukpt.NewDevice(t.Context(), h.Algorithm(), ik, id, &store{})
	if err != nil {
		t.Fatal(err)
	}
	keys := c.PIN
	if c.Bypasses {
		keys = "*" + keys
	}
	switch {
	case c.Waits:
		keys += "."
	case c.Cancels:
		keys += "X"
	default:
		keys += "E"
	}
	p, err := New(Config{Panel: &again{script: script{waiting: c.Asked}, keys: keys}, Keys: d})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
