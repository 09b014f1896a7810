package host

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// StandIn is what a server approves by itself while the acquirer above can't be
// asked: sales of the whole amount, with a card that is one of Cards, whose
// cryptogram asks for an authorisation, and without a tip, or a PIN for the
// issuer to verify. Neither the cryptogram nor the balance is checked then: within the
// limits, the loss is the server's.
//
// Of a request that may have reached the acquirer above nothing is approved here.
// What is approved is owed to it as an advice (0120) with the account number,
// which is sealed in the ledger under RegistryConfig.Key; completion and reversal
// follow it.
type StandIn struct {
	// Limit is the most that one payment may be; payments in other currencies
	// are not approved. No default.
	Limit money.Amount
	// Velocity is how much one card may be used for in this way. No default.
	Velocity []issuer.Velocity
	// Cards are the beginnings of the account numbers of cards that may be
	// approved, six digits or more each. No default.
	Cards []string
}

// standInAccount is what the acquirer above is to pay for what was approved in
// its place.
const standInAccount = "upstream/standin"

func (s *StandIn) check() error {
	switch {
	case s == nil:
		return nil
	case s.Limit.Minor <= 0 || s.Limit.Currency.IsZero():
		return fmt.Errorf("%w: StandIn.Limit is empty and has no default", ErrConfig)
	case len(s.Velocity) == 0:
		return fmt.Errorf("%w: StandIn.Velocity is empty and has no default", ErrConfig)
	case len(s.Cards) == 0:
		return fmt.Errorf("%w: StandIn.Cards is empty and has no default", ErrConfig)
	}
	for _, v := range s.Velocity {
		if err := v.Check(); err != nil {
			return fmt.Errorf("%w: StandIn.Velocity: %w", ErrConfig, err)
		}
	}
	for _, c := range s.Cards {
		if len(c) < 6 || len(c) > 19 || strings.Trim(c, "0123456789") != "" {
			return fmt.Errorf("%w: StandIn.Cards: want 6 to 19 digits each", ErrConfig)
		}
	}
	return nil
}

// standIn approves a request that did not reach the acquirer above, if it may:
// false, and why not, when it is not approved. An approval is counted, and owed to
// the acquirer, in the same transaction.
func (s *Server) standIn(tx ledger.Tx, w *work, o ledger.Order, a *ledger.Authorisation) (ok bool, why string, err error) {
	c, m := s.c.StandIn, w.m
	switch {
	case c == nil:
		return false, "", nil
	case o.Type != string(trade.Sale) || m.Amount.Currency != c.Limit.Currency || m.Amount.Minor > c.Limit.Minor:
		return false, "no payment to stand in for", nil
	case tip(m) != 0:
		// The issuer has to see it first: see judgeAmount.
		return false, "a tip is not stood in for", nil
	case m.PINBlock != nil || !asksAlone(m.ICC):
		return false, "the issuer has to verify a PIN, or was not asked by the card", nil
	}
	pan, err := panOf(m)
	if err != nil {
		return false, "no account number", nil
	}
	defer pan.Wipe()
	known := false
	for _, p := range c.Cards {
		known = known || bytes.HasPrefix(pan.Reveal(), []byte(p))
	}
	if !known {
		return false, "no card to stand in for", nil
	}
	for _, v := range c.Velocity {
		code, reason, err := v.Room(tx, a.Card, a.Created, *m.Amount)
		if err != nil {
			return false, "", err
		}
		if code != "" {
			return false, reason, nil
		}
	}
	if err := issuer.Count(tx, a.Card, a.Created, *m.Amount); err != nil {
		return false, "", err
	}
	if a.AuthCode, err = s.authCode(); err != nil {
		return false, "", err
	}
	advice := m.Clone()
	defer advice.Wipe()
	advice.MTI, advice.MAC, advice.MACKSN, advice.AuthCode, advice.ResponseCode = "0120", nil, nil, a.AuthCode, ""
	if advice.Expiry == "" {
		advice.Expiry = m.Track2.Expiry()
	}
	advice.Track2.Wipe()
	advice.Track2 = secret.Track2{}
	advice.PAN.Wipe()
	advice.PAN = pan.Clone()
	packed, err := s.c.Dialect.Pack(advice)
	if err != nil {
		return false, "", fmt.Errorf("host: advice of a stand-in: %w", err)
	}
	defer clear(packed)
	id := outgoingID("standin", a.Key)
	sealed, err := s.c.Registry.seal("standin", id, packed)
	if err != nil {
		return false, "", err
	}
	n, err := tx.Next("outgoing")
	if err != nil {
		return false, "", err
	}
	a.Account = standInAccount
	return true, "", tx.PutOutgoing(ledger.Outgoing{ID: id, Number: n, Authorisation: a.Key, Message: sealed, Due: w.now, Created: w.now})
}

// asksAlone reports whether a card asks for an authorisation, and no PIN is there
// for the issuer to verify.
func asksAlone(icc []byte) bool {
	var asks bool
	for o, err := range tlv.All(icc) {
		switch {
		case err != nil:
			return false
		case o.Tag == tags.CID:
			asks = len(o.Value) == 1 && o.Value[0]&0xC0 == 0x80
		case o.Tag == tags.CVMResults && len(o.Value) == 3 && tags.CVM(o.Value[0]).Method() == tags.CVMOnlinePIN:
			return false
		case o.Tag == tags.TVR && len(o.Value) == 5 && o.Value[2]&0x04 != 0: // online PIN entered
			return false
		}
	}
	return asks
}

// stoodIn reports whether a message tells what another server approved in this
// one's place: an 0120 that no request came before.
func stoodIn(m *acquirer.Message) bool { return m.MTI[:3] == "012" && m.Original == nil }

// owedMessage is the message of an Outgoing, packed. The caller wipes it.
func (s *Server) owedMessage(o ledger.Outgoing) ([]byte, error) {
	if !strings.HasPrefix(o.ID, "standin/") {
		return o.Message, nil
	}
	return s.c.Registry.unseal("standin", o.ID, o.Message)
}

// authCode makes six random digits, not all zero.
func (s *Server) authCode() (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(s.c.Rand, b[:]); err != nil {
		return "", fmt.Errorf("host: authorisation code: %w", err)
	}
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(b[:])%999_999+1), nil
}

// sealer is AES-256-GCM under a key that derives from the registry's for one use.
func (r *Registry) sealer(use string) (cipher.AEAD, error) {
	key := r.keyed(use, nil)
	defer clear(key)
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("host: sealing: %w", err)
	}
	aead, err := cipher.NewGCM(b)
	if err != nil {
		return nil, fmt.Errorf("host: sealing: %w", err)
	}
	return aead, nil
}

var errSealed = errors.New("host: what was sealed is damaged, or of another key")

// seal enciphers what is kept under an id: nonce, then ciphertext with its tag.
func (r *Registry) seal(use, id string, plain []byte) ([]byte, error) {
	aead, err := r.sealer(use)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := io.ReadFull(r.c.Rand, nonce); err != nil {
		return nil, fmt.Errorf("host: sealing: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, []byte(id)), nil
}

func (r *Registry) unseal(use, id string, sealed []byte) ([]byte, error) {
	aead, err := r.sealer(use)
	if err != nil {
		return nil, err
	}
	n := aead.NonceSize()
	if len(sealed) < n {
		return nil, errSealed
	}
	plain, err := aead.Open(nil, sealed[:n], sealed[n:], []byte(id))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}
