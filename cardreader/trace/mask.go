package trace

import (
	"bytes"
	"errors"
	"slices"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Mask returns a copy without cardholder data; lengths and structure stay, so
// that it can be replayed.
//
//   - Of a PAN the first six and the last four digits stay, of one of fewer than
//     13 digits the last four; the others are zeros. The same digits are
//     overwritten wherever else they are, in two digits a byte or as characters.
//   - Of track 2 equivalent data the expiry date stays besides.
//   - Names, tracks, account numbers, and elements that nobody knows and that
//     look like a PAN are overwritten whole; expiry date and service code stay.
//   - Card certificates and signed static data are overwritten: whoever has the
//     public keys recovers the PAN from them. Data authentication therefore
//     fails in a replay.
//   - The data of VERIFY and of PIN CHANGE/UNBLOCK is zeros.
//   - What should be data objects and can't be read as such is zeros.
func (t *Trace) Mask() *Trace {
	var m masker
	defer m.wipe()
	return m.mask(t)
}

// masker masks traces of one card, piece by piece: a PAN that was met in one is
// overwritten in those after it too.
type masker struct{ pans [][]byte }

func (k *masker) mask(t *Trace) *Trace {
	out := t.Clone()
	out.Masked, out.Match = true, MatchHeader
	for _, m := range out.messages() {
		if !m.challenge() {
			for _, p := range maskTree(m.data, 0) {
				if slices.ContainsFunc(k.pans, func(q []byte) bool { return bytes.Equal(p, q) }) {
					clear(p) // read again: one sweep is enough
					continue
				}
				k.pans = append(k.pans, p)
			}
			out.put(m)
		}
		clear(m.data)
	}
	for i := range out.Exchanges {
		maskCommand(out.Exchanges[i].Command)
	}
	for _, p := range k.pans {
		for _, e := range out.Exchanges {
			sweep(e.Command, p)
			sweep(e.Response, p)
		}
		for _, v := range out.Terminal {
			sweep(v, p)
		}
	}
	for tag, v := range out.Terminal {
		if info, ok := tags.Lookup(tag); ok && info.Secrecy != tags.Public {
			clear(v)
		}
	}
	return out
}

func (k *masker) wipe() {
	for _, p := range k.pans {
		clear(p)
	}
	k.pans = nil
}

// put writes a message's data back into the exchanges that it came from.
func (t *Trace) put(m message) {
	at := 0
	for _, p := range m.parts {
		copy(t.Exchanges[p.exchange].Response[:p.length], m.data[at:at+p.length])
		at += p.length
	}
}

// maskCommand overwrites PIN data.
func maskCommand(b []byte) {
	if len(b) > 5 && (b[1] == apdu.INSVerify || b[1] == apdu.INSPINChangeUnblock) {
		c, err := apdu.ParseCommand(b)
		if err != nil {
			clear(b[5:])
			return
		}
		clear(c.Data)
	}
}

// maskTree overwrites what is sensitive in data objects, in place, and returns
// copies of the PANs that it met, as ASCII digits.
func maskTree(b []byte, depth int) [][]byte {
	var pans [][]byte
	for o, err := range tlv.All(b) {
		if err != nil {
			var e *tlv.Error
			if errors.As(err, &e) {
				from := e.Offset
				if e.Tag != 0 {
					from -= e.Tag.Len() // it names the length field
				}
				clear(b[from:])
			}
			return pans
		}
		switch {
		case !o.Tag.Constructed():
			if p := maskValue(o.Tag, o.Value); p != nil {
				pans = append(pans, p)
			}
		case depth == 16:
			clear(o.Value)
		default:
			pans = append(pans, maskTree(o.Value, depth+1)...)
		}
	}
	return pans
}

// maskValue overwrites one element and returns the PAN that was in it, nil when
// there was none.
func maskValue(t tlv.Tag, v []byte) []byte {
	switch t {
	case tags.ExpirationDate, tags.ServiceCode:
		return nil
	case tags.PAN:
		if p, err := secret.PANFromCN(v); err == nil {
			defer p.Wipe()
			maskDigits(v, 0, p.Len())
			return slices.Clone(p.Reveal())
		}
	case tags.Track2, tags.Track2Contactless:
		tr, err := secret.Track2FromTag(v)
		if err != nil {
			break
		}
		defer tr.Wipe()
		p, err := tr.PAN()
		if err != nil {
			break
		}
		defer p.Wipe()
		maskDigits(v, 0, p.Len())
		for i := p.Len() + 1 + 4; i < 2*len(v); i++ {
			if nibble(v, i) <= 9 {
				setNibble(v, i, 0)
			}
		}
		return slices.Clone(p.Reveal())
	case tags.Track1:
		defer fill(v, ' ')
		if start, end := bytes.IndexByte(v, 'B')+1, bytes.IndexByte(v, '^'); start > 0 && end > start {
			if p, err := secret.NewPAN(v[start:end]); err == nil {
				return p.Reveal()
			}
		}
		return nil
	}
	if !tags.ExplainValue(t, v, false).Hidden {
		return nil
	}
	if info, _ := tags.Lookup(t); info.Format == tlv.FormatANS {
		fill(v, ' ')
	} else {
		clear(v)
	}
	return nil
}

func fill(v []byte, c byte) {
	for i := range v {
		v[i] = c
	}
}

func nibble(b []byte, i int) byte {
	if i%2 == 0 {
		return b[i/2] >> 4
	}
	return b[i/2] & 0x0F
}

func setNibble(b []byte, i int, d byte) {
	if i%2 == 0 {
		b[i/2] = b[i/2]&0x0F | d<<4
	} else {
		b[i/2] = b[i/2]&0xF0 | d
	}
}

// shown is how many digits of a PAN stay at its start.
func shown(n int) int {
	if n < 13 {
		return 0
	}
	return 6
}

// maskDigits overwrites the middle of n digits that begin at a nibble.
func maskDigits(b []byte, at, n int) {
	for i := shown(n); i < n-4; i++ {
		setNibble(b, at+i, 0)
	}
}

// sweep overwrites a PAN wherever it is in b.
func sweep(b, pan []byte) {
	for at := 0; at+len(pan) <= 2*len(b); at++ {
		i := 0
		for i < len(pan) && nibble(b, at+i) == pan[i]-'0' {
			i++
		}
		if i == len(pan) {
			maskDigits(b, at, len(pan))
		}
	}
	for at := bytes.Index(b, pan); at >= 0; at = bytes.Index(b, pan) {
		for i := shown(len(pan)); i < len(pan)-4; i++ {
			b[at+i] = '0'
		}
		if bytes.Equal(b[at:at+len(pan)], pan) {
			return // its middle was zeros before
		}
	}
}
