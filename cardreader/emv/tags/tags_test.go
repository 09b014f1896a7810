package tags_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDictionary checks the table itself: sorted, whole, and sound.
func TestDictionary(t *testing.T) {
	all := tags.All()
	for i, info := range all {
		if i > 0 && all[i-1].Tag >= info.Tag {
			t.Errorf("%s after %s", info.Tag, all[i-1].Tag)
		}
		if info.Name == "" || info.Book == "" || info.Max > 0 && info.Min > info.Max || info.Min < 0 {
			t.Errorf("%s: %+v", info.Tag, info)
		}
		enc := info.Tag.Append(nil)
		if got, n, err := tlv.ParseTag(enc); err != nil || got != info.Tag || n != len(enc) {
			t.Errorf("%s is no tag: %v", info.Tag, err)
		}
		if got, ok := tags.Lookup(info.Tag); !ok || got != info {
			t.Errorf("Lookup(%s): %+v, %v", info.Tag, got, ok)
		}
		if info.Format == tlv.FormatN && info.Max > 9 {
			t.Errorf("%s: numeric of %d bytes", info.Tag, info.Max)
		}
	}
	if _, ok := tags.Lookup(0xDF7E); ok {
		t.Error("Lookup finds what is not there")
	}
	if got := tags.Name(0xDF79); got != "DF79" {
		t.Errorf("Name of an unknown tag: %q", got)
	}
	all[0].Name = "changed"
	if tags.All()[0].Name == "changed" {
		t.Error("All gives out the table itself")
	}
}

// TestEveryConstantIsInTheDictionary reads the source of the constants.
func TestEveryConstantIsInTheDictionary(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "constants.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		v, err := strconv.ParseUint(spec.Values[0].(*ast.BasicLit).Value, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if _, ok := tags.Lookup(tlv.Tag(v)); !ok {
			t.Errorf("%s is not in the dictionary", spec.Names[0].Name)
		}
		return true
	})
	if n < 130 {
		t.Errorf("only %d constants read", n)
	}
}

// TestDictionaryFacts are entries of Book 3, Annex A, format and length as they
// stand there.
func TestDictionaryFacts(t *testing.T) {
	for _, tt := range []struct {
		tag      tlv.Tag
		name     string
		f        tlv.Format
		min, max int
		src      tags.Source
		sec      tags.Secrecy
	}{
		{0x5A, "Application Primary Account Number", tlv.FormatCN, 0, 10, tags.FromCard, tags.Sensitive},
		{0x57, "Track 2 Equivalent Data", tlv.FormatB, 0, 19, tags.FromCard, tags.Sensitive},
		{0x5F34, "Application PAN Sequence Number", tlv.FormatN, 1, 1, tags.FromCard, tags.Public},
		{0x82, "Application Interchange Profile", tlv.FormatB, 2, 2, tags.FromCard, tags.Public},
		{0x8A, "Authorisation Response Code", tlv.FormatAN, 2, 2, tags.FromIssuer, tags.Public},
		{0x91, "Issuer Authentication Data", tlv.FormatB, 8, 16, tags.FromIssuer, tags.Public},
		{0x95, "Terminal Verification Results", tlv.FormatB, 5, 5, tags.FromTerminal, tags.Public},
		{0x99, "Transaction PIN Data", tlv.FormatB, 0, 0, tags.FromTerminal, tags.Secret},
		{0x9F02, "Amount, Authorised (Numeric)", tlv.FormatN, 6, 6, tags.FromTerminal, tags.Public},
		{0x9F06, "Application Identifier, terminal", tlv.FormatB, 5, 16, tags.FromTerminal, tags.Public},
		{0x9F10, "Issuer Application Data", tlv.FormatB, 0, 32, tags.FromCard, tags.Public},
		{0x9F1A, "Terminal Country Code", tlv.FormatN, 2, 2, tags.FromTerminal, tags.Public},
		{0x9F1C, "Terminal Identification", tlv.FormatAN, 8, 8, tags.FromTerminal, tags.Public},
		{0x9F20, "Track 2 Discretionary Data", tlv.FormatCN, 0, 0, tags.FromCard, tags.Sensitive},
		{0x9F33, "Terminal Capabilities", tlv.FormatB, 3, 3, tags.FromTerminal, tags.Public},
		{0x9F35, "Terminal Type", tlv.FormatN, 1, 1, tags.FromTerminal, tags.Public},
		{0x9F37, "Unpredictable Number", tlv.FormatB, 4, 4, tags.FromTerminal, tags.Public},
		{0x9F41, "Transaction Sequence Counter", tlv.FormatN, 2, 4, tags.FromTerminal, tags.Public},
		{0x9F46, "ICC Public Key Certificate", tlv.FormatB, 0, 248, tags.FromCard, tags.Sensitive},
		{0xBF0C, "File Control Information Issuer Discretionary Data", tlv.FormatVar, 0, 222, tags.FromCard, tags.Public},
		{0xDF8129, "Outcome Parameter Set", tlv.FormatB, 8, 8, tags.FromTerminal, tags.Public},
	} {
		got, ok := tags.Lookup(tt.tag)
		want := tags.Info{Tag: tt.tag, Name: tt.name, Format: tt.f, Min: tt.min, Max: tt.max, Source: tt.src, Secrecy: tt.sec, Book: got.Book}
		if !ok {
			t.Errorf("%s is missing", tt.tag)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.tag, d)
		}
	}
	for s, want := range map[tags.Source]string{tags.FromCard: "card", tags.FromTerminal: "terminal", tags.FromIssuer: "issuer"} {
		if s.String() != want {
			t.Errorf("source %d: %s", s, s)
		}
	}
}

// TestSensitiveTags: nothing that holds a card number, a track or a PIN is
// public.
func TestSensitiveTags(t *testing.T) {
	for _, tag := range []tlv.Tag{0x56, 0x57, 0x5A, 0x5F20, 0x93, 0x99, 0x9F0B, 0x9F1F, 0x9F20, 0x9F2D, 0x9F46, 0x9F60, 0x9F61, 0x9F6B, 0x5F53} {
		if info, ok := tags.Lookup(tag); !ok || info.Secrecy == tags.Public {
			t.Errorf("%s: %v, %+v", tag, ok, info)
		}
		if got := tags.Describe(tag, unhex(t, "4761739001010010")); len(got) != 0 {
			t.Errorf("Describe(%s) tells %q", tag, got)
		}
	}
}

func TestDescribe(t *testing.T) {
	for _, tt := range []struct {
		tag   tlv.Tag
		value string
		want  []string
	}{
		{tags.AIP, "5980", []string{"SDA supported", "Cardholder verification is supported", "Terminal risk management is to be performed", "CDA supported", "EMV mode is supported"}},
		{tags.AIP, "0000", []string{}},
		{tags.AIP, "00", []string{"1 bytes, the standard says 2"}},
		{tags.AFL, "0801010008020201080405001002030018030300", []string{"File 1, record 1", "File 1, record 2, the first 1 for offline data authentication", "File 1, records 4 to 5", "File 2, records 2 to 3", "File 3, record 3"}},
		{tags.AFL, "080101", []string{"3 bytes, not a multiple of 4"}},
		{tags.PDOL, "9F3501DF7901", []string{"9F35 Terminal Type, 1 byte", "DF79 unknown to the dictionary, 1 byte"}},
		{tags.CDOL1, "9F0206", []string{"9F02 Amount, Authorised (Numeric), 6 bytes"}},
		{tags.CDOL1, "9F02", []string{"tlv: tag 9F02 at offset 2: length is missing"}},
		{tags.SDATagList, "82", []string{"82 Application Interchange Profile"}},
		{tags.SDATagList, "9F", []string{"tlv: offset 0: tag cut off"}},
		{tags.CVMResults, "1E0002", []string{"Signature", "Always", "Successful"}},
		{tags.CID, "80", []string{"ARQC"}},
		{tags.CID, "00", []string{"AAC"}},
		{tags.AmountAuthorised, "000000001234", []string{"1234 minor units"}},
		{tags.AmountAuthorised, "00000000123F", []string{}},
		{tags.TerminalFloorLimit, "00002710", []string{"10000 minor units"}},
		{tags.TransactionCurrencyCode, "0978", []string{"EUR"}},
		{tags.TransactionCurrencyCode, "0000", []string{"000, not in the list of currencies"}},
		{tags.TransactionCurrencyCode, "FFFF", []string{"FFFF is no currency"}},
		{tags.ApplicationReferenceCurrency, "09780840", []string{"EUR", "USD"}},
		{tags.TransactionDate, "261124", []string{"2026-11-24"}},
		{tags.TransactionTime, "235959", []string{"23:59:59"}},
		{tags.ATC, "01B6", []string{"438"}},
		{tags.PINTryCounter, "01", []string{"1 try"}},
		{tags.PINTryCounter, "03", []string{"3 tries"}},
		{tags.TransactionType, "09", []string{"Goods and services with cashback"}},
		{tags.TransactionType, "77", []string{"Transaction type 77"}},
		{tags.PointOfServiceEntryMode, "05", []string{"Chip"}},
		{tags.AccountType, "20", []string{"Cheque or debit account"}},
		{tags.AID, "A0000000041010", []string{"Mastercard"}},
		{tags.DFName, "315041592E5359532E4444463031", []string{"Payment system environment 1PAY.SYS.DDF01"}},
		{tags.TerminalAID, "D5780000021010", []string{"BankAxept"}},
		{tags.AID, "F0706179756E6974", []string{}},
		{tags.LanguagePreference, "656E6465", []string{"en, de"}},
		{tags.IssuerCodeTableIndex, "05", []string{"ISO/IEC 8859-5"}},
		{tags.ARC, "5A33", []string{"Unable to go online, offline declined"}},
		{tags.ARC, "3035", []string{"Response code 05"}},
		{tags.ApplicationLabel, "56495341", []string{"VISA"}},
		{tags.ApplicationLabel, "1B5B324A", []string{"<1B>[2J"}},
		{tags.PriorityIndicator, "81", []string{"Priority 1", "Not to be selected without the cardholder's confirmation"}},
		{tags.PriorityIndicator, "00", []string{"No priority"}},
		{tags.TerminalCountryCode, "0528", []string{"ISO 3166 number 528"}},
		{tags.LogEntry, "0B0A", []string{"File 11, 10 records"}},
		{tags.TTQ, "36B0C080", []string{"EMV mode supported", "EMV contact chip supported", "Online PIN supported", "Signature supported", "Online cryptogram required", "Offline PIN supported, contact chip", "Issuer update processing supported", "Consumer device CVM supported"}},
		{tags.CTQ, "8080", []string{"Online PIN required", "Consumer device CVM performed"}},
		{tags.CVMList, "000000000000000011", []string{"9 bytes, the standard says 10 to 252"}},
		{tags.FCITemplate, "8400", []string{}},
		{0xDF79, "00", []string{}},
	} {
		v := unhex(t, tt.value)
		if d := cmp.Diff(tt.want, tags.Describe(tt.tag, v)); d != "" {
			t.Errorf("%s %s: -want +got\n%s", tt.tag, tt.value, d)
		}
	}
}

func TestSchemes(t *testing.T) {
	for rid, want := range map[[5]byte]string{
		{0xA0, 0, 0, 0, 0x03}: "Visa", {0xA0, 0, 0, 0, 0x25}: "American Express", {0xA0, 0, 0, 0, 0x65}: "JCB",
		{0xA0, 0, 0, 0x01, 0x52}: "Discover", {0xA0, 0, 0, 0x03, 0x33}: "UnionPay", {0xA0, 0, 0, 0x06, 0x58}: "Mir",
		{0xA0, 0, 0, 0x99, 0x99}: "", {0xA0, 1, 0, 0, 0x03}: "", {}: "", {0xD5, 0x78, 0, 0, 3}: "",
	} {
		if got := tags.Scheme(rid); got != want {
			t.Errorf("%X: %q, want %q", rid, got, want)
		}
	}
}

// TestDescribeNeverPanics gives each element values of every length.
func TestDescribeNeverPanics(t *testing.T) {
	for _, info := range tags.All() {
		for n := range 41 {
			for _, fill := range []byte{0x00, 0x12, 0x9F, 0xFF} {
				v := slices.Repeat([]byte{fill}, n)
				for _, line := range tags.Describe(info.Tag, v) {
					if line == "" || strings.Contains(line, "%!") {
						t.Errorf("%s, %d bytes of %02X: %q", info.Tag, n, fill, line)
					}
				}
				tags.ExplainValue(info.Tag, v, true)
			}
		}
	}
}

func TestIAD(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		format      tags.IADFormat
		dki, cvn    byte
		cvr, rest   string
		words       []string // some of them
	}{
		{"Visa CVN 10", "06010A03A00000", tags.IADVisa, 0x01, 0x0A, "03a00000", "", []string{"Second GENERATE AC: not requested", "First GENERATE AC: ARQC", "Issuer script commands on last transaction: 0", "Cryptogram version 0A, CVN 10"}},
		{"Visa CVN 18", "06011203A00000", tags.IADVisa, 0x01, 0x12, "03a00000", "", []string{"Cryptogram version 12, CVN 18"}},
		{"Visa CVR", "06010A03A4B800", tags.IADVisa, 0x01, 0x0A, "03a4b800", "", []string{
			"Second GENERATE AC: not requested", "First GENERATE AC: ARQC", "Offline PIN verification performed", "Last online transaction not completed",
			"Exceeded velocity checking counters", "New card", "Issuer authentication failure on last online transaction",
		}},
		{"UnionPay", "07000103A0A80201", tags.IADVisa, 0x00, 0x01, "03a0a802", "01", []string{"Last online transaction not completed", "Offline dynamic data authentication performed"}},
		{"M/Chip", "0110A78005022000693800000001999300FF", tags.IADMChip, 0x01, 0x10, "a78005022000", "693800000001999300ff", []string{
			"Offline PIN verification performed", "Offline encrypted PIN verification performed", "Offline PIN verification successful", "DDA returned", "Script counter 0, PIN try counter 5", "Domestic transaction",
		}},
		{"M/Chip Advance", "0110A08001222000067500000000000000FF00000000000000FF", tags.IADMChip, 0x01, 0x10, "a08001222000", "067500000000000000ff00000000000000ff", []string{"Offline PIN verification not performed"}},
		{"M/Chip, second GENERATE AC", "0110201009248400000000000000000029FF", tags.IADMChip, 0x01, 0x10, "201009248400", "000000000000000029ff", []string{
			"Second GENERATE AC: AAC", "First GENERATE AC: ARQC", "Issuer authentication performed", "Script counter 0, PIN try counter 9",
			"Offline PIN verification not performed", "International transaction", "Lower consecutive offline limit exceeded", "Issuer authentication failed",
		}},
		{"CCD", "0FA501903021230000000000000000000F" + strings.Repeat("00", 15), tags.IADCCD, 0x01, 0xA5, "9030212300", "00000000000000000f" + strings.Repeat("00", 15), []string{
			"Second GENERATE AC: not requested", "First GENERATE AC: TC", "PIN try counter 3", "Issuer-discretionary bit 4", "Lower cumulative offline amount limit exceeded", "Issuer script commands with secure messaging processed: 2", "Go online on next transaction was set", "Unable to go online", "Counters 0000000000000000",
		}},
		{"Visa, second layout", "1F2201A000000000" + strings.Repeat("00", 24), tags.IADVisa2, 0x01, 0x22, "a000000000", strings.Repeat("00", 24), []string{"Cryptogram version 22", "Card verification results A000000000"}},
		{"an issuer's own", "0102030405", tags.IADUnknown, 0, 0, "", "0102030405", nil},
		{"empty", "", tags.IADUnknown, 0, 0, "", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tags.ParseIAD(unhex(t, tt.value))
			if d.Format != tt.format || d.KeyIndex != tt.dki || d.Version != tt.cvn || hex.EncodeToString(d.CVR) != tt.cvr || hex.EncodeToString(d.Rest) != tt.rest {
				t.Errorf("%+v", d)
			}
			words := d.Describe()
			for _, w := range tt.words {
				if !slices.Contains(words, w) {
					t.Errorf("%q is not said: %q", w, words)
				}
			}
			if tt.format == tags.IADUnknown && (len(words) > 1 || len(words) == 1 && words[0] != "A layout of the issuer's own") {
				t.Errorf("words for an unknown layout: %q", words)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	record := tlv.Append(nil, 0x70, slices.Concat(
		tlv.Append(nil, tags.PAN, unhex(t, "4761739001010010")),
		tlv.Append(nil, tags.Track2, unhex(t, "4761739001010010D31122011143804400000F")),
		tlv.Append(nil, tags.CardholderName, []byte("DOE/JANE")),
		tlv.Append(nil, tags.AUC, unhex(t, "FF80")),
		tlv.Append(nil, 0xDF79, unhex(t, "0047617390010100 10"+"00")),
		tlv.Append(nil, 0xDF78, []byte("4761739001010010")),
		tlv.Append(nil, 0xDF77, unhex(t, "0000000000000000")),
		tlv.Append(nil, tags.TransactionPIN, unhex(t, "1234")),
	))
	nodes, err := tags.Explain(record, false)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(nodes)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"4761739001010010", "47617390010100", "3437363137333930", "DOE/JANE", hex.EncodeToString([]byte("DOE/JANE")), "1143804400000", "1234"} {
		if strings.Contains(string(out), secret) || strings.Contains(string(out), strings.ToUpper(secret)) {
			t.Errorf("%s is in %s", secret, out)
		}
	}
	for _, shown := range []string{`"476173******0010"`, `"476173******0010 and the rest of the track, hidden"`, `"[8 bytes, hidden]"`, `"FF80"`, `"0000000000000000"`} {
		if !strings.Contains(string(out), shown) {
			t.Errorf("%s is not in %s", shown, out)
		}
	}
	nodes, err = tags.Explain(record, true)
	if err != nil {
		t.Fatal(err)
	}
	out, err = json.Marshal(nodes)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), `"4761739001010010"`) || !strings.Contains(string(out), "DOE/JANE") {
		t.Errorf("revealed: %s", out)
	}
	if strings.Contains(string(out), `"1234"`) {
		t.Error("a PIN is shown")
	}
}

func TestExplainTree(t *testing.T) {
	nodes, err := tags.Explain(unhex(t, "6F09 8407A0000000031010 A500 9A03"), false)
	var e *tlv.Error
	if !errors.As(err, &e) || e.Offset != 14 {
		t.Errorf("%v", err)
	}
	want := []tags.Node{
		{Tag: "6F", Name: "File Control Information Template", Format: "var", Source: "card", Length: 9, Children: []tags.Node{
			{Tag: "84", Name: "Dedicated File Name", Format: "b", Source: "card", Offset: 2, Length: 7, Value: "A0000000031010", Meaning: []string{"Visa"}},
		}},
		{Tag: "A5", Name: "File Control Information Proprietary Template", Format: "var", Source: "card", Offset: 11, Children: []tags.Node{}},
	}
	if d := cmp.Diff(want, nodes); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	deep := []byte{0x9A, 0}
	for range 20 {
		deep = tlv.Append(nil, 0x70, deep)
	}
	if _, err := tags.Explain(deep, true); !errors.Is(err, tlv.ErrMalformed) {
		t.Errorf("20 levels: %v", err)
	}
}
