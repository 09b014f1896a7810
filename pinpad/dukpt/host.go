package dukpt

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"math/bits"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// Host is the receiving end: it derives any device's keys from the base
// derivation key. Of up to 4,096 devices it keeps the keys on the way to the last
// counter, at most 2.5 MB, for the next counter's. Safe for concurrent use.
type Host struct {
	alg Algorithm
	bdk secret.Bytes
	// block is AES under the base derivation key, nil for TDES. It stands behind
	// a function because fmt prints what a field points to, and a cipher is made
	// of its key.
	block func() cipher.Block
	ways  *ways
}

// NewHost takes a base derivation key, of which it keeps a copy. Errors wrap
// ErrKey.
func NewHost(alg Algorithm, bdk secret.Bytes) (*Host, error) {
	if !alg.valid() || bdk.Len() != alg.keyLen() {
		return nil, fmt.Errorf("%w: base derivation key of %d bytes for %s", ErrKey, bdk.Len(), alg)
	}
	h := &Host{alg: alg, bdk: bdk.Clone(), ways: new(ways)}
	if alg == TDES {
		return h, nil
	}
	b, err := aes.NewCipher(h.bdk.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	h.block = func() cipher.Block { return b }
	return h, nil
}

// Algorithm returns the host's algorithm.
func (h *Host) Algorithm() Algorithm { return h.alg }

// initial derives a device's initial key.
func (h *Host) initial(out *keyBuffer, id *ident) error {
	if h.alg == TDES {
		return initialTDES(h.bdk.Reveal(), out, id)
	}
	deriveAES(h.block(), out, derivationInitial, h.alg.KeyType(), id, 0)
	return nil
}

// InitialKey derives the initial key of a device, for loading it. Errors wrap
// ErrKey.
func (h *Host) InitialKey(id []byte) (secret.Bytes, error) {
	i, err := h.alg.parseID(id)
	if err != nil {
		return secret.Bytes{}, err
	}
	var k keyBuffer
	defer clear(k[:])
	if err := h.initial(&k, &i); err != nil {
		return secret.Bytes{}, err
	}
	return secret.CopyBytes(k[:h.alg.keyLen()]), nil
}

// Transaction derives the keys of a key serial number. It does not know which
// ones were used before: its caller does. Errors wrap ErrKSN.
func (h *Host) Transaction(ksn []byte) (*HostTransaction, error) {
	return transaction(h.alg, ksn, h.initial, h.ways)
}

// TransactionFrom derives the keys of a key serial number from a device's initial
// key, where the base derivation key is elsewhere. Errors wrap ErrKSN or ErrKey.
func TransactionFrom(alg Algorithm, initialKey secret.Bytes, ksn []byte) (*HostTransaction, error) {
	return transaction(alg, ksn, given(alg, initialKey), nil)
}

// given lends an initial key to a derivation.
func given(alg Algorithm, initialKey secret.Bytes) func(*keyBuffer, *ident) error {
	return func(out *keyBuffer, _ *ident) error {
		if initialKey.Len() != alg.keyLen() {
			return fmt.Errorf("%w: initial key of %d bytes, want %d", ErrKey, initialKey.Len(), alg.keyLen())
		}
		copy(out[:], initialKey.Reveal())
		return nil
	}
}

func transaction(alg Algorithm, ksn []byte, initial func(*keyBuffer, *ident) error, w *ways) (*HostTransaction, error) {
	id, counter, err := alg.split(ksn)
	if err != nil {
		return nil, err
	}
	if err := alg.checkCounter(counter); err != nil {
		return nil, err
	}
	t := &HostTransaction{keys{alg: alg, id: id, counter: counter}}
	secret.Do(func() {
		var k keyBuffer
		defer clear(k[:])
		if err = alg.reach(&k, &t.id, counter, initial, w); err == nil {
			t.key = secret.CopyBytes(k[:alg.keyLen()])
		}
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// reach derives the key of a counter, from the nearest key on the way that w
// holds. A nil w holds none and keeps none.
func (a Algorithm) reach(key *keyBuffer, id *ident, counter uint32, initial func(*keyBuffer, *ident) error, w *ways) error {
	if w == nil {
		if err := initial(key, id); err != nil {
			return err
		}
		return a.walk(key, id, 0, counter, nil)
	}
	steps, known := w.nearest(key, id, counter)
	if known && steps == bits.OnesCount32(counter) {
		return nil
	}
	var p passed
	defer clear(p[:])
	first := steps
	if !known {
		if err := initial(key, id); err != nil {
			return err
		}
		copy(p[0][:], key[:keyMax])
		first = -1
	}
	if err := a.walk(key, id, steps, counter, &p); err != nil {
		return err
	}
	w.keep(&p, id, counter, first)
	return nil
}

// Wipe ends the host's use. Nothing may use it at the same time.
func (h *Host) Wipe() {
	if h.ways != nil {
		h.ways.wipe()
	}
	h.ways = nil
	h.bdk.Wipe()
	h.block = nil
	h.alg = 0
}

// HostTransaction is one counter's keys at the host. It is not safe for
// concurrent use with Wipe.
type HostTransaction struct{ keys }

// DecryptPIN returns the PIN of a block that EncryptPIN made. Errors wrap
// pinblock.ErrBlock.
func (t *HostTransaction) DecryptPIN(block []byte, pan secret.PAN) (secret.Bytes, error) {
	return t.decryptPIN(t.alg.KeyType(), t.alg.Format(), block, pan)
}

// DecryptPINAs returns the PIN of a block that EncryptPINAs made. Errors wrap
// pinblock.ErrBlock, pinblock.ErrFormat or ErrKey.
func (t *HostTransaction) DecryptPINAs(kt KeyType, f pinblock.Format, block []byte, pan secret.PAN) (secret.Bytes, error) {
	return t.decryptPIN(kt, f, block, pan)
}

// VerifyMACRequest checks a request's MAC. Errors: mac.ErrMAC, ErrWiped.
func (t *HostTransaction) VerifyMACRequest(data, code []byte) error {
	return t.verify(MACGeneration, data, code)
}

// MACResponse returns the eight bytes of a response's MAC.
func (t *HostTransaction) MACResponse(data []byte) ([]byte, error) { return t.response(data) }

// DecryptRequest deciphers what EncryptRequest enciphered. Errors: ErrData,
// ErrWiped.
func (t *HostTransaction) DecryptRequest(iv, data []byte) ([]byte, error) {
	return t.crypt(DataEncrypt, iv, data, cipher.NewCBCDecrypter)
}

// EncryptResponse enciphers whole blocks for DecryptResponse. Errors: ErrData,
// ErrWiped.
func (t *HostTransaction) EncryptResponse(iv, data []byte) ([]byte, error) {
	return t.crypt(DataDecrypt, iv, data, cipher.NewCBCEncrypter)
}
