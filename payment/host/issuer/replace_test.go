package issuer

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/payment/host/ledger"
)

// TestReplaced: a command that the card refused, or whose fate is not known, is
// not sent after a later one of the same, which it would undo.
func TestReplaced(t *testing.T) {
	limits := func(b ...byte) Instruction { return Instruction{Command: PutData, Objects: b} }
	record := func(n, b byte) Instruction {
		return Instruction{Command: UpdateRecord, SFI: 21, Record: n, Content: []byte{b}}
	}
	const done, sent, owed, replaced = ledger.ScriptDone, ledger.ScriptSent, ledger.ScriptOwed, ledger.ScriptReplaced
	for _, c := range []struct {
		name         string
		first, later Instruction
		code         string
		states       []ledger.ScriptState
		// again is what goes with the answer after the later one is done.
		again []string
	}{
		{"PIN", Instruction{Command: PINChange, PIN: pin("1111")}, Instruction{Command: PINChange, PIN: pin("2222")}, CodeApproved, []ledger.ScriptState{replaced, done}, nil},
		{"unblocked", Instruction{Command: ApplicationBlock}, Instruction{Command: ApplicationUnblock}, CodeApproved, []ledger.ScriptState{replaced, done}, nil},
		{"unblocked before the card's last word", Instruction{Command: ApplicationBlock}, Instruction{Command: ApplicationUnblock, Early: true}, CodeApproved, []ledger.ScriptState{replaced, done}, nil},
		{"blocked", Instruction{Command: ApplicationUnblock}, Instruction{Command: ApplicationBlock}, CodeRestricted, []ledger.ScriptState{replaced, done}, nil},
		{"blocked for good", Instruction{Command: ApplicationUnblock}, Instruction{Command: CardBlock}, CodeRestricted, []ledger.ScriptState{replaced, done}, nil},
		{"a record", record(1, 1), record(1, 2), CodeApproved, []ledger.ScriptState{replaced, done}, nil},
		{"another record", record(1, 1), record(2, 2), CodeApproved, []ledger.ScriptState{sent, done}, []string{"04DC01AC 01"}},
		{"a limit", limits(0x9F, 0x14, 1, 1), limits(0x9F, 0x14, 1, 2), CodeApproved, []ledger.ScriptState{replaced, done}, nil},
		{"one of two limits", limits(0x9F, 0x14, 1, 1, 0x9F, 0x23, 1, 3), limits(0x9F, 0x14, 1, 2), CodeApproved, []ledger.ScriptState{sent, done}, []string{"04DA9F23 03"}},
		{"another limit", limits(0x9F, 0x14, 1, 1), limits(0x9F, 0x23, 1, 2), CodeApproved, []ledger.ScriptState{sent, done}, []string{"04DA9F14 01"}},
		{"tries", Instruction{Command: PINChange, PIN: pin("1111")}, Instruction{Command: PINUnblock}, CodeApproved, []ledger.ScriptState{sent, done}, []string{"84240002 1111"}},
	} {
		for _, refused := range []bool{false, true} {
			name := c.name
			if refused {
				name += ", after a refusal"
			}
			t.Run(name, func(t *testing.T) {
				d := newDesk(t, Config{Key: sealing()}, line{})
				first := d.instruct(c.first)
				d.authorize(func() Request { r := d.request(100, ""); r.About = d.about(); return r }())
				if refused {
					d.heard(d.about(), result(0x11, first.Number)...)
				}
				later := d.instruct(c.later)
				d.ask("", c.code)
				d.heard(d.about(), result(0x20, later.Number)...)
				got, _ := d.ask("", c.code)
				var again []string
				for _, s := range got {
					again = append(again, s.Commands...)
				}
				if df := cmp.Diff(c.again, again); df != "" {
					t.Errorf("sent again (-want +got):\n%s", df)
				}
				d.states(c.states...)
				// A result that comes late changes nothing.
				if c.states[0] == replaced {
					d.heard(d.about(), result(0x20, first.Number)...)
					d.states(c.states...)
				}
			})
		}
	}
}

// TestReplacedPIN: nothing of the PIN stays behind that was replaced.
func TestReplacedPIN(t *testing.T) {
	d := newDesk(t, Config{Key: sealing()}, line{})
	first := d.instruct(Instruction{Command: PINChange, PIN: pin("1111")})
	d.instruct(Instruction{Command: PINChange, PIN: pin("2222")})
	err := d.l.View(t.Context(), func(tx ledger.Tx) error {
		s, err := tx.Script(first.Number)
		if len(s.Data) != 0 {
			t.Error("it is there")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestScriptsNotTakenForOthers: a card that says the same of its scripts as it
// said when it was sent new ones has not confirmed those.
func TestScriptsNotTakenForOthers(t *testing.T) {
	mchip := line{cvn: "14"}
	for _, c := range []struct {
		name   string
		card   line
		tapped bool
		// then and now are what the card says when it is sent the script, and in
		// its next transaction.
		then, now byte
		want      ledger.ScriptState
	}{
		{"tapped, one before", line{}, true, 0x10, 0x10, ledger.ScriptSent},
		{"tapped, none before", line{}, true, 0x00, 0x10, ledger.ScriptDone},
		{"inserted", line{}, false, 0x10, 0x10, ledger.ScriptDone},
		{"M/Chip, one before", mchip, false, 0x02, 0x02, ledger.ScriptSent},
		{"M/Chip, none before", mchip, false, 0x00, 0x02, ledger.ScriptDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, Config{}, c.card)
			d.instruct(Instruction{Command: PINUnblock})
			say := func(b byte) {
				d.alter = func(s *sayings) {
					// Byte 4 of Visa's results, byte 5 of M/Chip's.
					if tags.ParseIAD(s.iad).Format == tags.IADMChip {
						s.iad[6] = b
					} else {
						s.iad[5], s.iad[6] = 0, b
					}
				}
			}
			for n, b := range []byte{c.then, c.now} {
				say(b)
				r := d.request(100, "")
				r.About, r.Tapped = d.about(), c.tapped && n == 0
				d.want("asked", d.authorize(r), CodeApproved)
			}
			d.states(c.want)
		})
	}
}

// TestScriptsTogether: what the card counts, or says has failed, may be the script
// of which results came, and says nothing of the others that went with it.
func TestScriptsTogether(t *testing.T) {
	for _, c := range []struct {
		name        string
		result, cvr byte
		want        ledger.ScriptState
	}{{"done", 0x20, 0x10, ledger.ScriptDone}, {"refused", 0x11, 0x18, ledger.ScriptSent}} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, Config{}, line{})
			first := d.instruct(Instruction{Command: PINUnblock})
			other := d.instruct(Instruction{Command: PutData, Objects: []byte{0x9F, 0x14, 1, 1}})
			d.ask("", CodeApproved)
			d.heard(d.about(), result(c.result, first.Number)...)
			d.alter = func(s *sayings) { s.iad[5], s.iad[6] = 0, c.cvr }
			d.ask("", CodeApproved)
			d.states(c.want, ledger.ScriptSent)
			err := d.l.View(t.Context(), func(tx ledger.Tx) error {
				s, err := tx.Script(other.Number)
				if s.Refused != 0 {
					t.Errorf("the other counts as refused %d times", s.Refused)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
