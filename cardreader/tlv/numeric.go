package tlv

import "fmt"

// AppendN appends v in format n: two digits a byte in the given number of
// bytes, padded with zeros on the left. Digits that do not fit are cut off on
// the left.
func AppendN(dst []byte, v uint64, bytes int) []byte {
	start := len(dst)
	dst = fill(dst, 0, bytes)
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = byte(v%10) | byte(v/10%10)<<4
		v /= 100
	}
	return dst
}

// ParseN reads format n of up to nine bytes. Errors are *Error.
func ParseN(b []byte) (uint64, error) {
	if len(b) > 9 {
		return 0, &Error{Reason: fmt.Sprintf("numeric value of %d bytes, want at most 9", len(b))}
	}
	var v uint64
	for i, c := range b {
		if c>>4 > 9 || c&0x0F > 9 {
			return 0, &Error{Offset: i, Reason: "not a decimal digit"}
		}
		v = v*100 + uint64(c>>4)*10 + uint64(c&0x0F)
	}
	return v, nil
}
