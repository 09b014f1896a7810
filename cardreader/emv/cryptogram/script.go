package cryptogram

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// Encipherment is how a script command's data are enciphered (Book 2, 9.3).
type Encipherment uint8

// Encipherments.
const (
	// EnciphermentVisa puts the data's length before it, pads by method 2 when
	// the whole does not fit, and uses ECB.
	EnciphermentVisa Encipherment = iota + 1
	// EnciphermentMChip pads by method 2 when the data does not fit; CBC, IV zero.
	EnciphermentMChip
	// EnciphermentCCD always pads by method 2; CBC, IV zero (Common Core
	// Definitions).
	EnciphermentCCD
)

// maxScriptData leaves room for length, padding and MAC in one short APDU.
const maxScriptData = 224

// Encipher enciphers command data under a script session key. Errors wrap
// ErrKey, ErrData or ErrScheme.
func (e Encipherment) Encipher(session secret.Bytes, data []byte) ([]byte, error) {
	if len(data) == 0 || len(data) > maxScriptData {
		return nil, fmt.Errorf("%w: %d bytes of script data, want 1 to %d", ErrData, len(data), maxScriptData)
	}
	c, err := tdes(session)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(data)+16)
	switch e {
	case EnciphermentVisa:
		b = append(append(b, byte(len(data))), data...)
	case EnciphermentMChip, EnciphermentCCD:
		b = append(b, data...)
	default:
		return nil, fmt.Errorf("%w: encipherment %d", ErrScheme, uint8(e))
	}
	if len(b)%8 != 0 || e == EnciphermentCCD {
		b = append(b, 0x80)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
	}
	if e != EnciphermentVisa {
		cipher.NewCBCEncrypter(c, make([]byte, 8)).CryptBlocks(b, b)
		return b, nil
	}
	for i := 0; i < len(b); i += 8 {
		c.Encrypt(b[i:], b[i:])
	}
	return b, nil
}

// Decipher is the inverse of Encipher. With EnciphermentMChip, data that may
// have been padded comes back as it is: only its reader knows the length.
// Errors wrap ErrKey, ErrData or ErrScheme.
func (e Encipherment) Decipher(session secret.Bytes, data []byte) (secret.Bytes, error) {
	if len(data) == 0 || len(data)%8 != 0 || len(data) > maxScriptData+8 {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes of enciphered data", ErrData, len(data))
	}
	c, err := tdes(session)
	if err != nil {
		return secret.Bytes{}, err
	}
	b := make([]byte, len(data))
	n := len(b)
	switch e {
	case EnciphermentVisa:
		for i := 0; i < len(b); i += 8 {
			c.Decrypt(b[i:], data[i:])
		}
		n = int(b[0]) + 1
		if n > len(b) || len(b)-n >= 8 || !padded(b[n:]) {
			clear(b)
			return secret.Bytes{}, fmt.Errorf("%w: enciphered data", ErrData)
		}
		return secret.NewBytes(b[1:n:n]), nil
	case EnciphermentMChip, EnciphermentCCD:
		cipher.NewCBCDecrypter(c, make([]byte, 8)).CryptBlocks(b, data)
	default:
		return secret.Bytes{}, fmt.Errorf("%w: encipherment %d", ErrScheme, uint8(e))
	}
	if e == EnciphermentCCD {
		for n > 0 && n > len(b)-8 && b[n-1] == 0 {
			n--
		}
		if n == 0 || b[n-1] != 0x80 {
			clear(b)
			return secret.Bytes{}, fmt.Errorf("%w: enciphered data", ErrData)
		}
		n--
	}
	return secret.NewBytes(b[:n:n]), nil
}

// padded reports whether b is nothing, or 80 and zeros.
func padded(b []byte) bool {
	for i, x := range b {
		if i == 0 && x != 0x80 || i > 0 && x != 0 {
			return false
		}
	}
	return true
}

// Script is one command of an issuer script: to the transaction it belongs to,
// and how many secured commands came before it (M/Chip counts them).
type Script struct {
	Transaction
	Number int
}

// random is what M/Chip calls RAND: the cryptogram, plus one for each command.
func (c Script) random() (r [8]byte) {
	binary.BigEndian.PutUint64(r[:], binary.BigEndian.Uint64(c.AC[:])+uint64(c.Number))
	return r
}

// scriptKey derives a script session key from the card's SMI or SMC key.
func (s Scheme) scriptKey(card secret.Bytes, c Script) (secret.Bytes, rules, error) {
	r, err := s.rules()
	if err != nil {
		return secret.Bytes{}, r, err
	}
	var k secret.Bytes
	switch r.script {
	case scriptVisa:
		k, err = SessionVisa(card, c.ATC)
	case scriptVisaSK, scriptPlain:
		k, err = SessionCSK(card, c.AC)
	case scriptMChip:
		k, err = SessionCSK(card, c.random())
	}
	return k, r, err
}

// ScriptMAC computes the MAC of a script command under the card's SMI key (Book
// 2, 9.2, format 2). header is CLA INS P1 P2 Lc, where Lc counts the MAC too;
// data is the command's data without the MAC. It covers, padded by method 2:
//
//	Visa          header, ATC, AC, data
//	M/Chip        header, ATC, AC plus the command's number, data
//	Interac       header, data
func (s Scheme) ScriptMAC(card secret.Bytes, c Script, header [5]byte, data []byte) (mac [8]byte, err error) {
	k, r, err := s.scriptKey(card, c)
	if err != nil {
		return mac, err
	}
	defer k.Wipe()
	in := append(make([]byte, 0, 24+len(data)), header[:]...)
	switch r.script {
	case scriptVisa, scriptVisaSK:
		in = binary.BigEndian.AppendUint16(in, c.ATC)
		in = append(in, c.AC[:]...)
	case scriptMChip:
		random := c.random()
		in = binary.BigEndian.AppendUint16(in, c.ATC)
		in = append(in, random[:]...)
	}
	return MAC(k, append(in, data...), Pad80)
}

// VerifyScript is the card's check of a script command's MAC, 4 to 8 bytes, in
// constant time. Errors wrap ErrMAC when it does not verify.
func (s Scheme) VerifyScript(card secret.Bytes, c Script, header [5]byte, data, mac []byte) error {
	want, err := s.ScriptMAC(card, c, header, data)
	if err != nil {
		return err
	}
	if len(mac) < 4 || len(mac) > 8 || subtle.ConstantTimeCompare(want[:len(mac)], mac) != 1 {
		return ErrMAC
	}
	return nil
}

// Command is a whole script command: CLA INS P1 P2, Lc, data, the MAC in full.
// Errors wrap ErrData, ErrKey or ErrScheme.
func (s Scheme) Command(card secret.Bytes, c Script, claInsP1P2 [4]byte, data []byte) ([]byte, error) {
	if len(data)+8 > 255 {
		return nil, fmt.Errorf("%w: %d bytes of script data", ErrData, len(data))
	}
	header := [5]byte(append(claInsP1P2[:], byte(len(data)+8)))
	mac, err := s.ScriptMAC(card, c, header, data)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, 13+len(data)), header[:]...)
	return append(append(out, data...), mac[:]...), nil
}
