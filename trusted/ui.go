package trusted

import (
	"context"
	"errors"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// ErrCancelled: the cardholder pressed cancel or answered no.
var ErrCancelled = errors.New("trusted: cancelled by the cardholder")

// Message is the id of a text that a UI may show. The words, in each language,
// belong to the UI; no text from the app or the card reaches a screen but
// through a parameter of a message.
type Message string

// The messages. Parameters are named where a message takes any.
const (
	MessageInsertCard Message = "insert-card"
	// MessageInsertOrSwipe and MessageSwipeCard are for readers of magnetic
	// stripes.
	MessageInsertOrSwipe Message = "insert-or-swipe"
	MessageSwipeCard     Message = "swipe-card"
	MessageReadingCard   Message = "reading-card"
	MessageConnecting    Message = "connecting"
	MessageAuthorizing   Message = "authorizing"
	MessageRemoveCard    Message = "remove-card"
	MessageApproved      Message = "approved"
	MessageDeclined      Message = "declined" // Params: "reason"
	MessageCancelled     Message = "cancelled"
	MessageUnknown       Message = "outcome-unknown"
	MessagePINOK         Message = "pin-ok"
	MessagePINWrong      Message = "pin-wrong"
	MessageTryAgain      Message = "try-again"
	MessageReversing     Message = "reversing"
	MessageCardError     Message = "card-error"
	MessageNotAccepted   Message = "card-not-accepted"
	MessageCallBank      Message = "call-your-bank"
	MessageSignRequired  Message = "signature-required"
	// The messages of a contactless reader have the parameters "id", "status",
	// "lights" and "tone" (EMV Contactless Book A, 9), and "amount" where a
	// balance or an amount is shown.
	MessagePresentCard  Message = "present-card"
	MessagePresentAgain Message = "present-card-again"
	MessageOneCardOnly  Message = "one-card-only"
	MessageCardRead     Message = "card-read"
	MessageSeePhone     Message = "see-phone"
	MessageInsertNow    Message = "insert-instead"
	MessageOtherCard    Message = "try-another-card"
)

// Notice is a message for the cardholder that needs no answer.
type Notice struct {
	Message  Message
	Language string // ISO 639-1; empty means the UI's own
	Params   map[string]string
}

// KindPartial is the Kind of a Confirmation that asks again, for the part of a
// sale's amount that the bank approved.
const KindPartial = "partial"

// Confirmation is what the cardholder agrees to: the trade as the server sent
// it.
type Confirmation struct {
	Merchant string
	// Kind is the kind of trade in the field's words: "sale", "refund".
	Kind   string
	Amount money.Amount
	// Cashback is the cash in Amount; its zero value is none.
	Cashback money.Amount
	// Tip is the tip in Amount, which the cardholder has entered; its zero value
	// is none.
	Tip      money.Amount
	Language string
}

// TipPrompt asks for a tip.
type TipPrompt struct {
	Merchant string
	// Amount is what is to be paid, to which a tip of up to Max may be added.
	Amount, Max money.Amount
	Language    string
}

// Tipper is a UI on which the cardholder can add a tip, where the server grants
// it.
type Tipper interface {
	// Tip waits for a tip from nothing to the prompt's Max, in its currency.
	// ErrCancelled when the cardholder cancels the payment.
	Tip(ctx context.Context, p TipPrompt) (money.Amount, error)
}

// Speaker is a UI that says which languages it speaks: a unit then follows the
// card's preference.
type Speaker interface {
	// Languages returns codes of ISO 639-1 in lower case.
	Languages() []string
}

// CardPrompt is what stands on the screen while a card's data are entered.
type CardPrompt struct {
	Amount   money.Amount
	Language string // ISO 639-1; empty means the UI's own
	// Again: what was entered last was no card's number.
	Again bool
}

// KeyedCard is what is printed on a card. Whoever gets it wipes it.
type KeyedCard struct {
	PAN    secret.PAN
	Expiry string // YYMM
	// CVV2 are the three or four digits of the value printed beside it; empty
	// when they were left out.
	CVV2 secret.Bytes
}

// CardKeyer is a UI on which a card's data can be entered by hand, where the
// server's policy grants that: the app never sees them.
type CardKeyer interface {
	// KeyCard waits for somebody to enter a card's data, while the unit waits
	// for a card at its readers too: a card that comes ends ctx. ErrCancelled
	// when the cardholder cancels.
	KeyCard(ctx context.Context, p CardPrompt) (KeyedCard, error)
}

// UI is the trusted user interface. Each method returns within 100 ms of the
// end of ctx with an error that wraps ctx.Err(). One call runs at a time.
type UI interface {
	// Notify shows a message and returns at once.
	Notify(ctx context.Context, n Notice) error
	// Confirm shows a trade and waits for yes. ErrCancelled for no.
	Confirm(ctx context.Context, c Confirmation) error
	// Choose shows the applications of a card and waits for one; it returns
	// its index. ErrCancelled for none.
	Choose(ctx context.Context, labels []string) (int, error)
}
