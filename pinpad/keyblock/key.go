package keyblock

import (
	"crypto"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"fmt"
	"io"
	"slices"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// Key is a key that does what its header allows, and nothing else. Safe for
// concurrent use, but with Wipe. Every method that uses it returns an error that
// wraps ErrUsage where the header does not allow that.
type Key struct {
	header Header
	key    secret.Bytes
}

// NewKey takes a key over that came by another way than a block, such as from
// components. Its header has to be coherent. Errors wrap ErrFormat, ErrUsage or
// ErrKey.
func NewKey(h Header, key secret.Bytes) (*Key, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	if err := h.Coherent(); err != nil {
		return nil, err
	}
	if err := h.checkLength(key.Len(), true); err != nil {
		return nil, err
	}
	h.Optional = slices.Clone(h.Optional)
	return &Key{h, key}, nil
}

// Open unwraps a block under a protection key, which has to be one: of usage K0,
// K1 or, for version E, K4, of the algorithm of the block's version (TDES for A, B
// and C, AES for D and E), and let unwrap keys. A check value in the header (KC)
// has to be the key's.
func Open(kbpk *Key, block string) (*Key, error) {
	if err := kbpk.mayUse(UnwrapKey); err != nil {
		return nil, err
	}
	clearHeader, err := ParseHeader(block)
	if err != nil {
		return nil, err
	}
	if err := kbpk.protects(clearHeader.Version); err != nil {
		return nil, err
	}
	h, key, err := Unwrap(kbpk.key, block)
	if err != nil {
		return nil, err
	}
	k := &Key{h, key}
	if err := k.checkValue("KC", k); err != nil {
		k.Wipe()
		return nil, err
	}
	if err := k.checkValue("KP", kbpk); err != nil {
		k.Wipe()
		return nil, err
	}
	return k, nil
}

// checkValue compares a check value in k's header with that of a key.
func (k *Key) checkValue(id string, of *Key) error {
	if _, ok := k.header.Find(id); !ok {
		return nil
	}
	m, want, err := k.header.CheckValue(id)
	if err != nil {
		return err
	}
	b, err := of.block()
	if err != nil {
		return nil // a key of an algorithm that has no check value
	}
	got := mac.CMAC(b, make([]byte, b.BlockSize()))
	if m == CheckZeros {
		clear(got)
		b.Encrypt(got, got)
	}
	if len(want) > len(got) || mac.Verify(got[:len(want)], want) != nil {
		return fmt.Errorf("%w: check value %s", ErrAuthentication, id)
	}
	return nil
}

// protects returns nil when the key is one for blocks of a version.
func (k *Key) protects(version byte) error {
	algorithm := byte('T')
	if version == 'D' || version == 'E' {
		algorithm = 'A'
	}
	if k.header.Algorithm != algorithm || k.header.Usage == "K4" && version != 'E' {
		return fmt.Errorf("%w: version %c under a protection key of usage %s and algorithm %c", ErrUsage, version, k.header.Usage, k.header.Algorithm)
	}
	return nil
}

// Header returns what the key is. Its optional blocks are the caller's own.
func (k *Key) Header() Header {
	h := k.header
	h.Optional = slices.Clone(h.Optional)
	return h
}

// Wipe zeroes the key, which does nothing from then on: its methods return errors
// that wrap ErrKey.
func (k *Key) Wipe() {
	k.key.Wipe()
	k.key = secret.Bytes{}
}

// mayUse returns nil when the header allows an operation and there is a key to do
// it with.
func (k *Key) mayUse(o Operation) error {
	if err := k.header.Allows(o); err != nil {
		return err
	}
	if k.key.Len() == 0 {
		return fmt.Errorf("%w: it was wiped", ErrKey)
	}
	return nil
}

// Material lends the bytes of the key for an operation that is done elsewhere,
// such as the derivation of DUKPT keys. They are the key's own: valid until Wipe.
func (k *Key) Material(o Operation) (secret.Bytes, error) {
	if err := k.mayUse(o); err != nil {
		return secret.Bytes{}, err
	}
	return k.key, nil
}

// KCV returns the check value: five bytes of the CMAC for AES, three bytes of
// enciphered zeros for DES and TDES. Keys of other algorithms have none.
func (k *Key) KCV() ([]byte, error) {
	b, err := k.block()
	if err != nil {
		return nil, err
	}
	if b.BlockSize() == 16 {
		return mac.KCVCMAC(b), nil
	}
	return mac.KCVZeros(b), nil
}

// block is the key's block cipher.
func (k *Key) block() (b cipher.Block, err error) {
	switch {
	case k.header.Algorithm == 'A':
		b, err = mac.AES(k.key)
	case k.key.Len() == 8:
		b, err = des.NewCipher(k.key.Reveal())
	case k.header.Algorithm == 'T':
		b, err = mac.TDES(k.key)
	default:
		return nil, fmt.Errorf("%w: algorithm %c is no block cipher", ErrUsage, k.header.Algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return b, nil
}

func (k *Key) cipherFor(o Operation) (cipher.Block, error) {
	if err := k.mayUse(o); err != nil {
		return nil, err
	}
	return k.block()
}

// EncryptPIN makes an enciphered PIN block of a format.
func (k *Key) EncryptPIN(f pinblock.Format, pin secret.Bytes, pan secret.PAN, random io.Reader) ([]byte, error) {
	b, err := k.cipherFor(EncryptPIN)
	if err != nil {
		return nil, err
	}
	return pinblock.Encipher(b, f, pin, pan, random)
}

// DecryptPIN reads an enciphered PIN block.
func (k *Key) DecryptPIN(f pinblock.Format, block []byte, pan secret.PAN) (secret.Bytes, error) {
	b, err := k.cipherFor(DecryptPIN)
	if err != nil {
		return secret.Bytes{}, err
	}
	return pinblock.Decipher(b, f, block, pan)
}

// TranslatePIN enciphers a PIN block anew under another PIN key.
func (k *Key) TranslatePIN(from pinblock.Format, block []byte, pan secret.PAN, to *Key, f pinblock.Format, random io.Reader) ([]byte, error) {
	in, err := k.cipherFor(DecryptPIN)
	if err != nil {
		return nil, err
	}
	out, err := to.cipherFor(EncryptPIN)
	if err != nil {
		return nil, err
	}
	return pinblock.Translate(from, in, f, out, block, pan, random)
}

// MAC returns the whole MAC of data by the algorithm of the key's usage: M0 and M1
// CBC-MAC, M3 the retail MAC, each with a padding, M6 CMAC and M7 HMAC with the
// hash that HM names, which both pad themselves.
func (k *Key) MAC(data []byte, p mac.Padding) ([]byte, error) {
	if err := k.mayUse(GenerateMAC); err != nil {
		return nil, err
	}
	return k.mac(data, p)
}

// VerifyMAC checks a MAC, or the leftmost bytes of one, at least four. Errors:
// mac.ErrMAC, and those of the usage.
func (k *Key) VerifyMAC(data []byte, p mac.Padding, code []byte) error {
	if err := k.mayUse(VerifyMAC); err != nil {
		return err
	}
	want, err := k.mac(data, p)
	if err != nil {
		return err
	}
	if len(code) < 4 || len(code) > len(want) {
		return mac.ErrMAC
	}
	return mac.Verify(want[:len(code)], code)
}

func (k *Key) mac(data []byte, p mac.Padding) ([]byte, error) {
	if k.header.Usage == "M7" {
		hash := crypto.SHA256
		if name, ok := k.header.Find("HM"); ok {
			if hash, ok = hashOf(name); !ok {
				return nil, fmt.Errorf("%w: HM %s names no hash for HMAC", ErrUsage, name)
			}
		}
		if !hash.Available() {
			return nil, fmt.Errorf("%w: the hash %s is not linked in", ErrUsage, hash)
		}
		h := hmac.New(hash.New, k.key.Reveal())
		h.Write(data)
		return h.Sum(nil), nil
	}
	if k.header.Usage == "M3" && k.key.Len() == 16 {
		return mac.Algorithm3(k.key, data, p)
	}
	b, err := k.block()
	if err != nil {
		return nil, err
	}
	switch k.header.Usage {
	case "M6":
		return mac.CMAC(b, data), nil
	case "M0", "M1":
		return mac.CBC(b, data, p)
	}
	return nil, fmt.Errorf("%w: algorithm 3 wants a key of 16 bytes", ErrKey)
}

// Encrypt enciphers whole blocks in CBC under a data key.
func (k *Key) Encrypt(iv, data []byte) ([]byte, error) {
	return k.crypt(EncryptData, iv, data, cipher.NewCBCEncrypter)
}

// Decrypt deciphers whole blocks in CBC under a data key.
func (k *Key) Decrypt(iv, data []byte) ([]byte, error) {
	return k.crypt(DecryptData, iv, data, cipher.NewCBCDecrypter)
}

func (k *Key) crypt(o Operation, iv, data []byte, mode func(cipher.Block, []byte) cipher.BlockMode) ([]byte, error) {
	b, err := k.cipherFor(o)
	if err != nil {
		return nil, err
	}
	n := b.BlockSize()
	if len(iv) != n || len(data) == 0 || len(data)%n != 0 {
		return nil, fmt.Errorf("%w: %d bytes with an initial vector of %d, want whole blocks of %d", ErrFormat, len(data), len(iv), n)
	}
	out := make([]byte, len(data))
	mode(b, iv).CryptBlocks(out, data)
	return out, nil
}

// Export wraps the key under a protection key that may wrap keys, in a block of a
// version: 'B' under TDES, 'D' or 'E' under AES. A key of exportability N is
// refused, and so is one that is stronger than the protection key.
func (k *Key) Export(kbpk *Key, version byte, random io.Reader) (string, error) {
	if k.header.Exportability != 'E' && k.header.Exportability != 'S' {
		return "", fmt.Errorf("%w: exportability %c", ErrUsage, k.header.Exportability)
	}
	if k.key.Len() == 0 {
		return "", fmt.Errorf("%w: it was wiped", ErrKey)
	}
	if err := kbpk.mayUse(WrapKey); err != nil {
		return "", err
	}
	if version == 'A' || version == 'C' {
		return "", fmt.Errorf("%w: %q is not made any more", ErrVersion, version)
	}
	if err := kbpk.protects(version); err != nil {
		return "", err
	}
	if k.strength() > kbpk.strength() {
		return "", fmt.Errorf("%w: the key is stronger than its protection key", ErrUsage)
	}
	h := k.header
	h.Version = version
	h.Optional = nil
	for _, b := range k.header.Optional {
		// What speaks of the old wrapping is not true of the new one.
		if b.ID != "PB" && b.ID != "KP" && b.ID != "PK" {
			h.Optional = append(h.Optional, b)
		}
	}
	return Wrap(kbpk.key, h, k.key, random)
}

// strength is in bits (NIST SP 800-57); that of keys whose algorithm has none here
// is not compared.
func (k *Key) strength() int {
	switch n := k.key.Len(); {
	case k.header.Algorithm == 'A':
		return 8 * n
	case n == 24:
		return 112
	case n == 16:
		return 80
	case n == 8:
		return 56
	}
	return 0
}
