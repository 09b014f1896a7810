// Package issuer decides about payments with cards that it knows: cryptogram,
// counter, expiry, PIN, limit and balance, and answers with a response code and
// issuer authentication data for the card. What changes about a card (counters,
// PIN tries, money) is in the ledger, read and written in the transaction of the
// message.
//
// The package holds issuer master keys and PINs in process memory. It stands for
// an issuer's host with its security module, behind one method.
package issuer

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// Response codes that Authorize answers with, ISO 8583:1987 DE 39. A decision
// says in words which rule it was; the code tells a cardholder, or an attacker,
// no more than these.
const (
	CodeApproved     = "00"
	CodePartial      = "10" // approved for Decision.Part
	CodeNotHonoured  = "05" // cryptogram, counter or verification results do not hold
	CodeUnknownCard  = "14"
	CodeFormat       = "30" // field 55 lacks what the cryptogram covers
	CodeFunds        = "51"
	CodeExpired      = "54" // expired, or another expiry than was issued
	CodeWrongPIN     = "55"
	CodeNotPermitted = "57" // the account is in another currency
	CodeOverLimit    = "61"
	CodeFrequency    = "65" // used too often
	CodeRestricted   = "62" // blocked
	CodePINTries     = "75"
)

// DefaultPINTries is the number of wrong PINs that Config.PINTries stands for
// when it is zero.
const DefaultPINTries = 3

// Funding is the ledger account that the cards' balances are opened from.
const Funding = "issuer/funding"

// ErrConfig: New was given a Config that can't work.
var ErrConfig = errors.New("issuer: configuration")

// Config makes an issuer.
type Config struct {
	// Cards are the cards that it issued. No default. The issuer wipes them
	// with Close.
	Cards *Cards
	// Limit is the most that one payment may be, in minor units of the
	// card's currency, for cards without a limit of their own. Zero means
	// none.
	Limit int64
	// Velocity is how much a card may be used for, for cards without limits of
	// their own. Nil means no limit.
	Velocity []Velocity
	// PINTries is how many wrong PINs in a row a card allows. Zero means
	// DefaultPINTries.
	PINTries int
	// CVK are the keys of the cards' verification values, 16 bytes, for cards
	// without keys of their own. Zero: no stripe, and no number that was entered
	// by hand, is taken of those. The issuer wipes it with Close.
	CVK secret.Bytes
	// RefuseEntries are ways in which no card's data are taken: EntryStripe,
	// EntryFallback, EntryManual.
	RefuseEntries []Entry
	// Key is 32 bytes, under a key of which new PINs are sealed in the ledger; it
	// has to stay the same over the life of the ledger. Empty: PINs can't be
	// changed.
	Key secret.Bytes
	// BlockCards sends the script APPLICATION BLOCK to cards that are blocked.
	BlockCards bool
	// CountersInAnyOrder takes each transaction counter once, in whatever
	// order: for software cards that are made anew and begin anywhere. A card
	// of plastic counts upwards, and a counter far behind is a copy's.
	CountersInAnyOrder bool
	// Rand is the source of authorisation codes; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Issuer decides about payments. It is safe for concurrent use as far as the
// ledger's transactions are.
type Issuer struct{ c Config }

// New makes an issuer. Errors wrap ErrConfig.
func New(c Config) (*Issuer, error) {
	if c.Cards == nil || c.Cards.Len() == 0 {
		return nil, fmt.Errorf("%w: Cards is empty and has no default", ErrConfig)
	}
	if c.Key.Len() != 0 && c.Key.Len() != 32 {
		return nil, fmt.Errorf("%w: Key of %d bytes, want 32", ErrConfig, c.Key.Len())
	}
	if c.Limit < 0 || c.PINTries < 0 {
		return nil, fmt.Errorf("%w: a limit is negative", ErrConfig)
	}
	for _, v := range c.Velocity {
		if member, reason := v.check(); reason != "" {
			return nil, fmt.Errorf("%w: Velocity: %s: %s", ErrConfig, member, reason)
		}
	}
	if n := c.CVK.Len(); n != 0 && n != 16 {
		return nil, fmt.Errorf("%w: CVK of %d bytes, want 16", ErrConfig, n)
	}
	if c.PINTries == 0 {
		c.PINTries = DefaultPINTries
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Issuer{c}, nil
}

// Close wipes the cards. The issuer can't be used afterwards.
func (i *Issuer) Close() {
	i.c.Cards.Wipe()
	i.c.CVK.Wipe()
}

// Request asks for a payment.
type Request struct {
	PAN secret.PAN
	// PSN is the PAN sequence number, two digits (three as in DE 23 are taken
	// too); "" means 00.
	PSN string
	// Expiry is the expiry that the card gave, YYMM; "" when the message has
	// none.
	Expiry string
	Amount money.Amount
	// Time is when the payment is counted, for velocity limits; zero means now.
	// GiveBack needs the same.
	Time time.Time
	// Credit: the amount is given to the cardholder, as a refund is. Limit and
	// balance do not count.
	Credit bool
	// Partial: an approval of a part of the amount will do.
	Partial bool
	// Offline: the card has approved by itself, and tells by its TC. Limits and
	// balance come too late.
	Offline bool
	// StoodIn: the payment was approved in the issuer's place, while it could not
	// be asked. Limits and balance come too late.
	StoodIn bool
	// Approved is when a payment was approved that is Offline or StoodIn: the
	// card's expiry is judged by that time, up to 31 days ago. Zero means now.
	Approved time.Time
	// Tapped: the card was held to the terminal (ISO 8583 DE 22, 07 or 91).
	Tapped bool
	// Inquiry: a question is asked and nothing is charged; Amount is zero.
	Inquiry bool
	// PIN is the deciphered PIN in ASCII digits, empty when none was entered.
	// It stays the caller's to wipe.
	PIN secret.Bytes
	// ICC is field 55.
	ICC []byte
	// About names the request: what goes to the card with its answer is confirmed
	// under this name.
	About ledger.Key
	// Entry is how the terminal came by the card's data. Beside EntryChip there
	// is no ICC.
	Entry Entry
	// Track2 is the track that was read; of a card of EntryManual there is none.
	Track2 secret.Track2
	// CVV2 is the value that is printed on the card, in ASCII digits; empty when
	// it was not entered. It stays the caller's to wipe.
	CVV2 secret.Bytes
}

// late reports whether the payment was approved before the issuer is told.
func (r *Request) late() bool { return r.Offline || r.StoodIn }

// Decision is the answer. It holds no secret.
type Decision struct {
	// Code is the response code.
	Code string
	// Part is what is approved where Code is CodePartial.
	Part money.Amount
	// AuthCode has six digits when the payment is approved.
	AuthCode string
	// ICC is field 55 of the answer: tag 91 and scripts, in BER-TLV. Empty
	// for a card whose cryptogram does not hold.
	ICC []byte
	// Card is the card's reference, and Account its account in the ledger;
	// empty when the card is not known.
	Card, Account string
	// Reason says in words why, for the issuer's people.
	Reason string
}

// Approved reports whether the payment is approved.
func (d Decision) Approved() bool { return d.Code == CodeApproved }

// Authorize decides about a payment inside tx, and writes what it learned about
// the card, also when it declines. It does not book the amount: the caller does,
// against Decision.Account, in the same transaction. Errors are those of the
// ledger or of the source of randomness; the caller lets the transaction fail.
func (i *Issuer) Authorize(ctx context.Context, tx ledger.Tx, r Request) (Decision, error) {
	if err := ctx.Err(); err != nil {
		return Decision{}, fmt.Errorf("issuer: %w", err)
	}
	if r.Time.IsZero() {
		r.Time = i.c.Now()
	}
	if r.PSN == "" {
		r.PSN = "00"
	}
	number, err := psn(r.PSN)
	if err != nil {
		return Decision{Code: CodeFormat, Reason: "the PAN sequence number is not two digits"}, nil
	}
	k := i.c.Cards.find(r.PAN, number)
	if k == nil && r.Entry != EntryChip {
		k = i.c.Cards.numbered(r.PAN)
	}
	if k == nil {
		return Decision{Code: CodeUnknownCard, Reason: "no card of this issuer"}, nil
	}
	d := Decision{Card: k.ref, Account: k.account()}
	state, err := i.state(tx, k)
	if err != nil {
		return Decision{}, err
	}
	var f fields
	if r.Entry == EntryChip {
		var answered bool
		if f, answered, err = i.chipped(tx, k, &state, r, &d); err != nil || answered {
			return d, err
		}
	} else if d.Code, d.Reason, err = i.unchipped(tx, k, &state, r); err != nil {
		return Decision{}, err
	}
	if d.Code == "" {
		if d.Code, d.Reason, err = i.velocity(tx, k, r); err != nil {
			return Decision{}, err
		}
	}
	if d.Code == "" && (r.Credit || r.Inquiry || r.late()) {
		d.Code, d.Reason = CodeApproved, "approved"
	}
	if d.Code == "" {
		if d.Code, d.Reason, d.Part, err = i.funds(tx, k, r); err != nil {
			return Decision{}, err
		}
	}
	// A card that has decided already hears nothing any more.
	listens := f.unused && !r.late()
	if listens {
		if err := i.blocks(tx, k, &state); err != nil {
			return Decision{}, err
		}
	}
	if err := tx.PutCard(state); err != nil {
		return Decision{}, err
	}
	if d.Approved() || d.Code == CodePartial {
		if r.Entry == EntryChip && r.PIN.Len() > 0 {
			if err := i.forgive(tx, k); err != nil {
				return Decision{}, err
			}
		}
		if err := i.spend(tx, k, r, d); err != nil {
			return Decision{}, err
		}
		if d.AuthCode, err = i.authCode(); err != nil {
			return Decision{}, err
		}
	}
	if r.Entry != EntryChip {
		return d, nil
	}
	scripted := listens && state.Scripts > 0
	// A tapped card has left the field: what it is answered brings the cardholder
	// to the reader again, which is asked for where there is a script, or a block.
	if r.Tapped && !scripted && !(i.c.BlockCards && (k.blocked || state.Blocked)) {
		return d, nil
	}
	if d.ICC, err = i.answer(k, state, f, d.Code); err != nil {
		return Decision{}, err
	}
	if scripted {
		scripts, err := i.scripts(tx, k, f, r)
		if err != nil {
			return Decision{}, err
		}
		d.ICC = append(d.ICC, scripts...)
	}
	return d, nil
}

// chipped judges what the chip says. It reports true where that ends it: the card
// is not there, and nothing about it changes.
func (i *Issuer) chipped(tx ledger.Tx, k *card, state *ledger.Card, r Request, d *Decision) (fields, bool, error) {
	f, reason := parseICC(r.ICC)
	if reason != "" {
		d.Code, d.Reason = CodeFormat, reason
		return f, true, nil
	}
	// The cryptogram comes first: who has not the card learns nothing about
	// it, and changes nothing.
	switch err := f.verify(k); {
	case errors.Is(err, cryptogram.ErrCryptogram):
		d.Code, d.Reason = CodeNotHonoured, "the cryptogram (ARQC) does not verify"
		return f, true, nil
	case err != nil:
		// Names the tag that is missing or of the wrong length, nothing else.
		d.Code, d.Reason = CodeFormat, err.Error()
		return f, true, nil
	}
	unused, err := i.unused(tx, state, f.card.ATC)
	if err != nil {
		return f, true, err
	}
	if f.unused = unused; unused {
		if state.Scripts > 0 {
			if err := i.remembered(tx, k, state, f); err != nil {
				return f, true, err
			}
		}
		if d.Code, d.Reason, err = i.decide(k, state, f, r); err != nil {
			return f, true, err
		}
	} else {
		d.Code, d.Reason = CodeNotHonoured, "the transaction counter (ATC) was seen before"
	}
	return f, false, nil
}

// unused reports whether a transaction counter is new, and marks it.
func (i *Issuer) unused(tx ledger.Tx, state *ledger.Card, atc uint16) (bool, error) {
	if !i.c.CountersInAnyOrder {
		return state.ATC.Use(uint64(atc)), nil
	}
	// One window holds 64 counters side by side: a record for each 64.
	ref := fmt.Sprintf("%s/atc/%03X", state.Ref, atc/64)
	block, err := tx.Card(ref)
	if errors.Is(err, ledger.ErrNotFound) {
		block, err = ledger.Card{Ref: ref}, nil
	}
	if err != nil {
		return false, err
	}
	unused := block.ATC.Use(uint64(atc))
	return unused, tx.PutCard(block)
}

// state reads what is known of a card. A card that is seen for the first time
// has its balance opened.
func (i *Issuer) state(tx ledger.Tx, k *card) (ledger.Card, error) {
	state, err := tx.Card(k.ref)
	if !errors.Is(err, ledger.ErrNotFound) {
		return state, err
	}
	state = ledger.Card{Ref: k.ref, PINTries: i.c.PINTries}
	if err := tx.PutCard(state); err != nil {
		return state, err
	}
	if k.opening.IsZero() {
		return state, nil
	}
	from, err := k.opening.Neg()
	if err != nil {
		return state, fmt.Errorf("issuer: opening a balance: %w", err)
	}
	_, err = tx.Post(ledger.Entry{
		Key: "opening/" + k.ref, Kind: ledger.KindOpening, Cause: "balance of the card as issued", Time: i.c.Now(),
		Postings: []ledger.Posting{{Account: Funding, Amount: from}, {Account: k.account(), Amount: k.opening}},
	})
	return state, err
}

// decide applies the rules that need no money. It returns "" when none speaks
// against the payment, and keeps the PIN tries in state.
func (i *Issuer) decide(k *card, state *ledger.Card, f fields, r Request) (code, reason string, err error) {
	contradiction := f.contradicted(r.Tapped)
	switch {
	case r.Offline && f.cid&0xC0 != 0x40:
		return CodeNotHonoured, "the card did not approve (its cryptogram is no TC)", nil
	case !r.Offline && f.cid&0xC0 != 0x80:
		return CodeNotHonoured, "the card did not ask for an authorisation (its cryptogram is no ARQC)", nil
	}
	if r.Offline && !f.dated(r.Approved) {
		r.Approved = time.Time{}
	}
	if code, reason := i.issued(k, state, r); code != "" {
		return code, reason, nil
	}
	switch {
	case contradiction != "":
		return CodeNotHonoured, contradiction, nil
	case f.onlinePIN() && r.PIN.Len() == 0:
		return CodeNotHonoured, "the results say online PIN, and no PIN came", nil
	}
	return i.permitted(k, state, r)
}

// issued looks whether the card is one that is good at all.
func (i *Issuer) issued(k *card, state *ledger.Card, r Request) (code, reason string) {
	switch {
	case r.Expiry != "" && r.Expiry != k.expiry:
		return CodeExpired, "the expiry is not the one issued"
	case expired(k.expiry, i.decided(r)):
		return CodeExpired, "the card has expired"
	case k.blocked || state.Blocked:
		return CodeRestricted, "the card is blocked"
	}
	return "", ""
}

// permitted checks the PIN, whose tries it keeps in state, and the limit of one
// payment.
func (i *Issuer) permitted(k *card, state *ledger.Card, r Request) (code, reason string, err error) {
	right := false
	if r.PIN.Len() > 0 && state.PINTries > 0 {
		if right, err = i.hasPIN(k, state, r.PIN); err != nil {
			return "", "", err
		}
	}
	switch {
	case r.PIN.Len() > 0 && state.PINTries == 0:
		return CodePINTries, "no PIN tries are left", nil
	case r.PIN.Len() > 0 && !right:
		state.PINTries--
		if state.PINTries == 0 {
			return CodePINTries, "the PIN is wrong, and it was the last try", nil
		}
		return CodeWrongPIN, fmt.Sprintf("the PIN is wrong, tries left: %d", state.PINTries), nil
	}
	if r.PIN.Len() > 0 {
		state.PINTries = i.c.PINTries
	}
	limit := k.limit
	if limit == 0 {
		limit = i.c.Limit
	}
	switch {
	case r.Amount.Currency != k.opening.Currency:
		return CodeNotPermitted, "the account is in " + k.opening.Currency.Code(), nil
	case r.Inquiry && r.Amount.Minor == 0:
	case r.Amount.Minor <= 0:
		return CodeFormat, "the amount is not positive", nil
	case limit > 0 && !r.Credit && !r.late() && r.Amount.Minor > limit:
		return CodeOverLimit, "over the limit of one payment, " + money.New(limit, r.Amount.Currency).String(), nil
	}
	return "", "", nil
}

// funds looks whether the account covers the amount, or a part that will do.
func (i *Issuer) funds(tx ledger.Tx, k *card, r Request) (code, reason string, part money.Amount, err error) {
	balance, err := tx.Balance(k.account(), r.Amount.Currency.Code())
	switch {
	case err != nil:
		return "", "", part, err
	case balance >= r.Amount.Minor:
		return CodeApproved, "approved", part, nil
	case r.Partial && balance > 0:
		return CodePartial, "approved for what the balance covers", money.New(balance, r.Amount.Currency), nil
	}
	return CodeFunds, "the balance does not cover it", part, nil
}

// lateMost is how long ago a payment may have been approved that is judged by that
// time.
const lateMost = 31 * 24 * time.Hour

// decided is when it was decided about a payment: now, or earlier where the card or
// somebody in the issuer's place did.
func (i *Issuer) decided(r Request) time.Time {
	now := i.c.Now()
	if ago := now.Sub(r.Approved); r.late() && ago > 0 && ago <= lateMost {
		return r.Approved
	}
	return now
}

// expired reports whether the month YYMM is over.
func expired(yymm string, now time.Time) bool {
	return now.UTC().Format("200601") > "20"+yymm
}

// samePIN compares without telling by its time how much is right, or how long
// either is.
func samePIN(a, b secret.Bytes) bool {
	var x, y [1 + 12]byte
	defer clear(x[:])
	defer clear(y[:])
	if a.Len() > 12 || b.Len() > 12 {
		return false
	}
	x[0], y[0] = byte(a.Len()), byte(b.Len())
	copy(x[1:], a.Reveal())
	copy(y[1:], b.Reveal())
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// authCode makes six random digits, not all zero.
func (i *Issuer) authCode() (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(i.c.Rand, b[:]); err != nil {
		return "", fmt.Errorf("issuer: authorisation code: %w", err)
	}
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(b[:])%999_999+1), nil
}
