//go:build swtpm

package keyring

import (
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted/tpm"
	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
)

// TestRingOfTPM: the root is a key that never leaves the TPM.
func TestRingOfTPM(t *testing.T) {
	s, err := tpm.Open(t.Context(), t.TempDir(), tpm.Config{TPM: swtpmtest.Start(t), Auth: secret.CopyBytes([]byte("authorisation"))})
	if err != nil {
		t.Fatal(err)
	}
	contract(t, s, s.P256("ring", tpm.UsageAgree), s.P256("other", tpm.UsageAgree))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
