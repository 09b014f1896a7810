package contactless

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ppse is the name of the proximity payment system environment (Book B,
// 3.3.2.2).
const ppse = "2PAY.SYS.DDF01"

// directoryEntry is a directory entry, tag 61, of the PPSE (Book B, table 3-3).
type directoryEntry struct {
	name     []byte // ADF name, 4F
	label    []byte
	priority int // 87, 0 for none
	kernel   []byte
	extended []byte
}

// candidate is a combination of the candidate list (3.3.2.5 E).
type candidate struct {
	entry directoryEntry
	order int // place of the entry in the directory
	*combination
}

// readDirectory selects the PPSE and builds the candidate list (3.3.2.2 to
// 3.3.2.5). A status other than 9000 and a directory without entries leave it
// empty. The error is one of the card.
func (e *Entry) readDirectory(ctx context.Context) error {
	e.candidates = nil
	r, err := e.send(ctx, "SELECT "+ppse, apdu.Select([]byte(ppse), false))
	if err != nil {
		return err
	}
	if !r.SW.OK() {
		return nil
	}
	entries := parseDirectory(r.Data)
	for _, c := range e.list {
		if c.indicators.NotAllowed {
			continue
		}
		for i, d := range entries {
			if c.matches(d) {
				e.candidates = append(e.candidates, candidate{entry: d, order: i, combination: c})
			}
		}
	}
	// 3.3.3.2: by priority, which 0 and absence end, then by place in the
	// directory; the reader's order among the rest.
	slices.SortStableFunc(e.candidates, func(a, b candidate) int {
		if x, y := rank(a.entry.priority), rank(b.entry.priority); x != y {
			return x - y
		}
		return a.order - b.order
	})
	e.tell("%d directory entries, %d combinations in common", len(entries), len(e.candidates))
	return nil
}

func rank(priority int) int {
	if priority == 0 {
		return 16
	}
	return priority
}

// parseDirectory reads the entries of a PPSE's FCI, leaving out what is
// malformed.
func parseDirectory(fci []byte) []directoryEntry {
	list, ok, err := tlv.Child(fci, tags.FCITemplate, tags.FCIProprietaryTemplate, tags.FCIIssuerDiscretionary)
	if err != nil || !ok {
		return nil
	}
	var out []directoryEntry
	for o, err := range tlv.All(list) {
		if err != nil {
			break
		}
		if o.Tag != tags.ApplicationTemplate {
			continue
		}
		if d, ok := parseEntry(o.Value); ok {
			out = append(out, d)
		}
	}
	return out
}

func parseEntry(b []byte) (directoryEntry, bool) {
	var d directoryEntry
	for o, err := range tlv.All(b) {
		if err != nil {
			return d, false
		}
		switch o.Tag {
		case tags.AID:
			d.name = bytes.Clone(o.Value)
		case tags.ApplicationLabel:
			d.label = bytes.Clone(o.Value)
		case tags.PriorityIndicator:
			if len(o.Value) == 1 {
				d.priority = int(o.Value[0] & 0x0F)
			}
		case tags.KernelIdentifier:
			d.kernel = bytes.Clone(o.Value)
		case tags.ExtendedSelection:
			d.extended = bytes.Clone(o.Value)
		}
	}
	// 3.3.2.5 A: a name of another form is passed over.
	return d, len(d.name) >= 5 && len(d.name) <= 16
}

// matches reports whether a directory entry asks for the combination (3.3.2.5 B
// to D).
func (c *combination) matches(d directoryEntry) bool {
	if !bytes.HasPrefix(d.name, c.AID) {
		return false
	}
	asked, ok := requestedKernel(d.kernel, c.AID)
	// A value of zero leaves the kernel to the reader.
	return ok && (asked == "\x00" || asked == c.Kernel)
}

// requestedKernel determines the requested kernel ID (3.3.2.5 C): a default by
// the AID when the card names none, else the short form or, for a domestic or
// proprietary kernel, three bytes.
func requestedKernel(identifier, aid []byte) (KernelID, bool) {
	if len(identifier) == 0 {
		return DefaultKernel(aid), true
	}
	if identifier[0]&0x80 == 0 {
		return KernelID(identifier[:1]), true
	}
	if len(identifier) < 3 {
		return "", false
	}
	if identifier[0]&0x3F == 0 {
		// Out of the book's scope: only a kernel of that very name will do.
		return KernelID(identifier), true
	}
	return KernelID(identifier[:3]), true
}

// DefaultKernel is the kernel for an AID whose directory entry names none (Book
// B, table 3-6), one byte of zero for an AID of another scheme.
func DefaultKernel(aid []byte) KernelID {
	if len(aid) < 5 {
		return "\x00"
	}
	switch string(aid[:5]) {
	case "\xA0\x00\x00\x00\x03":
		return Kernel3
	case "\xA0\x00\x00\x00\x04":
		return Kernel2
	case "\xA0\x00\x00\x00\x25":
		return Kernel4
	case "\xA0\x00\x00\x00\x65":
		return Kernel5
	case "\xA0\x00\x00\x01\x52", "\xA0\x00\x00\x03\x24":
		return Kernel6
	case "\xA0\x00\x00\x03\x33":
		return Kernel7
	}
	return "\x00"
}

// visaRID is the RID whose kernel 3 depends on the PDOL (3.3.3.6).
var visaRID = []byte{0xA0, 0x00, 0x00, 0x00, 0x03}

// selectFinal selects the first candidate's application (3.3.3.1 to 3.3.3.6),
// the next one when the card refuses it. False when the list is at its end.
func (e *Entry) selectFinal(ctx context.Context) (bool, error) {
	for len(e.candidates) > 0 {
		ok, err := e.selectCandidate(ctx, e.candidates[0])
		if err != nil || ok {
			return ok, err
		}
		e.candidates = e.candidates[1:]
		e.tell("that application can't be used; %d left", len(e.candidates))
	}
	return false, nil
}

// selectCandidate selects one application; false when it can't be used.
func (e *Entry) selectCandidate(ctx context.Context, c candidate) (bool, error) {
	name := bytes.Clone(c.entry.name)
	if c.Settings.ExtendedSelection == Yes && len(name)+len(c.entry.extended) <= 16 {
		name = append(name, c.entry.extended...)
	}
	r, err := e.send(ctx, fmt.Sprintf("SELECT %X", name), apdu.Select(name, false))
	if err != nil {
		return false, err
	}
	if !r.SW.OK() {
		return false, nil
	}
	if c.Kernel == Kernel3 && bytes.HasPrefix(c.AID, visaRID) && !asksTTQ(r.Data) {
		// 3.3.3.6: such a card is for kernel 1.
		one := slices.IndexFunc(e.list, func(x *combination) bool { return x.Kernel == Kernel1 && bytes.Equal(x.AID, c.AID) })
		if one < 0 {
			return false, nil
		}
		c.combination = e.list[one]
	}
	e.selected = &selection{candidate: c, name: name, fci: r.Data, sw: r.SW}
	return true, nil
}

// asksTTQ reports whether the PDOL of an FCI asks for the terminal transaction
// qualifiers.
func asksTTQ(fci []byte) bool {
	raw, ok, err := tlv.Child(fci, tags.FCITemplate, tags.FCIProprietaryTemplate, tags.PDOL)
	if err != nil || !ok {
		return false
	}
	pdol, err := tlv.ParseDOL(raw)
	return err == nil && pdol.Contains(tags.TTQ)
}

func (e *Entry) send(ctx context.Context, name string, cmd apdu.Command) (apdu.Response, error) {
	return emv.SendStep(ctx, e.card, emv.StepSelect, name, cmd, e.r.c.Observe, e.r.c.Now)
}
