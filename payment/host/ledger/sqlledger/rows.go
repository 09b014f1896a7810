package sqlledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// micros and moment turn times into columns and back; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// whole is a truth value as a column has it.
func whole(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// blob is a column that is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func bytesOf(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func amount(minor int64, code string) (money.Amount, error) {
	if code == "" && minor == 0 {
		return money.Amount{}, nil
	}
	c, err := money.ByCode(code)
	if err != nil {
		return money.Amount{}, fmt.Errorf("sqlledger: recorded amount: %w", err)
	}
	return money.New(minor, c), nil
}

// upsert is the statement that writes a row in place of the one of its key.
func upsert(table, columns, key string) string {
	names := strings.Split(columns, ", ")
	keys := strings.Split(key, ", ")
	var set []string
	for _, n := range names {
		if !slices.Contains(keys, n) {
			set = append(set, n+" = excluded."+n)
		}
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ") +
		") ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(set, ", ")
}

// The statements that write records. No "OR REPLACE": it would delete another
// terminal of the same number.
var (
	putOrder      = upsert("orders", orderColumns, "id")
	putTerminal   = upsert("terminals", terminalColumns, "id")
	putActivation = upsert("activations", "id, merchant_id, merchant, expires, terminal", "id")
	putAuth       = upsert("authorisations", authColumns, "terminal, stan, rrn")
	putCard       = upsert("cards", "ref, atc_high, atc_bits, pin_tries, blocked, scripts, pin", "ref")
	putBalance    = upsert("balances", "account, currency, minor", "account, currency")
)

const orderColumns = "id, type, minor, currency, merchant, state, authorisation, created, original, refunded, cashback, tip"

func scanOrder(scan func(...any) error) (ledger.Order, error) {
	var o ledger.Order
	var minor, created int64
	var currency, auth string
	if err := scan(&o.ID, &o.Type, &minor, &currency, &o.Merchant, &o.State, &auth, &created, &o.Original, &o.Refunded, &o.Cashback, &o.Tip); err != nil {
		return o, err
	}
	var err error
	o.Created = moment(created)
	if o.Amount, err = amount(minor, currency); err != nil {
		return o, err
	}
	o.Authorisation, err = ledger.ParseKey(auth)
	return o, err
}

// Order returns an order or ErrNotFound.
func (t *tx) Order(id string) (ledger.Order, error) {
	if o := t.last.order; o.ID == id && id != "" && t.usable() == nil {
		return o, nil
	}
	var o ledger.Order
	err := t.one("order", "SELECT "+orderColumns+" FROM orders WHERE id = ?", []any{id}, func(scan func(...any) error) (err error) {
		o, err = scanOrder(scan)
		return err
	})
	if err == nil {
		t.last.order = o
	}
	return o, err
}

// PutOrder writes an order.
func (t *tx) PutOrder(o ledger.Order) error {
	if o.ID == "" || o.Amount.Currency.IsZero() || o.Amount.Minor < 0 {
		return fmt.Errorf("%w: order without id or amount", ledger.ErrInvalid)
	}
	if o.Cashback < 0 || o.Cashback > o.Amount.Minor {
		return fmt.Errorf("%w: order %s: more cash than the amount", ledger.ErrInvalid, o.ID)
	}
	if o.Tip < 0 || o.Tip > o.Amount.Minor {
		return fmt.Errorf("%w: order %s: a tip of more than the amount", ledger.ErrInvalid, o.ID)
	}
	if o.Refunded < 0 || o.Refunded > o.Amount.Minor {
		return fmt.Errorf("%w: order %s: more is given back than was paid", ledger.ErrInvalid, o.ID)
	}
	old := t.last.order
	t.last.order = ledger.Order{}
	if old.State, old.Authorisation = o.State, o.Authorisation; old == o {
		err := t.exec("writing an order", "UPDATE orders SET state = ?, authorisation = ? WHERE id = ?", string(o.State), o.Authorisation.String(), o.ID)
		if err == nil {
			t.last.order = o
		}
		return err
	}
	return t.exec("writing an order", putOrder,
		o.ID, o.Type, o.Amount.Minor, o.Amount.Currency.Code(), o.Merchant, string(o.State), o.Authorisation.String(), micros(o.Created), o.Original, o.Refunded, o.Cashback, o.Tip)
}

// EachOrder walks over the orders.
func (t *tx) EachOrder(fn func(ledger.Order) error) error {
	return t.each("reading orders", "SELECT "+orderColumns+" FROM orders ORDER BY id", nil, func(scan func(...any) error) error {
		o, err := scanOrder(scan)
		if err != nil {
			return err
		}
		return fn(o)
	})
}

const terminalColumns = "id, number, device_key, merchant_id, merchant, pin_format, device, device_class, assurance, mac_high, mac_bits, pin_high, pin_bits, activation, enrolled, generation"

func scanTerminal(scan func(...any) error) (ledger.Terminal, error) {
	var v ledger.Terminal
	var number, macHigh, macBits, pinHigh, pinBits, enrolled int64
	err := scan(&v.ID, &number, &v.DeviceKey, &v.MerchantID, &v.Merchant, &v.PINFormat, &v.Device, &v.DeviceClass, &v.Assurance,
		&macHigh, &macBits, &pinHigh, &pinBits, &v.Activation, &enrolled, &v.Generation)
	v.Number = uint64(number)
	v.MACKeys = ledger.Window{High: uint64(macHigh), Bits: uint64(macBits)}
	v.PINKeys = ledger.Window{High: uint64(pinHigh), Bits: uint64(pinBits)}
	v.Enrolled = moment(enrolled)
	return v, err
}

func (t *tx) terminal(where string, arg any) (ledger.Terminal, error) {
	var v ledger.Terminal
	err := t.one("terminal", "SELECT "+terminalColumns+" FROM terminals WHERE "+where+" = ?", []any{arg}, func(scan func(...any) error) (err error) {
		v, err = scanTerminal(scan)
		return err
	})
	if err == nil {
		t.last.terminal = v
		t.last.terminal.DeviceKey = bytes.Clone(v.DeviceKey)
	}
	return v, err
}

// Terminal returns a terminal or ErrNotFound.
func (t *tx) Terminal(id string) (ledger.Terminal, error) { return t.terminal("id", id) }

// TerminalByKey returns the terminal with that device key, or ErrNotFound.
func (t *tx) TerminalByKey(key []byte) (ledger.Terminal, error) {
	return t.terminal("device_key", blob(key))
}

// PutTerminal writes a terminal.
func (t *tx) PutTerminal(v ledger.Terminal) error {
	if v.ID == "" || len(v.DeviceKey) == 0 || v.Number == 0 {
		return fmt.Errorf("%w: terminal without id, number or device key", ledger.ErrInvalid)
	}
	// As a rule, all that has changed is which keys were used.
	if old := t.last.terminal; old.ID == v.ID && sameUnit(old, v) {
		return t.exec("writing a terminal", "UPDATE terminals SET mac_high = ?, mac_bits = ?, pin_high = ?, pin_bits = ? WHERE id = ?",
			int64(v.MACKeys.High), int64(v.MACKeys.Bits), int64(v.PINKeys.High), int64(v.PINKeys.Bits), v.ID)
	}
	other, err := t.TerminalByKey(v.DeviceKey)
	if err == nil && other.ID != v.ID {
		return fmt.Errorf("%w: the device key belongs to another terminal", ledger.ErrConflict)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	t.last.terminal = ledger.Terminal{}
	return t.exec("writing a terminal", putTerminal,
		v.ID, int64(v.Number), v.DeviceKey, v.MerchantID, v.Merchant, v.PINFormat, v.Device, v.DeviceClass, v.Assurance,
		int64(v.MACKeys.High), int64(v.MACKeys.Bits), int64(v.PINKeys.High), int64(v.PINKeys.Bits), v.Activation, micros(v.Enrolled), v.Generation)
}

// Activation returns an activation or ErrNotFound.
func (t *tx) Activation(id string) (ledger.Activation, error) {
	a := ledger.Activation{ID: id}
	var expires int64
	err := t.row("activation", "SELECT merchant_id, merchant, expires, terminal FROM activations WHERE id = ?", []any{id},
		&a.MerchantID, &a.Merchant, &expires, &a.Terminal)
	if err != nil {
		return ledger.Activation{}, err
	}
	a.Expires = moment(expires)
	return a, nil
}

// PutActivation writes an activation.
func (t *tx) PutActivation(a ledger.Activation) error {
	if a.ID == "" {
		return fmt.Errorf("%w: activation without id", ledger.ErrInvalid)
	}
	return t.exec("writing an activation", putActivation,
		a.ID, a.MerchantID, a.Merchant, micros(a.Expires), a.Terminal)
}

// Next returns the next number of a sequence.
func (t *tx) Next(sequence string) (uint64, error) {
	if sequence == "" {
		return 0, fmt.Errorf("%w: sequence without a name", ledger.ErrInvalid)
	}
	err := t.exec("counting", "INSERT INTO sequences (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = sequences.value + 1", sequence)
	if err != nil {
		return 0, err
	}
	var n int64
	err = t.row("sequence", "SELECT value FROM sequences WHERE name = ?", []any{sequence}, &n)
	return uint64(n), err
}

const authColumns = "terminal, stan, rrn, transmitted, order_id, minor, currency, card, account, state, content, response_code, auth_code, icc, completion, created, changed"

func scanAuth(scan func(...any) error) (ledger.Authorisation, error) {
	var a ledger.Authorisation
	var transmitted, minor, created, changed int64
	var currency string
	err := scan(&a.Key.Terminal, &a.Key.STAN, &a.Key.RRN, &transmitted, &a.Order, &minor, &currency, &a.Card, &a.Account, &a.State,
		&a.Content, &a.ResponseCode, &a.AuthCode, &a.ICC, &a.Completion, &created, &changed)
	if err != nil {
		return a, err
	}
	a.Transmitted, a.Created, a.Changed = moment(transmitted), moment(created), moment(changed)
	a.Content, a.ICC, a.Completion = bytesOf(a.Content), bytesOf(a.ICC), bytesOf(a.Completion)
	a.Amount, err = amount(minor, currency)
	return a, err
}

// Authorisation returns what is known under a key, or ErrNotFound.
func (t *tx) Authorisation(k ledger.Key) (ledger.Authorisation, error) {
	var a ledger.Authorisation
	err := t.one("authorisation", "SELECT "+authColumns+" FROM authorisations WHERE terminal = ? AND stan = ? AND rrn = ?",
		[]any{k.Terminal, k.STAN, k.RRN}, func(scan func(...any) error) (err error) {
			a, err = scanAuth(scan)
			return err
		})
	if err == nil {
		t.last.auth = a
		t.last.auth.Content, t.last.auth.ICC = bytes.Clone(a.Content), bytes.Clone(a.ICC)
	}
	return a, err
}

// PutAuthorisation writes an authorisation.
func (t *tx) PutAuthorisation(a ledger.Authorisation) error {
	if err := a.Key.Check(); err != nil {
		return err
	}
	if sameAnswer(t.last.auth, a) {
		return t.exec("writing an authorisation", "UPDATE authorisations SET state = ?, completion = ?, changed = ? WHERE terminal = ? AND stan = ? AND rrn = ?",
			string(a.State), blob(a.Completion), micros(a.Changed), a.Key.Terminal, a.Key.STAN, a.Key.RRN)
	}
	t.last.auth = ledger.Authorisation{}
	return t.exec("writing an authorisation", putAuth,
		a.Key.Terminal, a.Key.STAN, a.Key.RRN, micros(a.Transmitted), a.Order, a.Amount.Minor, a.Amount.Currency.Code(), a.Card, a.Account, string(a.State),
		blob(a.Content), a.ResponseCode, a.AuthCode, blob(a.ICC), blob(a.Completion), micros(a.Created), micros(a.Changed))
}

// EachAuthorisation walks over the authorisations.
func (t *tx) EachAuthorisation(fn func(ledger.Authorisation) error) error {
	return t.each("reading authorisations", "SELECT "+authColumns+" FROM authorisations ORDER BY terminal, stan, rrn", nil,
		func(scan func(...any) error) error {
			a, err := scanAuth(scan)
			if err != nil {
				return err
			}
			return fn(a)
		})
}

// Card returns a card's state, or ErrNotFound.
func (t *tx) Card(ref string) (ledger.Card, error) {
	c := ledger.Card{Ref: ref}
	var high, bits int64
	err := t.row("card", "SELECT atc_high, atc_bits, pin_tries, blocked, scripts, pin FROM cards WHERE ref = ?", []any{ref},
		&high, &bits, &c.PINTries, &c.Blocked, &c.Scripts, &c.PIN)
	if err != nil {
		return ledger.Card{}, err
	}
	c.ATC, c.PIN = ledger.Window{High: uint64(high), Bits: uint64(bits)}, bytesOf(c.PIN)
	return c, nil
}

// PutCard writes a card's state.
func (t *tx) PutCard(c ledger.Card) error {
	if c.Ref == "" || c.PINTries < 0 || c.Scripts < 0 {
		return fmt.Errorf("%w: card without reference", ledger.ErrInvalid)
	}
	return t.exec("writing a card", putCard,
		c.Ref, int64(c.ATC.High), int64(c.ATC.Bits), c.PINTries, whole(c.Blocked), c.Scripts, blob(c.PIN))
}

// one reads one row with a scanner; ErrNotFound when there is none.
func (t *tx) one(doing, query string, args []any, fn func(scan func(...any) error) error) error {
	found := false
	err := t.each("reading: "+doing, query, args, func(scan func(...any) error) error {
		found = true
		return fn(scan)
	})
	if err == nil && !found {
		return fmt.Errorf("%w: %s", ledger.ErrNotFound, doing)
	}
	return err
}
