package host

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
)

// Response codes that the server itself answers with, beside the issuer's. They
// are those that the dialects of 1987 and 1993 can both carry.
const (
	codeApproved    = "00"
	codePartial     = "10" // approved for the answer's amount
	codeInvalid     = "12" // the order or the transaction is not in a state for it
	codeAmount      = "13" // not the order's amount
	codeNoOriginal  = "25"
	codeFormat      = "30"
	codeUnsupported = "40"
	codeTerminal    = "58" // not granted to the terminal
	codeTotals      = "95" // the terminal's totals are not the server's
	codeSecurity    = "63" // PIN block can't be read, or its key was used before
	codeDuplicate   = "94" // same numbers as another request; order being paid or paid
)

// What a terminal is told of a message that does not count. It has no MAC to
// trust, and says nothing more.
var (
	errMAC = &trade.Error{Code: trade.CodeRefused, Text: "message authentication failed"}
	errKey = &trade.Error{Code: trade.CodeRefused, Text: "the message key was used before"}
	errWho = &trade.Error{Code: trade.CodeRefused, Text: "the message names another terminal or merchant"}
	errMTI = &trade.Error{Code: trade.CodeUnsupported, Text: "no such message type"}
)

// work is a financial message on its way through the server.
type work struct {
	m        *acquirer.Message
	terminal *ledger.Terminal
	// key derives the message's MAC and the answer's; counter is its number.
	key     *dukpt.HostTransaction
	counter uint64
	// pin is the deciphered PIN, pinCounter the number of its key; pinBad is
	// set when there is a block that can't be read.
	pin        secret.Bytes
	pinCounter uint64
	pinBad     bool
	now        time.Time
}

func (w *work) wipe() {
	w.m.Wipe()
	w.pin.Wipe()
	if w.key != nil {
		w.key.Wipe()
	}
}

// reply is the content of an answer.
type reply struct {
	code, authCode string
	icc            []byte
	// other are additional amounts: a balance.
	other []acquirer.OtherAmount
	// amount is the answer's, nil for the request's.
	amount *money.Amount
	// totals are the server's, in the answer to a settlement.
	totals *acquirer.Totals
	// said is why, for people at the server.
	said string
}

// financial answers an ISO 8583 message.
func (s *Server) financial(ctx context.Context, p *peer, e trade.Envelope) (trade.Envelope, error) {
	began := s.c.Now()
	w, err := s.receive(ctx, p, e.Body)
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	defer w.wipe()
	if err := p.freshFor(w.m); err != nil {
		return trade.Envelope{}, err
	}
	w.now = began
	at := Point{Stage: StageVerified, MTI: w.m.MTI, Terminal: w.terminal.ID, Order: w.m.Order}
	if err := s.c.Intercept(at); err != nil {
		return trade.Envelope{}, fmt.Errorf("host: cut before the message was booked: %w", err)
	}
	var r reply
	if class := w.m.MTI[:3]; s.c.Upstream != nil && increments(w.m) {
		r, err = s.routeIncrement(ctx, w)
	} else if s.c.Upstream != nil && (class == "010" || class == "020" || offline(w.m)) {
		r, err = s.route(ctx, w)
	} else {
		err = s.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
			var err error
			r, err = s.book(ctx, tx, w)
			return err
		})
	}
	if err != nil {
		if errors.Is(err, errNotAdmitted) {
			p.terminal.Store(nil)
		}
		return trade.Envelope{}, s.refuse(err)
	}
	if s.c.Upstream != nil {
		s.forwardSoon()
	}
	at.Stage, at.Code = StageCommitted, r.code
	if err := s.c.Intercept(at); err != nil {
		return trade.Envelope{}, fmt.Errorf("host: cut before the answer was sent: %w", err)
	}
	body, err := s.answer(w, r)
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	s.counters.message(w.m.MTI, r.code, s.c.Now().Sub(began))
	s.c.Observe(Event{
		Terminal: w.terminal.ID, Order: w.m.Order, Code: r.code, Took: s.c.Now().Sub(began),
		Text: fmt.Sprintf("%s %s: %s", w.m.MTI, w.m.STAN, r.said),
	})
	return trade.Envelope{Kind: trade.KindFinancialReply, Request: e.Request, Body: body}, nil
}

// receive reads a message and checks whose it is.
func (s *Server) receive(ctx context.Context, p *peer, body []byte) (*work, error) {
	w := &work{m: &acquirer.Message{}, terminal: p.terminal.Load()}
	known := w.terminal != nil
	if !known {
		err := s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
			t, err := s.c.Registry.terminal(tx, p.identity)
			w.terminal = &t
			return err
		})
		if err != nil {
			return nil, err
		}
		p.terminal.Store(w.terminal)
	}
	keys, err := s.keysOf(w.terminal)
	if err != nil {
		return nil, err
	}
	m, err := s.c.Dialect.Open(body, func(m *acquirer.Message, data, mac []byte) (err error) {
		if w.key, w.counter, err = keys.mac.transaction(w.terminal, m.MACKSN); err != nil {
			return err
		}
		return w.key.VerifyMACRequest(data, mac)
	})
	if err != nil && known {
		// Its keys may be others by now.
		w.wipe()
		p.terminal.Store(nil)
		return s.receive(ctx, p, body)
	}
	if err != nil {
		w.wipe()
		s.counters.count(`payunit_refused_total{why="message"}`)
		s.tell(w.terminal.ID, "", "message refused: %v", err)
		if errors.Is(err, acquirer.ErrMAC) {
			return nil, errMAC
		}
		return nil, errMalformed
	}
	w.m = m
	if m.TerminalID != w.terminal.ID || m.MerchantID != "" && m.MerchantID != w.terminal.MerchantID {
		w.wipe()
		return nil, errWho
	}
	if m.Amount == nil && m.MTI[1] < '5' || m.Totals == nil && m.MTI[1] == '5' {
		// Mandatory by the rules of the dialects here, but not of every one.
		w.wipe()
		return nil, errMalformed
	}
	if m.PINBlock != nil {
		s.decipher(w, keys.pin)
	}
	return w, nil
}

// decipher reads the PIN block. One that can't be read is not an error of the
// message: it is answered.
func (s *Server) decipher(w *work, b base) {
	w.pinBad = true
	if w.m.PINFormat != w.terminal.PINFormat {
		return
	}
	pan, err := panOf(w.m)
	if err != nil {
		return
	}
	defer pan.Wipe()
	k, counter, err := b.transaction(w.terminal, w.m.PINKSN)
	if err != nil {
		return
	}
	defer k.Wipe()
	if s.c.Upstream != nil {
		// Whoever decides reads it.
		w.pinCounter, w.pinBad = counter, false
		return
	}
	pin, err := k.DecryptPIN(w.m.PINBlock, pan)
	if err != nil {
		return
	}
	w.pin, w.pinCounter, w.pinBad = pin, counter, false
}

// panOf returns a copy of the message's account number.
func panOf(m *acquirer.Message) (secret.PAN, error) {
	if !m.PAN.IsZero() {
		return m.PAN.Clone(), nil
	}
	return m.Track2.PAN()
}

// sender is the terminal that a message is of, as it is now, with the message's key
// used. The message was verified with the keys of a terminal that its channel has
// known for a while: one that was given to another device since, or taken out of
// service, has nothing booked.
func (s *Server) sender(tx ledger.Tx, w *work) (ledger.Terminal, error) {
	t, err := tx.Terminal(w.terminal.ID)
	if err != nil {
		return t, err
	}
	was := *w.terminal
	was.MACKeys, was.PINKeys = t.MACKeys, t.PINKeys
	if !reflect.DeepEqual(was, t) {
		return t, fmt.Errorf("%w: the terminal has changed since the channel was made", errNotAdmitted)
	}
	if !t.MACKeys.Use(w.counter) {
		return t, errKey
	}
	return t, nil
}

// book carries a message out inside its transaction.
func (s *Server) book(ctx context.Context, tx ledger.Tx, w *work) (reply, error) {
	t, err := s.sender(tx, w)
	if err != nil {
		return reply{}, err
	}
	var r reply
	switch w.m.MTI[:3] {
	case "010", "020":
		if increments(w.m) {
			r, err = s.increment(ctx, tx, w)
		} else {
			r, err = s.request(ctx, tx, w, &t)
		}
	case "012":
		r, err = s.hold(ctx, tx, w)
	case "022":
		if offline(w.m) {
			r, err = s.request(ctx, tx, w, &t)
		} else {
			r, err = s.completion(ctx, tx, w)
		}
	case "040", "042":
		r, err = s.reversal(ctx, tx, w)
	case "032":
		r, err = s.upload(tx, w)
	case "050":
		r, err = s.settlement(tx, w)
	case "080":
		r = network(w)
	default:
		return reply{}, errMTI
	}
	if err != nil {
		return reply{}, err
	}
	return r, tx.PutTerminal(t)
}

// answer makes the sealed response.
func (s *Server) answer(w *work, r reply) ([]byte, error) {
	m, err := w.m.Response(r.code)
	if err != nil {
		return nil, fmt.Errorf("host: answering: %w", err)
	}
	if r.amount != nil {
		m.Amount = r.amount
	}
	m.AuthCode, m.ICC, m.Other, m.Totals = r.authCode, bytes.Clone(r.icc), r.other, r.totals
	b, err := s.c.Dialect.Seal(m, w.key.MACResponse)
	if err != nil {
		return nil, fmt.Errorf("host: answering: %w", err)
	}
	return b, nil
}

// keyOf names the request that a message is, or is about. False when it has no
// numbers that could be told apart later.
func keyOf(w *work, stan string) (ledger.Key, bool) {
	k := ledger.Key{Terminal: w.terminal.ID, STAN: stan, RRN: w.m.RRN}
	return k, word(stan, 6) && word(k.RRN, 12) && k.Check() == nil
}

// content is a digest of what makes a request the same: under the registry's
// key, since the account number is in it. It outlives the authorisation, so that
// nothing of the card verification values is in it, neither the printed one nor a
// track's: three digits would be tried out against it (PCI DSS 4.0, 3.3.1).
func (s *Server) content(m *acquirer.Message) []byte {
	var b []byte
	defer func() { clear(b) }()
	put := func(v []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	put([]byte(m.ProcessingCode))
	if m.Amount != nil {
		put([]byte(m.Amount.Currency.Code()))
		b = binary.BigEndian.AppendUint64(b, uint64(m.Amount.Minor))
	}
	put([]byte(stamp(m.TransmissionTime)))
	put([]byte(m.Order))
	put(m.PAN.Reveal())
	if !m.Track2.IsZero() {
		if pan, err := m.Track2.PAN(); err == nil {
			put(pan.Reveal())
			pan.Wipe()
		}
		put([]byte(m.Track2.Expiry()))
		put([]byte(m.Track2.ServiceCode()))
	}
	put([]byte(m.PSN))
	put([]byte(m.Expiry))
	put([]byte(m.EntryMode))
	put(m.PINBlock)
	put(m.PINKSN)
	put(m.ICC)
	return s.c.Registry.keyed("request", b)
}

// stamp is what field 7 carries of a time: no year, no fractions.
func stamp(t time.Time) string { return t.UTC().Format("0102150405") }

// same compares digests.
func same(a, b []byte) bool { return len(a) > 0 && hmac.Equal(a, b) }
