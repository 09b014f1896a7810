package keyblock

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
)

// protection is the pair of ciphers that a version derives from its protection
// key, and what goes with them.
type protection struct {
	encrypt, authenticate cipher.Block
	version               byte
	macLen                int
}

// Key derivation usages (X9.143, 6.5.3; ISO 20038, 5.2 for counter mode).
const (
	deriveCBC = 0
	deriveMAC = 1
	deriveCTR = 2
)

// newProtection derives the keys of a version. Errors wrap ErrKey.
func newProtection(version byte, kbpk secret.Bytes) (*protection, error) {
	p := &protection{version: version, macLen: 8}
	var err error
	switch version {
	case 'A', 'C':
		p.macLen = 4
		p.encrypt, p.authenticate, err = variants(kbpk)
	case 'B':
		p.encrypt, p.authenticate, err = derived(kbpk, deriveCBC, false)
	case 'D':
		p.macLen = 16
		p.encrypt, p.authenticate, err = derived(kbpk, deriveCBC, true)
	case 'E':
		p.macLen = 16
		p.encrypt, p.authenticate, err = derived(kbpk, deriveCTR, true)
	default:
		return nil, fmt.Errorf("%w: %q", ErrVersion, version)
	}
	return p, err
}

// variants are the keys of versions A and C (X9.143, 6.3).
func variants(kbpk secret.Bytes) (enc, auth cipher.Block, err error) {
	k := kbpk.Reveal()
	if len(k) != 16 && len(k) != 24 {
		return nil, nil, fmt.Errorf("%w: %d bytes, want 16 or 24", ErrKey, len(k))
	}
	var out [2]cipher.Block
	for i, mask := range []byte{0x45, 0x4D} {
		v := make([]byte, len(k))
		for j := range k {
			v[j] = k[j] ^ mask
		}
		if out[i], err = mac.TDES(secret.NewBytes(v)); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		clear(v)
	}
	return out[0], out[1], nil
}

// derived are the keys of versions B, D and E: CMAC in counter mode (X9.143,
// 6.5.3; NIST SP 800-108).
func derived(kbpk secret.Bytes, usage byte, withAES bool) (enc, auth cipher.Block, err error) {
	k := kbpk.Reveal()
	n := len(k)
	newCipher := func(b []byte) (cipher.Block, error) { return mac.TDES(secret.NewBytes(b)) }
	algorithm := map[int]uint16{16: 0, 24: 1}
	if withAES {
		newCipher = aes.NewCipher
		algorithm = map[int]uint16{16: 2, 24: 3, 32: 4}
	}
	alg, ok := algorithm[n]
	if !ok {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrKey, n)
	}
	prf, err := newCipher(k)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	var out [2]cipher.Block
	for i, u := range []byte{usage, deriveMAC} {
		var key []byte
		for counter := byte(1); len(key) < n; counter++ {
			in := []byte{counter, 0, u, 0}
			in = binary.BigEndian.AppendUint16(in, alg)
			in = binary.BigEndian.AppendUint16(in, uint16(8*n))
			key = append(key, mac.CMAC(prf, in)...)
		}
		out[i], err = newCipher(key[:n])
		clear(key)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
	}
	return out[0], out[1], nil
}

// Wrap makes a key block of version B, D or E. The key is padded with random
// bytes to a whole number of blocks, which for AES keys hides nothing of its
// length. A nil random is crypto/rand.Reader. Errors wrap ErrVersion, ErrKey or
// ErrFormat.
func Wrap(kbpk secret.Bytes, h Header, key secret.Bytes, random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	if h.Version != 'B' && h.Version != 'D' && h.Version != 'E' {
		return "", fmt.Errorf("%w: %q is not made any more", ErrVersion, h.Version)
	}
	if err := h.check(); err != nil {
		return "", err
	}
	if key.Len() == 0 || key.Len() > 4096 {
		return "", fmt.Errorf("%w: key of %d bytes", ErrFormat, key.Len())
	}
	p, err := newProtection(h.Version, kbpk)
	if err != nil {
		return "", err
	}
	payload := binary.BigEndian.AppendUint16(nil, uint16(8*key.Len()))
	payload = append(payload, key.Reveal()...)
	defer func() { clear(payload) }()
	if h.Version != 'E' {
		block := p.encrypt.BlockSize()
		fill := make([]byte, (block-len(payload)%block)%block)
		if _, err := io.ReadFull(random, fill); err != nil {
			return "", fmt.Errorf("keyblock: randomness: %w", err)
		}
		payload = append(payload, fill...)
	}
	head := h.text(0)
	// A header with optional blocks fills whole cipher blocks (X9.143, 6.1):
	// PB pads it.
	if block := p.encrypt.BlockSize(); len(h.Optional) > 0 && len(head)%block != 0 {
		if h.Optional, err = padded(h.Optional, len(head), block, random); err != nil {
			return "", err
		}
		head = h.text(0)
	}
	n := len(head) + 2*len(payload) + 2*p.macLen
	if n > maxLength {
		return "", fmt.Errorf("%w: %d characters, at most %d", ErrFormat, n, maxLength)
	}
	head = h.text(n)
	code := mac.CMAC(p.authenticate, []byte(head), payload)
	sealed := make([]byte, len(payload))
	if h.Version == 'E' {
		cipher.NewCTR(p.encrypt, code).XORKeyStream(sealed, payload)
	} else {
		cipher.NewCBCEncrypter(p.encrypt, code).CryptBlocks(sealed, payload)
	}
	return head + strings.ToUpper(hex.EncodeToString(sealed)+hex.EncodeToString(code)), nil
}

// padded appends a PB block that brings a header to a multiple of block.
func padded(optional []Block, length, block int, random io.Reader) ([]Block, error) {
	n := block - length%block
	if n < 4 {
		n += block
	}
	fill := make([]byte, n-4)
	if _, err := io.ReadFull(random, fill); err != nil {
		return nil, fmt.Errorf("keyblock: randomness: %w", err)
	}
	for i, c := range fill {
		fill[i] = '0' + c%10
	}
	return append(append([]Block(nil), optional...), Block{ID: "PB", Data: string(fill)}), nil
}

// Unwrap verifies a key block of any version and returns its header and key.
// Errors: ErrFormat and ErrVersion for what is public, ErrKey for the
// protection key, ErrAuthentication for all else.
func Unwrap(kbpk secret.Bytes, block string) (Header, secret.Bytes, error) {
	h, at, err := parse(block)
	if err != nil {
		return Header{}, secret.Bytes{}, err
	}
	p, err := newProtection(h.Version, kbpk)
	if err != nil {
		return Header{}, secret.Bytes{}, err
	}
	body, err := hex.DecodeString(block[at:])
	if err != nil || strings.ToUpper(block[at:]) != block[at:] {
		return Header{}, secret.Bytes{}, fmt.Errorf("%w: no hex after the header", ErrFormat)
	}
	n := len(body) - p.macLen
	size := p.encrypt.BlockSize()
	if n < 3 || h.Version != 'E' && n%size != 0 {
		return Header{}, secret.Bytes{}, fmt.Errorf("%w: %d bytes of ciphertext", ErrFormat, n)
	}
	payload, ok := p.open([]byte(block[:at]), body[:n], body[n:])
	if !ok {
		clear(payload)
		return Header{}, secret.Bytes{}, ErrAuthentication
	}
	bits := int(binary.BigEndian.Uint16(payload))
	if bits%8 != 0 || bits == 0 || bits/8 > len(payload)-2 {
		clear(payload)
		return Header{}, secret.Bytes{}, ErrAuthentication
	}
	key := secret.CopyBytes(payload[2 : 2+bits/8])
	clear(payload)
	return h, key, nil
}

// open deciphers and verifies.
func (p *protection) open(head, sealed, code []byte) (payload []byte, ok bool) {
	payload = make([]byte, len(sealed))
	var want []byte
	switch p.version {
	case 'A', 'C':
		// The header's first bytes are the initial vector; the code is over
		// the ciphertext.
		want = cbcMAC(p.authenticate, head, sealed)[:p.macLen]
		cipher.NewCBCDecrypter(p.encrypt, head[:8]).CryptBlocks(payload, sealed)
	case 'E':
		cipher.NewCTR(p.encrypt, code).XORKeyStream(payload, sealed)
		want = mac.CMAC(p.authenticate, head, payload)
	default:
		cipher.NewCBCDecrypter(p.encrypt, code).CryptBlocks(payload, sealed)
		want = mac.CMAC(p.authenticate, head, payload)
	}
	return payload, subtle.ConstantTimeCompare(want, code) == 1
}

// cbcMAC is the CBC-MAC of versions A and C; header and ciphertext are whole
// blocks.
func cbcMAC(b cipher.Block, parts ...[]byte) []byte {
	var data []byte
	for _, p := range parts {
		data = append(data, p...)
	}
	code, err := mac.CBC(b, data, mac.Padding1)
	if err != nil {
		return make([]byte, b.BlockSize())
	}
	return code
}
