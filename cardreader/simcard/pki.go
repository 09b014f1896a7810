package simcard

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
)

// PKI is what a scheme and an issuer hold before they make cards: the keys of
// certification authorities, one issuer key, the keys of the cards (all cards
// of a PKI share them, because making RSA keys takes seconds), and the issuer
// master keys that card keys derive from.
type PKI struct {
	Authorities []Authority
	Issuer      *Key
	ICC         *Key // dynamic signatures
	PIN         *Key // PIN encipherment
	// EC is needed for profiles with XDA only.
	EC ECKeys
	// AC, SMI and SMC are double-length TDES issuer master keys for
	// cryptograms, script MACs and script encipherment.
	AC, SMI, SMC secret.Bytes
	// CVK is a double-length TDES key for card verification values. It is needed
	// for stripes and printed cards only.
	CVK secret.Bytes
}

// Authority is one certification authority key.
type Authority struct {
	RID   [5]byte
	Index byte
	Key   *Key
	// Expiry is YYYY-MM-DD, as the CAPK format has it.
	Expiry string
}

// Key sizes that NewPKI makes, in bits (Book 2, Annex D2: an authority key may
// have 1984, and each key below must be shorter).
const (
	authorityBits = 1984
	issuerBits    = 1408
	iccBits       = 1152
)

const pkiExpiry = "2031-12-31"

// NewPKI makes all keys that the built-in profiles need; it takes some seconds.
// A nil random is crypto/rand. The same bytes from random make the same PKI.
func NewPKI(random io.Reader) (*PKI, error) {
	if random == nil {
		random = rand.Reader
	}
	k := &PKI{}
	for _, a := range authorities() {
		key, err := GenerateKey(random, authorityBits, 3)
		if err != nil {
			return nil, err
		}
		a.Key = key
		k.Authorities = append(k.Authorities, a)
	}
	for _, make := range []struct {
		to   **Key
		bits int
	}{{&k.Issuer, issuerBits}, {&k.ICC, iccBits}, {&k.PIN, iccBits}} {
		key, err := GenerateKey(random, make.bits, 3)
		if err != nil {
			return nil, err
		}
		*make.to = key
	}
	for _, to := range []*secret.Bytes{&k.AC, &k.SMI, &k.SMC, &k.CVK} {
		b := make([]byte, 16)
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("simcard: drawing a master key: %w", err)
		}
		*to = secret.NewBytes(b)
	}
	var err error
	k.EC, err = newECKeys(random)
	return k, err
}

// authorities are the RIDs and indexes that the built-in profiles name.
func authorities() []Authority {
	visa, mastercard := [5]byte(unhex(aidVisa)[:5]), [5]byte(unhex(aidMastercard)[:5])
	return []Authority{
		{RID: visa, Index: indexKnown, Expiry: pkiExpiry},
		{RID: mastercard, Index: indexKnown, Expiry: pkiExpiry},
		{RID: visa, Index: indexUnknown, Expiry: pkiExpiry},
	}
}

func (k *PKI) authority(rid []byte, index byte) (*Authority, error) {
	for i := range k.Authorities {
		if a := &k.Authorities[i]; string(a.RID[:]) == string(rid) && a.Index == index {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%w: the PKI has no authority %X index %02X", ErrOptions, rid, index)
}

func (k *PKI) check() error {
	if k.Issuer == nil || k.ICC == nil || k.PIN == nil {
		return fmt.Errorf("%w: the PKI lacks a key", ErrOptions)
	}
	if k.AC.Len() != 16 || k.SMI.Len() != 16 || k.SMC.Len() != 16 {
		return fmt.Errorf("%w: the PKI lacks a master key of 16 bytes", ErrOptions)
	}
	return nil
}
