package apdu_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/apdu"
)

func TestDescribe(t *testing.T) {
	for _, tt := range []struct {
		in, name string
		want     []string
	}{
		{"00A4040007A000000003101000", "SELECT", []string{"by name", "first or only occurrence"}},
		{"00A4040205A00000000300", "SELECT", []string{"by name", "next occurrence"}},
		{"00A40000023F00", "SELECT", []string{"by file identifier", "first or only occurrence"}},
		{"00B2021C00", "READ RECORD", []string{"file 3, record 2"}},
		{"00B2020200", "READ RECORD", []string{"file 0, P1 02 by mode 2"}},
		{"80AE9000021122", "GENERATE AC", []string{"ARQC asked for", "combined signature asked for"}},
		{"80AE4000021122", "GENERATE AC", []string{"TC asked for"}},
		{"0020008008241234FFFFFFFFFF", "VERIFY", []string{"plaintext PIN"}},
		{"002000880101", "VERIFY", []string{"enciphered PIN"}},
		{"002000010101", "VERIFY", []string{"qualifier 01"}},
		{"80CA9F1700", "GET DATA", []string{"tag 9F17"}},
		{"80CA008200", "GET DATA", []string{"tag 82"}},
		{"00C0000000", "GET RESPONSE", []string{"256 bytes"}},
		{"8424000008AABBCCDDEEFF0011", "PIN CHANGE/UNBLOCK", []string{"secure messaging"}},
		{"802A8E800400000000", "COMPUTE CRYPTOGRAPHIC CHECKSUM", []string{}},
		{"80EA0000040102030400", "EXCHANGE RELAY RESISTANCE DATA", []string{}},
		{"01B0000000", "READ BINARY", []string{"logical channel 1"}},
		{"00FA0000", "instruction FA", []string{}},
	} {
		c, err := apdu.ParseCommand(unhex(t, tt.in))
		if err != nil {
			t.Fatalf("%s: %v", tt.in, err)
		}
		if c.Name() != tt.name {
			t.Errorf("%s: %q, want %q", tt.in, c.Name(), tt.name)
		}
		if d := cmp.Diff(tt.want, c.Describe()); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.in, d)
		}
	}
	for ins := range 256 {
		if n := (apdu.Command{INS: byte(ins)}).Name(); n == "" {
			t.Errorf("instruction %02X has no name", ins)
		}
	}
	if s := strings.Join(apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF")).Describe(), " "); strings.Contains(s, "1234") {
		t.Errorf("a PIN is said: %s", s)
	}
}
