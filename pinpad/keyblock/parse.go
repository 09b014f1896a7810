package keyblock

import (
	"fmt"
	"strconv"
)

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
	if n, ok := number(s[1:5], 10); !ok || n != len(s) {
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
	if err := h.check(); err != nil {
		return Header{}, 0, err
	}
	if at%blockSize(h.Version) != 0 {
		return bad("header does not fill whole cipher blocks")
	}
	return h, at, nil
}

// ParseHeader reads the header of a key block, which is in clear. Nothing of it
// may be relied on before Unwrap has verified the block. Errors wrap ErrFormat or
// ErrVersion.
func ParseHeader(block string) (Header, error) {
	h, _, err := parse(block)
	return h, err
}

// blockSize is that of the cipher that a version enciphers with.
func blockSize(version byte) int {
	if version == 'D' || version == 'E' {
		return 16
	}
	return 8
}

// number reads a number of fixed length: decimal digits, or hexadecimal ones in
// upper case.
func number(s string, base int) (int, bool) {
	if !hexDigits(s) {
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
	n, ok := number(s[at+2:at+4], 16)
	head := 4
	if ok && n == 0 {
		if len(s) < at+6 {
			return bad("cut off")
		}
		var count int
		if count, ok = number(s[at+4:at+6], 16); !ok || count == 0 || count > 8 {
			return bad("extended length")
		}
		// The count is of bytes, two digits each. The examples of X9.143:2021, 8.5
		// and 8.6 count digits instead; what is well formed in the first reading is
		// never taken in the second.
		if n, head, ok = extended(s[at:], 2*count); !ok {
			n, head, ok = extended(s[at:], count)
		}
	}
	if !ok || n < head || n > len(s)-at {
		return bad("length")
	}
	b := Block{ID: s[at : at+2], Data: s[at+head : at+n]}
	if !alphanumeric(b.ID) || !printable(b.Data) {
		return bad("characters")
	}
	return b, at + n, nil
}

// extended reads an extended length of some digits, and says whether a block of
// that length is there.
func extended(s string, digits int) (n, head int, ok bool) {
	head = 6 + digits
	if len(s) < head {
		return 0, 0, false
	}
	n, ok = number(s[6:head], 16)
	return n, head, ok && n >= head && n <= len(s)
}
