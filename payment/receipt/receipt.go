// Package receipt makes receipts of card payments: what the schemes ask to be
// printed (application label and AID, masked number, cryptogram, verification
// statement), and never the expiry date, track data or more of the number than
// its last four digits. Text lays one out for paper, HTML for a screen or mail,
// both in the languages that Languages names.
package receipt

import (
	"strings"
	"time"

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
	// Language is that of the words, ISO 639-1; "" and others than Languages
	// are English.
	Language                         string
	Merchant, MerchantID, TerminalID string
	Time                             time.Time
	Order, Type                      string
	Amount                           money.Amount
	// Cashback is the cash in Amount; its zero value is none.
	Cashback money.Amount
	// Tip is the gratuity in Amount; its zero value is none.
	Tip money.Amount
	// Balance is what a balance inquiry found, for the cardholder's copy
	// alone; nil for none.
	Balance *money.Amount
	// TruncatedPAN has all but the last four digits as '*'.
	TruncatedPAN string
	Label, AID   string
	// Entry is how the card was read: "chip", "contactless", "magnetic
	// stripe", "fallback", "manual".
	Entry string
	// CVM is the verification statement, as the kernel's outcome has it: "PIN
	// VERIFIED", "SIGNATURE".
	CVM string
	// Signature asks for a line to sign on, on the merchant's copy.
	Signature bool
	// Outcome is the ending: "APPROVED", "DECLINED", "CANCELLED", "UNKNOWN".
	Outcome string
	// Reason says why, in the receipt's language.
	Reason string
	// Offline: the card approved without the bank.
	Offline bool
	// Reversed says that what was booked was taken back.
	Reversed                   bool
	AuthCode, ResponseCode     string
	RRN                        string
	STAN                       string
	CryptogramType, Cryptogram string
	TVR, TSI                   string
}

// rowKind is how a row is laid out.
type rowKind uint8

const (
	pair   rowKind = iota // a name and a value at the two edges
	centre                // a text in the middle
	strong                // the same, and it matters
	rule                  // a line across
	sign                  // a line to sign on
)

// row is a line of a receipt, or what wraps to several.
type row struct {
	kind        rowKind
	name, value string
}

// rows are what a copy of a receipt says, from top to bottom. Pairs without a
// value are left out.
func rows(d Data, c Copy) []row {
	l := d.Language
	var out []row
	add := func(k rowKind, name, value string) {
		if k != pair || value != "" {
			out = append(out, row{k, name, value})
		}
	}
	named := func(w word, value string) { add(pair, w.in(l), value) }
	add(strong, d.Merchant, "")
	add(rule, "", "")
	named("merchant", d.MerchantID)
	named("terminal", d.TerminalID)
	add(pair, d.Time.Format("2006-01-02"), d.Time.Format("15:04:05"))
	named("order", d.Order)
	add(rule, "", "")
	named("card", d.TruncatedPAN)
	named("application", d.Label)
	add(pair, "AID", d.AID)
	if d.Entry != "" {
		named("entry", word(d.Entry).in(l))
	}
	add(rule, "", "")
	kind := word(d.Type)
	if d.Type == "verification" {
		kind = "verification of"
	}
	name := kind.in(l)
	if _, ok := texts[kind]; !ok {
		name = strings.ToUpper(d.Type)
	}
	add(pair, name, d.Amount.String())
	if d.Tip.Minor != 0 {
		named("tip", d.Tip.String())
	}
	if d.Cashback.Minor != 0 {
		named("cash", d.Cashback.String())
	}
	if d.Balance != nil && c == Cardholder {
		named("available", d.Balance.String())
	}
	outcome := word(d.Outcome).in(l)
	if d.Offline {
		outcome += " (" + word("offline").in(l) + ")"
	}
	add(strong, outcome, "")
	if d.Reason != "" {
		add(centre, d.Reason, "")
	}
	if d.Reversed {
		add(strong, word("reversed").in(l), "")
	}
	add(rule, "", "")
	named("verification", statement(d.CVM).in(l))
	named("authorization", d.AuthCode)
	named("response", d.ResponseCode)
	named("reference", d.RRN)
	named("trace", d.STAN)
	add(pair, d.CryptogramType, d.Cryptogram)
	if c == Cardholder {
		add(centre, word("cardholder copy").in(l), "")
		return out
	}
	add(pair, "TVR", d.TVR)
	add(pair, "TSI", d.TSI)
	if d.Signature {
		add(sign, word("signature").in(l), "")
	}
	add(centre, word("merchant copy").in(l), "")
	return out
}

// statement is the word of a verification statement.
func statement(cvm string) word {
	if cvm == "PIN VERIFIED, SIGNATURE" {
		return "PIN AND SIGNATURE"
	}
	return word(cvm)
}
