package pinblock

import (
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
)

// Encipher makes a block of a format and enciphers it: formats 0, 1 and 3 under
// TDES in ECB (8 bytes), format 4 under AES (16 bytes; the PIN field, 8 of its
// bytes random, enciphered, XOR the PAN field, enciphered again: ISO 9564-1,
// 9.4.2). c is a cipher under a key that is used for PINs alone. Format 2 is for
// a card, never for a network, and refused. A nil random is crypto/rand.Reader.
// Errors: ErrPIN, ErrPAN, ErrFormat.
func Encipher(c cipher.Block, f Format, pin secret.Bytes, pan secret.PAN, random io.Reader) ([]byte, error) {
	n, err := network(c, f)
	if err != nil {
		return nil, err
	}
	out := make([]byte, n)
	secret.Do(func() {
		var clearBlock [size4]byte
		defer clear(clearBlock[:])
		b := clearBlock[:n]
		if err = encode(b, f, pin.Reveal(), pan.Reveal(), random); err != nil {
			return
		}
		if f == 4 {
			c.Encrypt(b, b)
			bindPAN4(b, pan.Reveal())
		}
		c.Encrypt(out, b)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Decipher reads a block that Encipher, or another's pad, made, and returns the
// PIN. Errors: ErrBlock, ErrPAN, ErrFormat.
func Decipher(c cipher.Block, f Format, block []byte, pan secret.PAN) (secret.Bytes, error) {
	return decipher(c, f, block, pan.Reveal())
}

func decipher(c cipher.Block, f Format, block, pan []byte) (secret.Bytes, error) {
	n, err := network(c, f)
	if err != nil {
		return secret.Bytes{}, err
	}
	if len(block) != n {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes, want %d", ErrBlock, len(block), n)
	}
	if err := checkPAN(f, pan); err != nil {
		return secret.Bytes{}, err
	}
	var pin secret.Bytes
	secret.Do(func() {
		var clearBlock [size4]byte
		defer clear(clearBlock[:])
		b := clearBlock[:n]
		c.Decrypt(b, block)
		if f == 4 {
			bindPAN4(b, pan)
			c.Decrypt(b, b)
		}
		pin, err = decode(b, f, pan)
	})
	return pin, err
}

// network checks that a format may travel, and returns its length.
func network(c cipher.Block, f Format) (int, error) {
	n := size
	switch f {
	case 0, 1, 3:
	case 4:
		n = size4
	default:
		return 0, fmt.Errorf("%w %d is not one to encipher", ErrFormat, f)
	}
	if c == nil {
		return 0, fmt.Errorf("%w %d wants a cipher", ErrFormat, f)
	}
	if c.BlockSize() != n {
		return 0, fmt.Errorf("%w %d wants a cipher of %d-byte blocks, not %d", ErrFormat, f, n, c.BlockSize())
	}
	return n, nil
}

// Encipher4 makes a block of format 4.
func Encipher4(c cipher.Block, pin secret.Bytes, pan secret.PAN, random io.Reader) ([]byte, error) {
	return Encipher(c, 4, pin, pan, random)
}

// Decipher4 reads a block of format 4 and returns the PIN.
func Decipher4(c cipher.Block, block []byte, pan secret.PAN) (secret.Bytes, error) {
	return Decipher(c, 4, block, pan)
}

// bindPAN4 XORs the PAN field of format 4 into a block: the number of digits
// over twelve, the digits, zeros; a shorter number is padded with zeros on the
// left (ISO 9564-1, 9.4.2.3).
func bindPAN4(b, pan []byte) {
	var f [size4]byte
	defer clear(f[:])
	panField4(f[:], pan)
	subtle.XORBytes(b, b, f[:])
}

func panField4(f, pan []byte) {
	setNibble(f, 0, byte(max(len(pan)-12, 0)))
	at := 1 + max(12-len(pan), 0)
	for i, d := range pan {
		setNibble(f, at+i, d-'0')
	}
}

// Translatable reports whether a block may be translated between two formats
// (ISO 9564-1, 9.3.5; PCI PIN Security, requirement 3-3): a block that is bound
// to a PAN stays bound to one, 0, 3 and 4 never becoming 1, and format 2 is made
// by the pad for its card and comes from nowhere else.
func Translatable(from, to Format) bool {
	switch from {
	case 0, 3, 4:
		return bound(to)
	case 1:
		return to == 1 || bound(to)
	}
	return false
}

// Translate deciphers a block of a format under one key and enciphers its PIN anew
// in a format under another, for the same PAN: a translation that changed it could
// be used to search for PINs. Errors: ErrTranslation, and those of Encipher and
// Decipher.
func Translate(from Format, in cipher.Block, to Format, out cipher.Block, block []byte, pan secret.PAN, random io.Reader) ([]byte, error) {
	if !Translatable(from, to) {
		return nil, fmt.Errorf("%w: from format %d to %d", ErrTranslation, from, to)
	}
	pin, err := Decipher(in, from, block, pan)
	if err != nil {
		return nil, err
	}
	defer pin.Wipe()
	return Encipher(out, to, pin, pan, random)
}
