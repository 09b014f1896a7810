package tags_test

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// annexA are the tags of EMV 4.4 Book 3, Annex A2, in its order.
const annexA = `42 4F 50 57 5A 5F20 5F24 5F25 5F28 5F2A 5F2D 5F30 5F34 5F36 5F50 5F53 5F54 5F55 5F56 5F57
61 6F 70 71 72 73 77 7F60 80 81 82 83 84 86 87 88 89 8A 8C 8D 8E 8F 90 91 92 93 94 95 97 98 99 9A 9B 9C 9D
9F01 9F02 9F03 9F04 9F05 9F06 9F07 9F08 9F09 9F0A 9F0B 9F0C 9F0D 9F0E 9F0F 9F10 9F11 9F12 9F13 9F14 9F15 9F16
9F17 9F18 9F19 9F1A 9F1B 9F1C 9F1D 9F1E 9F1F 9F20 9F21 9F22 9F23 9F24 9F25 9F26 9F27 9F2D 9F2E 9F2F 9F30 9F31
9F32 9F33 9F34 9F35 9F36 9F37 9F38 9F39 9F3A 9F3B 9F3C 9F3D 9F40 9F41 9F42 9F43 9F44 9F45 9F46 9F47 9F48 9F49
9F4A 9F4B 9F4C 9F4D 9F4E 9F4F A1 A5 BF0C BF4A BF4B BF4C BF4D BF4E DF50 DF51 DF52 DF53 DF54`

// contactless are tags that the kernels' books and the schemes have in common use.
const contactless = `56 9E 9F29 9F2A 9F2B 9F2C 9F50 9F51 9F52 9F53 9F54 9F5A 9F5B 9F5C 9F5D 9F5E 9F5F 9F60 9F61 9F62 9F63 9F64 9F65 9F66
9F67 9F68 9F69 9F6A 9F6B 9F6C 9F6D 9F6E 9F6F 9F70 9F74 9F75 9F79 9F7C 9F7D 9F7E 9F7F DF4B DF60 DF61 DF62 DF63 DF8104 DF8105
DF8115 DF8116 DF811B DF8120 DF8121 DF8122 DF8123 DF8124 DF8125 DF8126 DF8129 DF8302 FF8105 FF8106 9F8102 9F8104 9F8105 9F8109 9F8210 BF8102`

func TestEveryTagOfTheBooks(t *testing.T) {
	for _, list := range []struct {
		text string
		n    int
		book string
	}{{annexA, 140, "EMV 4.4 Book"}, {contactless, 60, ""}} {
		names := strings.Fields(list.text)
		if len(names) < list.n {
			t.Errorf("%d tags, want %d", len(names), list.n)
		}
		for _, name := range names {
			tag, _, err := tlv.ParseTag(unhex(t, name))
			if err != nil {
				t.Fatal(err)
			}
			info, ok := tags.Lookup(tag)
			if !ok || info.Name == "" || !strings.Contains(info.Book, list.book) {
				t.Errorf("%s: %+v, %v", name, info, ok)
			}
		}
	}
}

// TestBiometricTemplates: the same tag, said by where it stands.
func TestBiometricTemplates(t *testing.T) {
	for in, want := range map[string][]string{
		"BF4C0ADF500103DF5101050000":                    {"Facial Try Counter", "Finger Try Counter"},
		"BF4D04DF540102":                                {"Preferred Voice Attempts"},
		"7F600CA10A810108820101900200 01":               {"Biometric Type", "Biometric Subtype", "Biometric Solution ID"},
		"BF4E12 810108 DF500411223344 DF5205AABBCCDDEE": {"Biometric Type", "Enciphered Biometric Key Seed", "MAC of Enciphered Biometric Data"},
	} {
		nodes, err := tags.Explain(unhex(t, in), false)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		var got []string
		var walk func([]tags.Node)
		walk = func(list []tags.Node) {
			for _, n := range list {
				if len(n.Children) == 0 {
					got = append(got, n.Name)
					if strings.HasPrefix(n.Name, "Enciphered") && !n.Hidden {
						t.Errorf("%s is shown", n.Name)
					}
				}
				walk(n.Children)
			}
		}
		walk(nodes)
		if strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	nodes, err := tags.Explain(unhex(t, "810400000001"), false)
	if err != nil || nodes[0].Name != "Amount, Authorised (Binary)" {
		t.Errorf("outside: %+v, %v", nodes, err)
	}
}
