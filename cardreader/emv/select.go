package emv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// pse is the name of the payment system environment (Book 1, 12.2.2).
const pse = "1PAY.SYS.DDF01"

// maxSelectNext bounds SELECT NEXT on a card that has no end of names.
const maxSelectNext = 32

// candidate is an application on both lists.
type candidate struct {
	Candidate
	app *Application
}

// selectAndInitiate selects an application and starts it; one that can't be
// used is struck off, and the next one taken (Book 1, 12.4; Book 3, 10.1).
func (s *Session) selectAndInitiate(ctx context.Context) error {
	list, err := s.candidates(ctx)
	if err != nil {
		return err
	}
	asked := false
	for len(list) > 0 {
		// Once a person has chosen, what takes the place of their choice needs
		// their word too (Book 1, 12.4).
		i, err := 0, error(nil)
		if asked = asked || len(list) > 1 || list[0].Confirm; asked {
			i, err = s.choose(ctx, list)
		}
		if err != nil {
			return err
		}
		err = s.start(ctx, list[i])
		if !errors.Is(err, errNext) {
			return err
		}
		list = slices.Delete(list, i, i+1)
		s.refused = true
		s.tell(StepSelect, "that application can't be used; %d left", len(list))
	}
	if s.refused {
		return fmt.Errorf("%w: %w", ErrNoApplication, ErrNotUsable)
	}
	return ErrNoApplication
}

// candidates builds the list by the PSE, else by the terminal's AIDs.
func (s *Session) candidates(ctx context.Context) ([]candidate, error) {
	list, err := s.fromPSE(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		s.tell(StepSelect, "no directory that helps: ask for each AID of the terminal")
		if list, err = s.fromAIDs(ctx); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return rank(a) - rank(b) })
	if len(list) > 0 {
		s.tell(StepSelect, "%d application(s) in common, first %X %s", len(list), list[0].AID, list[0].Name())
	}
	return list, nil
}

// rank orders priority 1 to 15, then none.
func rank(c candidate) int {
	if c.Priority == 0 {
		return 16
	}
	return c.Priority
}

// fromPSE reads the directory (Book 1, 12.3.2). An empty list sends the
// terminal to its list of AIDs, as does any error in the directory.
func (s *Session) fromPSE(ctx context.Context) ([]candidate, error) {
	r, err := s.send(ctx, StepSelect, "SELECT "+pse, apdu.Select([]byte(pse), false))
	if err != nil {
		return nil, err
	}
	if r.SW == apdu.StatusFunctionNotSupported {
		return nil, fmt.Errorf("emv: %s: %w", StepSelect, ErrCardBlocked)
	}
	if !r.SW.OK() {
		return nil, nil
	}
	a5, ok, err := tlv.Child(r.Data, tags.FCITemplate, tags.FCIProprietaryTemplate)
	if err != nil || !ok {
		s.tell(StepSelect, "the directory's description is malformed")
		return nil, nil
	}
	sfi, ok, err := tlv.Child(a5, tags.SFI)
	if err != nil || !ok || len(sfi) != 1 || sfi[0] < 1 || sfi[0] > 10 {
		s.tell(StepSelect, "the directory's description names no file")
		return nil, nil
	}
	var list []candidate
	for record := byte(1); record != 0; record++ {
		r, err := s.send(ctx, StepSelect, fmt.Sprintf("READ RECORD %d of the directory", record), apdu.ReadRecord(sfi[0], record))
		if err != nil {
			return nil, err
		}
		if r.SW == apdu.StatusRecordNotFound {
			break
		}
		entries, ok := s.directory(r, a5)
		if !ok {
			s.tell(StepSelect, "the directory is malformed")
			return nil, nil
		}
		for _, e := range entries {
			if app := s.match(e.AID); app != nil && !listed(list, e.AID) {
				list = append(list, candidate{e, app})
			}
		}
	}
	return list, nil
}

// directory reads the entries of a directory record. Several applications may
// stand in one record, and what is no application is passed over (Book 1,
// 12.2.3). Code table and languages of the directory hold for all of them.
func (s *Session) directory(r apdu.Response, fci []byte) ([]Candidate, bool) {
	if !r.SW.OK() {
		return nil, false
	}
	record, ok, err := tlv.Child(r.Data, tags.RecordTemplate)
	if err != nil || !ok || tlv.Validate(record) != nil {
		return nil, false
	}
	var out []Candidate
	for o := range tlv.All(record) {
		if o.Tag != tags.ApplicationTemplate {
			continue
		}
		if aid, ok, _ := tlv.Child(o.Value, tags.AID); ok && len(aid) >= 5 && len(aid) <= 16 {
			c := s.described(fci, o.Value)
			c.AID = bytes.Clone(aid)
			out = append(out, c)
		}
	}
	return out, true
}

// described reads how an application is to be shown and ranked. A later template
// overrides an earlier one.
func (s *Session) described(templates ...[]byte) Candidate {
	var c Candidate
	s.describe(&c, templates...)
	return c
}

// describe overrides what the templates have of a candidate.
func (s *Session) describe(c *Candidate, templates ...[]byte) {
	var label, preferred []byte
	for _, b := range templates {
		for o, err := range tlv.All(b) {
			if err != nil {
				break
			}
			if len(o.Value) == 0 {
				continue
			}
			switch o.Tag {
			case tags.ApplicationLabel:
				label = o.Value
			case tags.PreferredName:
				preferred = o.Value
			case tags.PriorityIndicator:
				if len(o.Value) == 1 {
					c.Priority, c.Confirm = int(o.Value[0]&0x0F), o.Value[0]&0x80 != 0
				}
			case tags.IssuerCodeTableIndex:
				if n, err := tlv.ParseN(o.Value); err == nil && len(o.Value) == 1 {
					c.CodeTable = int(n)
				}
			case tags.LanguagePreference:
				c.Languages = languages(o.Value)
			}
		}
	}
	if label != nil {
		// It is of the common character set, which all parts begin with.
		c.Label = decodeText(1, label)
	}
	if preferred != nil {
		c.PreferredName = ""
		if shows(s.k.c.Terminal.Additional, c.CodeTable) {
			c.PreferredName = decodeText(c.CodeTable, preferred)
		}
	}
}

// languages reads tag 5F2D: up to four codes of two letters.
func languages(b []byte) []string {
	var out []string
	for ; len(b) >= 2 && len(out) < 4; b = b[2:] {
		code := strings.ToLower(string(b[:2]))
		if code[0] < 'a' || code[0] > 'z' || code[1] < 'a' || code[1] > 'z' {
			return out
		}
		out = append(out, code)
	}
	return out
}

// match finds the terminal's application for a card's name: the same name, else
// the longest of which it is a longer form (Book 1, 12.3.1).
func (s *Session) match(name []byte) *Application {
	apps := s.k.c.Terminal.Applications
	var best *Application
	for i := range apps {
		a := &apps[i]
		if bytes.Equal(a.AID, name) {
			return a
		}
		if a.Partial && bytes.HasPrefix(name, a.AID) && (best == nil || len(a.AID) > len(best.AID)) {
			best = a
		}
	}
	return best
}

// fromAIDs asks for each AID of the terminal (Book 1, 12.3.3).
func (s *Session) fromAIDs(ctx context.Context) ([]candidate, error) {
	var list []candidate
	apps := s.k.c.Terminal.Applications
	for i := range apps {
		app := &apps[i]
		var seen [][]byte
		for n := range maxSelectNext {
			name := fmt.Sprintf("SELECT %X", app.AID)
			if n > 0 {
				name += " next"
			}
			r, err := s.send(ctx, StepSelect, name, apdu.Select(app.AID, n > 0))
			if err != nil {
				return nil, err
			}
			if r.SW == apdu.StatusFunctionNotSupported && i == 0 && n == 0 {
				return nil, fmt.Errorf("emv: %s: %w", StepSelect, ErrCardBlocked)
			}
			// Step 3 goes on after 9000 and 6283 alone, step 7 after any warning.
			if warned := r.SW.SW1() == 0x62 || r.SW.SW1() == 0x63; !r.SW.OK() && r.SW != apdu.StatusFileInvalidated && (n == 0 || !warned) {
				break
			}
			// 6283 is a blocked application, whatever it says of itself: passed
			// over, and its longer forms looked for.
			s.refused = s.refused || r.SW == apdu.StatusFileInvalidated
			c, ok := s.named(r.Data)
			if !ok || !bytes.HasPrefix(c.AID, app.AID) || slices.ContainsFunc(seen, func(b []byte) bool { return bytes.Equal(b, c.AID) }) {
				// No name, another's, or a card that knows no next one and
				// gives the same again.
				break
			}
			seen = append(seen, c.AID)
			exact := len(c.AID) == len(app.AID)
			if r.SW.OK() && (exact || app.Partial) && !listed(list, c.AID) {
				// The set of the name that fits best, as by the directory.
				list = append(list, candidate{c, s.match(c.AID)})
			}
			// Steps 4 and 6: after the exact name, or a longer one where only
			// the exact one is wanted, there is no next.
			if exact || !app.Partial {
				break
			}
		}
	}
	return list, nil
}

func listed(list []candidate, aid []byte) bool {
	return slices.ContainsFunc(list, func(c candidate) bool { return bytes.Equal(c.AID, aid) })
}

// named reads the name and description in an application's FCI.
func (s *Session) named(fci []byte) (Candidate, bool) {
	name, ok, err := tlv.Child(fci, tags.FCITemplate, tags.DFName)
	if err != nil || !ok || len(name) < 5 || len(name) > 16 {
		return Candidate{}, false
	}
	a5, ok, err := tlv.Child(fci, tags.FCITemplate, tags.FCIProprietaryTemplate)
	if err != nil || !ok || tlv.Validate(fci) != nil || checkProprietary(a5) != "" {
		return Candidate{}, false
	}
	c := s.described(a5)
	c.AID = bytes.Clone(name)
	return c, true
}

// choose lets the cardholder decide.
func (s *Session) choose(ctx context.Context, list []candidate) (int, error) {
	shown := make([]Candidate, len(list))
	for i := range list {
		shown[i] = list[i].Candidate
	}
	i, err := s.k.c.Chooser.Choose(ctx, shown)
	if err != nil {
		return 0, err
	}
	if i < 0 || i >= len(list) {
		return 0, fmt.Errorf("emv: %s: the chooser returned %d of %d", StepSelect, i, len(list))
	}
	s.tell(StepSelect, "the cardholder chose %s", list[i].Name())
	return i, nil
}

// start selects the application for good and initiates it.
func (s *Session) start(ctx context.Context, c candidate) error {
	if err := s.restart(); err != nil {
		return err
	}
	r, err := s.send(ctx, StepSelect, fmt.Sprintf("SELECT %X", c.AID), apdu.Select(c.AID, false))
	if err != nil {
		return err
	}
	if !r.SW.OK() {
		return errNext
	}
	a5, why := checkFCI(r.Data, c.AID)
	if why != "" {
		// An FCI that can't be used drops its application only (Book 1, 12.4).
		s.tell(StepSelect, "%s", why)
		return errNext
	}
	s.fromCard[tags.DFName] = bytes.Clone(c.AID)
	for o := range tlv.All(a5) {
		if inFCI(o.Tag) && len(o.Value) > 0 {
			s.fromCard[o.Tag] = bytes.Clone(o.Value)
		}
	}
	s.app, s.cand = c.app, c.Candidate
	s.describe(&s.cand, a5)
	s.applicationData()
	return s.initiate(ctx)
}

// checkFCI returns the proprietary template of the FCI of a name, or why the
// application can't be used.
func checkFCI(b, aid []byte) (a5 []byte, why string) {
	fci, ok, err := tlv.Child(b, tags.FCITemplate)
	if err != nil || !ok || tlv.Validate(fci) != nil {
		return nil, "the file control information is malformed"
	}
	if name, ok, _ := tlv.Child(fci, tags.DFName); !ok || !bytes.Equal(name, aid) {
		return nil, "the card selected another name"
	}
	if a5, ok, _ = tlv.Child(fci, tags.FCIProprietaryTemplate); !ok {
		return nil, "the file control information has no proprietary template"
	}
	return a5, checkProprietary(a5)
}

// checkProprietary finds the format errors that count: those of names, code
// table and languages do not (Book 1, 12.2.4).
func checkProprietary(a5 []byte) (why string) {
	priorities, pdols := 0, 0
	for o := range tlv.All(a5) {
		switch o.Tag {
		case tags.PriorityIndicator:
			if priorities++; priorities > 1 || len(o.Value) > 1 {
				return "the priority is given twice, or not of one byte"
			}
		case tags.PDOL:
			pdols++
			d, err := tlv.ParseDOL(o.Value)
			if err != nil || pdols > 1 || d.Len() > maxPDOL {
				return "the PDOL is malformed, given twice, or asks for more than a command holds"
			}
		}
	}
	return ""
}

// maxPDOL is what a PDOL may ask for: the data of GET PROCESSING OPTIONS is 255
// bytes with the template's tag and length.
const maxPDOL = 255 - 3

// inFCI reports whether a primitive object has its place in template A5 (Book 1,
// Annex B); others are ignored there (Book 3, 7.5).
func inFCI(t tlv.Tag) bool {
	switch t {
	case tags.ApplicationLabel, tags.PriorityIndicator, tags.PDOL, tags.LanguagePreference, tags.IssuerCodeTableIndex, tags.PreferredName:
		return true
	}
	return false
}
