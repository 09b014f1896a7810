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

// Wrap makes a key block of version B, D or E. Random bytes behind the key fill it
// up to the longest key of its algorithm in versions B and D, so that a block does
// not tell how long its key is (X9.143, 6.4). A header with optional blocks gets a
// padding block where one is needed. A nil random is crypto/rand.Reader. Errors
// wrap ErrVersion, ErrKey or ErrFormat.
func Wrap(kbpk secret.Bytes, h Header, key secret.Bytes, random io.Reader) (block string, err error) {
	secret.Do(func() { block, err = wrap(kbpk, h, key, random) })
	return block, err
}

func wrap(kbpk secret.Bytes, h Header, key secret.Bytes, random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	if h.Version == 'A' || h.Version == 'C' {
		return "", fmt.Errorf("%w: %q is not made any more", ErrVersion, h.Version)
	}
	if err := h.check(); err != nil {
		return "", err
	}
	if err := h.checkLength(key.Len(), false); err != nil {
		return "", err
	}
	p, err := newProtection(h.Version, kbpk)
	if err != nil {
		return "", err
	}
	size := blockSize(h.Version)
	payload, err := p.payload(h.Algorithm, key, random)
	if err != nil {
		return "", err
	}
	defer clear(payload)
	head := h.text(0)
	if len(head)%size != 0 {
		if n := len(h.Optional); n > 0 && h.Optional[n-1].ID == "PB" {
			// It fits the blocks of the version that the header comes from.
			h.Optional = h.Optional[:n-1]
			head = h.text(0)
		}
	}
	if len(head)%size != 0 {
		if h.Optional, err = padded(h.Optional, len(head), size, random); err != nil {
			return "", err
		}
		if err := h.check(); err != nil {
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

// payload is the key's length in bits, the key, and what fills it up.
func (p *protection) payload(algorithm byte, key secret.Bytes, random io.Reader) ([]byte, error) {
	n := 2 + key.Len()
	if p.version != 'E' {
		switch algorithm {
		case 'T':
			n = 2 + 24
		case 'A':
			n = 2 + 32
		}
		size := p.encrypt.BlockSize()
		n = (n + size - 1) / size * size
	}
	b := make([]byte, n)
	done := false
	defer func() {
		if !done {
			clear(b)
		}
	}()
	binary.BigEndian.PutUint16(b, uint16(8*key.Len()))
	copy(b[2:], key.Reveal())
	if _, err := io.ReadFull(random, b[2+key.Len():]); err != nil {
		return nil, fmt.Errorf("keyblock: randomness: %w", err)
	}
	done = true
	return b, nil
}

// checkLength compares a key's length with what its algorithm has. Two-key TDES
// blocks that hold a single DES key are old, and read.
func (h Header) checkLength(n int, reading bool) error {
	good := n > 0 && n <= 4096
	switch h.Algorithm {
	case 'A':
		good = n == 16 || n == 24 || n == 32
	case 'T':
		good = n == 16 || n == 24 || n == 8 && reading
	case 'D':
		good = n == 8
	}
	if !good {
		return fmt.Errorf("%w: %d bytes for algorithm %c", ErrKey, n, h.Algorithm)
	}
	return nil
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
func Unwrap(kbpk secret.Bytes, block string) (h Header, key secret.Bytes, err error) {
	secret.Do(func() { h, key, err = unwrap(kbpk, block) })
	return h, key, err
}

func unwrap(kbpk secret.Bytes, block string) (Header, secret.Bytes, error) {
	h, at, err := parse(block)
	if err != nil {
		return Header{}, secret.Bytes{}, err
	}
	p, err := newProtection(h.Version, kbpk)
	if err != nil {
		return Header{}, secret.Bytes{}, err
	}
	body, err := hex.DecodeString(block[at:])
	if err != nil || !hexDigits(block[at:]) {
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
	defer clear(payload)
	bits := int(binary.BigEndian.Uint16(payload))
	if bits%8 != 0 || bits/8 > len(payload)-2 || h.checkLength(bits/8, true) != nil {
		return Header{}, secret.Bytes{}, ErrAuthentication
	}
	return h, secret.CopyBytes(payload[2 : 2+bits/8]), nil
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
