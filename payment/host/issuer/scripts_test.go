package issuer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/host/ledger"
)

func sealing() secret.Bytes { return secret.NewBytes(bytes.Repeat([]byte{0x5A}, 32)) }

func pin(s string) secret.Bytes { return secret.CopyBytes([]byte(s)) }

// instruct gives the desk's card a command.
func (d *desk) instruct(in Instruction) ledger.Script {
	d.t.Helper()
	s, err := d.try(in)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *desk) try(in Instruction) (s ledger.Script, err error) {
	in.Card = d.k.ref
	err = d.l.Update(d.t.Context(), func(tx ledger.Tx) (err error) {
		s, err = d.i.Instruct(d.t.Context(), tx, in)
		return err
	})
	return s, err
}

// about is the name of the desk's last request.
func (d *desk) about() ledger.Key {
	return ledger.Key{Terminal: "T1", STAN: fmt.Sprintf("%06d", d.atc), RRN: "632810000001"}
}

// ask asks for a payment and returns what goes to the card.
func (d *desk) ask(pin, code string) (sent []sentScript, r Request) {
	d.t.Helper()
	r = d.request(100, pin)
	r.About = d.about()
	got := d.authorize(r)
	d.want("asked", got, code)
	return d.open(got.ICC, r), r
}

// sentScript is a script as a card reads it.
type sentScript struct {
	Template tlv.Tag
	ID       uint64
	Commands []string // INS P1 P2 and the data without MAC, as the card takes it
}

// open checks the scripts of an answer as the card would, each MAC with the number
// of commands that came before it, 71 before 72.
func (d *desk) open(icc []byte, r Request) []sentScript {
	d.t.Helper()
	ac, _ := tlv.Find(r.ICC, tags.ApplicationCryptogram)
	tr := cryptogram.Transaction{ATC: d.atc, UN: [4]byte{1, 2, 3, 4}, AC: [8]byte(ac)}
	var out []sentScript
	n, whole := 0, 0
	for o, err := range tlv.All(icc) {
		if err != nil {
			d.t.Fatal(err)
		}
		if o.Tag != tags.ScriptTemplate1 && o.Tag != tags.ScriptTemplate2 {
			continue
		}
		whole += len(tlv.Append(nil, o.Tag, o.Value))
		s := sentScript{Template: o.Tag}
		for c, err := range tlv.All(o.Value) {
			if err != nil {
				d.t.Fatal(err)
			}
			if c.Tag == tags.IssuerScriptIdentifier {
				s.ID = uint64(binary.BigEndian.Uint32(c.Value))
				continue
			}
			data := c.Value[5 : len(c.Value)-8]
			about := cryptogram.Script{Transaction: tr, Number: n}
			if err := d.k.scheme.VerifyScript(d.k.keys.SMI, about, [5]byte(c.Value), data, c.Value[len(c.Value)-8:]); err != nil {
				d.t.Errorf("command %d, % X: %v", n, c.Value, err)
			}
			if c.Value[1] == 0x24 && len(data) > 0 {
				p, err := d.k.scheme.DecipherPIN(d.k.keys, about, data, secret.Bytes{})
				if err != nil {
					d.t.Fatal(err)
				}
				data = p.Reveal()
			}
			s.Commands = append(s.Commands, fmt.Sprintf("%X %s", c.Value[:4], hexOrDigits(data)))
			n++
		}
		out = append(out, s)
	}
	if whole > 128 {
		d.t.Errorf("scripts of %d bytes", whole)
	}
	return out
}

func hexOrDigits(b []byte) string {
	if len(b) > 0 && isPIN(b) {
		return string(b)
	}
	return fmt.Sprintf("%X", b)
}

// heard tells the issuer script results.
func (d *desk) heard(about ledger.Key, results ...byte) {
	d.t.Helper()
	icc := tlv.Append(nil, tags.TVR, make([]byte, 5))
	icc = tlv.Append(icc, tags.IssuerScriptResults, results)
	err := d.l.Update(d.t.Context(), func(tx ledger.Tx) error { return d.i.Heard(d.t.Context(), tx, d.k.ref, about, icc) })
	if err != nil {
		d.t.Fatal(err)
	}
}

// states are the card's scripts with their states, and what the card's record
// counts.
func (d *desk) states(want ...ledger.ScriptState) {
	d.t.Helper()
	var got []ledger.ScriptState
	open, counted := 0, 0
	err := d.l.View(d.t.Context(), func(tx ledger.Tx) error {
		got, open = nil, 0
		c, err := tx.Card(d.k.ref)
		if err != nil {
			return err
		}
		counted = c.Scripts
		return tx.EachScript(d.k.ref, func(s ledger.Script) error {
			if got = append(got, s.State); s.State.Open() {
				open++
			}
			return nil
		})
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if !slices.Equal(got, want) || open != counted {
		d.t.Errorf("scripts are %v, %d counted as owed; want %v", got, counted, want)
	}
}

func result(r byte, id uint64) []byte {
	return append([]byte{r}, binary.BigEndian.AppendUint32(nil, uint32(id))...)
}

// TestScripts: each command as the card gets it, in its template, under every
// scheme.
func TestScripts(t *testing.T) {
	for _, scheme := range []line{{cvn: "10", session: "none"}, {cvn: "18"}, {cvn: "22"}, {cvn: "14"}, {cvn: "0x10", session: "mchip"}} {
		for _, c := range []struct {
			in   Instruction
			want []string
		}{
			{Instruction{Command: ApplicationBlock}, []string{"841E0000 "}},
			{Instruction{Command: ApplicationUnblock}, []string{"84180000 "}},
			{Instruction{Command: CardBlock}, []string{"84160000 "}},
			{Instruction{Command: PINUnblock}, []string{"84240000 "}},
			{Instruction{Command: PINChange, PIN: pin("987654")}, []string{"84240002 987654"}},
			{Instruction{Command: PutData, Objects: []byte{0x9F, 0x14, 1, 2, 0x9F, 0x23, 1, 4, 0x9F, 0x54, 6, 0, 0, 0, 1, 0, 0}}, []string{"04DA9F14 02", "04DA9F23 04", "04DA9F54 000000010000"}},
			{Instruction{Command: UpdateRecord, SFI: 21, Record: 2, Content: []byte{0x70, 1, 0}}, []string{"04DC02AC 700100"}},
		} {
			t.Run(scheme.cvn+" "+string(c.in.Command), func(t *testing.T) {
				for _, early := range []bool{false, true} {
					d := newDesk(t, Config{Key: sealing()}, scheme)
					c.in.Early = early
					s := d.instruct(c.in)
					template := tags.ScriptTemplate2
					if early {
						template = tags.ScriptTemplate1
					}
					code := CodeApproved
					if c.in.Command == ApplicationBlock || c.in.Command == CardBlock {
						code = CodeRestricted
					}
					sent, _ := d.ask("", code)
					if df := cmp.Diff([]sentScript{{template, s.Number, c.want}}, sent); df != "" {
						t.Error(df)
					}
					d.states(ledger.ScriptSent)
				}
			})
		}
	}
}

// TestScriptsOwed: what was not confirmed is sent again, what was is not.
func TestScriptsOwed(t *testing.T) {
	d := newDesk(t, Config{Key: sealing()}, line{})
	ids := func(s []sentScript) (out []uint64) {
		for _, x := range s {
			out = append(out, x.ID)
		}
		return out
	}
	late := d.instruct(Instruction{Command: PINUnblock}).Number
	early := d.instruct(Instruction{Command: PutData, Objects: []byte{0x9F, 0x14, 1, 2}, Early: true}).Number
	for range 2 {
		sent, _ := d.ask("", CodeApproved)
		if got := ids(sent); !slices.Equal(got, []uint64{early, late}) {
			t.Fatalf("sent %v, want %d before %d", got, early, late)
		}
	}
	d.states(ledger.ScriptSent, ledger.ScriptSent)
	// Results about another request, of an unknown script, cut off: nothing.
	other := d.about()
	other.STAN = "000777"
	d.heard(other, result(0x20, late)...)
	d.heard(d.about(), result(0x20, 99)...)
	d.heard(d.about(), 0x20, 0, 0)
	d.states(ledger.ScriptSent, ledger.ScriptSent)
	d.heard(d.about(), append(result(0x20, late), result(0x00, early)...)...)
	d.heard(d.about(), result(0x11, late)...)
	d.states(ledger.ScriptDone, ledger.ScriptOwed)
	// Refused three times is refused for good.
	for n := range 3 {
		sent, _ := d.ask("", CodeApproved)
		if got := ids(sent); !slices.Equal(got, []uint64{early}) {
			t.Fatalf("time %d: sent %v", n, got)
		}
		d.heard(d.about(), result(0x11, early)...)
	}
	d.states(ledger.ScriptDone, ledger.ScriptFailed)
	if sent, _ := d.ask("", CodeApproved); len(sent) != 0 {
		t.Errorf("sent %v", sent)
	}
}

// TestScriptsRemembered: where no results came, the card's own next cryptogram
// tells.
func TestScriptsRemembered(t *testing.T) {
	for _, c := range []struct {
		name string
		cvr  byte
		late bool
		// before is byte 3 of the card's results: 80 is a transaction that was
		// cut off, so that the count is of one before it.
		before byte
		want   []ledger.ScriptState
	}{
		{name: "cut off", cvr: 0x30, before: 0x80, want: []ledger.ScriptState{ledger.ScriptSent, ledger.ScriptSent}},
		{name: "done", cvr: 0x30, want: []ledger.ScriptState{ledger.ScriptDone, ledger.ScriptDone}},
		{name: "one too few", cvr: 0x20, want: []ledger.ScriptState{ledger.ScriptSent, ledger.ScriptSent}},
		{name: "failed", cvr: 0x38, want: []ledger.ScriptState{ledger.ScriptSent, ledger.ScriptSent}},
		{name: "of a transaction before it", cvr: 0x30, late: true, want: []ledger.ScriptState{ledger.ScriptSent, ledger.ScriptSent}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, Config{Key: sealing(), CountersInAnyOrder: true}, line{})
			d.instruct(Instruction{Command: PINChange, PIN: pin("4321")})
			d.instruct(Instruction{Command: PutData, Objects: []byte{0x9F, 0x14, 1, 2, 0x9F, 0x23, 1, 2}})
			d.atc = 100
			d.ask("", CodeApproved)
			d.alter = func(s *sayings) { s.iad[5], s.iad[6] = c.before, c.cvr }
			if c.late {
				d.atc = 50
			}
			d.ask("", CodeApproved)
			d.states(c.want...)
		})
	}
}

// TestScriptsFit: what terminals don't take at once goes with the next answer.
func TestScriptsFit(t *testing.T) {
	d := newDesk(t, Config{Key: sealing()}, line{})
	for range 7 {
		d.instruct(Instruction{Command: PINUnblock})
	}
	seen := map[uint64]bool{}
	for range 3 {
		sent, _ := d.ask("", CodeApproved)
		if len(sent) == 0 {
			break
		}
		for _, s := range sent {
			if seen[s.ID] {
				t.Errorf("%d was sent again", s.ID)
			}
			seen[s.ID] = true
			d.heard(d.about(), result(0x20, s.ID)...)
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d went out", len(seen))
	}
}

// TestPINChanged: the new PIN counts from the moment on that it is given, and
// nothing of it is to be read in the ledger.
func TestPINChanged(t *testing.T) {
	d := newDesk(t, Config{Key: sealing()}, line{})
	for range 3 {
		d.authorize(d.request(100, "9999"))
	}
	d.want("blocked", d.authorize(d.request(100, "1234")), CodePINTries)
	s := d.instruct(Instruction{Command: PINChange, PIN: pin("2580")})
	d.want("old PIN", d.authorize(d.request(100, "1234")), CodeWrongPIN)
	sent, _ := d.ask("2580", CodeApproved)
	if len(sent) != 1 || sent[0].Commands[0] != "84240002 2580" {
		t.Errorf("sent %v", sent)
	}
	if bytes.Contains(s.Data, []byte("2580")) || bytes.Contains(s.Data, []byte{0x25, 0x80}) {
		t.Error("the PIN is in the script's data")
	}
	d.heard(d.about(), result(0x20, s.Number)...)
	d.want("new PIN afterwards", d.authorize(d.request(100, "2580")), CodeApproved)
	err := d.l.View(t.Context(), func(tx ledger.Tx) error {
		kept, err := tx.Script(s.Number)
		if len(kept.Data) != 0 {
			t.Error("a script that is done keeps its PIN")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// Another key opens nothing: the payment is not decided.
	d.i.c.Key = secret.NewBytes(bytes.Repeat([]byte{1}, 32))
	err = d.l.Update(t.Context(), func(tx ledger.Tx) error {
		_, err := d.i.Authorize(t.Context(), tx, d.request(100, "2580"))
		return err
	})
	if !errors.Is(err, errSealed) {
		t.Errorf("under another key: %v", err)
	}
}

// TestInstructRefuses: what can't be given to a card is not written down.
func TestInstructRefuses(t *testing.T) {
	for name, in := range map[string]Instruction{
		"no such command": {Command: "dance"},
		"no PIN":          {Command: PINChange},
		"short PIN":       {Command: PINChange, PIN: pin("123")},
		"no object":       {Command: PutData},
		"half an object":  {Command: PutData, Objects: []byte{0x9F, 0x14, 2, 1}},
		"another object":  {Command: PutData, Objects: []byte{0x5A, 1, 1}},
		"wrong length":    {Command: PutData, Objects: []byte{0x9F, 0x14, 2, 1, 1}},
		"no file":         {Command: UpdateRecord, Record: 1, Content: []byte{1}},
		"no record":       {Command: UpdateRecord, SFI: 1, Content: []byte{1}},
		"empty record":    {Command: UpdateRecord, SFI: 1, Record: 1},
		"too long":        {Command: UpdateRecord, SFI: 1, Record: 1, Content: make([]byte, 110)},
	} {
		d := newDesk(t, Config{Key: sealing()}, line{})
		if _, err := d.try(in); !errors.Is(err, ErrInstruction) {
			t.Errorf("%s: got %v, want ErrInstruction", name, err)
		}
		d.want(name, d.authorize(d.request(100, "1234")), CodeApproved)
		d.states()
	}
	d := newDesk(t, Config{}, line{more: `,"blocked":true`})
	for _, in := range []Instruction{{Command: PINChange, PIN: pin("1234")}, {Command: ApplicationUnblock}} {
		if _, err := d.try(in); !errors.Is(err, ErrInstruction) {
			t.Errorf("%s without a key, of a card issued blocked: got %v", in.Command, err)
		}
	}
	err := d.l.Update(t.Context(), func(tx ledger.Tx) error {
		_, err := d.i.Instruct(t.Context(), tx, Instruction{Card: "none", Command: PINUnblock})
		return err
	})
	if !errors.Is(err, ErrInstruction) {
		t.Errorf("another card: got %v", err)
	}
}

// TestBlockedOnce: a blocked card is told so until it has confirmed it.
func TestBlockedOnce(t *testing.T) {
	d := newDesk(t, Config{BlockCards: true}, line{more: `,"blocked":true`})
	for range 2 {
		sent, _ := d.ask("", CodeRestricted)
		if len(sent) != 1 || sent[0].ID != 1 {
			t.Fatalf("sent %v", sent)
		}
	}
	d.heard(d.about(), result(0x20, 1)...)
	if sent, _ := d.ask("", CodeRestricted); len(sent) != 0 {
		t.Errorf("confirmed, and sent %v", sent)
	}
	d.states(ledger.ScriptDone)
}

// TestNoScriptForTheLate: a card that has decided already gets none, nor one whose
// counter was seen.
func TestNoScriptForTheLate(t *testing.T) {
	d := newDesk(t, Config{}, line{})
	d.instruct(Instruction{Command: PINUnblock})
	r := d.request(100, "")
	r.StoodIn = true
	for _, r := range []Request{r, r} {
		if got := d.authorize(r); bytes.Contains(got.ICC, []byte{0x9F, 0x18}) {
			t.Errorf("answer % X", got.ICC)
		}
	}
	d.states(ledger.ScriptOwed)
}

func TestFind(t *testing.T) {
	d := newDesk(t, Config{}, line{})
	for _, s := range []string{"4761739001010010", "476173******0010", d.k.ref} {
		if got := d.i.Find(s); len(got) != 1 || got[0] != (Known{d.k.ref, "476173******0010", "00"}) {
			t.Errorf("%s: %v", s, got)
		}
	}
	if got := d.i.Find("476173"); len(got) != 0 {
		t.Errorf("a part: %v", got)
	}
	if k, ok := d.i.Card(d.k.ref); !ok || strings.Contains(k.Masked, "4761739001010010") {
		t.Errorf("%v", k)
	}
	if _, ok := d.i.Card("x"); ok {
		t.Error("a card of no reference")
	}
}
