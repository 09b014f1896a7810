package simcard

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/tlv"
)

// ECAuthority is a certification authority key of an elliptic curve.
type ECAuthority struct {
	RID   [5]byte
	Index byte
	Key   *ECKey
	// Expiry is YYYY-MM-DD, as the CAPK format has it.
	Expiry string
}

// ECKeys are the keys that cards with XDA need (Book 2, 12).
type ECKeys struct {
	Authorities []ECAuthority
	Issuer, ICC *ECKey
}

// newECKeys makes the keys that the built-in profiles name.
func newECKeys(random io.Reader) (ECKeys, error) {
	var k ECKeys
	a := ECAuthority{RID: [5]byte(unhex(aidVisa)[:5]), Index: indexEC, Expiry: pkiExpiry}
	for _, to := range []**ECKey{&a.Key, &k.Issuer, &k.ICC} {
		var err error
		if *to, err = GenerateECKey(random, SuiteP256); err != nil {
			return ECKeys{}, err
		}
	}
	k.Authorities = []ECAuthority{a}
	return k, nil
}

func (k *ECKeys) authority(rid []byte, index byte) (*ECAuthority, error) {
	for i := range k.Authorities {
		if a := &k.Authorities[i]; string(a.RID[:]) == string(rid) && a.Index == index {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%w: %w of authority %X index %02X", ErrOptions, errNoEC, rid, index)
}

// entry is one key in a CAPK file; the check sum is over RID, index, suite and
// point (Book 2, table 31).
func (a *ECAuthority) entry() capkEntry {
	x, y := a.Key.Point()
	return capkEntry{
		RID: hexString(a.RID[:]), Index: fmt.Sprintf("%02X", a.Index),
		Suite: fmt.Sprintf("%02X", a.Key.Suite()), Point: hexString(x) + hexString(y),
		Expiry: a.Expiry, SHA1: checkSum(a.RID, a.Index, []byte{a.Key.Suite()}, x, y),
	}
}

// ecRecords are the certificates of a card with XDA (Book 2, tables 35 and 36),
// each with a validity to the end of 2031. static is what the AFL marks.
func (a *application) ecRecords(k *ECKeys, random io.Reader, static []byte) ([][]byte, error) {
	s := a.spec
	ca, err := k.authority(s.AID[:5], s.CAIndex)
	if err != nil {
		return nil, err
	}
	if k.Issuer == nil || k.ICC == nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, errNoEC)
	}
	ix, _ := k.Issuer.Point()
	issuer := append([]byte{0x12, 0x00}, cn(s.PAN[:8], 5)...)
	issuer = append(issuer, k.Issuer.Suite(), 0x20, 0x31, 0x12, 0x31)
	issuer = append(append(issuer, s.Serial[:]...), s.AID[:5]...)
	issuer = append(append(issuer, s.CAIndex), ix...)
	sig, err := ca.Key.Sign(random, issuer)
	if err != nil {
		return nil, err
	}
	first := tlv.Append(tlv.Append(nil, 0x8F, []byte{s.CAIndex}), 0x90, append(issuer, sig...))

	certified := tlv.Append(append([]byte(nil), static...), 0x82, a.aip)
	certified = tlv.Append(certified, 0x9F06, s.AID)
	if len(s.PDOL) > 0 {
		certified = tlv.Append(certified, 0x9F38, s.PDOL)
	}
	sum := sha256.Sum256(certified)
	cx, _ := k.ICC.Point()
	icc := []byte{0x14, 0x00, k.ICC.Suite(), 0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0, 0, 0}
	icc = append(append(icc, s.Serial[:]...), 0x00, 0x02)
	icc = append(append(icc, sum[:]...), cx...)
	if sig, err = k.Issuer.Sign(random, icc); err != nil {
		return nil, err
	}
	return [][]byte{first, tlv.Append(nil, 0x9F46, append(icc, sig...))}, nil
}

// signXDA is the answer to a GENERATE AC that asks for an XDA signature (Book 2,
// 12.5.2). data is that of PDOL and CDOL1, or of CDOL2 the second time.
func (c *Card) signXDA(response []byte, data ...[]byte) ([]byte, error) {
	message := append([][]byte{{0x15}}, data...)
	sig, err := c.pki.EC.ICC.Sign(c.rand, append(message, response)...)
	if err != nil {
		return nil, err
	}
	c.maybeSpoil(sig)
	return tlv.Append(nil, 0x77, tlv.Append(response, 0x9F4B, append([]byte{0x15}, sig...))), nil
}
