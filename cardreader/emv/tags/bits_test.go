package tags_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// TestTVRBits is Book 3, C5: each named bit with its byte and bit as the table
// numbers them, from 1 and from 8 downwards, and the words that it has.
func TestTVRBits(t *testing.T) {
	for _, tt := range []struct {
		bit       tags.TVRBit
		index, at int
		words     string
	}{
		{tags.TVRODANotPerformed, 1, 8, "Offline data authentication was not performed"},
		{tags.TVRSDAFailed, 1, 7, "SDA failed"},
		{tags.TVRICCDataMissing, 1, 6, "ICC data missing"},
		{tags.TVRExceptionFile, 1, 5, "Card appears on terminal exception file"},
		{tags.TVRDDAFailed, 1, 4, "DDA failed"},
		{tags.TVRCDAFailed, 1, 3, "CDA failed"},
		{tags.TVRSDASelected, 1, 2, "SDA selected"},
		{tags.TVRXDASelected, 1, 1, "XDA selected"},
		{tags.TVRXDAFailed, 4, 1, "XDA signature verification failed"},
		{tags.TVRECKeyMissing, 5, 3, "CA ECC key missing"},
		{tags.TVRECRecoveryFailed, 5, 2, "ECC key recovery failed"},
		{tags.TVRVersionsDiffer, 2, 8, "ICC and terminal have different application versions"},
		{tags.TVRExpired, 2, 7, "Expired application"},
		{tags.TVRNotYetEffective, 2, 6, "Application not yet effective"},
		{tags.TVRServiceNotAllowed, 2, 5, "Requested service not allowed for card product"},
		{tags.TVRNewCard, 2, 4, "New card"},
		{tags.TVRCVMFailed, 3, 8, "Cardholder verification was not successful"},
		{tags.TVRUnrecognisedCVM, 3, 7, "Unrecognised CVM"},
		{tags.TVRPINTryLimitExceeded, 3, 6, "PIN Try Limit exceeded"},
		{tags.TVRPINPadAbsent, 3, 5, "PIN entry required and PIN pad not present or not working"},
		{tags.TVRPINNotEntered, 3, 4, "PIN entry required, PIN pad present, but PIN was not entered"},
		{tags.TVROnlinePINEntered, 3, 3, "Online PIN entered"},
		{tags.TVRFloorLimitExceeded, 4, 8, "Transaction exceeds floor limit"},
		{tags.TVRLowerConsecutiveLimit, 4, 7, "Lower consecutive offline limit exceeded"},
		{tags.TVRUpperConsecutiveLimit, 4, 6, "Upper consecutive offline limit exceeded"},
		{tags.TVRRandomlySelected, 4, 5, "Transaction selected randomly for online processing"},
		{tags.TVRMerchantForcedOnline, 4, 4, "Merchant forced transaction online"},
		{tags.TVRDefaultTDOL, 5, 8, "Default TDOL used"},
		{tags.TVRIssuerAuthFailed, 5, 7, "Issuer authentication failed"},
		{tags.TVRScriptFailedBefore, 5, 6, "Script processing failed before final GENERATE AC"},
		{tags.TVRScriptFailedAfter, 5, 5, "Script processing failed after final GENERATE AC"},
	} {
		var v, want tags.TVRValue
		want[tt.index-1] = 1 << (tt.at - 1)
		v.Set(tt.bit)
		if v != want || !v.Has(tt.bit) {
			t.Errorf("%s: %s, want %s", tt.words, v, want)
		}
		if d := cmp.Diff([]string{tt.words}, v.Describe()); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
		if !v.Matches(want) || v.Matches([5]byte{}) {
			t.Errorf("%s: Matches", tt.words)
		}
		v.Clear(tt.bit)
		if v != (tags.TVRValue{}) || v.Has(tt.bit) {
			t.Errorf("%s: not cleared: %s", tt.words, v)
		}
	}
	// A bit outside the TVR is none.
	var v tags.TVRValue
	v.Set(0x0580)
	v.Clear(0x0580)
	if v != (tags.TVRValue{}) || v.Has(0x0580) || v.String() != "0000000000" {
		t.Errorf("%s", v)
	}
}

// bitwise describes a value of n bytes.
type bitwise struct {
	name     string
	n        int
	reserved string // the bits without a meaning, in hex
	describe func([]byte) []string
}

func coded() []bitwise {
	return []bitwise{
		{"TVR", 5, "0004000001", func(b []byte) []string { return tags.TVRValue(b).Describe() }},
		{"TSI", 2, "03FF", func(b []byte) []string { return tags.TSIValue(b).Describe() }},
		{"AIP", 2, "001E", func(b []byte) []string { return tags.AIPValue(b).Describe() }},
		{"AUC", 2, "003F", func(b []byte) []string { return tags.AUCValue(b).Describe() }},
		{"terminal capabilities", 3, "1F0013", func(b []byte) []string { return tags.CapabilitiesValue(b).Describe() }},
		{"additional terminal capabilities", 5, "007F0F0C00", func(b []byte) []string { return tags.AdditionalCapabilitiesValue(b).Describe() }},
		{"TTQ", 4, "401F3FFF", func(b []byte) []string { return tags.Describe(tags.TTQ, b) }},
		{"CTQ", 2, "013F", func(b []byte) []string { return tags.Describe(tags.CTQ, b) }},
	}
}

// TestEveryBitHasOneMeaning sets bit after bit: those that are reserved say
// nothing, each other one says something, once.
func TestEveryBitHasOneMeaning(t *testing.T) {
	for _, c := range coded() {
		t.Run(c.name, func(t *testing.T) {
			seen := map[string]bool{}
			reserved := unhex(t, c.reserved)
			for i := range c.n {
				for mask := 0x80; mask > 0; mask >>= 1 {
					v := make([]byte, c.n)
					v[i] = byte(mask)
					words := c.describe(v)
					want := 1
					if reserved[i]&byte(mask) != 0 {
						want = 0
					}
					if len(words) != want {
						t.Errorf("byte %d, %02X: %q, want %d", i+1, mask, words, want)
					}
					for _, w := range words {
						if seen[w] {
							t.Errorf("byte %d, %02X: %q is another bit's", i+1, mask, w)
						}
						seen[w] = true
					}
				}
			}
			all := c.describe(unhex(t, strings.Repeat("FF", c.n)))
			if len(all) != len(seen) {
				t.Errorf("all bits: %d lines, want %d", len(all), len(seen))
			}
		})
	}
}

func TestTSI(t *testing.T) {
	var v tags.TSIValue
	for _, bit := range []byte{tags.TSIODAPerformed, tags.TSICVMPerformed, tags.TSICardRiskPerformed, tags.TSIIssuerAuthPerformed, tags.TSIRiskPerformed, tags.TSIScriptPerformed} {
		if v.Has(bit) {
			t.Errorf("%02X is set", bit)
		}
		v.Set(bit)
		if !v.Has(bit) {
			t.Errorf("%02X is not set", bit)
		}
	}
	if v.String() != "FC00" || len(v.Describe()) != 6 {
		t.Errorf("%s: %q", v, v.Describe())
	}
}

func TestProfile(t *testing.T) {
	aip := tags.AIPValue{0x1C, 0}
	if !aip.Has(tags.AIPCVM) || !aip.Has(tags.AIPRisk) || !aip.Has(tags.AIPIssuerAuth) || aip.Has(tags.AIPDDA) || aip.String() != "1C00" {
		t.Errorf("%s: %q", aip, aip.Describe())
	}
	capabilities := tags.CapabilitiesValue{0xE0, 0xB8, 0xC8}
	if !capabilities.CVM(tags.CapPlaintextPIN) || capabilities.CVM(tags.CapOnlinePIN) || !capabilities.Security(tags.CapCDA) || capabilities.Security(tags.CapCardCapture) || capabilities.String() != "E0B8C8" {
		t.Errorf("%s: %q", capabilities, capabilities.Describe())
	}
	add := tags.AdditionalCapabilitiesValue{0xF0}
	if !add.Has(tags.AddCash) || !add.Has(tags.AddCashback) || add.String() != "F000000000" {
		t.Errorf("%s", add)
	}
	if s := (tags.AUCValue{0xFF, 0x80}).String(); s != "FF80" {
		t.Error(s)
	}
	words := (tags.AUCValue{0xFF, 0x80}).Describe()
	if len(words) != 9 || words[0] != "Valid for domestic cash transactions" || words[8] != "Domestic cashback allowed" {
		t.Errorf("%q", words)
	}
}

func TestTerminalType(t *testing.T) {
	for v, want := range map[tags.TerminalTypeValue]struct {
		onlineOnly, offlineOnly, attended bool
		words                             []string
	}{
		0x11: {true, false, true, []string{"Operated by a financial institution", "attended, online only"}},
		0x22: {false, false, true, []string{"Operated by a merchant", "attended, offline with online capability"}},
		0x23: {false, true, true, []string{"Operated by a merchant", "attended, offline only"}},
		0x24: {true, false, false, []string{"Operated by a merchant", "unattended, online only"}},
		0x25: {false, false, false, []string{"Operated by a merchant", "unattended, offline with online capability"}},
		0x36: {false, true, false, []string{"Operated by the cardholder", "unattended, offline only"}},
		0x00: {false, false, false, []string{}},
		0x47: {false, false, false, []string{}},
	} {
		if v.OnlineOnly() != want.onlineOnly || v.OfflineOnly() != want.offlineOnly || v.Attended() != want.attended {
			t.Errorf("%02X: online only %v, offline only %v, attended %v", byte(v), v.OnlineOnly(), v.OfflineOnly(), v.Attended())
		}
		if d := cmp.Diff(want.words, v.Describe()); d != "" {
			t.Errorf("%02X: -want +got\n%s", byte(v), d)
		}
	}
}

func TestCID(t *testing.T) {
	for v, want := range map[tags.CIDValue][]string{
		0x00: {"AAC"}, 0x40: {"TC"}, 0x80: {"ARQC"}, 0xC0: {"RFU"}, 0x48: {"TC", "Advice required"},
		0x01: {"AAC", "Service not allowed"}, 0x8A: {"ARQC", "Advice required", "PIN Try Limit exceeded"},
		0x03: {"AAC", "Issuer authentication failed"}, 0x30: {"AAC"},
	} {
		if d := cmp.Diff(want, v.Describe()); d != "" {
			t.Errorf("%02X: -want +got\n%s", byte(v), d)
		}
	}
	if tags.CIDValue(0x4F).Cryptogram() != tags.TC || !tags.CIDValue(0x08).AdviceRequired() || tags.CIDValue(0x40).AdviceRequired() {
		t.Error("CID 4F, 08 and 40")
	}
}

func TestCVMList(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  tags.CVMListValue
		words []string
	}{
		{"000000C80000000002071E00", tags.CVMListValue{X: 200, Rules: []tags.CVMRule{{0x02, 0x07}, {0x1E, 0x00}}}, []string{
			"Enciphered PIN verified online; If transaction is in the application currency and is over X value; if unsuccessful: fail",
			"Signature; Always; if unsuccessful: fail",
		}},
		{"000186A0000003E84201", tags.CVMListValue{X: 100000, Y: 1000, Rules: []tags.CVMRule{{0x42, 0x01}}}, []string{
			"Enciphered PIN verified online; If unattended cash; if unsuccessful: next",
		}},
		{"000000000000000042031E03", tags.CVMListValue{Rules: []tags.CVMRule{{0x42, 0x03}, {0x1E, 0x03}}}, []string{
			"Enciphered PIN verified online; If terminal supports the CVM; if unsuccessful: next",
			"Signature; If terminal supports the CVM; if unsuccessful: fail",
		}},
		{"0000000000000000", tags.CVMListValue{}, []string{}},
		{"000000000000000046104720", tags.CVMListValue{Rules: []tags.CVMRule{{0x46, 0x10}, {0x47, 0x20}}}, []string{
			"Facial biometric verified offline; Condition 10; if unsuccessful: next",
			"Facial biometric verified online; Condition 20; if unsuccessful: next",
		}},
	} {
		got, err := tags.ParseCVMList(unhex(t, tt.value))
		if err != nil {
			t.Fatalf("%s: %v", tt.value, err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.value, d)
		}
		if d := cmp.Diff(tt.words, got.Describe()); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.value, d)
		}
	}
	for _, bad := range []string{"", "00000000000000", "000000000000000011"} {
		if _, err := tags.ParseCVMList(unhex(t, bad)); !errors.Is(err, tags.ErrCVMList) {
			t.Errorf("%s: %v, want ErrCVMList", bad, err)
		}
	}
}

func TestCVMWords(t *testing.T) {
	seen := map[string]bool{}
	for c := range 0x40 {
		w := tags.CVM(c).String()
		// One text stands for PIN and signature, whichever way the PIN goes in.
		if w == "" || seen[w] {
			t.Errorf("CVM %02X: %q", c, w)
		}
		seen[w] = true
	}
	for c := range 0x0A {
		if w := tags.CVMCondition(c).String(); w == "" || strings.HasPrefix(w, "Condition") {
			t.Errorf("condition %02X: %q", c, w)
		}
	}
	if got := tags.CVM(0x5E); got.Method() != tags.CVMSignature || !got.ContinueOnFailure() {
		t.Errorf("5E: %v", got)
	}
	if got := (tags.CVMResultsValue{0x3F, 0x00, 0x07}).Describe(); got[0] != "No CVM performed" || got[2] != "result 07" {
		t.Errorf("%q", got)
	}
	if got := (tags.CVMResultsValue{0x1F, 0x03, 0x01}); got.String() != "1F0301" || got.CVM() != tags.CVMNone || got.Describe()[2] != "Failed" {
		t.Errorf("%v", got)
	}
	if got := (tags.CVMResultsValue{0x5E, 0, 0}).Describe()[2]; got != "Unknown" {
		t.Errorf("%q", got)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add(unhex(f, "6F168407A0000000031010A50B500956495341205445535"+"4"), false)
	f.Add(unhex(f, "70128E100000000000000000410342031E031F02"), true)
	f.Add(unhex(f, "9F10120110A04000220000000000000000000000FF"), true)
	f.Add(unhex(f, "FF8106039A0101"), false)
	f.Fuzz(func(t *testing.T, in []byte, reveal bool) {
		nodes, err := tags.Explain(in, reveal)
		if err == nil {
			for _, n := range nodes {
				if n.Offset < 0 || n.Offset+n.Length > len(in) {
					t.Fatalf("%+v in %d bytes", n, len(in))
				}
			}
		}
	})
}
