package receipt

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/money"
)

func example(t testing.TB) Data {
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

// TestEveryWidth: no line is ever wider than the paper, whatever the texts and
// their language.
func TestEveryWidth(t *testing.T) {
	d := example(t)
	d.Merchant = strings.Repeat("Müller & Söhne ", 8)
	d.Order = strings.Repeat("x", 64)
	d.Reason = strings.Repeat("because ", 20) + strings.Repeat("交易失败", 20)
	d.Signature, d.Reversed, d.Outcome = true, true, "UNKNOWN"
	for _, l := range append(Languages(), "xx") {
		d.Language = l
		for width := 0; width <= 64; width++ {
			limit := max(width, 24)
			for _, c := range []Copy{Cardholder, Merchant} {
				for _, l := range strings.Split(Text(d, c, width), "\n") {
					if n := columns(l); n > limit {
						t.Fatalf("%s, width %d: a line of %d: %q", d.Language, width, n, l)
					}
				}
			}
		}
	}
}

// TestWords: each text has words in each language, and the types, outcomes,
// statements and entries that a unit knows have texts.
func TestWords(t *testing.T) {
	for w, in := range texts {
		for i, l := range languages {
			if in[i] == "" {
				t.Errorf("%q has no words in %s", w, l)
			}
			if w.in(l) != in[i] {
				t.Errorf("%q in %s is %q", w, l, w.in(l))
			}
		}
		for i := 9; i < 13; i++ {
			if in[i] == in[0] {
				t.Errorf("%q is not translated into %s", w, languages[i])
			}
		}
	}
	for _, w := range []word{
		"sale", "refund", "void", "preauth", "completion", "incremental", "cashback", "balance", "verification of", "APPROVED", "DECLINED", "CANCELLED", "UNKNOWN",
		"chip", "contactless", "magnetic stripe", "fallback", "manual", statement("PIN VERIFIED"), statement("PIN ENTERED"),
		statement("PIN VERIFIED, SIGNATURE"), statement("SIGNATURE"), statement("NO VERIFICATION"), statement("NOT VERIFIED"), statement("VERIFIED BY DEVICE"),
	} {
		if _, ok := texts[w]; !ok {
			t.Errorf("no words for %q", w)
		}
	}
	if got := word("merchant").in("xx"); got != "Merchant" {
		t.Errorf("an unknown language gets %q", got)
	}
}

func TestLanguages(t *testing.T) {
	d := example(t)
	d.Language, d.Outcome, d.Reason, d.Offline = "de", "DECLINED", "Abgelehnt - Karte abgelaufen", true
	want := `          Corner Shop
--------------------------------
Händler          MERCHANT0000001
Terminal-Nr.            TERM0001
2026-11-24              10:11:12
Auftrag                      A-1
--------------------------------
Karte           ************0001
Anwendung             TEST DEBIT
AID               A0000000031010
Eingabe                     Chip
--------------------------------
ZAHLUNG                12.34 EUR
ABGELEHNT (ohne Bank genehmigt)
  Abgelehnt - Karte abgelaufen
--------------------------------
Prüfung              PIN GEPRÜFT
Genehmigung               123456
Antwort                       00
Referenz            632810000001
Trace-Nr.                 000001
TC              0102030405060708
          KUNDENBELEG
`
	if diff := cmp.Diff(want, Text(d, Cardholder, 32)); diff != "" {
		t.Error(diff)
	}
	d.Language = "zh"
	if got := Text(d, Cardholder, 32); !strings.Contains(got, "\n卡号            ************0001\n") {
		t.Errorf("wide characters:\n%s", got)
	}
}

// TestHTML: a page without anything from outside, whose tags are closed, and in
// which a merchant's name does nothing.
func TestHTML(t *testing.T) {
	d := example(t)
	d.Merchant, d.Language = `<script>alert(1)</script>"&`, "ar"
	d.Reason = "</p><img src=x>"
	for _, c := range []Copy{Cardholder, Merchant} {
		d.Signature = c == Merchant
		got := HTML(d, c)
		for _, want := range []string{
			`<html lang="ar" dir="rtl">`, "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&amp;", "<bdi>12.34 EUR</bdi>", "<bdi>************0001</bdi>", "A0000000031010",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		for _, never := range []string{"<script", "<img", "http", "url(", "@import", "javascript"} {
			if strings.Contains(got, never) {
				t.Errorf("%q in\n%s", never, got)
			}
		}
		for _, tag := range []string{"html", "head", "body", "style", "title", "table", "tr", "td", "p", "strong", "bdi"} {
			open := strings.Count(got, "<"+tag+">") + strings.Count(got, "<"+tag+" ")
			if closed := strings.Count(got, "</"+tag+">"); open != closed {
				t.Errorf("%d <%s>, %d closed", open, tag, closed)
			}
		}
		if len(got) > 4096 {
			t.Errorf("%d bytes", len(got))
		}
	}
	d.Language = `"><x`
	if got := HTML(d, Cardholder); !strings.Contains(got, `<html lang="en" dir="ltr">`) {
		t.Error("a language that is none went into the page")
	}
}

// FuzzText: whatever the texts, no line is too wide and nothing gets lost.
func FuzzText(f *testing.F) {
	f.Add("Corner Shop", "A-1", "because of 交易", "de", 32)
	f.Fuzz(func(t *testing.T, merchant, order, reason, language string, width int) {
		d := example(t)
		d.Merchant, d.Order, d.Reason, d.Language = merchant, order, reason, language
		if strings.ContainsAny(merchant+order+reason, "\n\r\t\v\f") || width > 1000 {
			return
		}
		for _, l := range strings.Split(Text(d, Cardholder, width), "\n") {
			if n := columns(l); n > max(width, 24) {
				t.Errorf("a line of %d: %q", n, l)
			}
		}
		if h := HTML(d, Merchant); strings.Contains(h, "<script") {
			t.Error("script")
		}
	})
}
