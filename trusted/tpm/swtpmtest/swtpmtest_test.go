//go:build swtpm

package swtpmtest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

func pcr(t *testing.T, tpm transport.TPM, index uint) []byte {
	t.Helper()
	r, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(index)},
	}}}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.PCRValues.Digests) != 1 {
		t.Fatalf("%d digests", len(r.PCRValues.Digests))
	}
	return r.PCRValues.Digests[0].Buffer
}

// TestPower: volatile state goes with the power, the handles stay good.
func TestPower(t *testing.T) {
	m := Start(t)
	a, b := m.Open(), m.Open()
	zero := make([]byte, 32)
	if got := pcr(t, a, 16); !bytes.Equal(got, zero) {
		t.Fatalf("PCR 16 starts as %x", got)
	}
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(16), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{
			{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{1}, 32)},
		}},
	}.Execute(a)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(pcr(t, b, 16), zero) {
		t.Error("the other handle sees another TPM")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Send(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	m.PowerOff()
	if _, err := b.Send(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("off: %v", err)
	}
	m.PowerOn()
	if got := pcr(t, b, 16); !bytes.Equal(got, zero) {
		t.Errorf("PCR 16 survives the power: %x", got)
	}
}

// TestMachinesDiffer: two machines have two endorsement hierarchies.
func TestMachinesDiffer(t *testing.T) {
	name := func(m *Machine) []byte {
		r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (tpm2.FlushContext{FlushHandle: r.ObjectHandle}).Execute(m); err != nil {
			t.Fatal(err)
		}
		return r.Name.Buffer
	}
	a, b := Start(t), Start(t)
	first := name(a)
	a.Restart()
	if !bytes.Equal(first, name(a)) {
		t.Error("a restart changes the endorsement key")
	}
	if bytes.Equal(first, name(b)) {
		t.Error("two machines have one endorsement key")
	}
}
