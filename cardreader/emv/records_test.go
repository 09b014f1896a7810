package emv_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestCardErrors goes through what a card may not do: the step, the tag and the
// words of the error.
func TestCardErrors(t *testing.T) {
	set := func(tag tlv.Tag, v string) func(*bench) {
		return func(b *bench) { b.card.objects[tag] = v }
	}
	afl := func(v string) func(*bench) {
		return func(b *bench) { b.card.afl = bin(v) }
	}
	gpo := func(v string) func(*bench) {
		return func(b *bench) { b.card.gpo = v }
	}
	records := func(v map[string]string) func(*bench) {
		return func(b *bench) { b.card.records = v }
	}
	for name, c := range map[string]struct {
		alter func(*bench)
		step  emv.Step
		tag   tlv.Tag
		text  string
	}{
		"GPO without data":               {gpo("8002"), emv.StepInitiate, 0, "GET PROCESSING OPTIONS answered 8002"},
		"GPO status":                     {gpo("6A81"), emv.StepInitiate, 0, "GET PROCESSING OPTIONS answered 6A81"},
		"GPO format 1 too short":         {gpo("800118"), emv.StepInitiate, tags.ResponseFormat1, "too short"},
		"GPO without AFL":                {gpo("80021800"), emv.StepInitiate, tags.AFL, "missing"},
		"GPO format 2 without AIP":       {gpo("7706940410010100"), emv.StepInitiate, tags.AIP, "missing"},
		"GPO format 2 without AFL":       {gpo("770482021800"), emv.StepInitiate, tags.AFL, "missing"},
		"GPO format 2 with AIP twice":    {gpo("770E82021800 82021800 940410010100"), emv.StepInitiate, tags.AIP, "given twice"},
		"GPO of another format":          {gpo("70068202180094 00"), emv.StepInitiate, tags.RecordTemplate, "neither format"},
		"GPO cut off":                    {gpo("80061800 1001"), emv.StepInitiate, 0, "malformed response"},
		"AFL of 5 bytes":                 {afl("1001010010"), emv.StepInitiate, tags.AFL, "multiple of 4"},
		"AFL with file 0":                {afl("00010100"), emv.StepRead, tags.AFL, "entry 1"},
		"AFL with file 31":               {afl("F8010100"), emv.StepRead, tags.AFL, "entry 1"},
		"AFL with low bits set":          {afl("11010100"), emv.StepRead, tags.AFL, "three bits"},
		"AFL with record 0":              {afl("10000100"), emv.StepRead, tags.AFL, "records 0 to 1"},
		"AFL with last before first":     {afl("10020100"), emv.StepRead, tags.AFL, "records 2 to 1"},
		"AFL with more signed than read": {afl("10010102"), emv.StepRead, tags.AFL, "2 records signed of 1"},
		"AFL bad in its second entry":    {afl("10010100 00010100"), emv.StepRead, tags.AFL, "entry 2"},
		"record missing":                 {records(map[string]string{}), emv.StepRead, 0, "READ RECORD 1 of file 2 answered 6A83"},
		"record of another template":     {records(map[string]string{"2/1": "7700"}), emv.StepRead, tags.RecordTemplate, "not one record template"},
		"record with bytes after it":     {records(map[string]string{"2/1": "7000FF"}), emv.StepRead, tags.RecordTemplate, "not one record template"},
		"record malformed":               {records(map[string]string{"2/1": "70035A0512"}), emv.StepRead, tags.RecordTemplate, "malformed"},
		"object given twice":             {records(map[string]string{"2/1": "700C5F24033112315F2403311231"}), emv.StepRead, tags.ExpirationDate, "given twice"},
		"PAN missing":                    {set(tags.PAN, ""), emv.StepRead, tags.PAN, "mandatory and missing"},
		"expiry missing":                 {set(tags.ExpirationDate, ""), emv.StepRead, tags.ExpirationDate, "mandatory and missing"},
		"CDOL1 missing":                  {set(tags.CDOL1, ""), emv.StepRead, tags.CDOL1, "mandatory and missing"},
		"CDOL2 missing":                  {set(tags.CDOL2, ""), emv.StepRead, tags.CDOL2, "mandatory and missing"},
		"PAN not decimal":                {set(tags.PAN, "47617390010A0119"), emv.StepRead, tags.PAN, "malformed"},
		"PAN too short":                  {set(tags.PAN, "476173"), emv.StepRead, tags.PAN, "malformed"},
		"track 2 without separator":      {set(tags.Track2, "4761739001010119"), emv.StepRead, tags.Track2, "malformed"},
		"expiry no date":                 {set(tags.ExpirationDate, "311331"), emv.StepRead, tags.ExpirationDate, "no date"},
		"expiry of 2 bytes":              {set(tags.ExpirationDate, "3112"), emv.StepRead, tags.ExpirationDate, "2 bytes, want 3"},
		"effective date no date":         {set(tags.EffectiveDate, "240230"), emv.StepRead, tags.EffectiveDate, "no date"},
		"CDOL1 malformed":                {set(tags.CDOL1, "9F02"), emv.StepRead, tags.CDOL1, "malformed list"},
		"CDOL2 malformed":                {set(tags.CDOL2, "9F0206 9F"), emv.StepRead, tags.CDOL2, "malformed list"},
		"CDOL1 over 255 bytes":           {set(tags.CDOL1, "9F02FF 9501"), emv.StepGenerate, tags.CDOL1, "can't be filled"},
		"IAC of 4 bytes":                 {set(tags.IACDenial, "00000000"), emv.StepRead, tags.IACDenial, "4 bytes, want 5"},
		"AUC of 1 byte":                  {set(tags.AUC, "FF"), emv.StepRead, tags.AUC, "1 bytes, want 2"},
		"DDOL malformed":                 {set(tags.DDOL, "9F"), emv.StepRead, tags.DDOL, "malformed list"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.alter(b)
			_, err := b.start()
			if !errors.Is(err, emv.ErrCard) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error %v, want %q", err, c.text)
			}
			var ce *emv.CardError
			var se *emv.StatusError
			switch {
			case errors.As(err, &ce):
				if ce.Step != c.step || ce.Tag != c.tag {
					t.Errorf("at %q, tag %s", ce.Step, ce.Tag)
				}
			case errors.As(err, &se):
				if se.Step != c.step {
					t.Errorf("at %q", se.Step)
				}
			default:
				t.Errorf("error %T", err)
			}
		})
	}
}

// An entry of the AFL is looked at once those before it are read (Book 3, 10.2).
func TestAFL(t *testing.T) {
	for afl, reads := range map[string]int{"11010100": 0, "10010100 00010100": 1, "10010100 10010101 12010100": 2} {
		b := newBench(t)
		b.card.afl = bin(afl)
		b.card.records = map[string]string{"2/1": "7000"}
		if _, err := b.start(); !errors.Is(err, emv.ErrCard) || len(b.card.sent(apdu.INSReadRecord)) != reads {
			t.Errorf("AFL %s: %v after %d records", afl, err, len(b.card.sent(apdu.INSReadRecord)))
		}
	}
	if _, err := emv.ParseAFL(bin("1001FF00 18010100")); err == nil || !strings.Contains(err.Error(), "entry 2: more records") {
		t.Errorf("256 records: %v", err)
	}
}

// TestTolerated goes through what a card may do.
func TestTolerated(t *testing.T) {
	for name, alter := range map[string]func(*bench){
		"objects in a record whose place is another answer": func(b *bench) {
			for t, v := range map[tlv.Tag]string{tags.AIP: "FFFF", tags.AFL: "FFFFFFFF", tags.ApplicationLabel: "58", tags.PDOL: "9F", tags.DFName: "A000000003",
				tags.ApplicationCryptogram: "0102030405060708", tags.CID: "40", tags.ATC: "0001", tags.SignedDynamicData: "00", tags.ICCDynamicNumber: "00"} {
				b.card.objects[t] = v
			}
		},
		"names and languages of the FCI given twice": func(b *bench) { b.card.select_[testAID] = fci(testAID, "5F2D02656E5F2D02656E500158 9F110199") },
		"a PAN in the FCI":                           func(b *bench) { b.card.select_[testAID] = fci(testAID, "5A084761739001010127") },
		"unknown tag twice":                          func(b *bench) { b.card.objects[0xDF7F] = "01"; b.card.select_[testAID] = fci(testAID, "DF7F0102") },
		"what has its place in the FCI or a directory, twice": func(b *bench) {
			const out = "4203476173 9F0C03476173 5F500141 5F530141 5F540141 5F55024445 5F5603444555 9F4D020B0A 9F4F029A03 9F0A0100 9D05A000000003"
			b.card.afl = bin("1001010010020200")
			b.card.records = splitRecord(b.card, out+out)
		},
		"empty objects":           func(b *bench) { b.card.afl = bin("1001010010020200"); b.card.records = splitRecord(b.card, "92009300") },
		"padding between objects": func(b *bench) { b.card.afl = bin("1001010010020200"); b.card.records = splitRecord(b.card, "0000FF") },
		"a file without templates": func(b *bench) {
			b.card.afl = bin("1001010058010100")
			b.card.records = splitRecord(b.card, "")
			b.card.records["11/1"] = "0102030405"
		},
		"a file of odd templates": func(b *bench) {
			b.card.afl = bin("1001010058010100")
			b.card.records = splitRecord(b.card, "")
			b.card.records["11/1"] = "70030101FF"
		},
		"GPO in format 2": func(b *bench) { b.card.gpo = "770A82020000940410010100" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			alter(b)
			if s := b.must(); s.Decision() != emv.Approved {
				t.Errorf("%s: %q", s.Decision(), s.Outcome().Reasons)
			}
		})
	}
}

// splitRecord is the plain card's record 1 and a second one with more.
func splitRecord(c *plain, more string) map[string]string {
	r := c.record(apdu.ReadRecord(2, 1))
	return map[string]string{
		"2/1": hex.EncodeToString(r[:len(r)-2]),
		"2/2": hex.EncodeToString(tlv.Append(nil, tags.RecordTemplate, bin(more))),
	}
}

// TestListData checks what lists are filled with: order and repeats kept, cut
// and padded, card data that only terminals have not taken from cards.
func TestListData(t *testing.T) {
	b := newBench(t)
	b.trade.Other = eur(100)
	b.trade.Amount = eur(123456)
	b.term.AcquirerID = "12345678901"
	b.term.MerchantName = "Corner Shop"
	b.app().RiskData = bin("6C00")
	b.card.select_[testAID] = fci(testAID, "9F3806 9F3501 9F1A02")
	b.card.objects[tags.TerminalCountryCode] = "9999" // not the card's to say
	b.card.objects[tags.CDOL1] = strings.Join([]string{
		"9F0206", "9F0306", "9F1A02", "9505", "5F2A02", "9A03", "9C01", "9F3704", "9A03",
		"8104", "9F0404", "5F3601", "9F2103", "9F4104", "9F3501", "9F3303", "9F4005", "9F1E08",
		"9F0106", "9F1502", "9F160F", "9F1C08", "9F4E0E", "9F0607", "9F0902", "9F1B04", "9F1D08", "9F3403", "9B02", "9F3901",
		"DF0102", "7002", "9F0203", "9F0208", "9F1A01", "9F1A03", "5F2003", "9F0702",
	}, "")
	b.must()
	if got := hex.EncodeToString(b.card.sent(apdu.INSGetProcessingOptions)[0].Data); got != "8303220276" {
		t.Errorf("GET PROCESSING OPTIONS %s", got)
	}
	want := strings.Join([]string{
		"000000123456", "000000000100", "0276", "8000008000", "0978", "261124", "00", "*", "261124",
		"0001e240", "00000064", "02", "101112", "00000007", "22", "e0f8c8", "7000f0a001", "3030303030303031",
		"012345678901", "5999", "4d45524348414e5430303030303031", "5445524d30303031", "436f726e65722053686f70000000", "a0000000031010", "008c", "000186a0", "6c00000000000000", "3f0000", "0800", "05",
		"0000", "0000", "123456", "0000000000123456", "76", "000276", "000000", "ffc0",
	}, "")
	got := hex.EncodeToString(b.card.sent(apdu.INSGenerateAC)[0].Data)
	i := strings.Index(want, "*")
	if len(got) != len(want)+7 || got[:i] != want[:i] || got[i+8:] != want[i+1:] {
		t.Errorf("CDOL1 data\n%s, want\n%s", got, want)
	}
	if got[i:i+8] == "00000000" {
		t.Error("no unpredictable number")
	}
}

// TestUnpredictable: each transaction has its number, and it is the same in all
// of its lists.
func TestUnpredictable(t *testing.T) {
	seen := map[string]bool{}
	b := newBench(t)
	for range 20 {
		b.card = newPlain(t)
		b.alter = func(c *emv.Config) { c.Rand = nil }
		b.app().TACOnline = [5]byte{0x80}
		b.card.objects[tags.CDOL1], b.card.objects[tags.CDOL2] = "9F3704", "9F3704"
		s := b.must()
		if _, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00"}); err != nil {
			t.Fatal(err)
		}
		ac := b.card.sent(apdu.INSGenerateAC)
		if string(ac[0].Data) != string(ac[1].Data) {
			t.Error("the second GENERATE AC has another number than the first")
		}
		seen[string(ac[0].Data)] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d numbers of 20 transactions", len(seen))
	}
}

func TestClose(t *testing.T) {
	b := newBench(t)
	b.app().TACOnline = [5]byte{0x80}
	b.card.objects[tags.Track2] = "4761739001010119D31122011234567890"
	s, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	a := s.Authorize()
	if string(a.PAN.Reveal()) != "4761739001010119" || a.PSN != "01" || a.Expiry != "3112" || string(a.Track2.Reveal()) != "4761739001010119=31122011234567890" {
		t.Fatalf("PAN %q, PSN %s, expiry %s, track %q", a.PAN.Reveal(), a.PSN, a.Expiry, a.Track2.Reveal())
	}
	digits, track := a.PAN.Reveal(), a.Track2.Reveal()
	s.Close()
	s.Close()
	for _, b := range append(digits, track...) {
		if b != 0 {
			t.Fatal("PAN or track 2 is still there")
		}
	}
	if v := s.Field55(tags.PAN, tags.ApplicationCryptogram, tags.Track2); len(v) != 0 {
		t.Errorf("field 55 after Close: %d bytes", len(v))
	}
	if o := s.Outcome(); o.Decision != emv.Online || o.TVR.String() != "8000000000" {
		t.Errorf("outcome after Close: %+v", o)
	}
	if _, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00"}); !errors.Is(err, emv.ErrState) {
		t.Errorf("Complete after Close: %v", err)
	}
}
