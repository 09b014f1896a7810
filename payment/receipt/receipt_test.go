package receipt

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/money"
)

func example(t *testing.T) Data {
	t.Helper()
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return Data{
		Merchant: "Corner Shop", MerchantID: "MERCHANT0000001", TerminalID: "TERM0001",
		Time: time.Date(2026, 11, 24, 10, 11, 12, 0, time.UTC), Order: "A-1", Type: "sale",
		Amount: money.New(1234, eur), TruncatedPAN: "************0001", Label: "TEST DEBIT", AID: "A0000000031010",
		Entry: "chip", CVM: "PIN VERIFIED", Outcome: "APPROVED", AuthCode: "123456", ResponseCode: "00",
		RRN: "632810000001", STAN: "000001", CryptogramType: "TC", Cryptogram: "0102030405060708",
		TVR: "0000048000", TSI: "F800",
	}
}

func TestText(t *testing.T) {
	want := `              Corner Shop
----------------------------------------
Merchant                 MERCHANT0000001
Terminal                        TERM0001
2026-11-24                      10:11:12
Order                                A-1
----------------------------------------
Card                    ************0001
Application                   TEST DEBIT
AID                       A0000000031010
Entry                               chip
----------------------------------------
SALE                           12.34 EUR
                APPROVED
----------------------------------------
Verification                PIN VERIFIED
Authorization                     123456
Response                              00
Reference                   632810000001
Trace                             000001
TC                      0102030405060708
            CARDHOLDER COPY
`
	if d := cmp.Diff(want, Text(example(t), Cardholder, 40)); d != "" {
		t.Error(d)
	}
}

func TestMerchantCopy(t *testing.T) {
	d := example(t)
	d.Signature, d.Reversed, d.Outcome, d.Reason = true, true, "DECLINED", "the card declined"
	got := Text(d, Merchant, 40)
	for _, want := range []string{"TVR ", "TSI ", "\nSignature\n....", "MERCHANT COPY", "REVERSED: NOTHING WAS CHARGED", "the card declined"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestEveryWidth: no line is ever wider than the paper, whatever the texts.
func TestEveryWidth(t *testing.T) {
	d := example(t)
	d.Merchant = strings.Repeat("Müller & Söhne ", 8)
	d.Order = strings.Repeat("x", 64)
	d.Reason = strings.Repeat("because ", 20)
	for width := 0; width <= 64; width++ {
		limit := max(width, 24)
		for _, l := range strings.Split(Text(d, Merchant, width), "\n") {
			if n := utf8.RuneCountInString(l); n > limit {
				t.Fatalf("width %d: a line of %d: %q", width, n, l)
			}
		}
	}
}
