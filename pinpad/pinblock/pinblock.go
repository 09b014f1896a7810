// Package pinblock makes and reads PIN blocks of ISO 9564-1: formats 0, 1, 2 and
// 3 (8 bytes) and format 4 (16 bytes, which exists enciphered alone).
//
// A PIN is ASCII digits in a secret.Bytes. The package works in one buffer a
// call, which is zeroed on every way out, panics of a cipher or of a source of
// randomness included.
package pinblock

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
)

// Errors. They tell neither PIN nor PAN, and not which of a block's fields is
// wrong: who may choose the PAN of a block could read the PIN out of that, digit
// by digit.
var (
	// ErrPIN: a PIN is not 4 to 12 decimal digits.
	ErrPIN = errors.New("pinblock: a PIN has 4 to 12 decimal digits")
	// ErrPAN: a format that is bound to a PAN was given none, or one that was
	// wiped.
	ErrPAN = errors.New("pinblock: this format needs a PAN")
	// ErrBlock: a block is not of its format, was enciphered under another
	// key, or was made for another PAN.
	ErrBlock = errors.New("pinblock: malformed block")
	// ErrFormat: the format is none of ISO 9564-1, or not one for this use.
	ErrFormat = errors.New("pinblock: format")
	// ErrTranslation: the rules forbid this translation.
	ErrTranslation = errors.New("pinblock: translation is not allowed")
)

// Format is a PIN block format of ISO 9564-1, the value of its control field.
type Format = uint8

// The lengths of a PIN (ISO 9564-1, 8.1) and of the blocks.
const (
	MinPIN = 4
	MaxPIN = 12

	size  = 8  // formats 0 to 3
	size4 = 16 // format 4
)

func checkPIN(pin []byte) error {
	if len(pin) < MinPIN || len(pin) > MaxPIN {
		return ErrPIN
	}
	for _, c := range pin {
		if c < '0' || c > '9' {
			return ErrPIN
		}
	}
	return nil
}

// checkPAN refuses a format's missing PAN, and one that was wiped.
func checkPAN(f Format, pan []byte) error {
	if !bound(f) {
		return nil
	}
	for _, c := range pan {
		if c < '0' || c > '9' {
			return ErrPAN
		}
	}
	if len(pan) == 0 {
		return ErrPAN
	}
	return nil
}

// setNibble writes the i-th half byte.
func setNibble(b []byte, i int, v byte) {
	shift := 4 * (1 - i%2)
	b[i/2] = b[i/2]&^(0x0F<<shift) | v<<shift
}

func nibble(b []byte, i int) byte { return b[i/2] >> (4 * (1 - i%2)) & 0x0F }

// field writes control, length and digits of the clear PIN field. The half
// bytes behind them hold the fill already.
func field(b []byte, control byte, pin []byte) {
	setNibble(b, 0, control)
	setNibble(b, 1, byte(len(pin)))
	for i, c := range pin {
		setNibble(b, 2+i, c-'0')
	}
}

// bindPAN XORs the PAN field into a block: four zeros and the twelve rightmost
// digits without the check digit (ISO 9564-1, 9.3.2).
func bindPAN(b, pan []byte) {
	var f [size]byte
	defer clear(f[:])
	digits := pan[:max(len(pan)-1, 0)]
	digits = digits[max(len(digits)-12, 0):]
	for i, c := range digits {
		setNibble(f[:], 2*size-len(digits)+i, c-'0')
	}
	subtle.XORBytes(b, b, f[:])
}

// source is where random fill comes from: nil stands for crypto/rand.Reader.
func source(random io.Reader) io.Reader {
	if random == nil {
		return rand.Reader
	}
	return random
}

// fill writes the fill of a format into the whole of b (ISO 9564-1, 9.3): F for
// formats 0 and 2, random for 1, random from A to F for 3, A and a random half
// for 4.
func fill(b []byte, f Format, random io.Reader) error {
	var err error
	switch f {
	case 1:
		_, err = io.ReadFull(source(random), b)
	case 3:
		err = letters(b, source(random))
	case 4:
		for i := range b[:size] {
			b[i] = 0xAA
		}
		_, err = io.ReadFull(source(random), b[size:])
	default:
		for i := range b {
			b[i] = 0xFF
		}
	}
	if err != nil {
		return fmt.Errorf("pinblock: randomness: %w", err)
	}
	return nil
}

// letters draws half bytes from A to F uniformly: 252 is the greatest multiple
// of 6 that a byte holds, and what is not under it is drawn again.
func letters(b []byte, random io.Reader) error {
	var one [1]byte
	defer clear(one[:])
	for i := 0; i < 2*len(b); {
		if _, err := io.ReadFull(random, one[:]); err != nil {
			return err
		}
		if one[0] < 252 {
			setNibble(b, i, 0x0A+one[0]%6)
			i++
		}
	}
	return nil
}

// encode writes the clear block of formats 0 to 3, or the clear PIN field of
// format 4, into b.
func encode(b []byte, f Format, pin, pan []byte, random io.Reader) error {
	if err := checkPIN(pin); err != nil {
		return err
	}
	if err := checkPAN(f, pan); err != nil {
		return err
	}
	if err := fill(b, f, random); err != nil {
		return err
	}
	field(b, f, pin)
	if f == 0 || f == 3 {
		bindPAN(b, pan)
	}
	return nil
}

// bound reports whether a format binds the PIN to a PAN.
func bound(f Format) bool { return f == 0 || f == 3 || f == 4 }

// Encode makes a clear block of format 0, 1, 2 or 3. The PAN counts for formats
// 0 and 3, the randomness for 1 and 3; a nil random is crypto/rand.Reader.
// Errors: ErrPIN, ErrPAN, ErrFormat.
func Encode(f Format, pin secret.Bytes, pan secret.PAN, random io.Reader) (secret.Bytes, error) {
	if f > 3 {
		return secret.Bytes{}, fmt.Errorf("%w %d has no clear block", ErrFormat, f)
	}
	block := secret.NewBytes(make([]byte, size))
	done := false
	defer func() {
		if !done {
			block.Wipe()
		}
	}()
	var err error
	secret.Do(func() { err = encode(block.Reveal(), f, pin.Reveal(), pan.Reveal(), random) })
	if err != nil {
		return secret.Bytes{}, err
	}
	done = true
	return block, nil
}

// Encode0 makes a block of format 0: PIN field XOR PAN field.
func Encode0(pin secret.Bytes, pan secret.PAN) (secret.Bytes, error) {
	return Encode(0, pin, pan, nil)
}

// Encode1 makes a block of format 1, which is bound to no PAN: random fill.
func Encode1(pin secret.Bytes, random io.Reader) (secret.Bytes, error) {
	return Encode(1, pin, secret.PAN{}, random)
}

// Encode2 makes a block of format 2, for a card only (ISO 9564-1, 9.3.4; EMV 4.4
// Book 3, 6.5.12).
func Encode2(pin secret.Bytes) (secret.Bytes, error) {
	return Encode(2, pin, secret.PAN{}, nil)
}

// Encode3 makes a block of format 3, as format 0 with random fill from A to F.
func Encode3(pin secret.Bytes, pan secret.PAN, random io.Reader) (secret.Bytes, error) {
	return Encode(3, pin, pan, random)
}

// Decode reads a clear block of format 0, 1, 2 or 3 and returns the PIN. The PAN
// counts for formats 0 and 3. Errors: ErrBlock, ErrPAN, ErrFormat.
func Decode(f Format, block secret.Bytes, pan secret.PAN) (secret.Bytes, error) {
	if f > 3 {
		return secret.Bytes{}, fmt.Errorf("%w %d has no clear block", ErrFormat, f)
	}
	if block.Len() != size {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes, want %d", ErrBlock, block.Len(), size)
	}
	var pin secret.Bytes
	var err error
	secret.Do(func() {
		var b [size]byte
		defer clear(b[:])
		copy(b[:], block.Reveal())
		pin, err = decode(b[:], f, pan.Reveal())
	})
	return pin, err
}

// decode reads the clear block of formats 0 to 3, or the clear PIN field of
// format 4. It takes the same steps whatever is wrong.
func decode(b []byte, f Format, pan []byte) (secret.Bytes, error) {
	if err := checkPAN(f, pan); err != nil {
		return secret.Bytes{}, err
	}
	if f == 0 || f == 3 {
		bindPAN(b, pan)
	}
	n := int(nibble(b, 1))
	good := nibble(b, 0) == f && n >= MinPIN && n <= MaxPIN
	pin := make([]byte, MaxPIN)
	for i := range 2*size - 2 {
		v := nibble(b, 2+i)
		if i >= n {
			good = good && isFill(f, v)
			continue
		}
		good = good && v <= 9
		if i < MaxPIN {
			pin[i] = v + '0'
		}
	}
	if !good {
		clear(pin)
		return secret.Bytes{}, ErrBlock
	}
	clear(pin[n:])
	return secret.NewBytes(pin[:n]), nil
}

func isFill(f Format, v byte) bool {
	switch f {
	case 1:
		return true
	case 3:
		return v >= 0x0A
	case 4:
		return v == 0x0A
	}
	return v == 0x0F
}
