package payment

import (
	"time"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// Outcome is how a payment ended.
type Outcome string

// The outcomes.
const (
	// Approved: the server booked the payment and the card agreed.
	Approved Outcome = "approved"
	// Declined: the issuer, the card or the terminal's rules said no. If
	// something had been booked, it was reversed and Result.Reversed is set.
	Declined Outcome = "declined"
	// Cancelled: the cardholder said no before anything was requested.
	Cancelled Outcome = "cancelled"
	// Unknown: the server may have booked the payment, and the reversal that
	// will undo it has not been acknowledged. Unit.Recover settles it.
	Unknown Outcome = "unknown"
)

// Result is the ending of one payment. It holds nothing secret: the app gets it
// whole. Fields that the payment did not reach are empty.
type Result struct {
	Outcome Outcome    `json:"outcome"`
	Order   string     `json:"order"`
	Type    trade.Type `json:"type"`
	// Amount is a decimal number in Currency, "12.34"; Minor is the same in
	// minor units.
	Amount   string `json:"amount"`
	Minor    int64  `json:"amount_minor"`
	Currency string `json:"currency"`
	// Tip is what the cardholder added, a part of Amount.
	Tip string `json:"tip,omitempty"`
	// Asked is the whole amount where the bank approved a part, and the
	// cardholder agreed to that: Amount is the part.
	Asked string `json:"asked,omitempty"`
	// Balance is what a balance inquiry found, a decimal number in Currency.
	Balance string `json:"balance,omitempty"`
	// MaskedPAN shows the first six and the last four digits.
	MaskedPAN string `json:"masked_pan"`
	// Entry is how the card was read: "chip", "contactless", "magnetic stripe",
	// "fallback" (the stripe of a card whose chip could not be read) or "manual".
	Entry string `json:"entry"`
	AID   string `json:"aid"`
	Label string `json:"label"`
	// CVM is the cardholder verification that was used, in words.
	CVM string `json:"cvm"`
	// ODA is the offline data authentication: "DDA ok", "CDA failed", "none".
	ODA string `json:"oda"`
	// TVR and TSI are hex (EMV 4.4 Book 3, Annex C).
	TVR string `json:"tvr"`
	TSI string `json:"tsi"`
	// CryptogramType is the card's last answer: "TC", "ARQC" or "AAC".
	CryptogramType string `json:"cryptogram_type"`
	// ResponseCode is DE 39 as the server sent it, empty when it sent none.
	ResponseCode string `json:"response_code"`
	AuthCode     string `json:"auth_code"`
	STAN         string `json:"stan"`
	RRN          string `json:"rrn"`
	// Reversed says that what the server may have booked was taken back and
	// that the server acknowledged it.
	Reversed bool `json:"reversed"`
	// Repeated says that the order had been paid before and that this is the
	// first payment's result.
	Repeated bool `json:"repeated"`
	// PendingReversal is the RRN of the reversal's original when the outcome
	// is unknown.
	PendingReversal string `json:"pending_reversal,omitempty"`
	// Assurance is the level of the unit's weakest module: "software",
	// "isolated", "hardware" or, where one does not say, "unknown".
	Assurance string `json:"assurance"`
	// Reasons say in words why the payment ended as it did.
	Reasons []string `json:"reasons"`
	// Risks say in words what a tapped card's kernel could not check and left
	// to the issuer, or to nobody: what the protocol does not authenticate.
	Risks []string `json:"risks,omitempty"`
	// Receipt is the cardholder's copy, Config.ReceiptWidth wide, and
	// ReceiptHTML the same as a page of its own; MerchantReceipt is the
	// merchant's.
	Receipt         string    `json:"receipt"`
	ReceiptHTML     string    `json:"receipt_html,omitempty"`
	MerchantReceipt string    `json:"merchant_receipt"`
	Time            time.Time `json:"time"`
	Timing          Timing    `json:"timing"`
}

// Timing says where the time of a payment went.
type Timing struct {
	// Card is the time in which the card and its reader worked.
	Card time.Duration `json:"card_ns"`
	// Channel is the time in which the server and the way to it were waited
	// for, handshake included.
	Channel time.Duration `json:"channel_ns"`
	// People is the time in which the cardholder was waited for.
	People time.Duration `json:"people_ns"`
	// Total is the whole.
	Total time.Duration `json:"total_ns"`
}

func (r *Result) setAmount(a money.Amount) {
	r.Amount, r.Minor, r.Currency = a.Decimal(), a.Minor, a.Currency.Code()
}

// Report is what Unit.Recover did.
type Report struct {
	// Settled are the payments whose debt was acknowledged, as they now stand.
	Settled []Result `json:"settled"`
	// Pending are the orders that still owe a reversal or a completion.
	Pending []string `json:"pending"`
	// Refused are the debts that the server has refused for good, now or
	// before: see RefusedDebt.
	Refused []RefusedDebt `json:"refused"`
}
