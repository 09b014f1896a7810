package acquirer

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// TestExplainHidesWhereItKnowsNothing: a PAN or a track that stands where no
// definition says that it does is hidden too.
func TestExplainHidesWhereItKnowsNothing(t *testing.T) {
	const pan, track = "4761739001010010", "4761739001010010D31122011143804400000"
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	icc := &Element{Number: 55, Class: B, Prefix: 3, Length: 999, Member: MemberICC}
	free := &Element{Number: 48, Class: ANS, Prefix: 3, Length: 999}
	bytes := &Element{Number: 96, Class: B, Prefix: 3, Length: 999}
	for name, c := range map[string]struct {
		def *Element
		v   []byte
	}{
		"field 55 that begins with a tag of its own": {icc, unhex("DF0101AA5A08" + pan)},
		"field 55 in ASCII":                          {icc, []byte("PAN " + pan)},
		"field 55 with track 2":                      {icc, unhex("DF01125713" + track + "F")},
		"bytes in BCD":                               {bytes, unhex("00" + pan)},
		"bytes in ASCII":                             {bytes, []byte(pan)},
		"behind its length":                          {free, []byte("00016" + pan)},
		"before an expiry":                           {free, []byte(pan + "3112")},
		"a track in text":                            {free, []byte(strings.Replace(track, "D", "=", 1))},
	} {
		shown := masked(c.def, c.v)
		for _, secret := range []string{pan, hex.EncodeToString([]byte(pan)), track[17:]} {
			if strings.Contains(strings.ToLower(shown), strings.ToLower(secret)) {
				t.Errorf("%s: %s", name, shown)
			}
		}
	}
	tags := fmt.Sprint(explainTags(unhex("9F26081122334455667788" + "DF0208" + pan + "DF0310" + hex.EncodeToString([]byte(pan)) + "DF0403AABBCC")))
	if strings.Contains(tags, pan) || strings.Contains(tags, hex.EncodeToString([]byte(pan))) {
		t.Errorf("objects that nobody knows: %s", tags)
	}
	for _, open := range []string{"1122334455667788", "AABBCC"} {
		if !strings.Contains(tags, open) {
			t.Errorf("%s is hidden: %s", open, tags)
		}
	}
	if got := masked(free, []byte("12345678901 ok")); got != "12345678901 ok" {
		t.Errorf("a short number is hidden: %s", got)
	}
}
