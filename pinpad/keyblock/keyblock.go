// Package keyblock wraps keys for transport: the key blocks of ANSI X9.143 (TR-31)
// versions A, B, C and D, and E of ISO 20038. A block carries what its key may
// be used for, and no bit of it can be altered.
//
// Versions A and C (key variants) are read and not made: X9.143 has withdrawn
// them.
package keyblock

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// Errors. Which check failed is told for what is public, the header, alone.
var (
	// ErrFormat: the text is no key block.
	ErrFormat = errors.New("keyblock: malformed")
	// ErrVersion: the version is unknown, or not one to make blocks of.
	ErrVersion = errors.New("keyblock: version")
	// ErrKey: a protection key has the wrong length for the version.
	ErrKey = errors.New("keyblock: protection key")
	// ErrAuthentication: the block does not verify under the protection key.
	ErrAuthentication = errors.New("keyblock: does not verify")
)

// Block is an optional block of a header.
type Block struct {
	// ID is two characters, "KS" for a key set identifier.
	ID string
	// Data is printable ASCII.
	Data string
}

// Header says what the wrapped key is (X9.143, table 1).
type Header struct {
	// Version is 'A', 'B', 'C', 'D' or 'E'.
	Version byte
	// Usage is two characters: "B1" an initial DUKPT key, "P0" PIN
	// encryption, "K0" key encryption.
	Usage string
	// Algorithm is 'A' AES, 'T' TDES, 'H' HMAC, 'R' RSA, 'E' elliptic curve.
	Algorithm byte
	// Mode is 'E' encrypt, 'D' decrypt, 'B' both, 'C' MAC both ways, 'G'
	// generate, 'V' verify, 'X' derive, 'S' sign, 'N' no restriction.
	Mode byte
	// KeyVersion is two characters, "00" when it is not used.
	KeyVersion string
	// Exportability is 'E', 'N' or 'S'.
	Exportability byte
	// Reserved is two characters, "00"; empty when a header is made.
	Reserved string
	// Optional are the optional blocks in order.
	Optional []Block
}

const (
	fixedHeader = 16
	maxLength   = 9999
)

// text returns the header's text for a block of n characters in all.
func (h Header) text(n int) string {
	reserved := h.Reserved
	if reserved == "" {
		reserved = "00"
	}
	s := fmt.Sprintf("%c%04d%s%c%c%s%c%02d%s", h.Version, n, h.Usage, h.Algorithm, h.Mode, h.KeyVersion, h.Exportability, len(h.Optional), reserved)
	for _, b := range h.Optional {
		s += b.text()
	}
	return s
}

func (b Block) text() string {
	n := len(b.ID) + 2 + len(b.Data)
	if n <= 0xFF {
		return fmt.Sprintf("%s%02X%s", b.ID, n, b.Data)
	}
	// Extended length: 00, how many characters the length has, the length.
	return fmt.Sprintf("%s0004%04X%s", b.ID, n+6, b.Data)
}

// check refuses a header that can't be written.
func (h Header) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: header: %s", ErrFormat, what) }
	switch {
	case len(h.Usage) != 2 || !alphanumeric(h.Usage):
		return bad("usage")
	case !alphanumeric(string([]byte{h.Algorithm, h.Mode, h.Exportability})):
		return bad("algorithm, mode or exportability")
	case len(h.KeyVersion) != 2 || !printable(h.KeyVersion):
		return bad("key version")
	case h.Reserved != "" && (len(h.Reserved) != 2 || !printable(h.Reserved)):
		return bad("reserved field")
	case len(h.Optional) > 99:
		return bad("more than 99 optional blocks")
	}
	for _, b := range h.Optional {
		if len(b.ID) != 2 || !alphanumeric(b.ID) || !printable(b.Data) || len(b.Data) > maxLength || b.ID == "KS" && !isHex(b.Data) {
			return bad("optional block")
		}
	}
	return nil
}

func alphanumeric(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// isHex reports whether a key set identifier is what X9.143, table 8 says.
func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// parse reads the header and returns its length in characters. Errors wrap
// ErrFormat or ErrVersion.
func parse(s string) (Header, int, error) {
	bad := func(what string) (Header, int, error) { return Header{}, 0, fmt.Errorf("%w: %s", ErrFormat, what) }
	if len(s) < fixedHeader || !printable(s[:fixedHeader]) {
		return bad("header cut off")
	}
	h := Header{
		Version: s[0], Usage: s[5:7], Algorithm: s[7], Mode: s[8], KeyVersion: s[9:11], Exportability: s[11], Reserved: s[14:16],
	}
	if h.Version < 'A' || h.Version > 'E' {
		return Header{}, 0, fmt.Errorf("%w: %q", ErrVersion, h.Version)
	}
	n, ok := number(s[1:5], 10)
	if !ok || n != len(s) {
		return bad("length field is not the block's length")
	}
	count, ok := number(s[12:14], 10)
	if !ok {
		return bad("number of optional blocks")
	}
	at := fixedHeader
	for range count {
		b, end, err := parseOptional(s, at)
		if err != nil {
			return Header{}, 0, err
		}
		h.Optional = append(h.Optional, b)
		at = end
	}
	return h, at, h.check()
}

func number(s string, base int) (int, bool) {
	if !alphanumeric(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 31)
	return int(n), err == nil
}

func parseOptional(s string, at int) (Block, int, error) {
	bad := func(what string) (Block, int, error) {
		return Block{}, 0, fmt.Errorf("%w: optional block at %d: %s", ErrFormat, at, what)
	}
	if len(s) < at+4 {
		return bad("cut off")
	}
	id, head := s[at:at+2], 4
	n, ok := number(s[at+2:at+4], 16)
	if ok && n == 0 {
		if len(s) < at+6 {
			return bad("cut off")
		}
		var digits int
		digits, ok = number(s[at+4:at+6], 16)
		if !ok || digits == 0 || digits > 8 || len(s) < at+6+digits {
			return bad("extended length")
		}
		n, ok = number(s[at+6:at+6+digits], 16)
		head = 6 + digits
	}
	if !ok || n < head || n > len(s)-at {
		return bad("length")
	}
	b := Block{ID: id, Data: s[at+head : at+n]}
	if !alphanumeric(id) || !printable(b.Data) || id == "KS" && !isHex(b.Data) {
		return bad("characters")
	}
	return b, at + n, nil
}
