package acquirer

// Entry modes: the first two digits of field 22 in 1987 terms say how the PAN
// was read.
const (
	EntryUnknown      = "00"
	EntryManual       = "01"
	EntryMagstripe    = "02" // CVV check may not be possible
	EntryChip         = "05"
	EntryContactless  = "07" // chip data
	EntryFallback     = "80" // chip card read by its magnetic stripe
	EntryTrack        = "90" // full track, unaltered
	EntryContactlessM = "91" // contactless, magnetic stripe data
)

// pinCapable, pinIncapable and pinUnknown are the third digit of field 22.
const (
	pinUnknown   = '0'
	pinCapable   = '1'
	pinIncapable = '2'
)

// entryModes pairs the two digits of 1987 with position 7 (card data input mode)
// of the twelve of 1993. Digits 7 and above are reserved for national and
// private use there; the dialect gives them these meanings.
var entryModes = [...]struct {
	mode     string
	position byte
}{
	{EntryUnknown, '0'}, {EntryManual, '6'}, {EntryMagstripe, '2'}, {EntryChip, '5'},
	{EntryContactless, '7'}, {EntryFallback, '8'}, {EntryTrack, '9'}, {EntryContactlessM, 'A'},
}

// pointOfService makes field 22 of 1993 from an entry mode. Position 1 (input
// capability), 7 (input mode) and 2 and 12 (PIN capability) follow from it; the
// others say that the terminal is attended, on the merchant's premises, with
// cardholder and card present, and that output is by printer and display.
func pointOfService(entry string) ([]byte, string) {
	if entry == "" {
		return nil, ""
	}
	if len(entry) != 3 {
		return nil, "is not three digits"
	}
	v := []byte("500101000340")
	for _, p := range entryModes {
		if p.mode == entry[:2] {
			v[6] = p.position
			switch entry[2] {
			case pinUnknown:
				v[1] = '6'
			case pinCapable:
				v[1], v[11] = '1', 'C'
			case pinIncapable:
				v[1] = '0'
			default:
				return nil, "has an unknown PIN capability"
			}
			return v, ""
		}
	}
	return nil, "has no point of service code"
}

// parsePointOfService takes what pointOfService writes.
func parsePointOfService(v []byte) (string, string) {
	for _, p := range entryModes {
		if p.position != v[6] {
			continue
		}
		for _, pin := range [...]byte{pinUnknown, pinCapable, pinIncapable} {
			entry := p.mode + string(rune(pin))
			if w, _ := pointOfService(entry); string(w) == string(v) {
				return entry, ""
			}
		}
	}
	return "", "is a point of service code without an entry mode"
}
