package atr

import (
	"bytes"
	"fmt"
)

// storageCard is the prefix by which PC/SC, part 3, 3.1.3.2.3 marks the
// historical bytes that a contactless reader makes up for a memory card.
func storageCard() []byte {
	return []byte{0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06}
}

// HistoricalWords says the historical bytes in words (ISO/IEC 7816-4, 8.1.1).
// There are none when the card keeps their coding to itself.
func (a *ATR) HistoricalWords() []string {
	h := a.raw[a.historical : a.historical+a.k]
	if len(h) == 0 {
		return []string{}
	}
	if bytes.HasPrefix(h, storageCard()) && len(h) >= 11 {
		return []string{fmt.Sprintf("contactless memory card, standard %02X, card name %02X%02X", h[8], h[9], h[10])}
	}
	switch {
	case h[0] == 0x00 && len(h) >= 4:
		return append(compact(h[1:len(h)-3]), status(h[len(h)-3:])...)
	case h[0] == 0x10 && len(h) == 2:
		return []string{fmt.Sprintf("reference to a DIR file %02X", h[1])}
	case h[0] == 0x80:
		return compact(h[1:])
	}
	return []string{"category indicator " + fmt.Sprintf("%02X", h[0]) + ": coding of the card's own"}
}

// compact reads COMPACT-TLV objects: a nibble of tag, a nibble of length.
func compact(b []byte) []string {
	out := []string{}
	for len(b) > 0 {
		tag, n := b[0]>>4, int(b[0]&0x0F)
		if n > len(b)-1 {
			return append(out, fmt.Sprintf("object %d is cut off", tag))
		}
		v := b[1 : 1+n]
		b = b[1+n:]
		switch {
		case tag == 8 && n > 0 && len(b) == 0:
			out = append(out, status(v)...)
		case compactName(tag) != "":
			out = append(out, fmt.Sprintf("%s: %X", compactName(tag), v))
		default:
			out = append(out, fmt.Sprintf("object %d: %X", tag, v))
		}
	}
	return out
}

func compactName(tag byte) string {
	switch tag {
	case 1:
		return "country code and data"
	case 2:
		return "issuer identification number"
	case 3:
		return "card service data"
	case 4:
		return "initial access data"
	case 5:
		return "card issuer's data"
	case 6:
		return "pre-issuing data"
	case 7:
		return "card capabilities"
	case 15:
		return "application identifier"
	}
	return ""
}

// status reads a status indicator: life cycle, status word, or both.
func status(v []byte) []string {
	switch len(v) {
	case 1:
		return []string{fmt.Sprintf("life cycle status %02X", v[0])}
	case 2:
		return []string{fmt.Sprintf("status word %X", v)}
	case 3:
		return []string{fmt.Sprintf("life cycle status %02X", v[0]), fmt.Sprintf("status word %X", v[1:])}
	}
	return []string{fmt.Sprintf("status indicator: %X", v)}
}

// Describe says the whole answer in words, a line a character.
func (a *ATR) Describe() []string {
	convention := "direct"
	if a.Inverse() {
		convention = "inverse"
	}
	out := []string{
		fmt.Sprintf("TS  %02X  %s convention", a.raw[0], convention),
		fmt.Sprintf("T0  %02X  %d historical bytes%s", a.raw[1], a.k, following(a.raw[1]>>4, 1)),
	}
	for _, c := range a.chars {
		out = append(out, fmt.Sprintf("%-3s %02X  %s", c.Name(), c.Value, a.Words(c)))
	}
	if a.k > 0 {
		out = append(out, fmt.Sprintf("historical bytes %X", a.Historical()))
		for _, w := range a.HistoricalWords() {
			out = append(out, "  "+w)
		}
	}
	if v, ok := a.TCK(); ok {
		out = append(out, fmt.Sprintf("TCK %02X  correct", v))
	}
	return out
}
