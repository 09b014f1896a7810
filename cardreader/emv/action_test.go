package emv_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestAction asks what the terminal asks of the card, for each action code and
// kind of terminal (Book 3, 10.7). The TVR is 80 00 00 00 00.
func TestAction(t *testing.T) {
	const hit, miss = "8000000000", "7FFFFFFFFF"
	type in struct {
		terminal                         tags.TerminalTypeValue
		iacDenial, iacOnline, iacDefault string // "-": the card has none
		tacDenial, tacOnline, tacDefault [5]byte
	}
	tac := [5]byte{0x80}
	for name, c := range map[string]struct {
		in   in
		want byte
		arc  string
	}{
		"nothing matches":                        {in{}, apdu.RefTC, "Y1"},
		"everything matches but the bit":         {in{iacDenial: miss, iacOnline: miss, iacDefault: miss}, apdu.RefTC, "Y1"},
		"IAC denial":                             {in{iacDenial: hit, iacOnline: hit}, apdu.RefAAC, "Z1"},
		"TAC denial":                             {in{tacDenial: tac}, apdu.RefAAC, "Z1"},
		"IAC denial absent":                      {in{iacDenial: "-"}, apdu.RefTC, "Y1"},
		"IAC online":                             {in{iacOnline: hit}, apdu.RefARQC, ""},
		"TAC online":                             {in{tacOnline: tac}, apdu.RefARQC, ""},
		"IAC online absent":                      {in{iacOnline: "-"}, apdu.RefARQC, ""},
		"IAC default does not count online":      {in{iacDefault: hit, tacDefault: tac}, apdu.RefTC, "Y1"},
		"online only":                            {in{terminal: 0x21}, apdu.RefARQC, ""},
		"online only, unattended":                {in{terminal: 0x24}, apdu.RefARQC, ""},
		"online only, denial":                    {in{terminal: 0x21, iacDenial: hit}, apdu.RefAAC, "Z1"},
		"offline only":                           {in{terminal: 0x23}, apdu.RefTC, "Y1"},
		"offline only, online codes don't count": {in{terminal: 0x23, iacOnline: hit, tacOnline: tac}, apdu.RefTC, "Y1"},
		"offline only, IAC default":              {in{terminal: 0x23, iacDefault: hit}, apdu.RefAAC, "Z1"},
		"offline only, TAC default":              {in{terminal: 0x26, tacDefault: tac}, apdu.RefAAC, "Z1"},
		"offline only, IAC default absent":       {in{terminal: 0x23, iacDefault: "-"}, apdu.RefAAC, "Z1"},
		"offline only, IAC denial":               {in{terminal: 0x26, iacDenial: hit}, apdu.RefAAC, "Z1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.in.terminal != 0 {
				b.term.Type = c.in.terminal
			}
			for tag, v := range map[tlv.Tag]string{tags.IACDenial: c.in.iacDenial, tags.IACOnline: c.in.iacOnline, tags.IACDefault: c.in.iacDefault} {
				switch v {
				case "-":
					delete(b.card.objects, tag)
				case "":
				default:
					b.card.objects[tag] = v
				}
			}
			b.app().TACDenial, b.app().TACOnline, b.app().TACDefault = c.in.tacDenial, c.in.tacOnline, c.in.tacDefault
			b.card.objects[tags.CDOL1] = "8A029505"
			s := b.must()
			cmd := b.card.sent(apdu.INSGenerateAC)[0]
			arc := c.arc
			if arc == "" {
				arc = "\x00\x00"
			}
			if cmd.P1 != c.want || string(cmd.Data[:2]) != arc {
				t.Errorf("GENERATE AC P1 %02X with ARC %q, want %02X %q", cmd.P1, cmd.Data[:2], c.want, arc)
			}
			decision := map[byte]emv.Decision{apdu.RefAAC: emv.Declined, apdu.RefTC: emv.Approved, apdu.RefARQC: emv.Online}[c.want]
			if s.Decision() != decision || s.Outcome().ARC != c.arc {
				t.Errorf("decision %s, ARC %q", s.Decision(), s.Outcome().ARC)
			}
		})
	}
}

// TestUnable goes through a terminal that can't reach the issuer.
func TestUnable(t *testing.T) {
	for name, c := range map[string]struct {
		terminal   tags.TerminalTypeValue
		iacDefault string
		want       byte
		arc        string
		decision   emv.Decision
	}{
		"default codes don't match": {0x22, "0000000000", apdu.RefTC, "Y3", emv.Approved},
		"default code matches":      {0x22, "8000000000", apdu.RefAAC, "Z3", emv.Declined},
		"online only":               {0x21, "0000000000", apdu.RefAAC, "Z3", emv.Declined},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.term.Type = c.terminal
			b.app().TACOnline = [5]byte{0x80}
			b.card.objects[tags.IACDefault] = c.iacDefault
			s := b.must()
			if s.Decision() != emv.Online {
				t.Fatalf("decision %s", s.Decision())
			}
			o, err := s.Complete(context.Background(), emv.HostResponse{Unable: true, ARC: "00", Scripts: bin("7106860484240000")})
			if err != nil {
				t.Fatal(err)
			}
			cmd := b.card.sent(apdu.INSGenerateAC)[1]
			if cmd.P1 != c.want || string(cmd.Data[:2]) != c.arc || o.ARC != c.arc || o.Decision != c.decision {
				t.Errorf("P1 %02X ARC %q, outcome %s %s", cmd.P1, cmd.Data[:2], o.Decision, o.ARC)
			}
			if len(o.ScriptResults) != 0 {
				t.Error("scripts were run though nothing came")
			}
		})
	}
}

// ac is an answer to GENERATE AC in format 1.
func ac(cid byte) string {
	return "8012" + hex.EncodeToString([]byte{cid}) + "0007" + "1112131415161718" + "06010A03A00000"
}

// TestCryptograms gives every answer to every request, first and second.
func TestCryptograms(t *testing.T) {
	online := func(b *bench) { b.app().TACOnline = [5]byte{0x80} }
	deny := func(b *bench) { b.app().TACDenial = [5]byte{0x80} }
	approve := func(*bench) {}
	for name, c := range map[string]struct {
		setup    func(*bench)
		arc      string
		refused  bool // whoever knows the code says that it does not approve
		answers  []string
		decision emv.Decision
		kind     tags.Cryptogram
		broken   bool
	}{
		"TC asked, TC":       {setup: approve, answers: []string{ac(0x40)}, decision: emv.Approved, kind: tags.TC},
		"TC asked, ARQC":     {setup: approve, answers: []string{ac(0x80)}, decision: emv.Online, kind: tags.ARQC},
		"TC asked, AAC":      {setup: approve, answers: []string{ac(0x00)}, decision: emv.Declined, kind: tags.AAC},
		"TC asked, reserved": {setup: approve, answers: []string{ac(0xC0)}, broken: true},
		"ARQC asked, ARQC":   {setup: online, answers: []string{ac(0x80)}, decision: emv.Online, kind: tags.ARQC},
		"ARQC asked, AAC":    {setup: online, answers: []string{ac(0x08)}, decision: emv.Declined, kind: tags.AAC},
		"ARQC asked, TC":     {setup: online, answers: []string{ac(0x40)}, broken: true},
		"AAC asked, AAC":     {setup: deny, answers: []string{ac(0x00)}, decision: emv.Declined, kind: tags.AAC},
		"AAC asked, TC":      {setup: deny, answers: []string{ac(0x40)}, broken: true},
		"AAC asked, ARQC":    {setup: deny, answers: []string{ac(0x80)}, broken: true},
		"approved, TC":       {setup: online, arc: "00", answers: []string{ac(0x80), ac(0x40)}, decision: emv.Approved, kind: tags.TC},
		"approved, AAC":      {setup: online, arc: "00", answers: []string{ac(0x80), ac(0x00)}, decision: emv.Declined, kind: tags.AAC},
		// Book 3, 9.3: after the second GENERATE AC all that is not a TC or an
		// AAC that was asked for counts as an AAC.
		"approved, ARQC":          {setup: online, arc: "00", answers: []string{ac(0x80), ac(0x80)}, decision: emv.Declined, kind: tags.AAC},
		"approved, reserved":      {setup: online, arc: "00", answers: []string{ac(0x80), ac(0xC0)}, decision: emv.Declined, kind: tags.AAC},
		"declined, AAC":           {setup: online, arc: "05", refused: true, answers: []string{ac(0x80), ac(0x00)}, decision: emv.Declined, kind: tags.AAC},
		"declined, TC":            {setup: online, arc: "05", refused: true, answers: []string{ac(0x80), ac(0x40)}, decision: emv.Declined, kind: tags.AAC},
		"honour with id":          {setup: online, arc: "08", answers: []string{ac(0x80), ac(0x40)}, decision: emv.Approved, kind: tags.TC},
		"a code of an acquirer's": {setup: online, arc: "87", answers: []string{ac(0x80), ac(0x40)}, decision: emv.Approved, kind: tags.TC},
		"00 that is not taken":    {setup: online, arc: "00", refused: true, answers: []string{ac(0x80), ac(0x40)}, decision: emv.Declined, kind: tags.AAC},
		"referral":                {setup: online, arc: "01", refused: true, answers: []string{ac(0x80), ac(0x00)}, decision: emv.Declined, kind: tags.AAC},
		"6985 to the first":       {setup: online, answers: []string{"6985"}, broken: true},
		"6985 to the second":      {setup: online, arc: "00", answers: []string{ac(0x80), "6985"}, broken: true, decision: emv.Declined},
		"format 2":                {setup: online, answers: []string{"771A9F2701809F360200079F260811121314151617189F100301020" + "3"}, decision: emv.Online, kind: tags.ARQC},
		"format 2 without CID":    {setup: online, answers: []string{"7710 9F36020007 9F26081112131415161718"}, broken: true},
		"format 2 without ATC":    {setup: online, answers: []string{"770F 9F270180 9F26081112131415161718"}, broken: true},
		"format 2 without AC":     {setup: online, answers: []string{"7709 9F270180 9F36020007"}, broken: true},
		"format 2, CID twice":     {setup: online, answers: []string{"7718 9F270180 9F270140 9F36020007 9F26081112131415161718"}, broken: true},
		"format 1 of 10 bytes":    {setup: online, answers: []string{"800A 80 0007 11121314151617"}, broken: true},
		"format 1 of 11 bytes":    {setup: online, answers: []string{"800B 80 0007 1112131415161718"}, decision: emv.Online, kind: tags.ARQC},
		"format 1 of 44 bytes":    {setup: online, answers: []string{"802C 80 0007 1112131415161718" + hex.EncodeToString(make([]byte, 33))}, broken: true},
		"neither format":          {setup: online, answers: []string{"7012 80 0007 1112131415161718 06010A03A00000"}, broken: true},
		"no data":                 {setup: online, answers: []string{""}, broken: true},
		"two templates":           {setup: online, answers: []string{ac(0x80) + ac(0x80)}, broken: true},
		"template cut off":        {setup: online, answers: []string{"8012 80 0007 1112131415161718"}, broken: true},
		"format 2 cut off inside": {setup: online, answers: []string{"7704 9F2702 80"}, broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.setup(b)
			b.card.ac = c.answers
			s, err := b.start()
			if err == nil && c.arc != "" {
				_, err = s.Complete(context.Background(), emv.HostResponse{Approved: !c.refused, ARC: c.arc})
			}
			if c.broken {
				if !errors.Is(err, emv.ErrCard) {
					t.Errorf("error %v", err)
				}
				if s != nil && s.Outcome().Decision != emv.Declined {
					t.Errorf("decision %s", s.Outcome().Decision)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			o := s.Outcome()
			if o.Decision != c.decision || o.CryptogramType != c.kind {
				t.Errorf("%s with %s, want %s with %s", o.Decision, o.CryptogramType, c.decision, c.kind)
			}
			// The CID stays the card's own where another cryptogram counts as an AAC.
			last := tags.CIDValue(bin(c.answers[len(c.answers)-1])[2])
			if o.CID != last && !strings.HasPrefix(c.answers[0], "77") || o.CID.AdviceRequired() != (name == "ARQC asked, AAC") {
				t.Errorf("CID %v", o.CID.Describe())
			}
			if len(o.Cryptogram) != 8 {
				t.Errorf("cryptogram of %d bytes", len(o.Cryptogram))
			}
		})
	}
}

// TestComplete checks order, contents and state of what follows the issuer's
// answer.
func TestComplete(t *testing.T) {
	b := newBench(t)
	b.app().TACOnline = [5]byte{0x80}
	b.card.aip[0] = tags.AIPIssuerAuth
	b.card.objects[tags.CDOL2] = "8A02910A890695059B02"
	b.card.script = map[string]apdu.Status{"24": 0x9000, "DA": 0x6283, "1E": 0x6A80}
	s := b.must()
	if _, err := s.Complete(t.Context(), emv.HostResponse{ARC: "000"}); !errors.Is(err, emv.ErrState) || s.Decision() != emv.Online {
		t.Fatalf("error %v, decision %s", err, s.Decision())
	}
	iad := bin("0102030405060708 3030")
	// 71 with two commands that succeed; 72 whose second fails; 72 that is
	// malformed; 71 without identifier whose first fails; an unknown template.
	scripts := bin("7114 9F180411223344 8604 84240000 8605 84DA000000" +
		"7212 9F180455667788 8604 84240000 8603 841E00" +
		"7213 9F180455667788 8604 84240000 8604 841E0000" +
		"7106 8604 841E0000" + "7302 0000")
	o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", AuthorisationCode: "A1B2C3", IssuerAuthenticationData: iad, Scripts: scripts})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range b.card.log[5:] {
		got = append(got, hex.EncodeToString([]byte{c.CLA, c.INS, c.P1, c.P2})+" "+hex.EncodeToString(c.Data))
	}
	want := []string{
		"80ae8000 00000000123480000000" + "00",
		"00820000 01020304050607083030",
		"84240000 ", "84da0000 ", // the first 71
		"841e0000 ", // the second
		"80ae4000 3030" + "01020304050607083030" + "413142324333" + "8000000020" + "3c00",
		"84240000 ", "841e0000 ", // the second 72
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	results := bin("20 11223344" + "11 00000000" + "00 55667788" + "12 55667788")
	if d := cmp.Diff(hex.EncodeToString(results), hex.EncodeToString(o.ScriptResults)); d != "" {
		t.Errorf("script results: %s", d)
	}
	if o.Decision != emv.Approved || o.TVR.String() != "8000000030" || o.TSI.String() != "3C00" || o.ARC != "00" {
		t.Errorf("%s TVR %s TSI %s ARC %s", o.Decision, o.TVR, o.TSI, o.ARC)
	}
	if _, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00"}); !errors.Is(err, emv.ErrState) {
		t.Errorf("a second Complete: %v", err)
	}
	if got := s.Field55(tags.IssuerScriptResults, tags.TVR); len(got) != 3+20+7 {
		t.Errorf("field 55 %X", got)
	}
}

// TestScriptsThatCanNot: a script that is cut off or goes over the terminal's
// length is reported with its identifier as not performed, and those beside it
// run (Book 4, 12.2.4; Book 3, Annex E).
func TestScriptsThatCanNot(t *testing.T) {
	long := func(tag string, n int) string {
		// A template of n bytes with one command, whose data fills it up.
		return fmt.Sprintf("%s%02X 9F1804AABBCCDD 86%02X 84240000%02X%s", tag, n-2, n-2-9, n-2-9-5, strings.Repeat("00", n-2-9-5))
	}
	for name, c := range map[string]struct {
		scripts, results, tvr, tsi string
		most, sent                 int
	}{
		"none":                                    {"", "", "8000000000", "2800", 0, 0},
		"only what is no script":                  {"9F180411223344 5F0100", "", "8000000000", "2800", 0, 0},
		"no BER-TLV at all":                       {"1F", "", "8000000000", "2800", 0, 0},
		"cut off after a good one":                {"7106860484240000 7112 9F180401020304 860484240000", "2000000000 0001020304", "8000000020", "2C00", 0, 1},
		"cut off, due after":                      {"7106860484240000 7212 9F180401020304 860484240000", "2000000000 0001020304", "8000000010", "2C00", 0, 1},
		"cut off with a long length":              {"718180 9F180401020304 860484240000", "0001020304", "8000000020", "2C00", 0, 0},
		"cut off in its length":                   {"7181", "0000000000", "8000000020", "2C00", 0, 0},
		"cut off before its identifier":           {"7112 9F1804", "0000000000", "8000000020", "2C00", 0, 0},
		"a malformed one between good ones":       {"7106860484240000 7107 9F180155 860400 7106860484240000", "2000000000 0055000000 2000000000", "8000000020", "2C00", 0, 2},
		"the fifteenth command fails":             {"715A" + strings.Repeat("860484240000", 14) + "8604841E0000", "1F00000000", "8000000020", "2C00", 0, 14},
		"the sixteenth command fails":             {"7160" + strings.Repeat("860484240000", 15) + "8604841E0000", "1F00000000", "8000000020", "2C00", 0, 15},
		"128 bytes":                               {long("71", 128), "20AABBCCDD", "8000000000", "2C00", 0, 1},
		"129 bytes":                               {long("71", 129), "00AABBCCDD", "8000000020", "2C00", 0, 0},
		"a third goes over the length":            {long("71", 60) + long("72", 60) + long("72", 60), "20AABBCCDD 20AABBCCDD 00AABBCCDD", "8000000010", "2C00", 0, 2},
		"129 bytes where the terminal takes more": {long("71", 129), "20AABBCCDD", "8000000000", "2C00", 200, 1},
		"padding between":                         {"00 7106860484240000 0000 7206860484240000", "2000000000 2000000000", "8000000000", "2C00", 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.term.ScriptLength = c.most
			b.app().TACOnline = [5]byte{0x80}
			b.card.script = map[string]apdu.Status{"24": 0x9000}
			o, err := b.must().Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", Scripts: bin(c.scripts)})
			if err != nil || o.Decision != emv.Approved || o.TVR.String() != c.tvr || o.TSI.String() != c.tsi || len(b.card.sent(0x24)) != c.sent {
				t.Errorf("%s TVR %s TSI %s, %d script commands, %v", o.Decision, o.TVR, o.TSI, len(b.card.sent(0x24)), err)
			}
			if want := fmt.Sprintf("%x", bin(c.results)); hex.EncodeToString(o.ScriptResults) != want {
				t.Errorf("results %x, want %s", o.ScriptResults, want)
			}
		})
	}
}

// TestIssuerAuthenticationData that can't be is no command to the card, and does
// not keep the second GENERATE AC from being sent.
func TestIssuerAuthenticationData(t *testing.T) {
	for _, n := range []int{1, 7, 17, 300} {
		b := newBench(t)
		b.app().TACOnline = [5]byte{0x80}
		b.card.aip[0] = tags.AIPIssuerAuth
		o, err := b.must().Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: make([]byte, n)})
		if err != nil || !o.TVR.Has(tags.TVRIssuerAuthFailed) || len(b.card.sent(apdu.INSExternalAuthenticate)) != 0 || len(b.card.sent(apdu.INSGenerateAC)) != 2 {
			t.Errorf("%d bytes: TVR %s, %v", n, o.TVR, err)
		}
	}
}

// TestRemovedAfterApproval: what happens after the TC changes nothing.
func TestRemovedAfterApproval(t *testing.T) {
	b := newBench(t)
	b.app().TACOnline = [5]byte{0x80}
	s := b.must()
	gone := errors.New("gone")
	b.card.transport = func(_ int, c apdu.Command) error {
		if c.INS == 0x24 {
			return gone
		}
		return nil
	}
	o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", Scripts: bin("7206860484240000")})
	if err != nil || o.Decision != emv.Approved || hex.EncodeToString(o.ScriptResults) != "1100000000" || !o.TVR.Has(tags.TVRScriptFailedAfter) {
		t.Errorf("%s TVR %s results %X: %v", o.Decision, o.TVR, o.ScriptResults, err)
	}
}
