package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel/attest/tpm"
	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

func TestPINPolicyFlag(t *testing.T) {
	for list, want := range map[string]trade.PINPolicy{
		"": {}, "accessible": {Accessible: true}, "bypass": {Bypass: true}, "accessible,bypass": {Accessible: true, Bypass: true},
	} {
		if got, err := pinPolicy(list); err != nil || got != want {
			t.Errorf("%q: %+v, %v", list, got, err)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-pinpad", "accessible,everything"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), `"everything"`) || out.Len() != 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}

func TestStandInFlag(t *testing.T) {
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	want := &host.StandIn{Limit: money.New(5000, eur), Velocity: []issuer.Velocity{{Days: 1, Count: 3}}, Cards: []string{"476173", "541333"}}
	got, err := standIn("50.00,3,476173,541333", eur)
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b money.Currency) bool { return a == b })); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	for _, bad := range [][]string{
		{"-stand-in", "50.00,3"}, {"-stand-in", "much,3,476173"}, {"-stand-in", "50.00,often,476173"}, {"-stand-in", "50.00,3,476173", "-upstream", ""},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), bad, &out, &errs); code != 2 || !strings.Contains(errs.String(), "-stand-in") || out.Len() != 0 {
			t.Errorf("%v: exit %d: %s%s", bad, code, out.String(), errs.String())
		}
	}
}

// TestTPMFlags: which TPMs count is said whole, or not at all.
func TestTPMFlags(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	makers := write("makers.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	broken := write("broken.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der[:20]}))
	zero := strings.Repeat("00", 32)
	got, err := bank.ParseTPM(makers, "7="+zero+",0="+zero+",7="+strings.Repeat("FF", 32))
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := got.PCRs.(tpm.Golden); !ok || len(g[7]) != 2 || len(g[0]) != 1 || g[7][1][31] != 0xFF {
		t.Errorf("%+v", got.PCRs)
	}
	for _, args := range [][]string{
		{"-tpm-makers", makers}, {"-tpm-pcrs", "7=" + zero}, {"-tpm-makers", filepath.Join(t.TempDir(), "none"), "-tpm-pcrs", "7=" + zero},
		{"-tpm-makers", broken, "-tpm-pcrs", "7=" + zero}, {"-tpm-makers", write("empty.pem", nil), "-tpm-pcrs", "7=" + zero},
		{"-tpm-makers", makers, "-tpm-pcrs", "24=" + zero}, {"-tpm-makers", makers, "-tpm-pcrs", "7=00"}, {"-tpm-makers", makers, "-tpm-pcrs", "x=" + zero},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || !strings.Contains(errs.String(), "-tpm-") {
			t.Errorf("%v: exit %d: %s", args, code, errs.String())
		}
	}
}
