package emv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

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
	for len(list) > 0 {
		i, err := s.choose(ctx, list)
		if err != nil {
			return err
		}
		err = s.start(ctx, list[i])
		if !errors.Is(err, errNext) {
			return err
		}
		list = slices.Delete(list, i, i+1)
		s.tell(StepSelect, "that application can't be used; %d left", len(list))
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
// terminal to its list of AIDs.
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
	sfi, ok, err := tlv.Child(r.Data, tags.FCITemplate, tags.FCIProprietaryTemplate, tags.SFI)
	if err != nil || !ok || len(sfi) != 1 || sfi[0] < 1 || sfi[0] > 10 {
		s.tell(StepSelect, "the directory's description is malformed")
		return nil, nil
	}
	var list []candidate
	for record := byte(1); record != 0; record++ {
		r, err := s.send(ctx, StepSelect, fmt.Sprintf("READ RECORD %d of the directory", record), apdu.ReadRecord(sfi[0], record))
		if err != nil {
			return nil, err
		}
		if r.SW == apdu.StatusRecordNotFound {
			return list, nil
		}
		entries, ok := directory(r)
		if !ok {
			// Book 1, 12.3.2: an error in the directory makes the whole of
			// it useless.
			s.tell(StepSelect, "the directory is malformed")
			return nil, nil
		}
		for _, e := range entries {
			if app := s.match(e.AID); app != nil {
				list = append(list, candidate{e, app})
			}
		}
	}
	return list, nil
}

// directory reads the entries of a directory record.
func directory(r apdu.Response) ([]Candidate, bool) {
	if !r.SW.OK() {
		return nil, false
	}
	record, ok, err := tlv.Child(r.Data, tags.RecordTemplate)
	if err != nil || !ok {
		return nil, false
	}
	var out []Candidate
	for o, err := range tlv.All(record) {
		if err != nil {
			return nil, false
		}
		if o.Tag != tags.ApplicationTemplate {
			continue
		}
		if tlv.Validate(o.Value) != nil {
			return nil, false
		}
		c := described(o.Value)
		if aid, ok, err := tlv.Child(o.Value, tags.AID); err == nil && ok && len(aid) >= 5 && len(aid) <= 16 {
			c.AID = bytes.Clone(aid)
			out = append(out, c)
		}
	}
	return out, true
}

// described reads label, preferred name and priority where they stand.
func described(b []byte) Candidate {
	var c Candidate
	for o, err := range tlv.All(b) {
		if err != nil {
			return c
		}
		switch o.Tag {
		case tags.ApplicationLabel:
			c.Label = string(o.Value)
		case tags.PreferredName:
			c.PreferredName = string(o.Value)
		case tags.PriorityIndicator:
			if len(o.Value) == 1 {
				c.Priority, c.Confirm = int(o.Value[0]&0x0F), o.Value[0]&0x80 != 0
			}
		case tags.IssuerCodeTableIndex:
			if len(o.Value) == 1 {
				c.CodeTable = int(o.Value[0])
			}
		}
	}
	return c
}

// match finds the terminal's application for a card's name: the same name
// before one of which it is a longer form.
func (s *Session) match(name []byte) *Application {
	apps := s.k.c.Terminal.Applications
	for i := range apps {
		if bytes.Equal(apps[i].AID, name) {
			return &apps[i]
		}
	}
	for i := range apps {
		if apps[i].Partial && bytes.HasPrefix(name, apps[i].AID) {
			return &apps[i]
		}
	}
	return nil
}

// fromAIDs asks for each AID of the terminal (Book 1, 12.3.3).
func (s *Session) fromAIDs(ctx context.Context) ([]candidate, error) {
	var list []candidate
	apps := s.k.c.Terminal.Applications
	for i := range apps {
		app := &apps[i]
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
			if !r.SW.OK() && r.SW.SW1() != 0x62 && r.SW.SW1() != 0x63 {
				break
			}
			c, ok := named(r.Data)
			if !ok || !bytes.HasPrefix(c.AID, app.AID) {
				break
			}
			exact := len(c.AID) == len(app.AID)
			if r.SW.OK() && (exact || app.Partial) && !listed(list, c.AID) {
				list = append(list, candidate{c, app})
			}
			if exact {
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
func named(fci []byte) (Candidate, bool) {
	name, ok, err := tlv.Child(fci, tags.FCITemplate, tags.DFName)
	if err != nil || !ok || len(name) < 5 || len(name) > 16 {
		return Candidate{}, false
	}
	a5, _, err := tlv.Child(fci, tags.FCITemplate, tags.FCIProprietaryTemplate)
	if err != nil {
		return Candidate{}, false
	}
	c := described(a5)
	c.AID = bytes.Clone(name)
	return c, true
}

// choose takes the only application, or lets the cardholder decide.
func (s *Session) choose(ctx context.Context, list []candidate) (int, error) {
	if len(list) == 1 && !list[0].Confirm {
		return 0, nil
	}
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
	fci, ok, err := tlv.Child(r.Data, tags.FCITemplate)
	if err != nil || !ok {
		return &CardError{Step: StepSelect, Tag: tags.FCITemplate, Reason: "file control information is malformed", Err: err}
	}
	name, ok, err := tlv.Child(fci, tags.DFName)
	if err != nil || !ok || !bytes.Equal(name, c.AID) {
		return &CardError{Step: StepSelect, Tag: tags.DFName, Reason: "is not the name that was selected", Err: err}
	}
	a5, ok, err := tlv.Child(fci, tags.FCIProprietaryTemplate)
	if err != nil || !ok {
		return &CardError{Step: StepSelect, Tag: tags.FCIProprietaryTemplate, Reason: "missing or malformed", Err: err}
	}
	for o, err := range tlv.All(a5) {
		if err != nil {
			return &CardError{Step: StepSelect, Tag: tags.FCIProprietaryTemplate, Reason: "malformed", Err: err}
		}
		if err := s.store(StepSelect, o); err != nil {
			return err
		}
	}
	s.fromCard[tags.DFName] = bytes.Clone(name)
	s.app, s.cand = c.app, c.Candidate
	s.applicationData()
	return s.initiate(ctx)
}
