// Package keyblock wraps keys for transport: the key blocks of ANSI X9.143 (TR-31)
// versions A, B, C and D, and E of ISO 20038. A block carries what its key may
// be used for, and no bit of it can be altered.
//
// Versions A and C (key variants) are read and not made: X9.143 has withdrawn
// them.
//
// Unwrap and Wrap handle bare keys. A Key is one that is held to its header: it
// does what usage and mode allow, and nothing else.
package keyblock

import (
	"errors"
	"fmt"
	"strings"
)

// Errors. Which check failed is told for what is public, the header, alone.
var (
	// ErrFormat: the text is no key block.
	ErrFormat = errors.New("keyblock: malformed")
	// ErrVersion: the version is unknown, or not one to make blocks of.
	ErrVersion = errors.New("keyblock: version")
	// ErrKey: a protection key has the wrong length for the version, or a key
	// the wrong one for its algorithm.
	ErrKey = errors.New("keyblock: key")
	// ErrAuthentication: the block does not verify under the protection key.
	ErrAuthentication = errors.New("keyblock: does not verify")
	// ErrUsage: the header does not let the key do this.
	ErrUsage = errors.New("keyblock: not what the key may be used for")
)

// Block is an optional block of a header.
type Block struct {
	// ID is two characters, "KS" for a key set identifier. No ID comes twice.
	ID string
	// Data is printable ASCII; hexadecimal in upper case for AL, BI, HM, IK,
	// KC, KP, KS and PK.
	Data string
}

// Header says what the wrapped key is (X9.143, table 1).
type Header struct {
	// Version is 'A', 'B', 'C', 'D' or 'E'.
	Version byte
	// Usage is two characters: "B1" an initial DUKPT key, "P0" PIN
	// encryption, "K0" key encryption.
	Usage string
	// Algorithm is 'A' AES, 'T' TDES, 'D' DES, 'H' HMAC, 'R' RSA, 'E'
	// elliptic curve, 'S' DSA.
	Algorithm byte
	// Mode is 'E' encrypt, 'D' decrypt, 'B' both, 'C' MAC both ways, 'G'
	// generate, 'V' verify, 'X' derive, 'S' sign, 'T' sign and decrypt, 'Y'
	// variants, 'N' no restriction but the usage's.
	Mode byte
	// KeyVersion is two characters, "00" when it is not used, "c1" to "c9"
	// for a component.
	KeyVersion string
	// Exportability is 'E' in a trusted key block, 'N' not, 'S' sensitive.
	Exportability byte
	// Reserved is two characters: the key's context, '0', '1' for storage or
	// '2' for exchange, and '0'. Empty stands for "00" when a header is made.
	Reserved string
	// Optional are the optional blocks in order; the padding block PB is the
	// last.
	Optional []Block
}

// Find returns the data of an optional block.
func (h Header) Find(id string) (data string, ok bool) {
	for _, b := range h.Optional {
		if b.ID == id {
			return b.Data, true
		}
	}
	return "", false
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
	var s strings.Builder
	fmt.Fprintf(&s, "%c%04d%s%c%c%s%c%02d%s", h.Version, n, h.Usage, h.Algorithm, h.Mode, h.KeyVersion, h.Exportability, len(h.Optional), reserved)
	for _, b := range h.Optional {
		s.WriteString(b.text())
	}
	return s.String()
}

// text writes a length that two digits don't hold as 00, the number of the
// length's bytes, and its four digits (X9.143, 6.3.6).
func (b Block) text() string {
	n := len(b.ID) + 2 + len(b.Data)
	if n <= 0xFF {
		return fmt.Sprintf("%s%02X%s", b.ID, n, b.Data)
	}
	return fmt.Sprintf("%s0002%04X%s", b.ID, n+6, b.Data)
}

// The characters of one-letter fields (X9.143, tables 3, 4 and 6). Digits are
// reserved for proprietary use.
const (
	algorithms      = "ADEHRST0123456789"
	modes           = "BCDEGNSTVXY0123456789"
	exportabilities = "ENS0123456789"
)

// check refuses a header that is none of X9.143.
func (h Header) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: header: %s", ErrFormat, what) }
	switch {
	case h.Version < 'A' || h.Version > 'E':
		return fmt.Errorf("%w: %q", ErrVersion, h.Version)
	case len(h.Usage) != 2 || !alphanumeric(h.Usage):
		return bad("usage")
	case strings.IndexByte(algorithms, h.Algorithm) < 0:
		return bad("algorithm")
	case strings.IndexByte(modes, h.Mode) < 0:
		return bad("mode of use")
	case strings.IndexByte(exportabilities, h.Exportability) < 0:
		return bad("exportability")
	case len(h.KeyVersion) != 2 || !alphanumeric(h.KeyVersion):
		return bad("key version")
	case h.Reserved != "" && (len(h.Reserved) != 2 || h.Reserved[0] < '0' || h.Reserved[0] > '2' || h.Reserved[1] != '0'):
		return bad("key context or reserved field")
	case len(h.Optional) > 99:
		return bad("more than 99 optional blocks")
	}
	for i, b := range h.Optional {
		if err := b.check(); err != nil {
			return err
		}
		if b.ID == "PB" && i != len(h.Optional)-1 {
			return bad("the padding block is not the last")
		}
		for _, other := range h.Optional[:i] {
			if other.ID == b.ID {
				return bad("optional block " + b.ID + " comes twice")
			}
		}
	}
	return nil
}

// check refuses an optional block whose characters or length are not those of its
// ID (X9.143, 6.3.6).
func (b Block) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: optional block: %s", ErrFormat, what) }
	if len(b.ID) != 2 || !alphanumeric(b.ID) {
		return bad("ID")
	}
	if !printable(b.Data) || len(b.Data) > maxLength {
		return bad("data of " + b.ID)
	}
	good := true
	switch b.ID {
	case "KS":
		good = isHex(b.Data)
	case "IK":
		good = isHex(b.Data) && len(b.Data) == 16
	case "BI":
		// 00 and a key set of TDES DUKPT, or 01 and a base derivation key of AES
		// DUKPT.
		good = isHex(b.Data) && (len(b.Data) == 12 && b.Data[:2] == "00" || len(b.Data) == 10 && b.Data[:2] == "01")
	case "HM":
		good = isHex(b.Data) && len(b.Data) == 2
	case "KC", "KP", "PK":
		_, _, err := parseCheckValue(b.Data)
		good = err == nil
	case "AL":
		good = isHex(b.Data) && len(b.Data) == 4
	}
	if !good {
		return bad("data of " + b.ID)
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

// isHex reports whether s is whole bytes in hexadecimal, in upper case.
func isHex(s string) bool { return len(s) > 0 && len(s)%2 == 0 && hexDigits(s) }

func hexDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
