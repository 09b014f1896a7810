package cryptogram

import (
	"crypto/subtle"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// PIN CHANGE/UNBLOCK (Book 3, 6.5.10): the values of P2.
const (
	PINUnblock        = 0x00 // only gives the tries back
	PINChangeCurrent  = 0x01 // the block is xored with the current PIN
	PINChangeOutright = 0x02 // the block holds the new PIN alone
)

// EncipherPIN makes the data of PIN CHANGE, without MAC. Cards of Visa 10 to 18,
// and of Visa 22 when current is not empty, get Visa's own PIN block: length and
// digits padded with F, xored with four bytes of the card's AC key and with the
// digits of the current PIN, if given. Visa 22 without a current PIN and all
// others get ISO 9564-1 format 2; the others take no current PIN. (No published
// answer covers Visa 22 with a current PIN.) Errors wrap
// ErrPIN, ErrKey or ErrScheme.
func (s Scheme) EncipherPIN(card Keys, c Script, pin, current secret.Bytes) ([]byte, error) {
	k, r, err := s.scriptKey(card.SMC, c)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	var block secret.Bytes
	if r.visaBlock(current) {
		block, err = visaBlock(card.AC, pin, current)
	} else {
		block, err = format2(pin, current)
	}
	if err != nil {
		return nil, err
	}
	defer block.Wipe()
	return r.cipher.Encipher(k, block.Reveal())
}

// DecipherPIN is the card's side of EncipherPIN: it returns the new PIN's
// digits. Errors wrap ErrPIN when there is none, ErrKey or ErrScheme.
func (s Scheme) DecipherPIN(card Keys, c Script, data []byte, current secret.Bytes) (secret.Bytes, error) {
	k, r, err := s.scriptKey(card.SMC, c)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer k.Wipe()
	block, err := r.cipher.Decipher(k, data)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrPIN, err)
	}
	defer block.Wipe()
	b := block.Reveal()
	if len(b) != 8 {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes", ErrPIN, len(b))
	}
	control := byte(2)
	if r.visaBlock(current) {
		control = 0
		mask, err := visaMask(card.AC, current)
		if err != nil {
			return secret.Bytes{}, err
		}
		defer clear(mask[:])
		subtle.XORBytes(b, b, mask[:])
	} else if current.Len() != 0 {
		return secret.Bytes{}, fmt.Errorf("%w: %v takes no current PIN", ErrPIN, s.CVN)
	}
	return readBlock(b, control)
}

// PINChange is the whole PIN CHANGE/UNBLOCK command, MAC included. An empty pin
// unblocks only.
func (s Scheme) PINChange(card Keys, c Script, pin, current secret.Bytes) ([]byte, error) {
	p2, data := byte(PINUnblock), []byte(nil)
	if pin.Len() != 0 {
		p2 = PINChangeOutright
		if current.Len() != 0 {
			p2 = PINChangeCurrent
		}
		var err error
		if data, err = s.EncipherPIN(card, c, pin, current); err != nil {
			return nil, err
		}
	}
	return s.Command(card.SMI, c, [4]byte{0x84, 0x24, 0x00, p2}, data)
}

// visaBlock reports whether a new PIN travels in Visa's own block.
func (r rules) visaBlock(current secret.Bytes) bool {
	return r.visaPIN || r.cipher == EnciphermentVisa && current.Len() != 0
}

// pinBlock is control nibble, length, digits, F to 8 bytes.
func pinBlock(control byte, pin secret.Bytes) (secret.Bytes, error) {
	d := pin.Reveal()
	if len(d) < 4 || len(d) > 12 {
		return secret.Bytes{}, fmt.Errorf("%w: the PIN has not 4 to 12 digits", ErrPIN)
	}
	b := []byte{control<<4 | byte(len(d)), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
	for i, c := range d {
		if c < '0' || c > '9' {
			clear(b)
			return secret.Bytes{}, fmt.Errorf("%w: the PIN has something else than digits", ErrPIN)
		}
		shift := 4 * (1 - i%2)
		b[1+i/2] = b[1+i/2]&^(0x0F<<shift) | (c-'0')<<shift
	}
	return secret.NewBytes(b), nil
}

func readBlock(b []byte, control byte) (secret.Bytes, error) {
	n := int(b[0] & 0x0F)
	bad := b[0]>>4 != control || n < 4 || n > 12
	d := make([]byte, 0, 14)
	for i := range 14 {
		nib := b[1+i/2] >> (4 * (1 - i%2)) & 0x0F
		if i < n {
			bad = bad || nib > 9
			d = append(d, '0'+nib)
		} else {
			bad = bad || nib != 0x0F
		}
	}
	if bad {
		clear(d)
		return secret.Bytes{}, ErrPIN
	}
	return secret.NewBytes(d), nil
}

// format2 is ISO 9564-1 format 2.
func format2(pin, current secret.Bytes) (secret.Bytes, error) {
	if current.Len() != 0 {
		return secret.Bytes{}, fmt.Errorf("%w: the scheme takes no current PIN", ErrPIN)
	}
	return pinBlock(2, pin)
}

func visaBlock(ac, pin, current secret.Bytes) (secret.Bytes, error) {
	mask, err := visaMask(ac, current)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer clear(mask[:])
	block, err := pinBlock(0, pin)
	if err == nil {
		subtle.XORBytes(block.Reveal(), block.Reveal(), mask[:])
	}
	return block, err
}

// visaMask is four zeros and bytes 5 to 8 of the card's AC key, xor the current
// PIN's digits from the left.
func visaMask(ac, current secret.Bytes) (mask [8]byte, err error) {
	if ac.Len() != keyLen {
		return mask, fmt.Errorf("%w: %d bytes", ErrKey, ac.Len())
	}
	copy(mask[4:], ac.Reveal()[4:8])
	d := current.Reveal()
	if len(d) != 0 && (len(d) < 4 || len(d) > 12) {
		return mask, fmt.Errorf("%w: the current PIN has not 4 to 12 digits", ErrPIN)
	}
	for i, c := range d {
		if c < '0' || c > '9' {
			return mask, fmt.Errorf("%w: the current PIN has something else than digits", ErrPIN)
		}
		mask[i/2] ^= (c - '0') << (4 * (1 - i%2))
	}
	return mask, nil
}
