// Package trade is what a payment unit and a payment server say to each other
// inside the secure channel: envelopes with a request number, the trade that an
// order stands for, ISO 8583 messages, and the grant that enrols a unit.
//
// An envelope is one channel message:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     kind
//	2       4     request number, big endian; a reply repeats its request's
//	6       n     body: JSON for every kind but Financial and FinancialReply,
//	              which carry one ISO 8583 message as it stands
package trade

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/payment/money"
)

// Version is the version of the envelope.
const Version = 1

const headerLen = 6

// MaxOrderID is the greatest length of an order id in bytes.
const MaxOrderID = 64

// Kind says what an envelope carries.
type Kind uint8

// The kinds. Requests are odd in pairs with their replies; any request may be
// answered by KindError.
const (
	KindTradeRequest   Kind = 1  // TradeRequest
	KindTrade          Kind = 2  // Trade
	KindFinancial      Kind = 3  // ISO 8583 request, advice or reversal
	KindFinancialReply Kind = 4  // ISO 8583 response
	KindCancel         Kind = 5  // Cancel
	KindCancelled      Kind = 6  // empty object
	KindEnrol          Kind = 7  // Enrol
	KindGrant          Kind = 8  // Grant
	KindError          Kind = 9  // Error
	KindAttest         Kind = 11 // Attest
	KindChallenge      Kind = 12 // Challenge
	KindEvidence       Kind = 13 // Evidence
	KindAttested       Kind = 14 // Attested
	KindRotate         Kind = 15 // empty object; the answer is a Grant
	KindConfigure      Kind = 17 // Configure
	KindConfiguration  Kind = 18 // Configuration
)

// ErrMalformed: an envelope or a body is not of this format.
var ErrMalformed = errors.New("trade: malformed message")

// Envelope is one message of the dialogue.
type Envelope struct {
	Kind    Kind
	Request uint32
	Body    []byte
}

// Append appends the wire form to dst.
func (e Envelope) Append(dst []byte) []byte {
	dst = append(dst, Version, byte(e.Kind))
	dst = binary.BigEndian.AppendUint32(dst, e.Request)
	return append(dst, e.Body...)
}

// Parse reads an envelope; Body points into b. Errors wrap ErrMalformed.
func Parse(b []byte) (Envelope, error) {
	if len(b) < headerLen {
		return Envelope{}, fmt.Errorf("%w: %d bytes, want at least %d", ErrMalformed, len(b), headerLen)
	}
	if b[0] != Version {
		return Envelope{}, fmt.Errorf("%w: version %d, want %d", ErrMalformed, b[0], Version)
	}
	k := Kind(b[1])
	if k < KindTradeRequest || k > KindConfiguration || k == KindError+1 || k == KindRotate+1 {
		return Envelope{}, fmt.Errorf("%w: kind %d", ErrMalformed, k)
	}
	return Envelope{Kind: k, Request: binary.BigEndian.Uint32(b[2:]), Body: b[headerLen:]}, nil
}

// Encode makes an envelope with a JSON body.
func Encode(k Kind, request uint32, body any) (Envelope, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return Envelope{}, fmt.Errorf("trade: encoding kind %d: %w", k, err)
	}
	return Envelope{Kind: k, Request: request, Body: b}, nil
}

// Decode reads a JSON body strictly: unknown members and trailing bytes are
// refused. Errors wrap ErrMalformed.
func (e Envelope) Decode(v any) error {
	d := json.NewDecoder(bytes.NewReader(e.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: body of kind %d", ErrMalformed, e.Kind)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: bytes after the body of kind %d", ErrMalformed, e.Kind)
	}
	return nil
}

// Type is the kind of trade.
type Type string

// The types that a trade can have, as the command lines spell them.
const (
	Sale       Type = "sale"
	Refund     Type = "refund"
	Void       Type = "void"
	Preauth    Type = "preauth"
	Completion Type = "completion"
	// Incremental adds its amount to what a pre-authorisation holds.
	Incremental Type = "incremental"
	Cashback    Type = "cashback"
	Balance     Type = "balance"
	// Verification asks the issuer whether a card is good, and charges nothing.
	Verification Type = "verification"
)

// Inquiry reports whether a trade asks a question and moves no money: its amount
// is zero.
func (t Type) Inquiry() bool { return t == Balance || t == Verification }

// TradeRequest names the order to be paid. Nothing else that an app says
// counts.
type TradeRequest struct {
	Order string `json:"order"`
}

// State is what has become of an order.
type State string

// The states of an order.
const (
	// Open: it can be paid.
	Open State = "open"
	// Pending: a request for it was booked and neither completed nor
	// reversed; it can't be paid until the unit that holds it has settled it.
	Pending State = "pending"
	// Held: it is a pre-authorisation that the card has approved; a completion
	// takes it, a void lets it go.
	Held State = "held"
	// Paid: it was paid; it can't be paid again.
	Paid State = "paid"
	// Voided: it was paid and that was undone; it can't be paid again.
	Voided State = "voided"
	// Refused: it is an incremental that was refused, for good. A terminal is
	// told Open, and its request is refused again.
	Refused State = "refused"
)

// Trade is an order as the server will charge it.
type Trade struct {
	Order    string       `json:"order"`
	Type     Type         `json:"type"`
	State    State        `json:"state"`
	Amount   money.Amount `json:"amount"`
	Merchant string       `json:"merchant"`
	// Time is the server's clock.
	Time time.Time `json:"time"`
	// Cashback is the cash in Amount; its zero value is none.
	Cashback money.Amount `json:"cashback,omitzero"`
	// PIN is what the cardholder may do on the pad; its zero value grants
	// nothing.
	PIN PINPolicy `json:"pin,omitzero"`
	// Entry is how the card's data may come, beside the chip; its zero value
	// grants nothing.
	Entry EntryPolicy `json:"entry,omitzero"`
	// MaxTip is the most that the cardholder may add as a tip; its zero value
	// lets them add none.
	MaxTip money.Amount `json:"max_tip,omitzero"`
	// Partial: the merchant takes a part of the amount too, where the bank
	// approves no more.
	Partial bool `json:"partial,omitempty"`
	// Rotate: the terminal is to change its keys once the payment is over
	// (KindRotate, in its next channel).
	Rotate bool `json:"rotate,omitempty"`
	// Original is the request that a void undoes, a completion takes or
	// an incremental raises; nil
	// for other types.
	Original *Original `json:"original,omitempty"`
}

// PINPolicy is what only the server can grant on a PIN pad.
type PINPolicy struct {
	// Bypass: the cardholder may skip the PIN (EMV 4.4 Book 4, 6.3.4.3).
	Bypass bool `json:"bypass,omitempty"`
	// Accessible: the cardholder may change to a keypad of fixed layout with
	// tones.
	Accessible bool `json:"accessible,omitempty"`
}

// EntryPolicy is how a card's data may come that its chip did not give.
type EntryPolicy struct {
	// Stripe: the magnetic stripe of a card that has no chip.
	Stripe bool `json:"stripe,omitempty"`
	// Fallback: the stripe of a card whose chip can't be read.
	Fallback bool `json:"fallback,omitempty"`
	// Manual: what is printed on the card, entered on the trusted user
	// interface.
	Manual bool `json:"manual,omitempty"`
}

// Original is a request of this terminal that the server carried out.
type Original struct {
	// MTI and ProcessingCode are the request's; STAN and RRN are its numbers, Transmitted its transmission date and time
	// (DE 11, 37, 7).
	MTI            string    `json:"mti"`
	ProcessingCode string    `json:"processing_code"`
	STAN           string    `json:"stan"`
	RRN            string    `json:"rrn"`
	Transmitted    time.Time `json:"transmitted"`
	AuthCode       string    `json:"auth_code"`
	// Order is the order that it was for, by which the terminal knows how it read
	// the card.
	Order string `json:"order"`
}

// Cancel tells the server that the cardholder or the unit gave up before
// anything was requested.
type Cancel struct {
	Order string `json:"order"`
	// Reason is one of "cardholder", "card", "unit".
	Reason string `json:"reason"`
}

// Enrol asks for a terminal's identity and keys. The device's static key is
// known from the handshake.
type Enrol struct {
	DeviceClass string `json:"device_class"`
	// PINFormat is the PIN block format that the pad makes: 4 (AES DUKPT) or
	// 0 (TDES DUKPT).
	PINFormat uint8 `json:"pin_format"`
}

// Grant enrols a unit. The key blocks are ANSI X9.143 version D, wrapped under
// a key that both ends export from the channel under KeyBlockLabel.
type Grant struct {
	TerminalID string `json:"terminal_id"`
	MerchantID string `json:"merchant_id"`
	Merchant   string `json:"merchant"`
	// ServerKey is the server's static key for later channels.
	ServerKey []byte `json:"server_key"`
	// ConfigKey is the key that signs the server's configurations, Ed25519, and
	// Configuration the one in force; both empty where the server has none.
	ConfigKey     []byte `json:"config_key,omitempty"`
	Configuration []byte `json:"configuration,omitempty"`
	// PINKey and MACKey hold initial DUKPT keys (usage B1); PINKeyID and
	// MACKeyID are the initial key ids: 8 bytes for AES, 10 bytes KSN with a
	// zero counter for TDES.
	PINKey   string `json:"pin_key"`
	PINKeyID []byte `json:"pin_key_id"`
	MACKey   string `json:"mac_key"`
	MACKeyID []byte `json:"mac_key_id"`
}

// Configure asks for the server's configuration (trusted/config).
type Configure struct {
	// Digest is SHA-256 of the one that the unit has, empty for none.
	Digest []byte `json:"digest"`
}

// Configuration answers Configure.
type Configuration struct {
	// Signed is the configuration as its signer made it; empty when the unit
	// has it already, or the server has none.
	Signed []byte `json:"signed,omitempty"`
}

// KeyBlockLabel is the exporter label of the key block protection key, 32
// bytes (AES-256).
const KeyBlockLabel = "payunit key block protection"

// Code is a machine-readable reason of an Error.
type Code string

// The codes.
const (
	CodeUnknownOrder Code = "unknown-order"
	CodeMalformed    Code = "malformed"
	CodeNotEnrolled  Code = "not-enrolled"
	CodeRefused      Code = "refused"
	CodeBusy         Code = "busy"
	CodeInternal     Code = "internal"
	CodeUnsupported  Code = "unsupported"
	// CodeAttest: the request needs evidence that is newer: Reason is the
	// moment, and the same request can be sent again after it.
	CodeAttest Code = "attest"
	// CodeEvidence: the evidence was refused: Reason is why.
	CodeEvidence Code = "evidence"
	// CodeVerifier: the evidence could not be judged now. Nobody says that
	// the device is bad.
	CodeVerifier Code = "verifier"
)

// Error is the server's word that it did not carry out a request.
type Error struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
	// Reason is more for machines: the moment for CodeAttest, a
	// channel.Reason for CodeEvidence.
	Reason string `json:"reason,omitempty"`
}

// Error returns code and text.
func (e *Error) Error() string {
	s := "trade: server: " + string(e.Code)
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s + ": " + e.Text
}
