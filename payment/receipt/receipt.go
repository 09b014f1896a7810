// Package receipt makes receipts of chip payments: what the schemes ask to be
// printed (application label and AID, masked number, cryptogram, verification
// statement), and never the expiry date, track data or more of the number than
// its last four digits.
package receipt

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/payunit/payunit/payment/money"
)

// Copy is whose receipt it is.
type Copy uint8

// The copies.
const (
	Cardholder Copy = iota
	Merchant
)

// Data is what a receipt tells.
type Data struct {
	Merchant, MerchantID, TerminalID string
	Time                             time.Time
	Order, Type                      string
	Amount                           money.Amount
	// Cashback is the cash in Amount; its zero value is none.
	Cashback money.Amount
	// Balance is what a balance inquiry found, for the cardholder's copy
	// alone; nil for none.
	Balance *money.Amount
	// TruncatedPAN has all but the last four digits as '*'.
	TruncatedPAN string
	Label, AID   string
	// Entry is how the card was read: "chip".
	Entry string
	// CVM is the verification statement: "PIN verified", "signature".
	CVM string
	// Signature asks for a line to sign on, on the merchant's copy.
	Signature bool
	// Outcome is the ending in words: "APPROVED", "DECLINED".
	Outcome string
	Reason  string
	// Reversed says that what was booked was taken back.
	Reversed                   bool
	AuthCode, ResponseCode     string
	RRN                        string
	STAN                       string
	CryptogramType, Cryptogram string
	TVR, TSI                   string
}

// Text lays a receipt out in lines of at most width columns (24 at least; 32,
// 40 and 48 are printers' usual ones).
func Text(d Data, c Copy, width int) string {
	if width < 24 {
		width = 24
	}
	p := page{width: width}
	p.centre(d.Merchant)
	p.rule()
	p.pair("Merchant", d.MerchantID)
	p.pair("Terminal", d.TerminalID)
	p.pair(d.Time.Format("2006-01-02"), d.Time.Format("15:04:05"))
	p.pair("Order", d.Order)
	p.rule()
	p.pair("Card", d.TruncatedPAN)
	p.pair("Application", d.Label)
	p.pair("AID", d.AID)
	p.pair("Entry", d.Entry)
	p.rule()
	p.pair(strings.ToUpper(d.Type), d.Amount.String())
	if d.Cashback.Minor != 0 {
		p.pair("OF WHICH IN CASH", d.Cashback.String())
	}
	if d.Balance != nil && c == Cardholder {
		p.pair("AVAILABLE", d.Balance.String())
	}
	p.centre(d.Outcome)
	if d.Reason != "" {
		p.centre(d.Reason)
	}
	if d.Reversed {
		p.centre("REVERSED: NOTHING WAS CHARGED")
	}
	p.rule()
	p.pair("Verification", d.CVM)
	p.pair("Authorization", d.AuthCode)
	p.pair("Response", d.ResponseCode)
	p.pair("Reference", d.RRN)
	p.pair("Trace", d.STAN)
	p.pair(d.CryptogramType, d.Cryptogram)
	if c == Merchant {
		p.pair("TVR", d.TVR)
		p.pair("TSI", d.TSI)
		if d.Signature {
			p.line("")
			p.line("Signature")
			p.line(strings.Repeat(".", width))
		}
		p.centre("MERCHANT COPY")
	} else {
		p.centre("CARDHOLDER COPY")
	}
	return strings.Join(p.lines, "\n") + "\n"
}

type page struct {
	width int
	lines []string
}

func (p *page) line(s string) { p.lines = append(p.lines, strings.TrimRight(s, " ")) }

func (p *page) rule() { p.line(strings.Repeat("-", p.width)) }

func (p *page) centre(s string) {
	for _, l := range wrap(s, p.width) {
		p.line(strings.Repeat(" ", (p.width-utf8.RuneCountInString(l))/2) + l)
	}
}

// pair writes a name and a value at the two edges, or the value on a line of
// its own; nothing for an empty value.
func (p *page) pair(name, value string) {
	if value == "" {
		return
	}
	gap := p.width - utf8.RuneCountInString(name) - utf8.RuneCountInString(value)
	if gap >= 1 {
		p.line(name + strings.Repeat(" ", gap) + value)
		return
	}
	p.line(name)
	for _, l := range wrap(value, p.width-2) {
		p.line("  " + l)
	}
}

// wrap breaks at spaces where it can.
func wrap(s string, width int) []string {
	var out []string
	r := []rune(strings.TrimSpace(s))
	for len(r) > width {
		cut := width
		for i := width; i > 0; i-- {
			if r[i] == ' ' {
				cut = i
				break
			}
		}
		out = append(out, strings.TrimSpace(string(r[:cut])))
		r = []rune(strings.TrimSpace(string(r[cut:])))
	}
	if len(r) > 0 {
		out = append(out, string(r))
	}
	return out
}
