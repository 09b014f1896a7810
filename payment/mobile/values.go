package mobile

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/trusted"
)

// StringList is a list of strings.
type StringList struct{ items []string }

// NewStringList returns an empty list.
func NewStringList() *StringList { return &StringList{} }

// Add appends a string.
func (l *StringList) Add(s string) { l.items = append(l.items, s) }

// Len returns the number of strings.
func (l *StringList) Len() int32 { return int32(len(l.items)) }

// At returns the string at an index, empty where there is none.
func (l *StringList) At(i int32) string {
	if i < 0 || i >= l.Len() {
		return ""
	}
	return l.items[i]
}

// Bytes is a byte slice that may be empty and yet be there.
type Bytes struct{ b []byte }

// NewBytes returns a copy of b.
func NewBytes(b []byte) *Bytes { return &Bytes{bytes.Clone(b)} }

// Get returns a copy.
func (b *Bytes) Get() []byte { return bytes.Clone(b.b) }

// CardInfo is what the platform knows of a card.
type CardInfo struct {
	// ATR is the answer to reset of a contact card.
	ATR []byte
	// HistoricalBytes are those of a contactless card's ATS, or its higher
	// layer response (IsoDep.getHistoricalBytes, getHiLayerResponse).
	HistoricalBytes []byte
	// Contactless tells a card that is held against the device from one in a
	// slot.
	Contactless bool
	// MaxCommand is the longest command APDU that the platform sends
	// (IsoDep.getMaxTransceiveLength); zero means no bound.
	MaxCommand int32
	// TimeoutMillis bounds one command; zero means no bound of its own.
	TimeoutMillis int64
}

// NewCardInfo returns the description of a contact card without an ATR.
func NewCardInfo() *CardInfo { return &CardInfo{} }

// Notice is a message for the cardholder that needs no answer.
type Notice struct {
	// Message is an id of package trusted: "insert-card".
	Message  string
	Language string
	params   map[string]string
}

// Param returns a parameter of the message, "reason" of "declined" for one;
// empty when it has none of the name.
func (n *Notice) Param(name string) string { return n.params[name] }

// Confirmation is what the cardholder agrees to: the trade as the server sent
// it.
type Confirmation struct {
	Merchant string
	Kind     string
	Language string
	// Amount is decimal, "12.34", and Minor the same in minor units of
	// Currency, ISO 4217; Cashback is empty when there is none.
	Amount   string
	Minor    int64
	Currency string
	Cashback string
}

func newConfirmation(c trusted.Confirmation) *Confirmation {
	f := &Confirmation{
		Merchant: c.Merchant, Kind: c.Kind, Language: c.Language, Amount: c.Amount.Decimal(), Minor: c.Amount.Minor,
		Currency: c.Amount.Currency.Code(),
	}
	if !c.Cashback.IsZero() {
		f.Cashback = c.Cashback.Decimal()
	}
	return f
}

// Prompt is what the keypad shows while it waits.
type Prompt struct {
	Amount   string
	Currency string
	Label    string
	Language string
	// TriesLeft is negative when it is not known.
	TriesLeft int32
	// Attempt counts entries for this payment from 0.
	Attempt     int32
	AllowBypass bool
	// AllowAccessible lets the cardholder change to the accessible keypad;
	// Accessible says that this is to be that keypad.
	AllowAccessible bool
	Accessible      bool
}

func newPrompt(p pinpad.Prompt) *Prompt {
	return &Prompt{
		Amount: p.Amount.Decimal(), Currency: p.Amount.Currency.Code(), Label: p.Label, Language: p.Language,
		TriesLeft: int32(p.TriesLeft), Attempt: int32(p.Attempt), AllowBypass: p.AllowBypass,
		AllowAccessible: p.AllowAccessible, Accessible: p.Accessible,
	}
}

// Event is something that happened. It holds no secret.
type Event struct {
	Phase      string
	Step       string
	Text       string
	TookMicros int64
	// Final marks the one event that ends a payment; Outcome is set on it, and
	// empty when an error ended the payment.
	Final   bool
	Outcome string
}

func newEvent(e payment.Event) *Event {
	return &Event{
		Phase: string(e.Phase), Step: e.Step, Text: e.Text, TookMicros: e.Took.Microseconds(), Final: e.Final,
		Outcome: string(e.Outcome),
	}
}

// Result is the ending of one payment, without a secret. Its fields are those
// of payment.Result.
type Result struct {
	Outcome         string
	Order           string
	Type            string
	Amount          string
	Minor           int64
	Currency        string
	MaskedPAN       string
	Entry           string
	AID             string
	Label           string
	CVM             string
	ODA             string
	TVR             string
	TSI             string
	CryptogramType  string
	ResponseCode    string
	AuthCode        string
	STAN            string
	RRN             string
	Reversed        bool
	Repeated        bool
	PendingReversal string
	Receipt         string
	MerchantReceipt string
	UnixMillis      int64

	result payment.Result
}

func newResult(r payment.Result) *Result {
	return &Result{
		Outcome: string(r.Outcome), Order: r.Order, Type: string(r.Type), Amount: r.Amount, Minor: r.Minor,
		Currency: r.Currency, MaskedPAN: r.MaskedPAN, Entry: r.Entry, AID: r.AID, Label: r.Label, CVM: r.CVM,
		ODA: r.ODA, TVR: r.TVR, TSI: r.TSI, CryptogramType: r.CryptogramType, ResponseCode: r.ResponseCode,
		AuthCode: r.AuthCode, STAN: r.STAN, RRN: r.RRN, Reversed: r.Reversed, Repeated: r.Repeated,
		PendingReversal: r.PendingReversal, Receipt: r.Receipt, MerchantReceipt: r.MerchantReceipt,
		UnixMillis: r.Time.UnixMilli(), result: r,
	}
}

// Reasons say in words why the payment ended as it did.
func (r *Result) Reasons() *StringList { return &StringList{slices.Clone(r.result.Reasons)} }

// JSON returns the whole result as payment.Result has it.
func (r *Result) JSON() (string, error) {
	b, err := json.Marshal(r.result)
	return string(b), err
}

// Report is what Unit.Recover did.
type Report struct{ report payment.Report }

func newReport(r payment.Report) *Report { return &Report{r} }

// Settled returns the number of payments whose debt was acknowledged.
func (r *Report) Settled() int32 { return int32(len(r.report.Settled)) }

// SettledAt returns the result of one of them as it now stands, nil where there
// is none.
func (r *Report) SettledAt(i int32) *Result {
	if i < 0 || i >= r.Settled() {
		return nil
	}
	return newResult(r.report.Settled[i])
}

// Pending returns the orders that still owe a reversal or a completion.
func (r *Report) Pending() *StringList { return &StringList{slices.Clone(r.report.Pending)} }

// Refused returns the orders whose reversal or completion the server has refused for
// good: people have to see to them.
func (r *Report) Refused() *StringList {
	out := &StringList{}
	for _, d := range r.report.Refused {
		out.items = append(out.items, d.Order)
	}
	return out
}
