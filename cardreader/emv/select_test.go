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

const otherAID = "A0000000041010"

// entry is a directory record's application template.
func entry(aid, label string, more string) []byte {
	b := tlv.Append(nil, tags.AID, bin(aid))
	b = tlv.Append(b, tags.ApplicationLabel, []byte(label))
	return tlv.Append(nil, tags.ApplicationTemplate, append(b, bin(more)...))
}

func record(entries ...[]byte) string {
	var b []byte
	for _, e := range entries {
		b = append(b, e...)
	}
	return hex.EncodeToString(tlv.Append(nil, tags.RecordTemplate, b))
}

// chooser keeps the list that it is shown.
type chooser struct {
	pick int
	err  error
	list []emv.Candidate
}

func (c *chooser) Choose(_ context.Context, list []emv.Candidate) (int, error) {
	c.list = append([]emv.Candidate(nil), list...)
	return c.pick, c.err
}

// TestSelection compares the commands up to GET PROCESSING OPTIONS, and the
// application that was used.
func TestSelection(t *testing.T) {
	two := func(b *bench) {
		b.term.Applications = append(b.term.Applications, b.term.Applications[0])
		b.term.Applications[1].AID = bin(otherAID)
	}
	long1, long2 := testAID+"01", testAID+"02"
	const dir = "1PAY.SYS.DDF01"
	type result struct {
		Commands []string
		Name     string
		Shown    []string
		Err      error
	}
	for name, c := range map[string]struct {
		setup func(*bench)
		pick  int
		err   error
		want  result
	}{
		"list of AIDs": {
			want: result{Commands: []string{dir, testAID, testAID, "GPO"}, Name: "TEST"},
		},
		"card blocked": {
			setup: func(b *bench) { b.card.select_ = map[string]string{"315041592E5359532E4444463031": "6A81"} },
			want:  result{Commands: []string{dir}, Err: emv.ErrCardBlocked},
		},
		"card blocked, no directory": {
			setup: func(b *bench) { b.card.select_ = map[string]string{testAID: "6A81"} },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrCardBlocked},
		},
		"nothing in common": {
			setup: func(b *bench) { b.card.select_ = nil },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"application blocked": {
			setup: func(b *bench) { b.card.select_ = map[string]string{testAID: "6283"} },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNotUsable},
		},
		"application blocked, with its description": {
			setup: func(b *bench) { b.card.select_ = map[string]string{testAID: fci(testAID, "") + "|6283"} },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNotUsable},
		},
		"a blocked longer name, then a good one": {
			setup: func(b *bench) {
				b.card.select_ = map[string]string{testAID: fci(long1, "") + "|6283", testAID + "+": fci(long2, ""), long2: fci(long2, "")}
			},
			want: result{Commands: []string{dir, testAID, testAID + "+", testAID + "+", long2, "GPO"}, Name: "TEST"},
		},
		"directory": {
			setup: func(b *bench) { b.card.pse = []string{record(entry(testAID, "FROM DIR", ""))} },
			want:  result{Commands: []string{dir, "record 1", "record 2", testAID, "GPO"}, Name: "TEST"},
		},
		"directory with two applications in a record, both of the terminal": {
			setup: func(b *bench) {
				two(b)
				b.card.pse = []string{record(entry(otherAID, "TWO", "870102"), entry(testAID, "ONE", "870101"))}
			},
			want: result{Commands: []string{dir, "record 1", "record 2", testAID, "GPO"}, Name: "TEST", Shown: []string{"ONE", "TWO"}},
		},
		"second record": {
			setup: func(b *bench) {
				b.card.pse = []string{record(entry("A0000000999999", "ALIEN", "")), record(entry(testAID, "ONE", ""))}
			},
			want: result{Commands: []string{dir, "record 1", "record 2", "record 3", testAID, "GPO"}, Name: "TEST"},
		},
		"directory without anything for the terminal": {
			setup: func(b *bench) { b.card.pse = []string{record(entry("A0000000999999", "ALIEN", ""))} },
			want:  result{Commands: []string{dir, "record 1", "record 2", testAID, testAID, "GPO"}, Name: "TEST"},
		},
		"empty directory": {
			setup: func(b *bench) { b.card.pse = []string{} },
			want:  result{Commands: []string{dir, "record 1", testAID, testAID, "GPO"}, Name: "TEST"},
		},
		"malformed directory": {
			setup: func(b *bench) { b.card.pse = []string{record(entry(testAID, "ONE", "")), "7004610250FF"} },
			want:  result{Commands: []string{dir, "record 1", "record 2", testAID, testAID, "GPO"}, Name: "TEST"},
		},
		"what is no application is passed over": {
			setup: func(b *bench) {
				b.card.pse = []string{record(bin("7300"), bin("6108 9D05A000000003 00"), entry(testAID, "ONE", ""))}
			},
			want: result{Commands: []string{dir, "record 1", "record 2", testAID, "GPO"}, Name: "TEST"},
		},
		"partial names": {
			setup: func(b *bench) {
				b.card.select_ = map[string]string{
					testAID: fci(long1, "870102"), testAID + "+": fci(long2, "870101"),
					long1: fci(long1, ""), long2: fci(long2, ""),
				}
			},
			want: result{Commands: []string{dir, testAID, testAID + "+", testAID + "+", long2, "GPO"}, Name: "TEST", Shown: []string{"TEST", "TEST"}},
		},
		"partial names not wanted": {
			setup: func(b *bench) {
				b.app().Partial = false
				b.card.select_ = map[string]string{testAID: fci(long1, ""), testAID + "+": "6A82"}
			},
			want: result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"a longer name, then the exact one": {
			setup: func(b *bench) {
				b.app().Partial = false
				b.card.select_ = map[string]string{testAID: fci(long1, ""), testAID + "+": fci(testAID, "")}
			},
			// Step 6 of Book 1, 12.3.3: no next one is asked for.
			want: result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"another warning than blocked": {
			setup: func(b *bench) {
				b.card.select_ = map[string]string{testAID: fci(long1, "") + "|6285", testAID + "+": fci(long2, ""), long2: fci(long2, "")}
			},
			want: result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"another warning of a next one": {
			setup: func(b *bench) {
				b.card.select_ = map[string]string{testAID: fci(long1, ""), testAID + "+": fci(long2, "") + "|6285", long1: fci(long1, "")}
			},
			want: result{Commands: []string{dir, testAID, testAID + "+", testAID + "+", long1, "GPO"}, Name: "TEST"},
		},
		"a card that knows no next": {
			setup: func(b *bench) {
				b.card.select_ = map[string]string{testAID: fci(long1, ""), testAID + "+": fci(long1, ""), long1: fci(long1, "")}
			},
			want: result{Commands: []string{dir, testAID, testAID + "+", long1, "GPO"}, Name: "TEST"},
		},
		"one application that asks to be confirmed": {
			setup: func(b *bench) { b.card.select_[testAID] = fci(testAID, "870181") },
			want:  result{Commands: []string{dir, testAID, testAID, "GPO"}, Name: "TEST", Shown: []string{"TEST"}},
		},
		"not confirmed": {
			setup: func(b *bench) { b.card.select_[testAID] = fci(testAID, "870181") },
			err:   emv.ErrCancelled,
			want:  result{Commands: []string{dir, testAID}, Shown: []string{"TEST"}, Err: emv.ErrCancelled},
		},
		"the cardholder takes the second": {
			setup: func(b *bench) {
				two(b)
				b.card.select_[otherAID] = fci(otherAID, "9F1101019F1204"+hex.EncodeToString([]byte("Oth\xE9")))
			},
			pick: 1,
			want: result{Commands: []string{dir, testAID, otherAID, otherAID, "GPO"}, Name: "Othé", Shown: []string{"TEST", "Othé"}},
		},
		"GPO refused: the other application": {
			setup: func(b *bench) {
				two(b)
				b.card.select_[otherAID] = fci(otherAID, "")
				b.card.transport = func(n int, c apdu.Command) error {
					b.card.gpo = ""
					if c.INS == apdu.INSGetProcessingOptions && len(b.card.sent(c.INS)) == 1 {
						b.card.gpo = "6985"
					}
					return nil
				}
			},
			want: result{Commands: []string{dir, testAID, otherAID, testAID, "GPO", otherAID, "GPO"}, Name: "TEST", Shown: []string{"TEST"}},
		},
		"GPO refused: none left": {
			setup: func(b *bench) { b.card.gpo = "6985" },
			want:  result{Commands: []string{dir, testAID, testAID, "GPO"}, Err: emv.ErrNotUsable},
		},
		"FCI without its name drops its application": {
			setup: func(b *bench) {
				two(b)
				b.card.pse = []string{record(entry(testAID, "ONE", "870101"), entry(otherAID, "TWO", "870102"))}
				b.card.select_ = map[string]string{testAID: "6F09A50750055445535431", otherAID: fci(otherAID, "")}
			},
			want: result{Commands: []string{dir, "record 1", "record 2", testAID, otherAID, "GPO"}, Name: "TEST", Shown: []string{"TWO"}},
		},
		"PDOL malformed, the final time": {
			setup: func(b *bench) {
				b.card.pse = []string{record(entry(testAID, "ONE", ""))}
				b.card.select_[testAID] = fci(testAID, "9F38029F37")
			},
			want: result{Commands: []string{dir, "record 1", "record 2", testAID}, Err: emv.ErrNotUsable},
		},
		"PDOL given twice": {
			setup: func(b *bench) { b.card.select_[testAID] = fci(testAID, "9F38039F3704 9F38039F3704") },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"PDOL of 253 bytes": {
			setup: func(b *bench) { b.card.select_[testAID] = fci(testAID, "9F38039F37FD") },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"PDOL of 252 bytes": {
			setup: func(b *bench) { b.card.select_[testAID] = fci(testAID, "9F38039F37FC") },
			want:  result{Commands: []string{dir, testAID, testAID, "GPO"}, Name: "TEST"},
		},
		"priority of two bytes": {
			setup: func(b *bench) { b.card.select_[testAID] = fci(testAID, "87020101") },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"priority given twice": {
			setup: func(b *bench) { b.card.select_[testAID] = fci(testAID, "870101870102") },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"FCI without a proprietary template": {
			setup: func(b *bench) { b.card.select_[testAID] = "6F098407A0000000031010" },
			want:  result{Commands: []string{dir, testAID}, Err: emv.ErrNoApplication},
		},
		"another name than the one selected": {
			setup: func(b *bench) {
				b.card.pse = []string{record(entry(testAID, "ONE", ""))}
				b.card.select_[testAID] = fci(otherAID, "")
			},
			want: result{Commands: []string{dir, "record 1", "record 2", testAID}, Err: emv.ErrNotUsable},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.setup != nil {
				c.setup(b)
			}
			ch := &chooser{pick: c.pick, err: c.err}
			b.alter = func(k *emv.Config) { k.Chooser = ch }
			s, err := b.start()
			var got result
			if err == nil {
				got.Name = s.Outcome().Name()
				s.Close()
			}
			for _, known := range []error{emv.ErrCardBlocked, emv.ErrNotUsable, emv.ErrNoApplication, emv.ErrCancelled} {
				if errors.Is(err, known) {
					got.Err, err = known, nil
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range ch.list {
				got.Shown = append(got.Shown, x.Name())
			}
			for _, x := range b.card.log {
				switch {
				case x.INS == apdu.INSSelect && string(x.Data) == dir:
					got.Commands = append(got.Commands, dir)
				case x.INS == apdu.INSSelect:
					got.Commands = append(got.Commands, fmt.Sprintf("%X", x.Data)+map[byte]string{2: "+"}[x.P2])
				case x.INS == apdu.INSGetProcessingOptions:
					got.Commands = append(got.Commands, "GPO")
				case x.INS == apdu.INSReadRecord && x.P2>>3 == 1:
					got.Commands = append(got.Commands, fmt.Sprintf("record %d", x.P1))
				}
			}
			if d := cmp.Diff(c.want, got, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) || errors.Is(b, a) })); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestCandidate checks what the cardholder is shown of one.
func TestCandidate(t *testing.T) {
	b := newBench(t)
	b.card.pse = []string{record(entry(testAID, "LABEL\x1b[2J", "9F1204"+"C4E9FF41"+"870183"))}
	ch := &chooser{}
	b.alter = func(k *emv.Config) { k.Chooser = ch }
	b.must()
	want := []emv.Candidate{{AID: bin(testAID), Label: "LABEL[2J", PreferredName: "ÄéÿA", CodeTable: 1, Priority: 3, Confirm: true, Languages: []string{"en"}}}
	if d := cmp.Diff(want, ch.list); d != "" {
		t.Error(d)
	}
	// A terminal without the code table shows the label.
	b = newBench(t)
	b.term.Additional[4] = 0
	b.card.pse = []string{record(entry(testAID, "LABEL", "9F1204"+"C4E9FF41"+"870183"))}
	b.alter = func(k *emv.Config) { k.Chooser = ch }
	b.must()
	if got := ch.list[0]; got.Name() != "LABEL" || got.PreferredName != "" {
		t.Errorf("shows %q", got.Name())
	}
}

// TestFinalDescription: what the selected application says of itself counts, and
// what only the directory says stays.
func TestFinalDescription(t *testing.T) {
	for more, want := range map[string][3]string{
		"":                      {"LABEL", "Ä", "en"},
		"5004" + "4E414D45":     {"NAME", "Ä", "en"},
		"9F1201" + "D6":         {"LABEL", "Ö", "en"},
		"5F2D04" + "64656672":   {"LABEL", "Ä", "de fr"},
		"5000" + "9F1200":       {"LABEL", "Ä", "en"},
		"9F110109" + "9F1201D6": {"LABEL", "", "en"},
	} {
		b := newBench(t)
		b.card.pse = []string{record(entry(testAID, "LABEL", "9F1201C4"))}
		b.card.select_[testAID] = strings.ReplaceAll(fci(testAID, more), "500454455354", "9F4C03010101")
		s := b.must()
		got := [3]string{s.Outcome().Label, s.Outcome().PreferredName, strings.Join(s.Languages(), " ")}
		if got != want {
			t.Errorf("%q: %q, want %q", more, got, want)
		}
	}
}

// TestDirectoryWithoutEnd: a card that has a record for every number is read to
// the last number and no further.
func TestDirectoryWithoutEnd(t *testing.T) {
	b := newBench(t)
	for range 300 {
		b.card.pse = append(b.card.pse, record(entry(testAID, "ONE", "")))
	}
	b.must()
	if n := len(b.card.sent(apdu.INSReadRecord)); n > 257 {
		t.Errorf("%d records read", n)
	}
}

// TestLongestMatch: of two sets that a card's name begins with, the longer one
// counts; the same name counts most.
func TestLongestMatch(t *testing.T) {
	for name, want := range map[string]string{testAID + "0102": "0001", testAID + "01": "0002", testAID + "FF": "0000"} {
		b := newBench(t)
		b.term.Applications = []emv.Application{
			{AID: bin(testAID), Partial: true},
			{AID: bin(testAID + "01"), Partial: true, Version: [2]byte{0, 2}},
			{AID: bin(testAID + "0102"), Version: [2]byte{0, 1}},
			{AID: bin(testAID[:10]), Partial: true, Version: [2]byte{0, 3}},
		}
		b.card.pse = []string{record(entry(name, "X", ""))}
		b.card.select_ = map[string]string{name: fci(name, "")}
		b.card.objects[tags.CDOL1] = "9F0902"
		b.must()
		if got := hex.EncodeToString(b.card.sent(apdu.INSGenerateAC)[0].Data); got != want {
			t.Errorf("%s: the set of version %s, want %s", name, got, want)
		}
	}
}

// TestBestSet: the data of the terminal's AID that fits an application best is
// used, however the application was found (Book 1, 12.3.1).
func TestBestSet(t *testing.T) {
	for _, pse := range [][]string{nil, {record(entry(testAID, "ONE", ""))}} {
		b := newBench(t)
		exact, family := b.term.Applications[0], b.term.Applications[0]
		exact.Version, exact.Partial = [2]byte{0, 0x96}, false
		family.AID = bin(testAID[:10])
		b.term.Applications = []emv.Application{family, exact}
		b.card.pse = pse
		b.card.select_[testAID[:10]] = fci(testAID, "")
		b.card.objects[tags.CardVersionNumber] = "0096"
		if o := b.must().Outcome(); o.TVR.Has(tags.TVRVersionsDiffer) {
			t.Errorf("directory %v: the set of another AID", pse != nil)
		}
	}
}
