// Package pinblock makes and reads PIN blocks of ISO 9564-1: formats 0, 1, 2 and
// 3 (8 bytes in clear) and format 4 (16 bytes, enciphered under AES as it is
// made).
package pinblock

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
)

// Errors. They tell neither PIN nor PAN.
var (
	// ErrPIN: a PIN is not 4 to 12 decimal digits.
	ErrPIN = errors.New("pinblock: a PIN has 4 to 12 decimal digits")
	// ErrBlock: a block is not of its format, or was made for another PAN.
	ErrBlock = errors.New("pinblock: malformed block")
)

const (
	minPIN = 4
	maxPIN = 12
)

func checkPIN(pin []byte) error {
	if len(pin) < minPIN || len(pin) > maxPIN {
		return ErrPIN
	}
	for _, c := range pin {
		if c < '0' || c > '9' {
			return ErrPIN
		}
	}
	return nil
}

// setNibble writes the i-th half byte.
func setNibble(b []byte, i int, v byte) {
	shift := 4 * (1 - i%2)
	b[i/2] = b[i/2]&^(0x0F<<shift) | v<<shift
}

func nibble(b []byte, i int) byte { return b[i/2] >> (4 * (1 - i%2)) & 0x0F }

// field is control, length, digits and fill.
func field(control byte, pin []byte, size int, fill func(i int) byte) []byte {
	b := make([]byte, size)
	setNibble(b, 0, control)
	setNibble(b, 1, byte(len(pin)))
	for i := 2; i < 2*size; i++ {
		if i-2 < len(pin) {
			setNibble(b, i, pin[i-2]-'0')
		} else {
			setNibble(b, i, fill(i))
		}
	}
	return b
}

// panField is four zeros and the twelve rightmost digits without the check
// digit (ISO 9564-1, 9.3.2).
func panField(pan []byte) []byte {
	b := make([]byte, 8)
	digits := pan[:max(len(pan)-1, 0)]
	digits = digits[max(len(digits)-12, 0):]
	for i, c := range digits {
		setNibble(b, 16-len(digits)+i, c-'0')
	}
	return b
}

func xor(b, with []byte) []byte {
	subtle.XORBytes(b, b, with)
	return b
}

// Encode0 makes a block of format 0: PIN field XOR PAN field.
func Encode0(pin secret.Bytes, pan secret.PAN) (secret.Bytes, error) {
	return bound(0x0, pin, pan, func(int) byte { return 0x0F })
}

// Encode3 makes a block of format 3, as format 0 with random fill from A to F.
// A nil random is crypto/rand.Reader, here and below.
func Encode3(pin secret.Bytes, pan secret.PAN, random io.Reader) (secret.Bytes, error) {
	fill, err := letters(random, 16)
	if err != nil {
		return secret.Bytes{}, err
	}
	return bound(0x3, pin, pan, func(i int) byte { return fill[i] })
}

func bound(control byte, pin secret.Bytes, pan secret.PAN, fill func(int) byte) (secret.Bytes, error) {
	if err := checkPIN(pin.Reveal()); err != nil {
		return secret.Bytes{}, err
	}
	if pan.IsZero() {
		return secret.Bytes{}, fmt.Errorf("pinblock: format %d needs a PAN", control)
	}
	return secret.NewBytes(xor(field(control, pin.Reveal(), 8, fill), panField(pan.Reveal()))), nil
}

// source is where random fill comes from: nil stands for crypto/rand.Reader.
func source(random io.Reader) io.Reader {
	if random == nil {
		return rand.Reader
	}
	return random
}

// letters draws half bytes from A to F uniformly.
func letters(random io.Reader, n int) ([]byte, error) {
	random = source(random)
	out := make([]byte, 0, n)
	var b [1]byte
	for len(out) < n {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return nil, fmt.Errorf("pinblock: randomness: %w", err)
		}
		if b[0] < 252 {
			out = append(out, 0x0A+b[0]%6)
		}
	}
	return out, nil
}

// Encode1 makes a block of format 1, which is bound to no PAN: random fill.
func Encode1(pin secret.Bytes, random io.Reader) (secret.Bytes, error) {
	if err := checkPIN(pin.Reveal()); err != nil {
		return secret.Bytes{}, err
	}
	var fill [16]byte
	if _, err := io.ReadFull(source(random), fill[:]); err != nil {
		return secret.Bytes{}, fmt.Errorf("pinblock: randomness: %w", err)
	}
	return secret.NewBytes(field(0x1, pin.Reveal(), 8, func(i int) byte { return fill[i] & 0x0F })), nil
}

// Encode2 makes a block of format 2, for a card only (ISO 9564-1, 9.3.4; EMV 4.4
// Book 3, 6.5.12).
func Encode2(pin secret.Bytes) (secret.Bytes, error) {
	if err := checkPIN(pin.Reveal()); err != nil {
		return secret.Bytes{}, err
	}
	return secret.NewBytes(field(0x2, pin.Reveal(), 8, func(int) byte { return 0x0F })), nil
}

// Decode reads a clear block of format 0, 1, 2 or 3 and returns the PIN. The PAN
// counts for formats 0 and 3. Errors wrap ErrBlock.
func Decode(format uint8, block secret.Bytes, pan secret.PAN) (secret.Bytes, error) {
	if block.Len() != 8 {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes, want 8", ErrBlock, block.Len())
	}
	b := append([]byte(nil), block.Reveal()...)
	defer clear(b)
	fill := func(v byte) bool { return v == 0x0F }
	switch format {
	case 0, 3:
		if pan.IsZero() {
			return secret.Bytes{}, fmt.Errorf("pinblock: format %d needs a PAN", format)
		}
		xor(b, panField(pan.Reveal()))
		if format == 3 {
			fill = func(v byte) bool { return v >= 0x0A }
		}
	case 1:
		fill = func(byte) bool { return true }
	case 2:
	default:
		return secret.Bytes{}, fmt.Errorf("%w: format %d", ErrBlock, format)
	}
	return digits(b, format, fill)
}

// digits reads a clear PIN field.
func digits(b []byte, control byte, fill func(byte) bool) (secret.Bytes, error) {
	if nibble(b, 0) != control {
		return secret.Bytes{}, fmt.Errorf("%w: control field", ErrBlock)
	}
	n := int(nibble(b, 1))
	if n < minPIN || n > maxPIN {
		return secret.Bytes{}, fmt.Errorf("%w: PIN length", ErrBlock)
	}
	pin := make([]byte, 0, maxPIN)
	for i := 2; i < 16; i++ {
		v := nibble(b, i)
		switch {
		case i-2 < n && v > 9:
			clear(pin)
			return secret.Bytes{}, fmt.Errorf("%w: digit", ErrBlock)
		case i-2 < n:
			pin = append(pin, v+'0')
		case !fill(v):
			clear(pin)
			return secret.Bytes{}, fmt.Errorf("%w: fill", ErrBlock)
		}
	}
	return secret.NewBytes(pin), nil
}

// Encipher4 makes a block of format 4: the PIN field, 8 of its 16 bytes random,
// enciphered, XOR the PAN field, enciphered again (ISO 9564-1, 9.4.2). c is AES
// under a key that is used for PINs alone.
func Encipher4(c cipher.Block, pin secret.Bytes, pan secret.PAN, random io.Reader) ([]byte, error) {
	if c.BlockSize() != 16 {
		return nil, fmt.Errorf("pinblock: format 4 wants a cipher of 16-byte blocks, not %d", c.BlockSize())
	}
	if err := checkPIN(pin.Reveal()); err != nil {
		return nil, err
	}
	if pan.IsZero() {
		return nil, errors.New("pinblock: format 4 needs a PAN")
	}
	b := field(0x4, pin.Reveal(), 16, func(int) byte { return 0x0A })
	if _, err := io.ReadFull(source(random), b[8:]); err != nil {
		clear(b)
		return nil, fmt.Errorf("pinblock: randomness: %w", err)
	}
	c.Encrypt(b, b)
	xor(b, panField4(pan.Reveal()))
	c.Encrypt(b, b)
	return b, nil
}

// Decipher4 reads a block of format 4 and returns the PIN. Errors wrap ErrBlock.
func Decipher4(c cipher.Block, block []byte, pan secret.PAN) (secret.Bytes, error) {
	if len(block) != 16 || c.BlockSize() != 16 {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes, want 16", ErrBlock, len(block))
	}
	if pan.IsZero() {
		return secret.Bytes{}, errors.New("pinblock: format 4 needs a PAN")
	}
	return decipher4(c, block, pan.Reveal())
}

func decipher4(c cipher.Block, block, pan []byte) (secret.Bytes, error) {
	b := make([]byte, 16)
	defer clear(b)
	c.Decrypt(b, block)
	xor(b, panField4(pan))
	c.Decrypt(b, b)
	return digits(b, 4, func(v byte) bool { return v == 0x0A })
}

// panField4 is the number of digits over twelve, the digits, zeros; a shorter
// number is padded with zeros on the left (ISO 9564-1, 9.4.2.3).
func panField4(pan []byte) []byte {
	b := make([]byte, 16)
	over := max(len(pan)-12, 0)
	setNibble(b, 0, byte(over))
	at := 1 + max(12-len(pan), 0)
	for i, d := range pan {
		setNibble(b, at+i, d-'0')
	}
	return b
}
