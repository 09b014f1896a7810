package dukpt

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"

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
	id      ident
	counter uint32
	key     secret.Bytes
}

// KSN returns the key serial number: 10 bytes for TDES, 12 for AES. The slice is
// the caller's.
func (k *keys) KSN() []byte { return k.alg.appendKSN(make([]byte, 0, 12), &k.id, k.counter) }

// Algorithm returns the algorithm of the initial key.
func (k *keys) Algorithm() Algorithm { return k.alg }

// Wipe ends the keys' use.
func (k *keys) Wipe() {
	k.key.Wipe()
	k.key = secret.Bytes{}
}

// with derives a working key and lends it to f.
func (k *keys) with(u Usage, t KeyType, f func(key []byte) error) (err error) {
	if k.key.Len() == 0 {
		return ErrWiped
	}
	secret.Do(func() {
		var b keyBuffer
		defer clear(b[:])
		copy(b[:], k.key.Reveal())
		if err = k.alg.working(&b, u, t, &k.id, k.counter); err == nil {
			err = f(b[:t.Len()])
		}
	})
	return err
}

// WorkingKey returns a working key, for what this package does not do with it.
// The caller wipes it. Errors: ErrWiped; wrap ErrKey for a key that the algorithm
// does not have, or that would be stronger than the one it comes from.
func (k *keys) WorkingKey(u Usage, t KeyType) (key secret.Bytes, err error) {
	err = k.with(u, t, func(b []byte) error {
		key = secret.CopyBytes(b)
		return nil
	})
	return key, err
}

// code computes a MAC under the working key of a usage: for TDES DUKPT the retail
// MAC of X9.19, for AES keys AES-CMAC, for TDES keys TDES-CMAC, for HMAC keys
// HMAC-SHA-256. The whole of it is returned.
func (k *keys) code(u Usage, t KeyType, data []byte) (code []byte, err error) {
	if u != MACGeneration && u != MACVerification && u != MACBoth {
		return nil, fmt.Errorf("%w: %s makes no MAC", ErrKey, u)
	}
	err = k.with(u, t, func(key []byte) error {
		if t.isHMAC() {
			h := hmac.New(sha256.New, key)
			h.Write(data)
			code = h.Sum(nil)
			return nil
		}
		if k.alg == TDES {
			s := secret.CopyBytes(key)
			defer s.Wipe()
			code, err = mac.X919(s, data)
			return err
		}
		b, err := cipherOf(t, key)
		if err != nil {
			return err
		}
		code = mac.CMAC(b, data)
		return nil
	})
	return code, err
}

// request and response are computed under different keys, so that a request
// can't come back as its own answer.
func (k *keys) request(data []byte) ([]byte, error)  { return k.short(MACGeneration, data) }
func (k *keys) response(data []byte) ([]byte, error) { return k.short(MACVerification, data) }

func (k *keys) short(u Usage, data []byte) ([]byte, error) {
	code, err := k.code(u, k.alg.KeyType(), data)
	if err != nil {
		return nil, err
	}
	return code[:macLen], nil
}

func (k *keys) verify(u Usage, data, code []byte) error {
	want, err := k.short(u, data)
	if err != nil {
		return err
	}
	return mac.Verify(want, code)
}

// MAC returns the whole MAC of data under a working key of a usage and type: X9.19
// under TDES DUKPT (8 bytes), CMAC under AES (16) and TDES keys (8), HMAC-SHA-256
// under HMAC keys (32). Errors: ErrWiped; wrap ErrKey.
func (k *keys) MAC(u Usage, t KeyType, data []byte) ([]byte, error) { return k.code(u, t, data) }

// crypt enciphers or deciphers whole blocks in CBC under a data key.
func (k *keys) crypt(u Usage, iv, data []byte, mode func(cipher.Block, []byte) cipher.BlockMode) (out []byte, err error) {
	t := k.alg.KeyType()
	err = k.with(u, t, func(key []byte) error {
		b, err := cipherOf(t, key)
		if err != nil {
			return err
		}
		n := b.BlockSize()
		if iv == nil {
			iv = make([]byte, n)
		}
		if len(iv) != n || len(data)%n != 0 || len(data) == 0 {
			return fmt.Errorf("%w: %d bytes with an initial vector of %d, want whole blocks of %d", ErrData, len(data), len(iv), n)
		}
		out = make([]byte, len(data))
		mode(b, iv).CryptBlocks(out, data)
		return nil
	})
	return out, err
}

// encryptPIN makes a block of a format under a PIN key of a type.
func (k *keys) encryptPIN(t KeyType, f pinblock.Format, pin secret.Bytes, pan secret.PAN, random io.Reader) (block []byte, err error) {
	err = k.with(PINEncryption, t, func(key []byte) error {
		b, err := cipherOf(t, key)
		if err != nil {
			return err
		}
		block, err = pinblock.Encipher(b, f, pin, pan, random)
		return err
	})
	return block, err
}

func (k *keys) decryptPIN(t KeyType, f pinblock.Format, block []byte, pan secret.PAN) (pin secret.Bytes, err error) {
	err = k.with(PINEncryption, t, func(key []byte) error {
		b, err := cipherOf(t, key)
		if err != nil {
			return err
		}
		pin, err = pinblock.Decipher(b, f, block, pan)
		return err
	})
	return pin, err
}

// Transaction is one counter's keys at the device. It is not safe for concurrent
// use with Wipe.
type Transaction struct{ keys }

// EncryptPIN returns the PIN block, enciphered under a key of the device's own
// strength: format 0 under TDES (8 bytes), format 4 under AES (16 bytes).
func (t *Transaction) EncryptPIN(pin secret.Bytes, pan secret.PAN, random io.Reader) (block []byte, format uint8, err error) {
	format = t.alg.Format()
	block, err = t.encryptPIN(t.alg.KeyType(), format, pin, pan, random)
	return block, format, err
}

// EncryptPINAs returns a PIN block of a format under a PIN key of a type, for
// hosts that take AES-128 blocks from AES-256 devices, or blocks of format 0 or 3
// under TDES keys that AES DUKPT derived.
func (t *Transaction) EncryptPINAs(kt KeyType, f pinblock.Format, pin secret.Bytes, pan secret.PAN, random io.Reader) ([]byte, error) {
	return t.encryptPIN(kt, f, pin, pan, random)
}

// MACRequest returns the eight bytes of a request's MAC: AES-CMAC cut to eight,
// or X9.19.
func (t *Transaction) MACRequest(data []byte) ([]byte, error) { return t.request(data) }

// VerifyMACResponse checks a response's MAC. Errors: mac.ErrMAC, ErrWiped.
func (t *Transaction) VerifyMACResponse(data, code []byte) error {
	return t.verify(MACVerification, data, code)
}

// EncryptRequest enciphers whole blocks in CBC under the request's data key. A nil
// iv is zeros, which under a key that enciphers one message is no weakness.
// Errors: ErrData, ErrWiped.
func (t *Transaction) EncryptRequest(iv, data []byte) ([]byte, error) {
	return t.crypt(DataEncrypt, iv, data, cipher.NewCBCEncrypter)
}

// DecryptResponse deciphers whole blocks in CBC under the response's data key.
// Errors: ErrData, ErrWiped.
func (t *Transaction) DecryptResponse(iv, data []byte) ([]byte, error) {
	return t.crypt(DataDecrypt, iv, data, cipher.NewCBCDecrypter)
}
