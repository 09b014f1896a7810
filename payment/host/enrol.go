package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/pinpad/keyblock"
)

// enrol makes the device at the other end a terminal, under the activation that
// the channel was made with. The activation is used up in the same transaction.
// A device whose answer was lost gets the same terminal again, as long as it has
// not used its keys.
func (s *Server) enrol(ctx context.Context, conn channel.Conn, p *peer, e trade.Envelope) (trade.Envelope, error) {
	var req trade.Enrol
	if err := e.Decode(&req); err != nil {
		return trade.Envelope{}, errMalformed
	}
	keys, ok := s.bases[req.PINFormat]
	if !ok {
		return trade.Envelope{}, &trade.Error{Code: trade.CodeUnsupported, Text: "no keys for pads of this PIN block format"}
	}
	if len(req.DeviceClass) > 64 || req.DeviceClass != p.identity.DeviceClass {
		return trade.Envelope{}, errMalformed
	}
	var t ledger.Terminal
	err := s.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		t, err = s.newTerminal(tx, p.identity, req.PINFormat)
		return err
	})
	if err == nil {
		// A terminal whose answer was lost has the keys that it was given.
		keys, err = s.keysOf(&t)
	}
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	g, err := s.grant(conn, keys, t)
	if err != nil {
		return trade.Envelope{}, s.refuse(err)
	}
	s.tell(t.ID, "", "enrolled for merchant %s, PIN block format %d, assurance %v", t.MerchantID, t.PINFormat, p.identity.Claims.Assurance)
	return trade.Encode(trade.KindGrant, e.Request, g)
}

// grant is what a terminal gets: who it is, and the initial keys of its number
// under a key of this channel.
func (s *Server) grant(conn channel.Conn, keys pair, t ledger.Terminal) (trade.Grant, error) {
	g := trade.Grant{
		TerminalID: t.ID, MerchantID: t.MerchantID, Merchant: t.Merchant, ServerKey: bytes.Clone(s.c.ServerKey),
		PINKeyID: keys.pin.keyID(t.Number), MACKeyID: keys.mac.keyID(t.Number),
	}
	if s.c.Configuration != nil {
		g.ConfigKey, g.Configuration = bytes.Clone(s.c.ConfigKey), s.c.Configuration()
	}
	exported, err := conn.Export(trade.KeyBlockLabel, 32)
	if err != nil {
		return g, err
	}
	kbpk := secret.NewBytes(exported)
	defer kbpk.Wipe()
	if g.PINKey, err = s.wrap(kbpk, keys.pin, g.PINKeyID); err != nil {
		return g, err
	}
	if g.MACKey, err = s.wrap(kbpk, keys.mac, g.MACKeyID); err != nil {
		return g, err
	}
	return g, nil
}

// configure answers a Configure.
func (s *Server) configure(e trade.Envelope) (trade.Envelope, error) {
	var req trade.Configure
	if err := e.Decode(&req); err != nil || len(req.Digest) > sha256.Size {
		return trade.Envelope{}, errMalformed
	}
	var c trade.Configuration
	if s.c.Configuration != nil {
		b := s.c.Configuration()
		if have := sha256.Sum256(b); !bytes.Equal(have[:], req.Digest) {
			c.Signed = b
		}
	}
	return trade.Encode(trade.KindConfiguration, e.Request, c)
}

// newTerminal writes the terminal and uses the activation up.
func (s *Server) newTerminal(tx ledger.Tx, id channel.Identity, format uint8) (ledger.Terminal, error) {
	a, err := s.c.Registry.usable(tx, id.ActivationID, id.Key)
	if err != nil {
		return ledger.Terminal{}, err
	}
	if a.Terminal != "" {
		t, err := tx.Terminal(a.Terminal)
		if err == nil && t.PINFormat != format {
			err = fmt.Errorf("%w: enrolled before with another PIN block format", errNotAdmitted)
		}
		return t, err
	}
	if _, err := tx.TerminalByKey(id.Key); !errors.Is(err, ledger.ErrNotFound) {
		return ledger.Terminal{}, errors.Join(err, fmt.Errorf("%w: the device is a terminal already", ledger.ErrConflict))
	}
	if err := checkDevice(id.Claims.Device); err != nil {
		return ledger.Terminal{}, err
	}
	n, err := newNumber(tx)
	if err != nil {
		return ledger.Terminal{}, err
	}
	t := ledger.Terminal{
		ID: terminalID(n), Number: n, DeviceKey: bytes.Clone(id.Key), MerchantID: a.MerchantID, Merchant: a.Merchant, PINFormat: format,
		Device: id.Claims.Device, DeviceClass: id.DeviceClass, Assurance: uint8(id.Claims.Assurance),
		Activation: a.ID, Enrolled: s.c.Now(), Generation: s.bases[format].name(),
	}
	a.Terminal = t.ID
	if err := tx.PutActivation(a); err != nil {
		return t, err
	}
	return t, tx.PutTerminal(t)
}

// terminalID makes eight characters of a number: P and seven digits to base 36.
func terminalID(n uint64) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	b := [8]byte{'P', '0', '0', '0', '0', '0', '0', '0'}
	for i := len(b) - 1; n > 0; i-- {
		b[i] = digits[n%uint64(len(digits))]
		n /= uint64(len(digits))
	}
	return string(b[:])
}

// wrap makes the key block of an initial key (X9.143, usage B1), which names the
// key's id in its header: KS for TDES, IK for AES.
func (s *Server) wrap(kbpk secret.Bytes, b base, id []byte) (string, error) {
	k, err := b.host.InitialKey(id)
	if err != nil {
		return "", fmt.Errorf("host: initial key: %w", err)
	}
	defer k.Wipe()
	h := keyblock.Header{Version: 'D', Usage: "B1", Algorithm: 'A', Mode: 'X', KeyVersion: "00", Exportability: 'N'}
	name := "IK"
	if b.host.Algorithm() == dukpt.TDES {
		h.Algorithm, name = 'T', "KS"
	}
	h.Optional = []keyblock.Block{{ID: name, Data: strings.ToUpper(fmt.Sprintf("%x", id))}}
	block, err := keyblock.Wrap(kbpk, h, k, s.c.Rand)
	if err != nil {
		return "", fmt.Errorf("host: wrapping an initial key: %w", err)
	}
	return block, nil
}
