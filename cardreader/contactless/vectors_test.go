package contactless_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

type vectorFile struct {
	Terminals map[string]struct {
		Autorun struct{ Enabled, Type, Amount int }
		Sets    []struct {
			Types  []int `json:"txn_types"`
			Combos []struct{ AID, Kernel string }
			Config struct {
				Txn      *uint64 `json:"reader_ctls_txn_limit"`
				Floor    *uint64 `json:"reader_ctls_floor_limit"`
				CVM      *uint64 `json:"reader_cvm_reqd_limit"`
				Terminal *uint64 `json:"terminal_floor_limit"`
				Status   *int    `json:"status_check_support"`
				Zero     *int    `json:"zero_amount_allowed"`
				Extended *int    `json:"ext_selection_support"`
				TTQ      string
			}
		}
	} `json:"terminal_settings"`
	Cards map[string]vectorCard `json:"card_settings"`
	Tests []struct {
		ID    string
		Cases []struct{ Terminal, Card string }
	}
}

type vectorCard struct {
	PPSERaw string `json:"ppse_raw"`
	PPSESW  string `json:"ppse_sw"`
	PPSE    []struct {
		AID, Label string
		Kernel     string `json:"kernel_id"`
		Extended   string `json:"ext_select"`
		Priority   int    `json:"prio"`
	}
	FCI []struct {
		Raw, SW, AID, Label, PDOL string
		Priority                  int `json:"prio"`
	}
}

// kernelOf maps the test kernels' stand-in identifiers to the kernels that the
// cases' titles name.
func kernelOf(s string) string {
	if k, ok := map[string]string{"3D": "03", "3E": "02", "3C": "04", "3F": "05", "3A": "06", "39": "07"}[s]; ok {
		return k
	}
	return s
}

// txnTypes are the transaction types of the settings' numbers; 4 ends a list.
var txnTypes = []byte{0x00, 0x09, 0x01, 0x20}

func flag(p *int) contactless.Flag {
	switch {
	case p == nil:
		return contactless.Absent
	case *p == 0:
		return contactless.No
	}
	return contactless.Yes
}

func (f *vectorFile) combinations(t *testing.T, name string, run contactless.Kernel) []contactless.Combination {
	t.Helper()
	var out []contactless.Combination
	for _, s := range f.Terminals[name].Sets {
		var types []byte
		for _, n := range s.Types {
			if n > 3 {
				break
			}
			types = append(types, txnTypes[n])
		}
		set := contactless.Settings{
			StatusCheck: flag(s.Config.Status), ZeroAmount: flag(s.Config.Zero), ExtendedSelection: flag(s.Config.Extended),
			TransactionLimit: s.Config.Txn, FloorLimit: s.Config.Floor, CVMLimit: s.Config.CVM, TerminalFloorLimit: s.Config.Terminal,
		}
		if s.Config.TTQ != "" {
			v := tags.TTQValue(unhex(t, s.Config.TTQ))
			set.TTQ = &v
		}
		for _, c := range s.Combos {
			out = append(out, contactless.Combination{
				AID: unhex(t, c.AID), Kernel: contactless.KernelID(unhex(t, kernelOf(c.Kernel))), Types: types, Settings: set, Run: run,
			})
		}
	}
	if len(out) == 0 {
		t.Fatalf("no terminal setting %s", name)
	}
	return out
}

// vectorLT is the lower tester: a card of a setting that logs what it is sent.
type vectorLT struct {
	selects []string
	used    map[int]bool
	// lost makes the n-th SELECT of an application fail, from 1.
	lost int
}

func (l *vectorLT) card(t *testing.T, c vectorCard) *card {
	l.used = map[int]bool{}
	applications := 0
	return &card{answer: func(b []byte) ([]byte, error) {
		name := selected(b)
		if name == nil {
			return []byte{0x6D, 0x00}, nil
		}
		l.selects = append(l.selects, named(name))
		if string(name) == "2PAY.SYS.DDF01" {
			return append(c.directory(t), unhex(t, c.PPSESW)...), nil
		}
		if applications++; applications == l.lost {
			return nil, cardreader.ErrCardMute
		}
		for i, f := range c.FCI {
			if l.used[i] && len(c.FCI) > 1 || !bytes.Equal(unhex(t, f.AID), name) {
				continue
			}
			l.used[i] = true
			body := unhex(t, f.Raw)
			if len(body) == 0 {
				var more []byte
				if f.PDOL != "" {
					more = tlv.Append(nil, tags.PDOL, unhex(t, f.PDOL))
				}
				body = fci(name, unhex(t, f.Label), more)
			}
			return append(body, unhex(t, f.SW)...), nil
		}
		return []byte{0x6A, 0x82}, nil
	}}
}

func (c *vectorCard) directory(t *testing.T) []byte {
	if c.PPSERaw != "" {
		return unhex(t, c.PPSERaw)
	}
	var list [][]byte
	for _, p := range c.PPSE {
		var e []byte
		if p.AID != "" {
			e = tlv.Append(e, tags.AID, unhex(t, p.AID))
		}
		e = tlv.Append(e, tags.ApplicationLabel, unhex(t, p.Label))
		if p.Priority >= 0 {
			e = tlv.Append(e, tags.PriorityIndicator, []byte{byte(p.Priority)})
		}
		if p.Kernel != "" {
			e = tlv.Append(e, tags.KernelIdentifier, unhex(t, kernelOf(p.Kernel)))
		}
		if p.Extended != "" {
			e = tlv.Append(e, tags.ExtendedSelection, unhex(t, p.Extended))
		}
		list = append(list, e)
	}
	return directory(list...)
}

// vectorCase is one case: what is paid, what the kernel answers, and what Books A
// and B say has to come of it.
type vectorCase struct {
	id       string // test, and case from 1
	kind     byte
	amount   int64
	other    int64
	outcomes []contactless.Outcome
	response *emv.HostResponse // to an online request
	lost     int

	kernel  string // one of, separated by blanks; empty for none
	selects string
	ttq     string
	flags   string // the indicators that are set
	end     string // the outcome
	ui      contactless.MessageID
	startAt string // the start that the last activation sees
}

func approved() []contactless.Outcome {
	return []contactless.Outcome{{Kind: contactless.Approved, UI: &contactless.UIRequest{Message: contactless.MessageApproved}}}
}

func online(at contactless.Start, data contactless.OnlineResponse) []contactless.Outcome {
	return append([]contactless.Outcome{{
		Kind: contactless.OnlineRequest, Start: at, OnlineResponse: data,
		UIRestart: &contactless.UIRequest{Message: contactless.MessagePresentCardAgain, Status: contactless.StatusReadyToRead},
	}}, approved()...)
}

func ended(at contactless.Start) []contactless.Outcome {
	return append([]contactless.Outcome{{Kind: contactless.EndApplication, Start: at, Removal: 1,
		UI:        &contactless.UIRequest{Message: contactless.MessageRemoveCard},
		UIRestart: &contactless.UIRequest{Message: contactless.MessagePresentCardAgain, Status: contactless.StatusReadyToRead},
	}}, approved()...)
}

func vectorCases() []vectorCase {
	const most = 999999999999
	auth := &emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	script := &emv.HostResponse{Approved: true, ARC: "00", Scripts: []byte{0x71, 0x00}}
	bare := &emv.HostResponse{Approved: true, ARC: "00"}
	emvData, anyData := contactless.OnlineResponseEMV, contactless.OnlineResponseAny
	one, two, three, four := "A0000000010001", "A0000000020002", "A0000000030003", "A0000000040004"
	again := contactless.MessagePresentCardAgain
	return []vectorCase{
		{id: "2EA.002.00/1", amount: 10, kernel: "21"},
		{id: "2EA.002.01/1", kind: 0x01, amount: 20, kernel: "23"},
		{id: "2EA.003.00/1", kind: 0x09, amount: 30, other: 10, kernel: "21"},
		{id: "2EA.003.00/2", kind: 0x09, amount: 70, other: 20, kernel: "21"},
		{id: "2EA.006.01/1", kernel: "22", ui: contactless.MessagePresentCard},
		{id: "2EA.006.05/1", kind: 0x20, amount: 2, kernel: "21"},
		{id: "2EA.013.01/1", amount: 2, kernel: "22", ui: contactless.MessageApproved},
		{id: "2EA.013.01/2", amount: 2, kernel: "22", ui: contactless.MessageApproved},
		{id: "2EA.014.00/1", amount: 2, outcomes: online(contactless.StartA, emvData), response: auth, kernel: "23", selects: "PPSE " + one + " PPSE " + one, startAt: "A"},
		{id: "2EA.014.00/2", amount: 2, outcomes: online(contactless.StartB, emvData), response: script, kernel: "22", selects: "PPSE " + two + " " + two, startAt: "B", ui: again},
		{id: "2EA.014.00/3", amount: 2, outcomes: online(contactless.StartC, emvData), response: script, kernel: "21", selects: "PPSE " + three + " " + three, startAt: "C"},
		{id: "2EA.014.00/4", amount: 2, outcomes: online(contactless.StartD, emvData), response: auth, kernel: "24", selects: "PPSE " + four, startAt: "D"},
		{id: "2EA.014.00/5", amount: 2, outcomes: online(contactless.StartC, emvData), response: auth, kernel: "21", selects: "PPSE " + three + " " + three, startAt: "C"},
		{id: "2EA.014.00/6", amount: 2, outcomes: online(contactless.StartD, emvData), response: auth, kernel: "25", selects: "PPSE " + four, startAt: "D"},
		{id: "2EA.014.01/1", amount: 2, outcomes: ended(contactless.StartA), kernel: "23", selects: "PPSE " + one + " PPSE " + one, startAt: "A", ui: again},
		{id: "2EA.014.01/2", amount: 2, outcomes: ended(contactless.StartB), kernel: "22", selects: "PPSE " + two + " PPSE " + two, startAt: "B", ui: again},
		{id: "2EA.016.00/1", amount: 2, outcomes: online(contactless.StartA, anyData), response: bare, kernel: "23", selects: "PPSE " + one + " PPSE " + one, startAt: "A"},
		{id: "2EA.016.00/2", amount: 2, outcomes: online(contactless.StartB, anyData), response: bare, kernel: "22", selects: "PPSE " + two + " PPSE " + two, startAt: "B"},
		{id: "2EA.016.00/3", amount: 2, outcomes: online(contactless.StartC, anyData), response: bare, kernel: "21", selects: "PPSE " + three + " " + three, startAt: "C"},
		{id: "2EA.016.00/4", amount: 2, outcomes: online(contactless.StartD, anyData), response: bare, kernel: "24", selects: "PPSE " + four, startAt: "D"},
		{id: "2EA.016.00/5", amount: 2, outcomes: online(contactless.StartA, anyData), response: bare, kernel: "23", selects: "PPSE " + one + " PPSE " + one, startAt: "A"},
		{id: "2EA.016.00/6", amount: 2, outcomes: online(contactless.StartB, anyData), response: script, kernel: "22", selects: "PPSE " + two + " " + two, startAt: "B"},
		{id: "2EA.016.00/7", amount: 2, outcomes: online(contactless.StartC, anyData), response: bare, kernel: "21", selects: "PPSE " + three + " " + three, startAt: "C"},
		{id: "2EA.016.00/8", amount: 2, outcomes: online(contactless.StartD, anyData), response: bare, kernel: "24", selects: "PPSE " + four, startAt: "D"},
		{id: "2EA.017.00/1", kernel: "21", selects: "PPSE " + three},
		{id: "2EA.017.00/2", amount: 121, kernel: "24", selects: "PPSE " + two},
		{id: "2EA.017.00/3", amount: 2, kernel: "21", selects: "PPSE " + three, ttq: "F72A8A55"},
		{id: "2EA.017.01/1", amount: 2, kernel: "21", selects: "PPSE " + three, ttq: "B6208000"},
		{id: "2EA.019.00/1", amount: 2, kernel: "24"},
		{id: "2EA.019.00/2", amount: 2, kernel: "22"},
		{id: "2EA.019.00/3", amount: 2, kernel: "21"},
		{id: "2EA.019.00/4", amount: 2, kernel: "24"},
		{id: "2EA.021.00/1", amount: 2, kernel: "21", selects: "PPSE " + three},
		{id: "2EB.003.01/1", amount: 1, kernel: "23", flags: "status", ttq: "28800000"},
		{id: "2EB.004.00/1", amount: 1, kernel: "22", flags: "none"},
		{id: "2EB.004.00/2", amount: 1, kernel: "2B", flags: "none"},
		{id: "2EB.004.00/3", amount: 1, kernel: "21", flags: "none", selects: "PPSE " + one},
		{id: "2EB.008.02/1", kind: 0x20, amount: 0, kernel: "24", flags: "zero"},
		{id: "2EB.008.02/2", kind: 0x20, amount: 2, kernel: "24", flags: "none"},
		{id: "2EB.011.01/1", kind: 0x20, amount: 99, kernel: "22", selects: "PPSE " + two},
		{id: "2EB.012.00/1", amount: most, kernel: "22", selects: "PPSE " + two},
		{id: "2EB.012.00/2", amount: most, kernel: "25", selects: "PPSE " + three},
		{id: "2EB.012.01/1", kind: 0x20, amount: most, kernel: "24", selects: "PPSE " + four},
		{id: "2EB.016.01/1", amount: most, kernel: "22", flags: "cvm"},
		{id: "2EB.017.02/1", kind: 0x01, amount: 11, kernel: "23", flags: "cvm"},
		{id: "2EB.018.01/1", amount: 9, kernel: "22", flags: "none"},
		{id: "2EB.019.00/1", amount: most, kernel: "24", flags: "floor"},
		{id: "2EB.019.01/1", amount: most, kernel: "21", flags: "floor"},
		{id: "2EB.020.00/1", amount: 0, kernel: "21", flags: "zero", ttq: "84808000"},
		{id: "2EB.020.00/2", amount: 2, kernel: "21", flags: "none", ttq: "84008000"},
		{id: "2EB.021.00/1", amount: 0, kernel: "24", selects: "PPSE " + two},
		{id: "2EB.021.00/2", amount: 2, kernel: "22", selects: "PPSE " + three},
		{id: "2EC.001.02/1", kernel: "21", flags: "none"},
		{id: "2EC.001.04/1", kernel: "24", flags: "none"},
		{id: "2ED.007.01/1", amount: 2, kernel: "23", selects: "PPSE " + one},
		{id: "2ED.007.01/2", kernel: "23", selects: "PPSE " + one},
		{id: "2ED.009.00/1", amount: 2, kernel: "03"},
		{id: "2ED.009.06/1", amount: 2, kernel: "04", selects: "PPSE A000000025101001"},
		{id: "2ED.009.06/2", amount: 2, kernel: "04", selects: "PPSE A0000000251010"},
		{id: "2ED.009.14/1", kernel: "05"},
		{id: "2ED.009.22/1", amount: 2, kernel: "07"},
		{id: "2ED.012.02/1", kernel: "04 02 2B"},
		{id: "2ED.012.11/1", amount: 2, kernel: "06 2B"},
		{id: "2ED.012.13/1", amount: 2, kernel: "07 2B"},
		{id: "2ED.015.00/1", kernel: "23"},
		{id: "2ED.015.00/2", amount: 0, kernel: "21"},
		{id: "2ED.015.00/3", kernel: "23"},
		{id: "2ED.015.00/4", amount: 0, kernel: "23"},
		{id: "2ED.015.00/5", amount: 2, kernel: "25"},
		{id: "2ED.016.00/1", amount: 0, selects: "PPSE", end: "End Application", ui: contactless.MessageInsertSwipeOrTry},
		{id: "2ED.018.00/1", amount: 2, kernel: "23", selects: "PPSE A0000000010001010303"},
		{id: "2ED.018.00/2", amount: 2, kernel: "21", selects: "PPSE A0000000030003010203040506070809"},
		{id: "2ED.018.00/3", kernel: "21", selects: "PPSE A0000000030003010203040506070809"},
		{id: "2ED.018.00/4", amount: 2, kernel: "C11111", selects: "PPSE B00000000101011122"},
		{id: "2ED.018.00/5", amount: 2, kernel: "25", selects: "PPSE A0000000040004010203040506070809"},
		{id: "2ED.022.00/1", amount: 2, lost: 1, kernel: "22", selects: "PPSE " + two + " PPSE " + two},
		{id: "2EF.002.00/1", amount: 2, outcomes: append([]contactless.Outcome{{Kind: contactless.TryAgain, Start: contactless.StartB,
			UIRestart: &contactless.UIRequest{Message: again, Status: contactless.StatusReadyToRead}}}, approved()...),
			kernel: "23", selects: "PPSE " + one + " PPSE " + one, ui: again},
	}
}

func indicators(i contactless.Indicators) string {
	var s []string
	for name, set := range map[string]bool{"status": i.StatusCheckRequested, "zero": i.ZeroAmount, "cvm": i.CVMRequired, "floor": i.FloorLimitExceeded, "not allowed": i.NotAllowed} {
		if set {
			s = append(s, name)
		}
	}
	if len(s) == 0 {
		return "none"
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func TestEntryPointVectors(t *testing.T) {
	var f vectorFile
	if !vectors(t, "emv/entrypoint.json", &f) {
		return
	}
	settings := map[string][2]string{}
	for _, x := range f.Tests {
		for i, c := range x.Cases {
			settings[fmt.Sprintf("%s/%d", x.ID, i+1)] = [2]string{c.Terminal, c.Card}
		}
	}
	for _, c := range append(vectorCases(), rejectedAtRestart()...) {
		t.Run(c.id, func(t *testing.T) {
			s, ok := settings[c.id]
			if !ok {
				t.Fatal("no such case in the file")
			}
			delete(settings, c.id)
			f.run(t, c, s[0], s[1])
		})
	}
	for id := range settings {
		t.Errorf("case %s of the file was not run", id)
	}
}

// rejectedAtRestart: a final selection refused when the reader was restarted ends
// the application (3.3.2.7).
func rejectedAtRestart() []vectorCase {
	var out []vectorCase
	for i, at := range []contactless.Start{contactless.StartA, contactless.StartB, contactless.StartC} {
		out = append(out, vectorCase{id: fmt.Sprintf("2ED.019.01/%d", i+1), amount: 2,
			outcomes: online(at, contactless.OnlineResponseAny), response: &emv.HostResponse{Approved: true, ARC: "00"},
			kernel: []string{"23", "22", "21"}[i], end: "refused", ui: contactless.MessageInsertSwipeOrTry})
	}
	return out
}

func (f *vectorFile) run(t *testing.T, c vectorCase, terminalName, cardName string) {
	if c.outcomes == nil {
		c.outcomes = approved()
	}
	kernel := &proxy{outcomes: c.outcomes}
	lt := &vectorLT{lost: c.lost}
	set := f.Cards[cardName]
	if c.end == "refused" {
		// Each SELECT of the setting is answered once.
		for len(set.FCI) < 2 {
			set.FCI = append(set.FCI, set.FCI[0])
			set.FCI[1].AID = ""
		}
	}
	k := lt.card(t, set)
	var shown []contactless.MessageID
	reader, err := contactless.New(contactless.Config{
		Terminal: terminal(), Combinations: f.combinations(t, terminalName, kernel),
		Show: func(u contactless.UIRequest) { shown = append(shown, u.Message) },
		Now:  still, Pause: noPause,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The settings count whole units: a currency without minor ones.
	tr := emv.Transaction{Type: c.kind, Amount: amount(t, c.amount, "JPY")}
	if c.other > 0 {
		tr.Other = amount(t, c.other, "JPY")
	}
	at := contactless.StartA
	if auto := f.Terminals[terminalName].Autorun; auto.Enabled == 1 {
		at, tr.Type, tr.Amount = contactless.StartB, txnTypes[auto.Type], amount(t, int64(auto.Amount), "JPY")
	}
	e := reader.Begin(&field{connect: []func() (cardreader.Card, error){func() (cardreader.Card, error) { return k, nil }}}, tr)
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	out, err := e.Activate(t.Context(), at, nil)
	if err == nil && out.Start != contactless.StartNone {
		out, err = e.Activate(t.Context(), out.Start, c.response)
	}
	if err != nil {
		t.Fatal(err)
	}
	switch c.end {
	case "":
		if out.Kind != contactless.Approved {
			t.Errorf("outcome %s, want Approved", out)
		}
	case "refused":
		if out.Kind != contactless.EndApplication {
			t.Errorf("outcome %s, want End Application", out)
		}
	default:
		if out.Kind.String() != c.end {
			t.Errorf("outcome %s, want %s", out, c.end)
		}
	}
	if c.ui != 0 && !slices.Contains(shown, c.ui) {
		t.Errorf("shown %v, want %q among them", shown, c.ui)
	}
	if c.selects != "" {
		if diff := cmp.Diff(c.selects, strings.Join(lt.selects, " ")); diff != "" {
			t.Errorf("selected (-want +got):\n%s", diff)
		}
	}
	if c.kernel == "" {
		if len(kernel.given) != 0 {
			t.Error("a kernel was activated")
		}
		return
	}
	a := kernel.last(t)
	if !slices.Contains(strings.Fields(c.kernel), a.Kernel.String()) {
		t.Errorf("kernel %s, want %s", a.Kernel, c.kernel)
	}
	if c.ttq != "" && a.Indicators.TTQ.String() != c.ttq {
		t.Errorf("TTQ %s, want %s", a.Indicators.TTQ, c.ttq)
	}
	if c.flags != "" && indicators(a.Indicators) != c.flags {
		t.Errorf("indicators %s, want %s", indicators(a.Indicators), c.flags)
	}
	if c.startAt != "" && (a.Start.String() != c.startAt || !a.Restart) {
		t.Errorf("the kernel sees start %s, restart %t; want %s, true", a.Start, a.Restart, c.startAt)
	}
	want, err := tr.Amount.BCD12()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Terminal[tags.AmountAuthorised], want[:]) || a.Terminal[tags.TransactionType][0] != tr.Type {
		t.Errorf("the kernel sees amount %X, type %X", a.Terminal[tags.AmountAuthorised], a.Terminal[tags.TransactionType])
	}
}
