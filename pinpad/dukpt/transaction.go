package dukpt

import (
	"fmt"
	"io"
	"math/bits"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// macLen is the length of a message authentication code: eight bytes, as ISO
// 8583 fields 64 and 128 hold. An AES-CMAC is cut to it from the left.
const macLen = 8

// keys is what both ends know of one transaction.
type keys struct {
	alg     Algorithm
	id      []byte
	counter uint32
	key     secret.Bytes
}

// KSN returns the key serial number: 10 bytes for TDES, 12 for AES.
func (k *keys) KSN() []byte { return k.alg.ksn(k.id, k.counter) }

// Wipe ends the keys' use.
func (k *keys) Wipe() {
	k.key.Wipe()
	k.key = secret.Bytes{}
}

// working derives a working key.
func (k *keys) working(usage uint16, mask uint64) (secret.Bytes, error) {
	if k.key.Len() == 0 {
		return secret.Bytes{}, ErrWiped
	}
	if k.alg == TDES {
		return secret.NewBytes(variant(k.key.Reveal(), mask)), nil
	}
	w, err := deriveAES(k.key.Reveal(), usage, k.alg, k.id, k.counter)
	return secret.NewBytes(w), err
}

// code computes the MAC of a direction.
func (k *keys) code(usage uint16, mask uint64, data []byte) ([]byte, error) {
	w, err := k.working(usage, mask)
	if err != nil {
		return nil, err
	}
	defer w.Wipe()
	if k.alg == TDES {
		return mac.X919(w, data)
	}
	b, err := k.alg.cipherFor(w.Reveal())
	if err != nil {
		return nil, err
	}
	return mac.CMAC(b, data)[:macLen], nil
}

// request and response are computed under different keys, so that a request
// can't come back as its own answer.
func (k *keys) request(data []byte) ([]byte, error) {
	return k.code(usageMACGenerate, maskMACRequest, data)
}

func (k *keys) response(data []byte) ([]byte, error) {
	return k.code(usageMACVerify, maskMACResponse, data)
}

// Format returns the ISO 9564-1 format of the algorithm's PIN blocks: 0 under
// TDES, 4 under AES.
func (a Algorithm) Format() uint8 {
	if a == TDES {
		return 0
	}
	return 4
}

// Transaction is one counter's keys at the device.
type Transaction struct{ keys }

// EncryptPIN returns the PIN block, enciphered: format 0 under TDES (8 bytes),
// format 4 under AES (16 bytes).
func (t *Transaction) EncryptPIN(pin secret.Bytes, pan secret.PAN, random io.Reader) (block []byte, format uint8, err error) {
	w, err := t.working(usagePIN, maskPIN)
	if err != nil {
		return nil, 0, err
	}
	defer w.Wipe()
	b, err := t.alg.cipherFor(w.Reveal())
	if err != nil {
		return nil, 0, err
	}
	format = t.alg.Format()
	if format == 4 {
		block, err = pinblock.Encipher4(b, pin, pan, random)
		return block, format, err
	}
	clearBlock, err := pinblock.Encode0(pin, pan)
	if err != nil {
		return nil, 0, err
	}
	defer clearBlock.Wipe()
	block = make([]byte, 8)
	b.Encrypt(block, clearBlock.Reveal())
	return block, format, nil
}

// MACRequest returns the eight bytes of a request's MAC: AES-CMAC cut to eight,
// or X9.19.
func (t *Transaction) MACRequest(data []byte) ([]byte, error) { return t.request(data) }

// VerifyMACResponse checks a response's MAC. Errors: mac.ErrMAC, ErrWiped.
func (t *Transaction) VerifyMACResponse(data, code []byte) error {
	want, err := t.response(data)
	if err != nil {
		return err
	}
	return mac.Verify(want, code)
}

// Host is the receiving end: it derives any device's keys from the base
// derivation key. Safe for concurrent use.
type Host struct {
	alg Algorithm
	bdk secret.Bytes
}

// NewHost takes a base derivation key, of which it keeps a copy. Errors wrap
// ErrKey.
func NewHost(alg Algorithm, bdk secret.Bytes) (*Host, error) {
	if !alg.valid() || bdk.Len() != alg.keyLen() {
		return nil, fmt.Errorf("%w: base derivation key of %d bytes for %s", ErrKey, bdk.Len(), alg)
	}
	return &Host{alg, bdk.Clone()}, nil
}

// Algorithm returns the host's algorithm.
func (h *Host) Algorithm() Algorithm { return h.alg }

// InitialKey derives the initial key of a device, for loading it. Errors wrap
// ErrKey.
func (h *Host) InitialKey(id []byte) (secret.Bytes, error) {
	if err := h.alg.checkID(id); err != nil {
		return secret.Bytes{}, err
	}
	var k []byte
	var err error
	if h.alg == TDES {
		k, err = initialTDES(h.bdk.Reveal(), id)
	} else {
		k, err = deriveAES(h.bdk.Reveal(), usageInitial, h.alg, id, 0)
	}
	return secret.NewBytes(k), err
}

// HostTransaction is one counter's keys at the host.
type HostTransaction struct{ keys }

// Transaction derives the keys of a key serial number. It does not know which
// ones were used before: its caller does. Errors wrap ErrKSN.
func (h *Host) Transaction(ksn []byte) (*HostTransaction, error) {
	id, counter, err := h.alg.split(ksn)
	if err != nil {
		return nil, err
	}
	if err := h.alg.checkCounter(counter); err != nil {
		return nil, err
	}
	k, err := h.InitialKey(id)
	if err != nil {
		return nil, err
	}
	sofar := uint32(0)
	for rest := counter; rest != 0; {
		bit := uint32(1) << (31 - bits.LeadingZeros32(rest))
		rest &^= bit
		sofar |= bit
		next, err := h.alg.next(k.Reveal(), id, sofar)
		k.Wipe()
		if err != nil {
			return nil, err
		}
		k = secret.NewBytes(next)
	}
	return &HostTransaction{keys{alg: h.alg, id: id, counter: counter, key: k}}, nil
}

// DecryptPIN returns the PIN of a block. Errors wrap pinblock.ErrBlock.
func (t *HostTransaction) DecryptPIN(block []byte, pan secret.PAN) (secret.Bytes, error) {
	w, err := t.working(usagePIN, maskPIN)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer w.Wipe()
	b, err := t.alg.cipherFor(w.Reveal())
	if err != nil {
		return secret.Bytes{}, err
	}
	if t.alg != TDES {
		return pinblock.Decipher4(b, block, pan)
	}
	if len(block) != 8 {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes, want 8", pinblock.ErrBlock, len(block))
	}
	plain := make([]byte, 8)
	defer clear(plain)
	b.Decrypt(plain, block)
	return pinblock.Decode(0, secret.NewBytes(plain), pan)
}

// VerifyMACRequest checks a request's MAC. Errors: mac.ErrMAC, ErrWiped.
func (t *HostTransaction) VerifyMACRequest(data, code []byte) error {
	want, err := t.request(data)
	if err != nil {
		return err
	}
	return mac.Verify(want, code)
}

// MACResponse returns the eight bytes of a response's MAC.
func (t *HostTransaction) MACResponse(data []byte) ([]byte, error) { return t.response(data) }
