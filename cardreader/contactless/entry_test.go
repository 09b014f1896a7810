package contactless_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

var (
	aidOne = []byte{0xA0, 0x00, 0x00, 0x09, 0x99, 0x01}
	aidTwo = []byte{0xA0, 0x00, 0x00, 0x09, 0x99, 0x02}
)

// plainCard has two applications for kernels 21 and 22.
func plainCard(log *[]string) *card {
	entry := func(aid []byte, kernel, priority byte) []byte {
		e := tlv.Append(nil, tags.AID, aid)
		e = tlv.Append(e, tags.PriorityIndicator, []byte{priority})
		return tlv.Append(e, tags.KernelIdentifier, []byte{kernel})
	}
	return &card{answer: func(b []byte) ([]byte, error) {
		name := selected(b)
		*log = append(*log, named(name))
		if string(name) == "2PAY.SYS.DDF01" {
			return append(directory(entry(aidOne, 0x21, 1), entry(aidTwo, 0x22, 2)), 0x90, 0x00), nil
		}
		return append(fci(name, []byte("TEST"), nil), 0x90, 0x00), nil
	}}
}

// entryRig is a reader with two combinations of one kernel each.
type entryRig struct {
	one, two *proxy
	shown    []string
	paused   []time.Duration
	log      []string
	reader   *contactless.Reader
}

func newEntryRig(t *testing.T, one, two []contactless.Outcome) *entryRig {
	t.Helper()
	g := &entryRig{one: &proxy{outcomes: one}, two: &proxy{outcomes: two}}
	var err error
	g.reader, err = contactless.New(contactless.Config{
		Terminal: terminal(),
		Combinations: []contactless.Combination{
			{AID: aidOne, Kernel: "\x21", Run: g.one},
			{AID: aidTwo, Kernel: "\x22", Run: g.two},
		},
		Show: func(u contactless.UIRequest) {
			g.shown = append(g.shown, fmt.Sprintf("%02X %s", byte(u.Message), u.Status))
		},
		Now:   still,
		Pause: func(_ context.Context, d time.Duration) error { g.paused = append(g.paused, d); return nil },
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *entryRig) pay(t *testing.T, connect ...func() (cardreader.Card, error)) (*contactless.Session, error) {
	t.Helper()
	s, err := g.reader.Pay(t.Context(), &field{connect: connect}, emv.Transaction{Amount: amount(t, 100, "EUR")})
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

func (g *entryRig) here(c *card) func() (cardreader.Card, error) {
	return func() (cardreader.Card, error) { return c, nil }
}

func broken(err error) func() (cardreader.Card, error) {
	return func() (cardreader.Card, error) { return nil, fmt.Errorf("test: %w", err) }
}

// TestCollision tells the cardholder to take cards apart, and goes on when that is
// done (Book B, 3.2.1.4 and 3.2.1.5).
func TestCollision(t *testing.T) {
	g := newEntryRig(t, approved(), approved())
	s, err := g.pay(t, broken(cardreader.ErrCollision), broken(cardreader.ErrCollision), g.here(plainCard(&g.log)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"15 ready to read", "19 processing error", "19 ready to read", "03 not ready"}
	if d := cmp.Diff(want, g.shown); d != "" {
		t.Errorf("shown (-want +got):\n%s", d)
	}
	if s.Decision() != emv.Approved {
		t.Errorf("decision %s", s.Decision())
	}
}

// TestCollisionForEver gives up when nobody takes the cards apart.
func TestCollisionForEver(t *testing.T) {
	g := newEntryRig(t, nil, nil)
	_, err := g.pay(t, broken(cardreader.ErrCollision))
	if !errors.Is(err, cardreader.ErrCollision) {
		t.Errorf("error %v", err)
	}
	var waited time.Duration
	for _, d := range g.paused {
		waited += d
	}
	if waited != 30*time.Second {
		t.Errorf("waited %v", waited)
	}
	if d := cmp.Diff([]string{"15 ready to read", "19 processing error"}, g.shown); d != "" {
		t.Errorf("shown (-want +got):\n%s", d)
	}
}

// TestFieldOffDelaysNobody: an online request is there at once, however long the
// field is to stay off (Book A, 6.2): that is before it is powered again.
func TestFieldOffDelaysNobody(t *testing.T) {
	online := contactless.Outcome{
		Kind: contactless.OnlineRequest, Start: contactless.StartB, OnlineResponse: contactless.OnlineResponseAny,
		FieldOff: contactless.FieldOff{Requested: true, Hold: time.Second},
	}
	g := newEntryRig(t, []contactless.Outcome{online, approved()[0]}, nil)
	c := plainCard(&g.log)
	s, err := g.pay(t, g.here(c))
	if err != nil {
		t.Fatal(err)
	}
	if s.Decision() != emv.Online || len(g.paused) != 0 || c.closed != 1 {
		t.Errorf("%s, waited %v, card closed %d times", s.Final(), g.paused, c.closed)
	}
	if _, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]time.Duration{time.Second}, g.paused); d != "" {
		t.Errorf("waited (-want +got):\n%s", d)
	}
}

// TestSelectNext passes an application over that its kernel gives back (3.5.1.3),
// and ends when none is left, saying why.
func TestSelectNext(t *testing.T) {
	next := func(why string) []contactless.Outcome {
		return []contactless.Outcome{{Kind: contactless.SelectNext, Start: contactless.StartC, Reasons: []string{why}}}
	}
	g := newEntryRig(t, next("first"), approved())
	s, err := g.pay(t, g.here(plainCard(&g.log)))
	if err != nil {
		t.Fatal(err)
	}
	if s.Kernel() != "\x22" || s.Decision() != emv.Approved {
		t.Errorf("kernel %s: %s", s.Kernel(), s.Final())
	}
	if d := cmp.Diff([]string{"PPSE", "A00000099901", "A00000099902"}, g.log); d != "" {
		t.Errorf("selected (-want +got):\n%s", d)
	}
	g = newEntryRig(t, next("first"), next("second"))
	if s, err = g.pay(t, g.here(plainCard(&g.log))); err != nil {
		t.Fatal(err)
	}
	why := strings.Join(s.Outcome().Reasons, ";")
	if s.Final().Kind != contactless.EndApplication || s.Final().UI.Message != contactless.MessageInsertSwipeOrTry || !strings.HasPrefix(why, "first;second;") {
		t.Errorf("%s: %s", s.Final(), why)
	}
}

// TestTryAgain switches the field off, asks for the card again, and not for ever.
func TestTryAgain(t *testing.T) {
	again := contactless.Outcome{
		Kind: contactless.TryAgain, Start: contactless.StartB,
		UI:        &contactless.UIRequest{Message: contactless.MessageSeePhone, Status: contactless.StatusProcessingError},
		UIRestart: &contactless.UIRequest{Message: contactless.MessagePresentCardAgain, Status: contactless.StatusReadyToRead},
		FieldOff:  contactless.FieldOff{Requested: true, Hold: 1300 * time.Millisecond},
	}
	g := newEntryRig(t, []contactless.Outcome{again, approved()[0]}, nil)
	c := plainCard(&g.log)
	s, err := g.pay(t, g.here(c))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"15 ready to read", "20 processing error", "21 ready to read", "03 not ready"}
	if d := cmp.Diff(want, g.shown); d != "" {
		t.Errorf("shown (-want +got):\n%s", d)
	}
	if s.Decision() != emv.Approved || len(g.paused) != 1 || g.paused[0] != 1300*time.Millisecond || c.closed != 1 {
		t.Errorf("%s, field off for %v, card closed %d times", s.Final(), g.paused, c.closed)
	}
	g = newEntryRig(t, []contactless.Outcome{again}, nil)
	if s, err = g.pay(t, g.here(plainCard(&g.log))); err != nil {
		t.Fatal(err)
	}
	if s.Final().Kind != contactless.EndApplication || len(g.one.given) != 8 {
		t.Errorf("%s after %d activations", s.Final(), len(g.one.given))
	}
}

// TestRemoval waits for the card to be taken away before a restart, and asks for it
// when that takes too long.
func TestRemoval(t *testing.T) {
	end := contactless.Outcome{Kind: contactless.EndApplication, Start: contactless.StartB, Removal: time.Nanosecond}
	g := newEntryRig(t, []contactless.Outcome{end, approved()[0]}, nil)
	c := plainCard(&g.log)
	c.leaves = []error{context.DeadlineExceeded}
	s, err := g.pay(t, g.here(c))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"15 ready to read", "10 processing error", "15 ready to read", "03 not ready"}
	if d := cmp.Diff(want, g.shown); d != "" {
		t.Errorf("shown (-want +got):\n%s", d)
	}
	if s.Decision() != emv.Approved {
		t.Errorf("%s", s.Final())
	}
}

// TestReaderFails returns the reader's errors.
func TestReaderFails(t *testing.T) {
	for _, want := range []error{cardreader.ErrNoReader, cardreader.ErrBusy} {
		g := newEntryRig(t, approved(), nil)
		if _, err := g.pay(t, broken(want)); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	// A card that is mute each time is not waited for without end.
	g := newEntryRig(t, approved(), nil)
	if _, err := g.pay(t, broken(cardreader.ErrCardMute)); !errors.Is(err, cardreader.ErrCardMute) {
		t.Errorf("%v", err)
	}
}

// TestCancelled stops wherever it is.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := newEntryRig(t, approved(), nil)
	c := plainCard(&g.log)
	answer := c.answer
	c.answer = func(b []byte) ([]byte, error) { cancel(); return answer(b) }
	_, err := g.reader.Pay(ctx, &field{connect: []func() (cardreader.Card, error){g.here(c)}}, emv.Transaction{Amount: amount(t, 100, "EUR")})
	if !errors.Is(err, context.Canceled) || len(g.one.given) != 0 {
		t.Errorf("%v after %d activations", err, len(g.one.given))
	}
	if c.closed != 1 {
		t.Errorf("the field was switched off %d times", c.closed)
	}
}

// TestKernelOne has a Visa card without TTQ in its PDOL go to kernel 1 where there
// is one, and nowhere else (3.3.3.6).
func TestKernelOne(t *testing.T) {
	aid := unhex(t, "A0000000031010")
	for _, c := range []struct {
		pdol    string
		one     bool
		kernel  contactless.KernelID
		outcome contactless.Kind
	}{
		{"9F66049F0206", true, contactless.Kernel3, contactless.Approved},
		{"9F0206", true, contactless.Kernel1, contactless.Approved},
		{"", true, contactless.Kernel1, contactless.Approved},
		{"9F66", true, contactless.Kernel1, contactless.Approved}, // malformed
		{"9F0206", false, "", contactless.EndApplication},
	} {
		p := &proxy{outcomes: approved()}
		list := []contactless.Combination{{AID: aid, Kernel: contactless.Kernel3, Run: p}}
		if c.one {
			list = append(list, contactless.Combination{AID: aid, Kernel: contactless.Kernel1, Run: p})
		}
		r, err := contactless.New(contactless.Config{Terminal: terminal(), Combinations: list, Now: still, Pause: noPause}, nil)
		if err != nil {
			t.Fatal(err)
		}
		k := &card{answer: func(b []byte) ([]byte, error) {
			name := selected(b)
			if string(name) == "2PAY.SYS.DDF01" {
				return append(directory(tlv.Append(nil, tags.AID, aid)), 0x90, 0x00), nil
			}
			var more []byte
			if c.pdol != "" {
				more = tlv.Append(nil, tags.PDOL, unhex(t, c.pdol))
			}
			return append(fci(name, []byte("VISA"), more), 0x90, 0x00), nil
		}}
		s, err := r.Pay(t.Context(), &field{connect: []func() (cardreader.Card, error){func() (cardreader.Card, error) { return k, nil }}}, emv.Transaction{Amount: amount(t, 100, "EUR")})
		if err != nil {
			t.Fatal(err)
		}
		if s.Final().Kind != c.outcome || c.kernel != "" && s.Kernel() != c.kernel {
			t.Errorf("PDOL %q: kernel %s, %s", c.pdol, s.Kernel(), s.Final())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDefaultKernel is Book B, table 3-6.
func TestDefaultKernel(t *testing.T) {
	for aid, want := range map[string]contactless.KernelID{
		"A0000000031010": "\x03", "A0000000041010": "\x02", "A000000025010402": "\x04", "A0000000651010": "\x05",
		"A0000001523010": "\x06", "A0000003241010": "\x06", "A000000333010101": "\x07", "A0000000421010": "\x00", "A000": "\x00",
	} {
		if got := contactless.DefaultKernel(unhex(t, aid)); got != want {
			t.Errorf("%s: %s, want %s", aid, got, want)
		}
	}
}

// TestPreprocess is Book B, 3.1.1, limit by limit, one below, at and above each.
func TestPreprocess(t *testing.T) {
	n := func(v uint64) *uint64 { return &v }
	ttq := func() *tags.TTQValue { return &tags.TTQValue{0x36, 0xC0, 0x80, 0x00} }
	for _, c := range []struct {
		name   string
		amount int64
		s      contactless.Settings
		flags  string
		ttq    string
	}{
		{"nothing set", 100, contactless.Settings{}, "none", ""},
		{"bits of the last transaction", 100, contactless.Settings{TTQ: ttq()}, "none", "36008000"},
		{"below the transaction limit", 99, contactless.Settings{TransactionLimit: n(100)}, "none", ""},
		{"at the transaction limit", 100, contactless.Settings{TransactionLimit: n(100)}, "not allowed", ""},
		{"at the floor limit", 100, contactless.Settings{FloorLimit: n(100), TTQ: ttq()}, "none", "36008000"},
		{"above the floor limit", 101, contactless.Settings{FloorLimit: n(100), TTQ: ttq()}, "floor", "36808000"},
		{"the terminal's floor limit", 101, contactless.Settings{TerminalFloorLimit: n(100), TTQ: ttq()}, "floor", "36808000"},
		{"the reader's counts", 101, contactless.Settings{TerminalFloorLimit: n(100), FloorLimit: n(200), TTQ: ttq()}, "none", "36008000"},
		{"below the CVM limit", 99, contactless.Settings{CVMLimit: n(100), TTQ: ttq()}, "none", "36008000"},
		{"at the CVM limit", 100, contactless.Settings{CVMLimit: n(100), TTQ: ttq()}, "cvm", "36408000"},
		{"one unit, no status check", 100, contactless.Settings{StatusCheck: contactless.No, TTQ: ttq()}, "none", "36008000"},
		{"status check", 100, contactless.Settings{StatusCheck: contactless.Yes, TTQ: ttq()}, "status", "36808000"},
		{"no unit", 101, contactless.Settings{StatusCheck: contactless.Yes, TTQ: ttq()}, "none", "36008000"},
		{"zero", 0, contactless.Settings{TTQ: ttq()}, "zero", "36808000"},
		{"zero allowed", 0, contactless.Settings{ZeroAmount: contactless.Yes, TTQ: ttq()}, "zero", "36808000"},
		{"zero not allowed", 0, contactless.Settings{ZeroAmount: contactless.No, TTQ: ttq()}, "not allowed", "36008000"},
		{"zero, offline only", 0, contactless.Settings{TTQ: &tags.TTQValue{0x2E}}, "not allowed zero", "2E000000"},
		{"all at once", 100, contactless.Settings{StatusCheck: contactless.Yes, FloorLimit: n(0), CVMLimit: n(0), TransactionLimit: n(50), TTQ: ttq()}, "cvm floor not allowed status", "36C08000"},
	} {
		i := contactless.Preprocess(c.s, emv.Transaction{Amount: amount(t, c.amount, "EUR")})
		if got := indicators(i); got != c.flags {
			t.Errorf("%s: indicators %s, want %s", c.name, got, c.flags)
		}
		if i.TTQ != nil && i.TTQ.String() != c.ttq || i.TTQ == nil && c.ttq != "" {
			t.Errorf("%s: TTQ %v, want %s", c.name, i.TTQ, c.ttq)
		}
	}
}

// TestCodings are the codings of outcomes and requests (Book C-2, A.1.118 and
// A.1.194).
func TestCodings(t *testing.T) {
	ui := &contactless.UIRequest{}
	for want, o := range map[string]contactless.Outcome{
		"40F0F0F000F0FF00": {},
		"5020F0F000F0FF00": {Kind: contactless.SelectNext, Start: contactless.StartC},
		"7010F0F0C0F00D00": {Kind: contactless.TryAgain, Start: contactless.StartB, UI: ui, UIRestart: ui, FieldOff: contactless.FieldOff{Requested: true, Hold: 1300 * time.Millisecond}},
		"10F0F01088F0FF00": {Kind: contactless.Approved, CVM: contactless.CVMSignature, UI: ui, Receipt: true},
		"3010002080F0000A": {Kind: contactless.OnlineRequest, Start: contactless.StartB, OnlineResponse: contactless.OnlineResponseEMV, CVM: contactless.CVMOnlinePIN, UI: ui, FieldOff: contactless.FieldOff{Requested: true}, Removal: time.Second},
		"20F0F0F000F0FF00": {Kind: contactless.Declined},
		"60F0F03000F0FF00": {Kind: contactless.TryAnotherInterface, CVM: contactless.CVMConfirmationCode},
		"3000F00000F0FF00": {Kind: contactless.OnlineRequest, Start: contactless.StartA, CVM: contactless.CVMNoCVM},
	} {
		if got := fmt.Sprintf("%X", o.Bytes()); got != want {
			t.Errorf("%s: %s, want %s", o, got, want)
		}
	}
	for want, u := range map[string]contactless.UIRequest{
		"FF0000000000000000000000000000000000000000" + "00":                {},
		"1502000000" + "6465656E00000000" + "00" + "000000000000" + "0000": {Message: contactless.MessagePresentCard, Status: contactless.StatusReadyToRead, Languages: []string{"de", "en"}},
		"0300001300" + "0000000000000000" + "20" + "000000012345" + "0978": {Message: contactless.MessageApproved, Hold: 1300 * time.Millisecond, Qualifier: contactless.ValueBalance, Value: amount(t, 12345, "EUR")},
	} {
		if got := fmt.Sprintf("%X", u.Bytes()); got != want {
			t.Errorf("%+v: %s, want %s", u, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	run := &proxy{outcomes: approved()}
	for name, list := range map[string][]contactless.Combination{
		"none":       nil,
		"short AID":  {{AID: []byte{1, 2, 3}, Kernel: "\x02", Run: run}},
		"no kernel":  {{AID: aidOne, Run: run}},
		"no program": {{AID: aidOne, Kernel: "\x02"}},
	} {
		if _, err := contactless.New(contactless.Config{Terminal: terminal(), Combinations: list}, nil); !errors.Is(err, contactless.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStates refuses what a session or an entry can't do.
func TestStates(t *testing.T) {
	g := newEntryRig(t, approved(), nil)
	e := g.reader.Begin(&field{connect: []func() (cardreader.Card, error){g.here(plainCard(&g.log))}}, emv.Transaction{Amount: amount(t, 100, "EUR")})
	for _, at := range []contactless.Start{contactless.StartNone, contactless.StartC, contactless.StartD} {
		if _, err := e.Activate(t.Context(), at, nil); !errors.Is(err, contactless.ErrState) {
			t.Errorf("start %s: %v", at, err)
		}
	}
	s, err := g.pay(t, g.here(plainCard(&g.log)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00"}); !errors.Is(err, contactless.ErrState) {
		t.Errorf("Complete of an approved transaction: %v", err)
	}
	g = newEntryRig(t, online(contactless.StartNone, contactless.OnlineResponseNone), nil)
	if s, err = g.pay(t, g.here(plainCard(&g.log))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Complete(t.Context(), emv.HostResponse{ARC: "0"}); !errors.Is(err, contactless.ErrState) {
		t.Errorf("Complete with half a code: %v", err)
	}
	for range 2 {
		o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00"})
		if o.Decision != emv.Approved {
			t.Errorf("decision %s, %v", o.Decision, err)
		}
	}
}
