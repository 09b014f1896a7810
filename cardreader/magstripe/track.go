package magstripe

import (
	"bytes"
	"crypto/subtle"

	"github.com/payunit/payunit/cardreader/secret"
)

// A track's characters, by their codes of ISO/IEC 7811-2: track 1 has 6 bits, 20
// to 5F of ASCII less 20; track 2 has 4 bits, 30 to 3F less 30. The check
// character (LRC) makes the exclusive or of the codes from the start sentinel on
// zero.
//
//	track 1   % B PAN(≤19) ^ name(2–26) ^ YYMM SSS discretionary ? LRC    ≤ 79
//	track 2   ; PAN(≤19) = YYMM SSS discretionary ? LRC                   ≤ 40
const (
	start1, start2 = '%', ';'
	end            = '?'
	separator1     = '^'
	separator2     = '='
	max1, max2     = 79, 40
	base1, base2   = 0x20, 0x30
	formatPayment  = 'B'
	minName        = 2
	maxName        = 26
)

// Parse reads what a reader gives of one swipe: track 1, track 2 or both one after
// the other, each from its start sentinel to its end sentinel, with or without
// the check character. Line ends may stand between and behind them. Track 2 has
// to be there; two tracks that name another card are refused. b stays the
// caller's to wipe. Errors are *TrackError.
func Parse(b []byte) (Stripe, error) {
	var s Stripe
	one, two, err := split(b)
	if err != nil {
		return Stripe{}, err
	}
	if two == nil {
		return Stripe{}, &TrackError{Track: 2, Offset: -1, Reason: "is missing"}
	}
	if s.Track2, err = ParseTrack2(two); err != nil {
		return Stripe{}, err
	}
	if one == nil {
		return s, nil
	}
	if s.Track1, err = ParseTrack1(one); err == nil {
		err = s.agree()
	}
	if err != nil {
		s.Wipe()
		return Stripe{}, err
	}
	return s, nil
}

// split finds the tracks. A check character may look like a start sentinel: after
// an end sentinel one character belongs to the track unless a track begins with
// it, which it does only where a digit or the format code follows.
func split(b []byte) (one, two []byte, err error) {
	for len(b) > 0 {
		if b[0] == '\r' || b[0] == '\n' {
			b = b[1:]
			continue
		}
		n := bytes.IndexByte(b, end) + 1
		track := 1
		if b[0] == start2 {
			track = 2
		}
		if n == 0 || b[0] != start1 && b[0] != start2 {
			return nil, nil, &TrackError{Track: track, Offset: 0, Reason: "has no start or no end sentinel"}
		}
		if n < len(b) && b[n] != '\r' && b[n] != '\n' && !begins(b[n:]) {
			n++
		}
		switch {
		case track == 1 && one == nil && two == nil:
			one = b[:n]
		case track == 2 && two == nil:
			two = b[:n]
		default:
			return nil, nil, &TrackError{Track: track, Offset: -1, Reason: "comes twice, or out of order"}
		}
		b = b[n:]
	}
	return one, two, nil
}

func begins(b []byte) bool {
	return len(b) > 1 && (b[0] == start2 && digit(b[1]) || b[0] == start1 && b[1] == formatPayment)
}

func (s Stripe) agree() error {
	pan, err := s.Track2.PAN()
	if err != nil {
		return &TrackError{Track: 2, Offset: 1, Reason: "has no PAN"}
	}
	defer pan.Wipe()
	if !pan.Equal(s.Track1.PAN()) || s.Track1.Expiry() != s.Track2.Expiry() || s.Track1.ServiceCode() != s.ServiceCode() {
		return &TrackError{Offset: -1, Reason: "name different cards"}
	}
	return nil
}

// frame checks sentinels, characters, length and check character, and returns
// what stands between the sentinels.
func frame(b []byte, track int, start, base byte, limit int) ([]byte, error) {
	bad := func(offset int, reason string) ([]byte, error) {
		return nil, &TrackError{Track: track, Offset: offset, Reason: reason}
	}
	if len(b) == 0 || b[0] != start {
		return bad(0, "is no start sentinel")
	}
	n := bytes.IndexByte(b, end)
	switch {
	case n < 0:
		return bad(len(b), "has no end sentinel")
	case len(b) > n+2:
		return bad(n+2, "stands behind the check character")
	case n+2 > limit:
		return bad(limit, "is too long")
	}
	check := byte(0)
	for i, c := range b[:n+1] {
		if c < base || c-base > 0x5F-0x20 || base == base2 && c-base > 0x0F {
			return bad(i, "is no character of the track")
		}
		if i > 0 && c == start {
			return bad(i, "is a start sentinel inside the track")
		}
		check ^= c - base
	}
	if len(b) == n+2 && subtle.ConstantTimeByteEq(b[n+1], base+check) == 0 {
		return bad(n+1, "is another check character than the track's: read badly")
	}
	return b[1:n], nil
}

// ParseTrack2 reads track 2 from sentinel to sentinel, with or without its check
// character. Expiry and service code have to be there. Errors are *TrackError.
func ParseTrack2(b []byte) (secret.Track2, error) {
	bad := func(offset int, reason string) (secret.Track2, error) {
		return secret.Track2{}, &TrackError{Track: 2, Offset: offset, Reason: reason}
	}
	in, err := frame(b, 2, start2, base2, max2)
	if err != nil {
		return secret.Track2{}, err
	}
	sep := bytes.IndexByte(in, separator2)
	if sep < 0 {
		return bad(-1, "has no separator")
	}
	if offset, reason := fields(in[:sep], in[sep+1:]); reason != "" {
		return bad(1+offset, reason)
	}
	for i, c := range in {
		if i != sep && !digit(c) {
			return bad(1+i, "is no digit")
		}
	}
	// By way of tag 57, which is the same in two digits a byte.
	var tag [(max2 + 1) / 2]byte
	defer clear(tag[:])
	n := (len(in) + 1) / 2
	for i := range 2 * n {
		v := byte(0x0F)
		if i < len(in) {
			v = in[i] - base2
		}
		tag[i/2] |= v << (4 * (1 - i%2))
	}
	t, err := secret.Track2FromTag(tag[:n])
	if err != nil {
		return bad(-1, "is no track 2")
	}
	return t, nil
}

// fields checks the PAN, and expiry and service code behind the last separator.
// The offset counts from the PAN's first digit.
func fields(pan, rest []byte) (offset int, reason string) {
	if len(pan) < 8 || len(pan) > 19 {
		return 0, "has a PAN of other than 8 to 19 digits"
	}
	for i, c := range pan {
		if !digit(c) {
			return i, "is no digit"
		}
	}
	at := len(pan) + 1
	if len(rest) < 7 {
		return at, "has no expiry and service code"
	}
	for i, c := range rest[:7] {
		if !digit(c) {
			return at + i, "is no digit of expiry and service code"
		}
	}
	if m := string(rest[2:4]); m < "01" || m > "12" {
		return at + 2, "is no month"
	}
	return 0, ""
}

// AppendTrack2 appends track 2 with sentinels and check character: what a reader
// gives for it.
func AppendTrack2(dst []byte, t secret.Track2) []byte {
	return appendFrame(dst, start2, base2, t.Reveal())
}

func appendFrame(dst []byte, start, base byte, in []byte) []byte {
	check := start - base ^ (end - base)
	for _, c := range in {
		check ^= c - base
	}
	return append(append(append(dst, start), in...), end, base+check)
}

// Track1 is track 1 of the format B: as track 2, and the cardholder's name. It
// shows nothing of itself. The zero value holds none.
type Track1 struct {
	// v is what stands between the sentinels; sep are its two separators.
	v   secret.Bytes
	sep [2]int
}

// ParseTrack1 reads track 1 from sentinel to sentinel, with or without its check
// character. It has to be of format B, with expiry and service code. Errors are
// *TrackError.
func ParseTrack1(b []byte) (Track1, error) {
	bad := func(offset int, reason string) (Track1, error) {
		return Track1{}, &TrackError{Track: 1, Offset: offset, Reason: reason}
	}
	in, err := frame(b, 1, start1, base1, max1)
	if err != nil {
		return Track1{}, err
	}
	if len(in) == 0 || in[0] != formatPayment {
		return bad(1, "is not the format code of a payment card")
	}
	first := bytes.IndexByte(in, separator1)
	if first < 0 {
		return bad(-1, "has no separator")
	}
	second := bytes.IndexByte(in[first+1:], separator1) + first + 1
	if second == first {
		return bad(-1, "has no second separator")
	}
	name := in[first+1 : second]
	if len(name) < minName || len(name) > maxName {
		return bad(2+first, "has a name of other than 2 to 26 characters")
	}
	if offset, reason := fields(in[1:first], in[second+1:]); reason != "" {
		if offset > first-1 { // behind the name
			offset += len(name) + 1
		}
		return bad(2+offset, reason)
	}
	if bytes.IndexByte(in[second+1:], separator1) >= 0 {
		return bad(-1, "has a third separator")
	}
	return Track1{v: secret.CopyBytes(in), sep: [2]int{first, second}}, nil
}

// IsZero reports whether t holds no track.
func (t Track1) IsZero() bool { return t.v.Len() == 0 }

// PAN returns the PAN, a copy that the caller wipes; the zero PAN of a zero
// track.
func (t Track1) PAN() secret.PAN {
	if t.IsZero() {
		return secret.PAN{}
	}
	pan, err := secret.NewPAN(t.v.Reveal()[1:t.sep[0]])
	if err != nil {
		return secret.PAN{} // checked by ParseTrack1
	}
	return pan
}

// Name returns the cardholder's name as it is coded, family name first, a copy
// that the caller wipes.
func (t Track1) Name() secret.Bytes {
	if t.IsZero() {
		return secret.Bytes{}
	}
	return secret.CopyBytes(t.v.Reveal()[t.sep[0]+1 : t.sep[1]])
}

// Expiry returns YYMM, "" of a zero track.
func (t Track1) Expiry() string { return t.part(0, 4) }

// ServiceCode returns the service code, "" of a zero track.
func (t Track1) ServiceCode() ServiceCode { return ServiceCode(t.part(4, 7)) }

func (t Track1) part(from, to int) string {
	if t.IsZero() {
		return ""
	}
	return string(t.v.Reveal()[t.sep[1]+1+from : t.sep[1]+1+to])
}

// Append appends the track with sentinels and check character: what a reader
// gives for it.
func (t Track1) Append(dst []byte) []byte { return appendFrame(dst, start1, base1, t.v.Reveal()) }

// Wipe zeroes the track, for every copy of t.
func (t Track1) Wipe() { t.v.Wipe() }

func digit(c byte) bool { return c >= '0' && c <= '9' }
