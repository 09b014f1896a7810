package issuer

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// ErrCards: a Cards file is not of its format. The error is a *CardsError.
var ErrCards = errors.New("issuer: cards file")

// CardsError says where a Cards file is wrong. It carries no value of the file.
type CardsError struct {
	// Place is the member that is wrong, "cards[3].imk_ac".
	Place string
	// Reason is the rule that is broken.
	Reason string
}

// Error names the place and the rule.
func (e *CardsError) Error() string { return ErrCards.Error() + ": " + e.Place + ": " + e.Reason }

// Unwrap returns ErrCards.
func (e *CardsError) Unwrap() error { return ErrCards }

// maxCardsFile bounds what ParseCards reads.
const maxCardsFile = 64 << 20

// Cards are the cards of an issuer: what it issued, not what happened since.
type Cards struct {
	// by finds a card by a digest of its number: see id.
	by map[[32]byte]*card
	// refs finds it by its reference in the ledger.
	refs map[string]*card
	list []*card
}

// Len returns the number of cards.
func (c *Cards) Len() int { return len(c.list) }

// Wipe zeroes keys, PINs and numbers.
func (c *Cards) Wipe() {
	for _, k := range c.list {
		k.wipe()
	}
	clear(c.by)
	c.list = nil
}

// card is one card as it was issued.
type card struct {
	ref     string
	pan     secret.PAN
	psn     byte // as tag 5F34 codes it
	expiry  string
	scheme  cryptogram.Scheme
	keys    cryptogram.Keys // the card's own, derived from the issuer's
	pin     secret.Bytes    // empty when the PIN is known by its PVV
	cvk     secret.Bytes    // of its own; empty for the issuer's
	pvk     secret.Bytes
	pvki    byte
	pvv     string
	opening money.Amount
	limit   int64
	// velocity are limits of its own, in place of the issuer's.
	velocity []Velocity
	blocked  bool
}

func (k *card) wipe() {
	k.pan.Wipe()
	k.keys.Wipe()
	k.pin.Wipe()
	k.pvk.Wipe()
	k.cvk.Wipe()
}

// hasPIN compares a PIN with what the issuer knows of the card's. A PIN that no
// PVV can be made of is a wrong one.
func (k *card) hasPIN(pin secret.Bytes) bool {
	if k.pvk.Len() == 0 {
		return samePIN(pin, k.pin)
	}
	ok, err := VerifyPVV(k.pvk, k.pvki, pin, k.pan, k.pvv)
	return ok && err == nil
}

// account is the card's account in the ledger.
func (k *card) account() string { return "card/" + k.ref }

// id is what a card is found by.
func id(pan secret.PAN, psn byte) [32]byte {
	b := append(append(make([]byte, 0, 20), pan.Reveal()...), psn)
	defer clear(b)
	return sha256.Sum256(b)
}

// reference names a card in the ledger: a number nobody can make, or search for,
// who has not the issuer's key.
func reference(imk secret.Bytes, pan secret.PAN, psn byte) string {
	m := hmac.New(sha256.New, imk.Reveal())
	m.Write([]byte("payunit card reference\x00"))
	m.Write(pan.Reveal())
	m.Write([]byte{psn})
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// find returns the card of a number, nil when there is none.
func (c *Cards) find(pan secret.PAN, psn byte) *card { return c.by[id(pan, psn)] }

// text is a JSON string kept as bytes, which can be wiped. Escapes are refused:
// no member needs them.
type text []byte

// UnmarshalJSON takes a string without escapes.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' {
		return errors.New("not a string")
	}
	for _, c := range b[1 : len(b)-1] {
		if c == '\\' || c < ' ' || c > '~' {
			return errors.New("not a plain string")
		}
	}
	*t = append(text(nil), b[1:len(b)-1]...)
	return nil
}

// entry is a card in the file.
type entry struct {
	PAN        text       `json:"pan"`
	PSN        text       `json:"psn"`
	Expiry     text       `json:"expiry"`
	AC         text       `json:"imk_ac"`
	SMI        text       `json:"imk_smi"`
	SMC        text       `json:"imk_smc"`
	Derivation text       `json:"derivation"`
	Session    text       `json:"session"`
	CVN        text       `json:"cvn"`
	PIN        text       `json:"pin"`
	CVK        text       `json:"cvk"`
	PVK        text       `json:"pvk"`
	PVKI       text       `json:"pvki"`
	PVV        text       `json:"pvv"`
	Balance    *int64     `json:"balance"`
	Currency   text       `json:"currency"`
	Limit      *int64     `json:"limit"`
	Velocity   []Velocity `json:"velocity"`
	Blocked    bool       `json:"blocked"`
}

func (e *entry) wipe() {
	for _, t := range []text{e.PAN, e.AC, e.SMI, e.SMC, e.PIN, e.PVK, e.CVK} {
		clear(t)
	}
}

// ParseCards reads a Cards file:
//
//	{"cards":[{"pan":"…","psn":"00","expiry":"3112",
//	  "imk_ac":"HEX","imk_smi":"HEX","imk_smc":"HEX",
//	  "derivation":"A|B","session":"csk|emv2000|mchip|none","cvn":"10|17|18|HEX",
//	  "pin":"1234","balance":100000,"currency":"EUR",
//	  "limit":50000,"velocity":[{"days":1,"count":10,"amount":100000}],
//	  "blocked":false}]}
//
// Expiry is YYMM; balance and limit are minor units of the currency. The limit of
// one payment, velocity, as Velocity has it, and blocked may be left out: no limits of
// its own, not blocked.
// In place of "pin", "pvk":"HEX","pvki":"1","pvv":"1234" let the issuer verify a PIN
// that it does not know. "cvk":"HEX" are the card's own keys for verification
// values. Derivation, session and cvn are as cryptogram.ParseScheme reads them.
// Members that are not in this list, and a card that is in it twice, are refused.
// Errors are *CardsError and wrap ErrCards, or are those of r.
func ParseCards(r io.Reader) (*Cards, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxCardsFile+1))
	if err != nil {
		return nil, fmt.Errorf("issuer: reading cards: %w", err)
	}
	defer clear(b)
	if len(b) > maxCardsFile {
		return nil, &CardsError{"file", fmt.Sprintf("longer than %d bytes", maxCardsFile)}
	}
	var file struct {
		Cards []json.RawMessage `json:"cards"`
	}
	if reason := decode(b, &file); reason != "" {
		return nil, &CardsError{"file", reason}
	}
	if len(file.Cards) == 0 {
		return nil, &CardsError{"cards", "is missing or empty"}
	}
	c := &Cards{by: make(map[[32]byte]*card, len(file.Cards)), refs: make(map[string]*card, len(file.Cards))}
	at := map[*card]int{}
	for i, raw := range file.Cards {
		place := fmt.Sprintf("cards[%d]", i)
		k, cerr := parseCard(raw)
		clear(raw)
		if cerr != nil {
			c.Wipe()
			cerr.Place = place + cerr.Place
			return nil, cerr
		}
		n := id(k.pan, k.psn)
		if first := c.by[n]; first != nil {
			j := at[first]
			k.wipe()
			c.Wipe()
			return nil, &CardsError{place, fmt.Sprintf("is the card of cards[%d] again", j)}
		}
		c.by[n], c.refs[k.ref], at[k] = k, k, i
		c.list = append(c.list, k)
	}
	return c, nil
}

// decode reads JSON and nothing else. The library's errors quote the input,
// which here is card data: only the kind of error and its offset are passed on.
func decode(b []byte, v any) string {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			return fmt.Sprintf("is no JSON at byte %d", syntax.Offset)
		case errors.As(err, &kind) && kind.Field != "":
			return fmt.Sprintf("%s has the wrong type", kind.Field)
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			return "is cut off"
		}
		return fmt.Sprintf("has an unknown member or one of the wrong type before byte %d", d.InputOffset())
	}
	if _, err := d.Token(); err != io.EOF {
		return "has something after its end"
	}
	return ""
}

// parseCard reads one entry; Place in its error is relative to it.
func parseCard(raw []byte) (*card, *CardsError) {
	var e entry
	defer e.wipe()
	if reason := decode(raw, &e); reason != "" {
		return nil, &CardsError{"", reason}
	}
	k := &card{expiry: string(e.Expiry), blocked: e.Blocked}
	bad := func(member, reason string) (*card, *CardsError) {
		k.wipe()
		return nil, &CardsError{"." + member, reason}
	}
	var err error
	if k.pan, err = secret.NewPAN(e.PAN); err != nil {
		return bad("pan", "want 8 to 19 digits")
	}
	if k.psn, err = psn(string(e.PSN)); err != nil {
		return bad("psn", "want two digits")
	}
	if len(k.expiry) != 4 || !digits(e.Expiry) || k.expiry[2:] < "01" || k.expiry[2:] > "12" {
		return bad("expiry", "want YYMM")
	}
	var imk cryptogram.Keys
	defer func() { imk.Wipe() }()
	for _, f := range []struct {
		name string
		from text
		to   *secret.Bytes
	}{{"imk_ac", e.AC, &imk.AC}, {"imk_smi", e.SMI, &imk.SMI}, {"imk_smc", e.SMC, &imk.SMC}} {
		b := make([]byte, 16)
		if len(f.from) != 32 {
			return bad(f.name, "want 32 hex digits")
		}
		if _, err := hex.Decode(b, f.from); err != nil {
			return bad(f.name, "want 32 hex digits")
		}
		*f.to = secret.NewBytes(b)
	}
	if member, reason := k.agree(&e); reason != "" {
		return bad(member, reason)
	}
	if k.keys, err = k.scheme.CardKeys(imk, k.pan, k.psn); err != nil {
		return bad("imk_ac", "can't be used for this card")
	}
	k.ref = reference(imk.AC, k.pan, k.psn)
	if member, reason := k.pinOf(&e); reason != "" {
		return bad(member, reason)
	}
	if len(e.CVK) > 0 {
		b := make([]byte, 16)
		if _, err := hex.Decode(b, e.CVK[:min(len(e.CVK), 32)]); err != nil || len(e.CVK) != 32 {
			clear(b)
			return bad("cvk", "want 32 hex digits")
		}
		k.cvk = secret.NewBytes(b)
	}
	currency, err := money.ByCode(string(e.Currency))
	if err != nil || currency.Code() != string(e.Currency) {
		return bad("currency", "want an ISO 4217 code in capitals")
	}
	if e.Balance == nil || *e.Balance < 0 || *e.Balance > money.MaxMinor {
		return bad("balance", "want 0 to 12 digits of minor units")
	}
	k.opening = money.New(*e.Balance, currency)
	for i, v := range e.Velocity {
		if member, reason := v.check(); reason != "" {
			return bad(fmt.Sprintf("velocity[%d].%s", i, member), reason)
		}
	}
	k.velocity = e.Velocity
	if e.Limit != nil {
		if *e.Limit <= 0 || *e.Limit > money.MaxMinor {
			return bad("limit", "want 1 to 12 digits of minor units")
		}
		k.limit = *e.Limit
	}
	return k, nil
}

// pinOf reads the PIN, or what stands for it.
func (k *card) pinOf(e *entry) (member, reason string) {
	if len(e.PVK)+len(e.PVKI)+len(e.PVV) == 0 {
		if !isPIN(e.PIN) {
			return "pin", "want 4 to 12 digits"
		}
		k.pin = secret.CopyBytes(e.PIN)
		return "", ""
	}
	pvk := make([]byte, 16)
	switch {
	case len(e.PIN) > 0:
		return "pin", "stands beside pvk, pvki and pvv, which are in its place"
	case len(e.PVK) != 32:
		return "pvk", "want 32 hex digits"
	case len(e.PVKI) != 1 || !digits(e.PVKI):
		return "pvki", "want one digit"
	case len(e.PVV) != 4 || !digits(e.PVV):
		return "pvv", "want four digits"
	case k.pan.Len() < 12:
		return "pvv", "takes a pan of 12 digits or more"
	}
	if _, err := hex.Decode(pvk, e.PVK); err != nil {
		return "pvk", "want 32 hex digits"
	}
	k.pvk, k.pvki, k.pvv = secret.NewBytes(pvk), e.PVKI[0], string(e.PVV)
	return "", ""
}

func digits[T ~[]byte | ~string](s T) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

// psn reads a PAN sequence number of two digits, or of three as in ISO 8583 DE
// 23, into the one byte of tag 5F34.
func psn(s string) (byte, error) {
	if len(s) == 3 && s[0] == '0' {
		s = s[1:]
	}
	if len(s) != 2 || !digits(s) {
		return 0, errors.New("issuer: not a PAN sequence number")
	}
	return (s[0]-'0')<<4 | (s[1] - '0'), nil
}

// agree reads derivation, session and cvn, and names the one that is wrong.
func (k *card) agree(e *entry) (member, reason string) {
	derivation, session, cvn := string(e.Derivation), string(e.Session), string(e.CVN)
	if derivation != "A" && derivation != "B" {
		return "derivation", "want A or B"
	}
	if session == "" {
		return "session", "is missing"
	}
	if _, err := cryptogram.ParseScheme(derivation, session, "10"); err != nil {
		return "session", "want csk, emv2000, mchip or none"
	}
	var err error
	if k.scheme, err = cryptogram.ParseScheme(derivation, session, cvn); err != nil {
		return "cvn", "is not a cryptogram version that is supported"
	}
	return "", ""
}
