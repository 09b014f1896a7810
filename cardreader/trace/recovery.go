package trace

import (
	"bytes"
	"crypto/sha1" // hash algorithm 01 of EMV 4.4 Book 2, B3.1
	"fmt"
	"math/big"
	"time"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Detail is one step inside a check: a field of what a key recovered, and
// whether it is as EMV 4.4 Book 2 wants it.
type Detail struct {
	What  string `json:"what"`
	Value string `json:"value"`
	// Wrong says what is wrong with it, "" when nothing is.
	Wrong string `json:"wrong,omitempty"`
}

// String returns the detail as a line of a report.
func (d Detail) String() string {
	s := fmt.Sprintf("%-24s %s", d.What, d.Value)
	if d.Wrong != "" {
		s += "  <- " + d.Wrong
	}
	return s
}

// block is what a public key recovered from a certificate or signature, said
// field by field (Book 2, tables 5 to 22). It judges nothing for a transaction:
// package oda does. Hashes are compared and not shown, since one over static data
// would let the digits be tried out that a mask hides.
type block struct {
	details []Detail
	b       []byte
}

func (x *block) add(what, value string, wrong ...string) {
	d := Detail{What: what, Value: value}
	if len(wrong) > 0 {
		d.Wrong = wrong[0]
	}
	x.details = append(x.details, d)
}

// must is a wrong unless ok.
func must(ok bool, format string, a ...any) string {
	if ok {
		return ""
	}
	return fmt.Sprintf(format, a...)
}

const sha1Len = sha1.Size

// openBlock applies a key to a value and says what all blocks have in common. It
// reports false when nothing can be recovered.
func openBlock(tag tlv.Tag, value []byte, key oda.PublicKey, owner string, format byte) (*block, bool) {
	x := &block{}
	x.add(tag.String()+" "+tags.Name(tag), count(len(value), "byte"), must(len(value) > 0, "absent"))
	x.add(owner, fmt.Sprintf("%d bits, exponent %s", 8*key.Len(), upper(key.Exponent)),
		must(len(value) == 0 || len(value) == key.Len(), "%d bytes, the value has %d", key.Len(), len(value)))
	n := new(big.Int).SetBytes(key.Modulus)
	if len(value) != key.Len() || len(value) < 3+sha1Len || len(value) > 256 || n.Sign() == 0 || len(key.Exponent) > 3 {
		return x, false
	}
	s := new(big.Int).SetBytes(value)
	x.b = s.Exp(s, new(big.Int).SetBytes(key.Exponent), n).FillBytes(make([]byte, key.Len()))
	b := x.b
	x.add("recovered header", fmt.Sprintf("%02X", b[0]), must(b[0] == 0x6A, "want 6A: another key signed this, or it was changed"))
	x.add("recovered format", fmt.Sprintf("%02X", b[1]), must(b[1] == format, "want %02X", format))
	x.add("recovered trailer", fmt.Sprintf("%02X", b[len(b)-1]), must(b[len(b)-1] == 0xBC, "want BC"))
	return x, b[0] == 0x6A && b[1] == format && b[len(b)-1] == 0xBC
}

// hash compares the hash in the block with that of what it covers.
func (x *block) hash(names string, more ...[]byte) bool {
	end := len(x.b) - 1 - sha1Len
	h := sha1.New()
	h.Write(x.b[1:end])
	covered := end - 1
	for _, m := range more {
		h.Write(m)
		covered += len(m)
	}
	ok := bytes.Equal(h.Sum(nil), x.b[end:len(x.b)-1])
	value := fmt.Sprintf("SHA-1 over %d bytes: the block%s", covered, names)
	if ok {
		value += ", as computed"
	}
	x.add("hash", value, must(ok, "differs from the one computed: some of it was changed, or is not what was signed"))
	return ok
}

// certificate says a public key certificate, and returns the key in it when the
// block is sound, whatever else is wrong with it: the rest can be told with it.
func (r *odaRun) certificate(cert, remainder, exponent tlv.Tag, parent oda.PublicKey, owner string, static []byte) (details []Detail, key oda.PublicKey, sound bool) {
	format, identity := byte(0x02), 4
	if cert != tags.IssuerCertificate {
		format, identity = 0x04, 10
	}
	x, ok := openBlock(cert, r.data[cert], parent, owner, format)
	at := 2 + identity
	if !ok || len(x.b) < at+9+sha1Len+1 {
		return x.details, key, false
	}
	b := x.b
	if identity == 4 {
		x.add("issuer identifier", upper(b[2:6]), must(r.begins(b[2:6], 3), "the PAN begins otherwise"))
	} else {
		masked := tags.Mask(tags.PAN, b[2:12])
		x.add("PAN in it", masked, must(r.begins(b[2:12], r.pan.Len()), "is not the card's"))
	}
	last, good := monthEnd(b[at], b[at+1])
	x.add("valid to", fmt.Sprintf("month %02X of year %02X", b[at], b[at+1]),
		must(good, "is no month"), "")
	if good && r.on.After(last) {
		x.details[len(x.details)-1].Wrong = "expired on " + r.on.Format(time.DateOnly)
	}
	x.add("serial number", upper(b[at+2:at+5]))
	x.add("hash algorithm", fmt.Sprintf("%02X", b[at+5]), must(b[at+5] == 1, "want 01, SHA-1"))
	x.add("key algorithm", fmt.Sprintf("%02X", b[at+6]), must(b[at+6] == 1, "want 01, RSA"))
	size, digits := int(b[at+7]), b[at+9:len(b)-1-sha1Len]
	rem, exp := r.data[remainder], r.data[exponent]
	x.add("length of its key", count(size, "byte"), must(size > 0, "a key has a length"))
	over := max(size-len(digits), 0)
	x.add("key digits in it", count(min(size, len(digits)), "byte")+padded(len(digits)-size))
	x.add(remainder.String()+" remainder", count(len(rem), "byte"), must(len(rem) == over, "want %d", over))
	x.add(exponent.String()+" exponent", upper(exp), must(len(exp) == int(b[at+8]), "%d bytes, the certificate says %d", len(exp), b[at+8]))
	names := ", remainder and exponent"
	if static != nil {
		names = fmt.Sprintf(", remainder, exponent and %d bytes of static data", len(static))
	}
	hashed := x.hash(names, rem, exp, static)
	sound = (hashed || static != nil) && len(rem) == over && len(exp) > 0 && size > 0
	if sound {
		key = oda.PublicKey{Modulus: append(bytes.Clone(digits[:size-over]), rem...), Exponent: bytes.Clone(exp)}
	}
	return x.details, key, sound
}

func padded(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(", and %d of padding", n)
}

// begins reports whether digits, padded with F, begin the PAN and are so many at
// least.
func (r *odaRun) begins(field []byte, least int) bool {
	pan := r.pan.Reveal()
	n := 0
	for i := range 2 * len(field) {
		d := nibble(field, i)
		if d == 0x0F {
			break
		}
		if n >= len(pan) || pan[n]-'0' != d {
			return false
		}
		n++
	}
	return n >= least && n > 0
}

// monthEnd is the first moment after a month MMYY.
func monthEnd(mm, yy byte) (time.Time, bool) {
	first, err := time.Parse("0106", fmt.Sprintf("%02X%02X", mm, yy))
	if err != nil {
		return time.Time{}, false
	}
	if yy >= 0x50 && first.Year() >= 2050 {
		first = first.AddDate(-100, 0, 0)
	} else if yy < 0x50 && first.Year() < 2000 {
		first = first.AddDate(100, 0, 0)
	}
	return first.AddDate(0, 1, 0).Add(-time.Nanosecond), true
}

// staticSignature says the signed static application data, 93.
func (r *odaRun) staticSignature(issuer oda.PublicKey) []Detail {
	x, ok := openBlock(tags.SignedStaticData, r.data[tags.SignedStaticData], issuer, "issuer key", 0x03)
	if !ok {
		return x.details
	}
	x.add("hash algorithm", fmt.Sprintf("%02X", x.b[2]), must(x.b[2] == 1, "want 01, SHA-1"))
	if len(x.b) >= 5+1+sha1Len {
		x.add("data authentication code", upper(x.b[3:5]))
	}
	x.hash(fmt.Sprintf(" and %d bytes of static data", len(r.static)), r.static)
	return x.details
}

// dynamicSignature says the signed dynamic application data, 9F4B. With
// transaction it is that of a combined signature, over what it hashes.
func dynamicSignature(icc oda.PublicKey, sig, data []byte, combined bool, transaction []byte) []Detail {
	x, ok := openBlock(tags.SignedDynamicData, sig, icc, "card key", 0x05)
	if !ok {
		return x.details
	}
	b := x.b
	x.add("hash algorithm", fmt.Sprintf("%02X", b[2]), must(b[2] == 1, "want 01, SHA-1"))
	n := int(b[3])
	fits := 4+n+sha1Len+1 <= len(b)
	x.add("dynamic data", count(n, "byte"), must(fits && n > 0, "does not fit"))
	if fits && n > 0 {
		d := b[4 : 4+n]
		k := int(d[0])
		whole := k >= 2 && k <= 8 && 1+k <= n
		x.add("ICC dynamic number", upper(d[1:min(1+k, n)]), must(whole, "%d bytes, want 2 to 8", k))
		if rest := d[min(1+k, n):]; combined && whole && len(rest) >= 29 {
			x.add("CID in it", fmt.Sprintf("%02X, %s", rest[0], tags.CIDValue(rest[0]).Cryptogram()))
			x.add("cryptogram in it", upper(rest[1:9]))
			sum := sha1.Sum(transaction)
			x.add("transaction data hash", fmt.Sprintf("SHA-1 over %d bytes of PDOL, CDOL and response data", len(transaction)),
				must(bytes.Equal(sum[:], rest[9:29]), "differs from the one computed"))
		} else if combined {
			x.add("transaction data", count(len(rest), "byte"), "cut off")
		}
	}
	x.hash(fmt.Sprintf(" and %d bytes that the terminal gave", len(data)), data)
	return x.details
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
