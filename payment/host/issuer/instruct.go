package issuer

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/host/ledger"
)

// Command is what an issuer has a card do (EMV 4.4 Book 3, 6.5).
type Command string

// The commands that go to cards in scripts.
const (
	ApplicationBlock   Command = "block"       // 6.5.1: every cryptogram is an AAC from then on
	ApplicationUnblock Command = "unblock"     // 6.5.2
	CardBlock          Command = "card-block"  // 6.5.3: for good
	PINUnblock         Command = "pin-unblock" // 6.5.10: the tries are given back
	PINChange          Command = "pin-change"  // 6.5.10: with them, a new PIN, enciphered
	PutData            Command = "limits"      // PUT DATA, one for each object
	UpdateRecord       Command = "record"      // UPDATE RECORD (ISO 7816-4, 11.3.5)
)

// ErrInstruction: a command can't be given to the card. The text says why.
var ErrInstruction = errors.New("issuer: instruction")

// Instruction is a command for one card.
type Instruction struct {
	// Card is the card's reference, as Find returns it.
	Card    string
	Command Command
	// PIN is the new PIN of PINChange, 4 to 12 digits in ASCII. It stays the
	// caller's to wipe.
	PIN secret.Bytes
	// Objects are the data objects of PutData, in BER-TLV: what bounds offline
	// payments, 9F14 and 9F23 (9F58 and 9F59 on other cards), one byte each, and
	// the amounts 9F54 and 9F5C, six bytes.
	Objects []byte
	// SFI and Record name the record of UpdateRecord, and Content is what it is
	// to be.
	SFI, Record byte
	Content     []byte
	// Early sends the command before the card's last word, in template 71.
	Early bool
}

// Known is a card of the issuer, for its people.
type Known struct {
	// Ref is its reference in the ledger.
	Ref string
	// Masked is its number with the middle hidden, PSN its sequence number.
	Masked, PSN string
}

// Find returns the cards that are meant by a reference, a whole number, or a
// number as Masked shows it.
func (i *Issuer) Find(card string) []Known {
	var out []Known
	for _, k := range i.c.Cards.list {
		if subtleEqual(k.ref, card) || subtleEqual(k.pan.Masked(), card) || subtleEqual(string(k.pan.Reveal()), card) {
			out = append(out, k.known())
		}
	}
	return out
}

// Card returns a card by its reference; false when there is none.
func (i *Issuer) Card(ref string) (Known, bool) {
	k := i.c.Cards.refs[ref]
	if k == nil {
		return Known{}, false
	}
	return k.known(), true
}

func (k *card) known() Known {
	return Known{Ref: k.ref, Masked: k.pan.Masked(), PSN: fmt.Sprintf("%02X", k.psn)}
}

func subtleEqual(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// Instruct writes a command down that its card is owed from then on: it goes with
// answers to the card until the card has confirmed it. What it means for the
// issuer itself holds at once: a blocked card is refused, and a new PIN, or new
// tries, count. Errors wrap ErrInstruction, or are those of the ledger.
func (i *Issuer) Instruct(ctx context.Context, tx ledger.Tx, in Instruction) (ledger.Script, error) {
	if err := ctx.Err(); err != nil {
		return ledger.Script{}, fmt.Errorf("issuer: %w", err)
	}
	k := i.c.Cards.refs[in.Card]
	if k == nil {
		return ledger.Script{}, fmt.Errorf("%w: no card of this issuer", ErrInstruction)
	}
	state, err := i.state(tx, k)
	if err != nil {
		return ledger.Script{}, err
	}
	s := ledger.Script{Card: k.ref, Command: string(in.Command), Early: in.Early, State: ledger.ScriptOwed, Created: i.c.Now(), Changed: i.c.Now()}
	switch in.Command {
	case ApplicationBlock, CardBlock:
		state.Blocked = true
	case ApplicationUnblock:
		if k.blocked {
			return ledger.Script{}, fmt.Errorf("%w: the card was issued blocked", ErrInstruction)
		}
		state.Blocked = false
	case PINUnblock:
		state.PINTries = i.c.PINTries
	case PINChange:
		if !isPIN(in.PIN.Reveal()) {
			return ledger.Script{}, fmt.Errorf("%w: a PIN has 4 to 12 digits", ErrInstruction)
		}
		if s.Data, err = i.sealPIN(k, in.PIN); err != nil {
			return ledger.Script{}, err
		}
		state.PIN, state.PINTries = s.Data, i.c.PINTries
	case PutData:
		if s.Data, err = putObjects(in.Objects); err != nil {
			return ledger.Script{}, err
		}
	case UpdateRecord:
		if in.SFI < 1 || in.SFI > 30 || in.Record == 0 || in.Record == 0xFF || len(in.Content) == 0 {
			return ledger.Script{}, fmt.Errorf("%w: a record has a file of 1 to 30, a number of 1 to 254 and a content", ErrInstruction)
		}
		s.Data = append([]byte{in.SFI, in.Record}, in.Content...)
	default:
		return ledger.Script{}, fmt.Errorf("%w: no command %q", ErrInstruction, in.Command)
	}
	return s, i.owe(tx, k, &state, &s, true)
}

// owe gives a script its number and writes it, and with put the card too.
func (i *Issuer) owe(tx ledger.Tx, k *card, state *ledger.Card, s *ledger.Script, put bool) error {
	// Whether it fits is known before it is written: a script that never goes
	// out would be owed for ever.
	template, err := i.template(k, script{*s}, &transactionOf{})
	if err != nil {
		return err
	}
	if len(template) > maxScripts {
		return fmt.Errorf("%w: a script of %d bytes, terminals take %d", ErrInstruction, len(template), maxScripts)
	}
	if err := i.replace(tx, state, s); err != nil {
		return err
	}
	if s.Number, err = tx.Next("script"); err != nil {
		return err
	}
	if err := tx.PutScript(*s); err != nil {
		return err
	}
	state.Scripts++
	if !put {
		return nil
	}
	return tx.PutCard(*state)
}

// putObjects takes the objects that PUT DATA may write, each of its length.
func putObjects(b []byte) ([]byte, error) {
	lengths := map[tlv.Tag]int{
		tags.LowerConsecutiveOfflineLimit: 1, tags.UpperConsecutiveOfflineLimit: 1, 0x9F58: 1, 0x9F59: 1,
		0x9F54: 6, 0x9F5C: 6,
	}
	var out []byte
	for o, err := range tlv.All(b) {
		if err != nil {
			return nil, fmt.Errorf("%w: the objects are no BER-TLV", ErrInstruction)
		}
		n, ok := lengths[o.Tag]
		if !ok || len(o.Value) != n {
			return nil, fmt.Errorf("%w: object %v of %d bytes is no limit of a card", ErrInstruction, o.Tag, len(o.Value))
		}
		out = tlv.Append(out, o.Tag, o.Value)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no object to write", ErrInstruction)
	}
	return out, nil
}

var errSealed = errors.New("issuer: a sealed PIN is damaged, or of another key")

// sealer is AES-256-GCM under a key that derives from the issuer's for new PINs.
func (i *Issuer) sealer() (cipher.AEAD, error) {
	if i.c.Key.Len() != 32 {
		return nil, fmt.Errorf("%w: Config.Key is missing, which seals new PINs", ErrInstruction)
	}
	m := hmac.New(sha256.New, i.c.Key.Reveal())
	m.Write([]byte("payunit issuer PIN\x00"))
	key := m.Sum(nil)
	defer clear(key)
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("issuer: sealing a PIN: %w", err)
	}
	return cipher.NewGCM(b)
}

// sealPIN enciphers a PIN for the ledger, padded so that its length shows not:
// nonce, then ciphertext with its tag.
func (i *Issuer) sealPIN(k *card, pin secret.Bytes) ([]byte, error) {
	aead, err := i.sealer()
	if err != nil {
		return nil, err
	}
	var plain [1 + maxPIN]byte
	defer clear(plain[:])
	plain[0] = byte(pin.Len())
	copy(plain[1:], pin.Reveal())
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := io.ReadFull(i.c.Rand, nonce); err != nil {
		return nil, fmt.Errorf("issuer: sealing a PIN: %w", err)
	}
	return aead.Seal(nonce, nonce, plain[:], []byte(k.ref)), nil
}

// unsealPIN is the inverse of sealPIN. The caller wipes the PIN.
func (i *Issuer) unsealPIN(k *card, sealed []byte) (secret.Bytes, error) {
	aead, err := i.sealer()
	if err != nil {
		return secret.Bytes{}, err
	}
	n := aead.NonceSize()
	if len(sealed) < n {
		return secret.Bytes{}, errSealed
	}
	plain, err := aead.Open(nil, sealed[:n], sealed[n:], []byte(k.ref))
	if err != nil || len(plain) != 1+maxPIN || int(plain[0]) > maxPIN {
		clear(plain)
		return secret.Bytes{}, errSealed
	}
	pin := secret.CopyBytes(plain[1 : 1+plain[0]])
	clear(plain)
	return pin, nil
}
