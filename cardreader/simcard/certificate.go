package simcard

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // EMV hash algorithm indicator 01
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Bytes that EMV 4.4 Book 2, 5 to 7, puts around what is signed.
const (
	header     = 0x6A
	trailer    = 0xBC
	pad        = 0xBB
	hashSHA1   = 0x01
	keyRSA     = 0x01
	formIssuer = 0x02 // certificate and data formats
	formStatic = 0x03
	formICC    = 0x04
	formSigned = 0x05
)

// sign closes body into a block as long as key's modulus, with the hash over
// body and hashed, and signs it. Book 2, Annex A2.1: 6A, body, hash, BC.
func sign(key *Key, body []byte, hashed ...[]byte) ([]byte, error) {
	if len(body) != key.Len()-22 {
		return nil, fmt.Errorf("simcard: signing: %d bytes for a modulus of %d", len(body), key.Len())
	}
	h := sha1.New()
	h.Write(body)
	for _, b := range hashed {
		h.Write(b)
	}
	block := append([]byte{header}, body...)
	block = append(h.Sum(block), trailer)
	return key.Apply(block)
}

// certify is sign for what cards are made with: the next card of the same data
// gets the same signature without another private operation.
func certify(key *Key, body []byte, hashed ...[]byte) ([]byte, error) {
	h := sha256.New()
	for _, b := range append([][]byte{body}, hashed...) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	id := [sha256.Size]byte(h.Sum(nil))
	key.mu.Lock()
	defer key.mu.Unlock()
	if made, ok := key.certified[id]; ok {
		return bytes.Clone(made), nil
	}
	made, err := sign(key, body, hashed...)
	if err != nil {
		return nil, err
	}
	if key.certified == nil || len(key.certified) >= maxCertified {
		key.certified = map[[sha256.Size]byte][]byte{}
	}
	key.certified[id] = bytes.Clone(made)
	return made, nil
}

// publicPart splits a modulus into what fits into room bytes, padded with BB,
// and the remainder.
func publicPart(modulus []byte, room int) (in, remainder []byte) {
	if len(modulus) > room {
		return modulus[:room:room], modulus[room:]
	}
	in = append(make([]byte, 0, room), modulus...)
	return append(in, bytes.Repeat([]byte{pad}, room-len(modulus))...), nil
}

// issuerCertificate is Book 2, table 2: returns tags 90 and 92.
func issuerCertificate(ca, issuer *Key, pan string, expiry [2]byte, serial [3]byte) (cert, remainder []byte, err error) {
	room := ca.Len() - 36
	if room < 8 || issuer.Len() > ca.Len() {
		return nil, nil, fmt.Errorf("%w: issuer key of %d bytes under a CA key of %d", ErrOptions, issuer.Len(), ca.Len())
	}
	// Issuer identifier: the leftmost 3 to 8 digits of the PAN, padded with F.
	body := append([]byte{formIssuer}, cn(pan[:6], 4)...)
	body = append(append(body, expiry[:]...), serial[:]...)
	body = append(body, hashSHA1, keyRSA, byte(issuer.Len()), byte(len(issuer.Exponent())))
	in, remainder := publicPart(issuer.Modulus(), room)
	cert, err = certify(ca, append(body, in...), remainder, issuer.Exponent())
	return cert, remainder, err
}

// iccCertificate is Book 2, table 9 (with static data) and table 23 (the PIN
// encipherment key, without): returns 9F46 and 9F48, or 9F2D and 9F2F.
func iccCertificate(issuer, icc *Key, pan string, expiry [2]byte, serial [3]byte, static []byte) (cert, remainder []byte, err error) {
	room := issuer.Len() - 42
	if room < 8 || icc.Len() > issuer.Len() {
		return nil, nil, fmt.Errorf("%w: card key of %d bytes under an issuer key of %d", ErrOptions, icc.Len(), issuer.Len())
	}
	body := append([]byte{formICC}, cn(pan, 10)...)
	body = append(append(body, expiry[:]...), serial[:]...)
	body = append(body, hashSHA1, keyRSA, byte(icc.Len()), byte(len(icc.Exponent())))
	in, remainder := publicPart(icc.Modulus(), room)
	cert, err = certify(issuer, append(body, in...), remainder, icc.Exponent(), static)
	return cert, remainder, err
}

// staticSignature is Book 2, table 3: tag 93.
func staticSignature(issuer *Key, dac [2]byte, static []byte) ([]byte, error) {
	body := append([]byte{formStatic, hashSHA1}, dac[:]...)
	body = append(body, bytes.Repeat([]byte{pad}, issuer.Len()-26)...)
	return certify(issuer, body, static)
}

// dynamicSignature is Book 2, tables 15 and 18: tag 9F4B. dynamic is the ICC
// dynamic data without its length, terminal what the terminal sent.
func dynamicSignature(icc *Key, dynamic, terminal []byte) ([]byte, error) {
	room := icc.Len() - 25 - len(dynamic)
	if room < 0 {
		return nil, fmt.Errorf("%w: card key of %d bytes is too short to sign", ErrOptions, icc.Len())
	}
	body := append([]byte{formSigned, hashSHA1, byte(len(dynamic))}, dynamic...)
	body = append(body, bytes.Repeat([]byte{pad}, room)...)
	return sign(icc, body, terminal)
}

// cn packs decimal digits two a byte, left justified, padded with F.
func cn(digits string, n int) []byte {
	out := bytes.Repeat([]byte{0xFF}, n)
	for i := 0; i < len(digits) && i < 2*n; i++ {
		d := digits[i] - '0'
		if i%2 == 0 {
			out[i/2] = d<<4 | 0x0F
		} else {
			out[i/2] = out[i/2]&0xF0 | d
		}
	}
	return out
}
