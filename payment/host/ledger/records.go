package ledger

import (
	"fmt"
	"strings"
	"time"

	"github.com/payunit/payunit/payment/money"
)

// OrderState is what has become of an order.
type OrderState string

// The states of an order.
const (
	OrderOpen    OrderState = "open"    // it can be paid
	OrderPending OrderState = "pending" // a booked request is neither completed nor reversed
	OrderHeld    OrderState = "held"    // the card keeps the amount ready; a completion takes it
	OrderPaid    OrderState = "paid"    // it is paid
	OrderVoided  OrderState = "voided"  // it was paid, and that was undone
)

// OrderRefused is the state of an incremental, a void or a completion of what is held
// that was refused with a response code, for good: its messages have no numbers of
// their own, and a late copy of one could not be told from another.
func OrderRefused(code string) OrderState { return OrderState(refusedPrefix + code) }

const refusedPrefix = "refused/"

// Refused returns the response code of an order that was refused for good.
func (s OrderState) Refused() (code string, ok bool) {
	return strings.CutPrefix(string(s), refusedPrefix)
}

// Order is what a merchant wants to be paid.
type Order struct {
	ID string
	// Type is the kind of trade, as payment/trade spells it.
	Type   string
	Amount money.Amount
	// Merchant is the merchant id that the order belongs to.
	Merchant string
	State    OrderState
	// Authorisation is what made the order pending or paid, for a void what it
	// undid, for a completion what it took, for an incremental what it raised,
	// else zero.
	Authorisation Key
	// Cashback is how much of the amount is paid out in cash, in minor units.
	Cashback int64
	// Tip is what the cardholder added to the amount, in minor units, while the
	// order is pending or paid: what is booked is both together.
	Tip int64
	// Original is the order of which a refund gives money back, that a void
	// undoes, or the pre-authorisation that a completion takes of or an
	// incremental raises; "" when
	// there is none.
	Original string
	// Refunded is how much of a sale is given back, in minor units of Amount:
	// the sum of the refunds that are pending or paid.
	Refunded int64
	Created  time.Time
}

// Terminal is an enrolled unit.
type Terminal struct {
	// ID is the terminal id, ISO 8583 DE 41.
	ID string
	// Number is the terminal's number, which its key ids are made of.
	Number uint64
	// DeviceKey is the unit's static public key in the channel.
	DeviceKey []byte
	// MerchantID and Merchant are whom its payments are for.
	MerchantID, Merchant string
	// PINFormat is 4 for a terminal with AES keys, 0 for one with TDES keys.
	PINFormat uint8
	// Generation is the name of the base keys that its keys come from; "" for
	// the oldest ones.
	Generation string
	// Device, DeviceClass and Assurance are what enrolment learned of the
	// unit.
	Device, DeviceClass string
	Assurance           uint8
	// MACKeys and PINKeys are the DUKPT counters that were used.
	MACKeys, PINKeys Window
	// Activation is the code under which it enrolled.
	Activation string
	Enrolled   time.Time
}

// Activation is the permission to enrol one unit. The secret that goes with it
// is not in the ledger.
type Activation struct {
	ID                   string
	MerchantID, Merchant string
	Expires              time.Time
	// Terminal is the terminal that used it, "" as long as none did.
	Terminal string
}

// Ticket is what a channel left for its resumption, by any server on the ledger.
type Ticket struct {
	ID string
	// Sealed is its content, enciphered: whoever reads the ledger can resume
	// nothing.
	Sealed  []byte
	Expires time.Time
}

// Key identifies a request: a terminal's STAN and RRN.
type Key struct{ Terminal, STAN, RRN string }

// IsZero reports whether k identifies nothing.
func (k Key) IsZero() bool { return k == Key{} }

// String returns terminal, STAN and RRN with slashes between.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return k.Terminal + "/" + k.STAN + "/" + k.RRN
}

// ParseKey reads what String wrote. Errors wrap ErrInvalid.
func ParseKey(s string) (Key, error) {
	if s == "" {
		return Key{}, nil
	}
	p := strings.Split(s, "/")
	if len(p) != 3 {
		return Key{}, fmt.Errorf("%w: key of an authorisation", ErrInvalid)
	}
	k := Key{p[0], p[1], p[2]}
	return k, k.Check()
}

// Check says whether k identifies a request. Errors wrap ErrInvalid.
func (k Key) Check() error {
	for _, f := range [...]struct{ name, v string }{{"terminal", k.Terminal}, {"STAN", k.STAN}, {"RRN", k.RRN}} {
		if f.v == "" || strings.Contains(f.v, "/") {
			return fmt.Errorf("%w: key of an authorisation: %s", ErrInvalid, f.name)
		}
	}
	return nil
}

// AuthState is what has become of a request.
type AuthState string

// The states of an authorisation.
const (
	AuthDeclined  AuthState = "declined"  // refused, nothing was booked
	AuthAnswered  AuthState = "answered"  // a question that moves no money, and was answered
	AuthAsked     AuthState = "asked"     // the acquirer above is asked, its answer is not known
	AuthApproved  AuthState = "approved"  // booked, to be completed or reversed
	AuthHeld      AuthState = "held"      // a pre-authorisation: booked, the card has approved too
	AuthCompleted AuthState = "completed" // booked, the card has approved too
	AuthReversed  AuthState = "reversed"  // nothing is booked, or it was booked back
	AuthVoided    AuthState = "voided"    // it was completed, and the merchant undid it
)

// Authorisation is a request with its answer, or a reversal whose request never
// came: then only Key, State, Amount, Order and the times are set.
type Authorisation struct {
	Key Key
	// Transmitted is the request's transmission date and time (DE 7).
	Transmitted time.Time
	Order       string
	Amount      money.Amount
	// Card is the issuer's reference of the card, "" when it was not asked.
	Card string
	// Account is the card's account in the book, "" when nothing was booked.
	Account string
	State   AuthState
	// Content is a digest of the request's content, by which a repeat is told
	// from another request under the same numbers.
	Content []byte
	// ResponseCode, AuthCode and ICC are the answer.
	ResponseCode, AuthCode string
	ICC                    []byte
	// Completion is the card's last word, field 55 of the completion without
	// account data.
	Completion       []byte
	Created, Changed time.Time
}

// Card is what changes about a card.
type Card struct {
	// Ref is the issuer's reference, not the PAN.
	Ref string
	// ATC are the application transaction counters seen in true cryptograms.
	ATC Window
	// PINTries is how many wrong PINs are left.
	PINTries int
	// Blocked is set when the issuer takes the card out of service.
	Blocked bool
	// Scripts counts the scripts that the card is owed.
	Scripts int
	// PIN is the cardholder's new PIN, sealed; empty where it is the one that
	// the card was issued with.
	PIN []byte
}
