package contactless

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Reader makes contactless transactions. It does not change, and may make
// several at once on different card readers.
type Reader struct {
	c     Config
	pin   emv.PINVerifier
	drawn *numbers
}

// New makes a reader. pin takes an online PIN after the card was read; without
// one, nil, an outcome that asks for it is declined. Errors wrap ErrConfig.
func New(c Config, pin emv.PINVerifier) (*Reader, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	return &Reader{c: c, pin: pin, drawn: &numbers{}}, nil
}

// Begin begins a transaction for Entry.Activate.
func (r *Reader) Begin(c cardreader.Reader, t emv.Transaction) *Entry {
	if t.Time.IsZero() {
		t.Time = r.c.Now()
	}
	return &Entry{r: r, reader: c, t: t}
}

// Session is a transaction after its first final outcome. Its methods are
// called from one goroutine at a time.
type Session struct {
	r     *Reader
	entry *Entry
	final Outcome
	// decision follows the outcome and what came after it.
	decision emv.Decision
	arc      string
	scripts  []byte
	reasons  []string
	done     bool
}

// Pay waits for a card and runs a transaction to its final outcome, restarts
// that need no issuer included, and takes an online PIN. The session is to be
// closed. Errors: those of the reader, the kernels and the PIN verifier, one
// that wraps ctx.Err().
func (r *Reader) Pay(ctx context.Context, c cardreader.Reader, t emv.Transaction) (*Session, error) {
	s := &Session{r: r, entry: r.Begin(c, t)}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(err, s.entry.Close())
	}
	return s, nil
}

func (s *Session) run(ctx context.Context) error {
	out, err := s.entry.Activate(ctx, StartA, nil)
	for n := 0; err == nil && out.Start != StartNone && out.OnlineResponse == OnlineResponseNone && n < s.r.c.Restarts; n++ {
		// A restart without an answer of the issuer, such as a phone's second
		// tap (Book A, 5.1.4).
		if err = s.remove(ctx, out); err == nil {
			out, err = s.entry.Activate(ctx, out.Start, nil)
		}
	}
	if err != nil {
		return err
	}
	s.take(out)
	return s.onlinePIN(ctx)
}

// take makes an outcome the session's.
func (s *Session) take(out Outcome) {
	s.final = out
	s.reasons = append(s.reasons, out.Reasons...)
	switch out.Kind {
	case Approved:
		s.decision, s.arc = emv.Approved, "Y1"
	case OnlineRequest:
		s.decision = emv.Online
	case Declined:
		s.decision, s.arc = emv.Declined, "Z1"
	default:
		s.decision = emv.Declined
	}
}

// remove waits until the card is taken away, where an outcome wants that (Book
// A, 8.1.1.13): when its time is over, the cardholder is asked.
func (s *Session) remove(ctx context.Context, out Outcome) error {
	w, ok := s.entry.card.(cardreader.RemovalWaiter)
	if out.Removal <= 0 || !ok {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, out.Removal)
	defer cancel()
	err := w.WaitRemoval(limited)
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	s.r.c.Show(UIRequest{Message: MessageRemoveCard, Status: StatusProcessingError})
	return w.WaitRemoval(ctx)
}

// onlinePIN takes the PIN that an online request asks for.
func (s *Session) onlinePIN(ctx context.Context) error {
	d := s.entry.data
	if s.final.Kind != OnlineRequest || s.final.CVM != CVMOnlinePIN || d == nil {
		return nil
	}
	if s.r.pin == nil {
		s.decline("online PIN is asked for and there is no PIN pad")
		return nil
	}
	res, err := s.r.pin.VerifyPIN(ctx, emv.PINRequest{
		Method: emv.OnlinePIN, PAN: d.PAN, TriesLeft: -1, Amount: s.entry.t.Amount, Label: s.name(),
	})
	switch {
	case err != nil:
		return fmt.Errorf("contactless: online PIN: %w", err)
	case res.Entry == emv.PINBypassed:
		s.decline("the PIN was not entered")
	case res.Entry != emv.PINEntered:
		s.decline("the PIN pad does not work")
	}
	return nil
}

func (s *Session) decline(why string) {
	s.decision, s.arc = emv.Declined, "Z1"
	s.reasons = append(s.reasons, why)
	s.r.c.Show(UIRequest{Message: MessageNotAuthorised, Status: StatusReadyToRead})
}

func (s *Session) name() string {
	return emv.Candidate{AID: s.aid(), Label: s.entry.data.Label, PreferredName: s.entry.data.PreferredName}.Name()
}

func (s *Session) aid() []byte {
	if s.entry.selected == nil {
		return nil
	}
	return s.entry.selected.name
}

// Final returns the last final outcome.
func (s *Session) Final() Outcome { return s.final }

// Kernel returns the kernel that ran, empty for none.
func (s *Session) Kernel() KernelID {
	if s.entry.selected == nil {
		return ""
	}
	return s.entry.selected.Kernel
}

// Decision returns where the transaction stands. An outcome that is neither
// approved nor to go online is declined; Final says whether another interface
// or card may do.
func (s *Session) Decision() emv.Decision { return s.decision }

// Languages are what the cardholder prefers, ISO 639-1, best first.
func (s *Session) Languages() []string {
	if s.entry.data == nil {
		return nil
	}
	return s.entry.data.Languages()
}

// Field55 returns the present values of tags as BER-TLV in the order asked for;
// absent ones are left out.
func (s *Session) Field55(list ...tlv.Tag) []byte {
	if s.entry.data == nil {
		return nil
	}
	if len(s.scripts) > 0 {
		s.entry.data.Set(tags.IssuerScriptResults, s.scripts)
	}
	return s.entry.data.Field55(list...)
}

// RequestTags are the data objects of a contactless authorisation request's field
// 55: those of a contact one, the reader's qualifiers (TTQ), the form factor
// indicator and what the scheme gives beside them.
func RequestTags() []tlv.Tag {
	return append(emv.RequestTags(), tags.TTQ, tags.FormFactorIndicator, tags.CustomerExclusiveData, tags.PointOfServiceEntryMode)
}

// Authorize returns what to ask the issuer, before Close.
func (s *Session) Authorize() emv.OnlineRequest {
	d := s.entry.data
	if d == nil {
		return emv.OnlineRequest{}
	}
	r := emv.NewOnlineRequest(requestFields{s}, d.PAN, d.PSN(), d.Expiry(), d.Track2, tags.CVMResultsValue{})
	r.CVM = s.method()
	return r
}

// requestFields gives RequestTags when a request is asked for a contact one's.
type requestFields struct{ *Session }

// Field55 implements the request's fields.
func (f requestFields) Field55(list ...tlv.Tag) []byte {
	if slices.Equal(list, emv.RequestTags()) {
		list = RequestTags()
	}
	return f.Session.Field55(list...)
}

// method is the cardholder verification in the contact kernel's terms.
func (s *Session) method() emv.CVMethod {
	switch s.final.CVM {
	case CVMOnlinePIN:
		return emv.CVMethodOf(tags.CVMResultsValue{byte(tags.CVMOnlinePIN), 0, byte(tags.CVMResultUnknown)})
	case CVMSignature:
		return emv.CVMethodOf(tags.CVMResultsValue{byte(tags.CVMSignature), 0, byte(tags.CVMResultUnknown)})
	case CVMConfirmationCode:
		return emv.DeviceCVM()
	}
	return emv.CVMethodOf(tags.CVMResultsValue{byte(tags.CVMNone), 0, byte(tags.CVMResultSuccessful)})
}

// Outcome returns how the transaction stands, as the contact kernel tells it.
func (s *Session) Outcome() emv.Outcome {
	o := emv.Outcome{
		Decision: s.decision, CVM: s.method(), AID: bytes.Clone(s.aid()), ARC: s.arc,
		ScriptResults: bytes.Clone(s.scripts), Reasons: slices.Clone(s.reasons), Risks: slices.Clone(s.final.Risks),
	}
	d := s.entry.data
	if d == nil {
		return o
	}
	o.CryptogramType, o.TVR, o.TSI, o.ODA = d.Cryptogram, d.TVR, d.TSI, d.ODA
	o.Label, o.PreferredName = d.Label, d.PreferredName
	o.Cryptogram = bytes.Clone(d.Get(tags.ApplicationCryptogram))
	if d.CVM != nil {
		o.CVMResults = *d.CVM
	}
	if v := d.Get(tags.CID); len(v) == 1 {
		o.CID = tags.CIDValue(v[0])
	}
	return o
}

// Complete gives the session the issuer's answer, once, after a Decision of
// Online. Where the outcome asked to be restarted by such an answer, the card is
// asked for again and given the issuer's data (Book A, 5.1.4); a card that does
// not come back changes nothing about the issuer's decision. The approval is the
// issuer's: a contactless card has no second say.
func (s *Session) Complete(ctx context.Context, r emv.HostResponse) (emv.Outcome, error) {
	if s.decision != emv.Online || s.done {
		return s.Outcome(), fmt.Errorf("%w: Complete of a transaction that is %s", ErrState, s.decision)
	}
	if !r.Unable && len(r.ARC) != 2 {
		return s.Outcome(), fmt.Errorf("%w: authorisation response code of %d characters", ErrState, len(r.ARC))
	}
	s.done = true
	s.decision = emv.Declined
	switch {
	case r.Unable:
		s.arc = "Z3"
		s.reasons = append(s.reasons, "the issuer could not be asked")
	case r.Approved:
		s.arc, s.decision = r.ARC, emv.Approved
	default:
		s.arc = r.ARC
		s.reasons = append(s.reasons, "the issuer did not approve")
	}
	s.showDecision()
	restarts := s.final.Start != StartNone &&
		(s.final.OnlineResponse == OnlineResponseAny || s.final.OnlineResponse == OnlineResponseEMV && hasEMVData(&r))
	if r.Unable || !restarts {
		return s.Outcome(), nil
	}
	s.update(ctx, r)
	return s.Outcome(), nil
}

// updateWait bounds how long a second tap is waited for.
const updateWait = 15 * time.Second

// update brings the issuer's data to the card. What keeps them from it, be it
// that ctx ends, undoes nothing.
func (s *Session) update(ctx context.Context, r emv.HostResponse) {
	limited, cancel := context.WithTimeout(ctx, updateWait)
	defer cancel()
	out, err := s.entry.Activate(limited, s.final.Start, &r)
	if err != nil {
		s.reasons = append(s.reasons, "the issuer's data did not reach the card")
		s.entry.tell("the issuer's data did not reach the card: %v", err)
		return
	}
	s.scripts = out.ScriptResults
	s.reasons = append(s.reasons, out.Reasons...)
	if out.Kind == Declined && s.decision == emv.Approved && out.Overrules {
		s.decision = emv.Declined
	}
}

// showDecision tells the cardholder.
func (s *Session) showDecision() {
	u := UIRequest{Message: MessageNotAuthorised, Status: StatusReadyToRead}
	if s.decision == emv.Approved {
		u.Message = MessageApproved
		if s.final.CVM == CVMSignature {
			u.Message = MessageApprovedSign
		}
	}
	s.r.c.Show(u)
}

// Close switches the field off and wipes the card's data. The Outcome stays, but
// for the cryptogram.
func (s *Session) Close() error {
	s.done = true
	return s.entry.Close()
}

// Showing returns a reader that is the same but for where its user interface
// requests go.
func (r *Reader) Showing(show func(UIRequest)) *Reader {
	c := *r
	c.c.Show = show
	return &c
}
