package apdu_test

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
)

func TestStatusWords(t *testing.T) {
	for sw, want := range map[apdu.Status]string{
		0x9000: "9000 done",
		0x6103: "6103 3 more bytes are available",
		0x6100: "6100 256 more bytes are available",
		0x6C0A: "6C0A wrong Le: 10 bytes are available",
		0x63C2: "63C2 verification failed, 2 tries left",
		0x63C1: "63C1 verification failed, 1 try left",
		0x63C0: "63C0 verification failed, 0 tries left",
		0x6300: "6300 authentication failed",
		0x6283: "6283 selected file is blocked",
		0x6581: "6581 memory failure",
		0x6700: "6700 wrong length",
		0x6982: "6982 security status not satisfied",
		0x6983: "6983 authentication method blocked",
		0x6984: "6984 reference data not usable",
		0x6985: "6985 conditions of use not satisfied",
		0x6A81: "6A81 function not supported",
		0x6A82: "6A82 file or application not found",
		0x6A83: "6A83 record not found",
		0x6A88: "6A88 referenced data not found",
		0x6B00: "6B00 wrong P1 P2",
		0x6D00: "6D00 instruction not supported",
		0x6E00: "6E00 class not supported",
		0x6F00: "6F00 no precise diagnosis",
		0x62F1: "62F1 warning, nothing changed",
		0x6310: "6310 warning, something changed",
		0x6402: "6402 error, nothing changed: the card expects a query of 2 bytes",
		0x64F1: "64F1 error, nothing changed",
		0x6500: "6500 error, something changed",
		0x6612: "6612 security error",
		0x68FF: "68FF function in CLA not supported",
		0x69F0: "69F0 command not allowed",
		0x6AFF: "6AFF wrong parameters",
		0x6FAA: "6FAA no precise diagnosis",
		0x9ABC: "9ABC a status of the card's own",
		0x6012: "6012 unknown status",
		0x0000: "0000 unknown status",
	} {
		if got := sw.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestEveryStatusHasWords goes over all that ISO/IEC 7816-4, 5.6 allows.
func TestEveryStatusHasWords(t *testing.T) {
	for n := range 0x10000 {
		sw := apdu.Status(n)
		words := sw.Meaning()
		if words == "" || strings.Contains(words, "%!") {
			t.Fatalf("%04X: %q", n, words)
		}
		known := sw.SW1() >= 0x61 && sw.SW1() <= 0x6F || sw.SW1()>>4 == 9
		if got := words != "unknown status"; got != known {
			t.Fatalf("%04X: %q", n, words)
		}
		if sw.OK() != (n == 0x9000) {
			t.Fatalf("%04X: OK %v", n, sw.OK())
		}
	}
}

func TestTriesLeft(t *testing.T) {
	for sw, want := range map[apdu.Status]int{0x63C0: 0, 0x63C1: 1, 0x63CF: 15, 0x6300: -1, 0x6983: -1, 0x9000: -1} {
		n, ok := sw.TriesLeft()
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("%04X: %d, %v, want %d", uint16(sw), n, ok, want)
		}
	}
}
