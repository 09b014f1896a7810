package issuer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/host/ledger"
)

// maxScripts is what every terminal takes of an answer's scripts, with their tags
// and lengths (EMV 4.4 Book 4, 12.2.4).
const maxScripts = 128

// maxRefused is how often a card may refuse a script before it is not sent again.
const maxRefused = 3

// Script commands, class and instruction, of secure messaging format 2: EMV's own
// (Book 3, 6.5) are of the proprietary class 84, the interindustry ones of 04
// (ISO/IEC 7816-4, 5.4.1), as Visa's cards and those after them have it.
var instructions = map[Command][2]byte{
	ApplicationBlock: {0x84, 0x1E}, ApplicationUnblock: {0x84, 0x18}, CardBlock: {0x84, 0x16},
	PutData: {0x04, 0xDA}, UpdateRecord: {0x04, 0xDC},
}

// script is a command on its way.
type script struct{ ledger.Script }

// transactionOf is what scripts are bound to: the transaction, and how many secured
// commands came before.
type transactionOf struct {
	cryptogram.Transaction
	commands int
}

// next is the name of the next command.
func (t *transactionOf) next() cryptogram.Script {
	c := cryptogram.Script{Transaction: t.Transaction, Number: t.commands}
	t.commands++
	return c
}

// template is a script as terminals get it: its identifier and its commands, in
// template 71 or 72 (Book 3, 10.10).
func (i *Issuer) template(k *card, s script, t *transactionOf) ([]byte, error) {
	body := tlv.Append(nil, tags.IssuerScriptIdentifier, binary.BigEndian.AppendUint32(nil, uint32(s.Number)))
	add := func(p1, p2 byte, data []byte) error {
		in := instructions[Command(s.Command)]
		c, err := k.scheme.Command(k.keys.SMI, t.next(), [4]byte{in[0], in[1], p1, p2}, data)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInstruction, s.Command, err)
		}
		body = tlv.Append(body, tags.IssuerScriptCommand, c)
		return nil
	}
	var err error
	switch c := Command(s.Command); c {
	case ApplicationBlock, ApplicationUnblock, CardBlock:
		err = add(0, 0, nil)
	case PINUnblock, PINChange:
		var pin secret.Bytes
		if c == PINChange {
			if pin, err = i.unsealPIN(k, s.Data); err != nil {
				return nil, err
			}
			defer pin.Wipe()
		}
		var command []byte
		if command, err = k.scheme.PINChange(k.keys, t.next(), pin, secret.Bytes{}); err == nil {
			body = tlv.Append(body, tags.IssuerScriptCommand, command)
		}
	case PutData:
		for o, oerr := range tlv.All(s.Data) {
			if oerr != nil {
				return nil, fmt.Errorf("%w: %w", ErrInstruction, oerr)
			}
			if err = add(byte(o.Tag>>8), byte(o.Tag), o.Value); err != nil {
				break
			}
		}
	case UpdateRecord:
		if len(s.Data) < 3 {
			return nil, fmt.Errorf("%w: a record without content", ErrInstruction)
		}
		err = add(s.Data[1], s.Data[0]<<3|0x04, s.Data[2:])
	default:
		err = fmt.Errorf("%w: no command %q", ErrInstruction, s.Command)
	}
	if err != nil {
		return nil, err
	}
	if s.Early {
		return tlv.Append(nil, tags.ScriptTemplate1, body), nil
	}
	return tlv.Append(nil, tags.ScriptTemplate2, body), nil
}

// scripts makes those of a card's scripts that go with an answer: the oldest
// first, those before the card's last word before those after it, as many as
// terminals take. What does not fit waits for the next answer.
func (i *Issuer) scripts(tx ledger.Tx, k *card, f fields, r Request) ([]byte, error) {
	open, err := openScripts(tx, k.ref)
	if err != nil {
		return nil, err
	}
	// What goes is settled first: the commands count in the order in which the
	// card gets them, and that has all of 71 before 72.
	var early, late []script
	room := maxScripts
	for _, s := range open {
		b, err := i.template(k, s, &transactionOf{})
		if err != nil {
			return nil, err
		}
		if len(b) > room {
			break
		}
		room -= len(b)
		if s.Early {
			early = append(early, s)
		} else {
			late = append(late, s)
		}
	}
	t := &transactionOf{Transaction: f.transaction()}
	atc := f.card.ATC
	if f.stale(r.Tapped) {
		atc = 0
	}
	var out []byte
	for _, s := range append(early, late...) {
		b, err := i.template(k, s, t)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
		s.State, s.Authorisation, s.ATC, s.Changed = ledger.ScriptSent, r.About, atc, i.c.Now()
		s.Sent++
		if err := tx.PutScript(s.Script); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func openScripts(tx ledger.Tx, ref string) (open []script, err error) {
	err = tx.EachScript(ref, func(s ledger.Script) error {
		if s.State.Open() {
			open = append(open, script{s})
		}
		return nil
	})
	return open, err
}

// Heard takes the issuer script results, tag 9F5B, of a message that follows a
// request (EMV 4.4 Book 4, A5): what the card has done is owed no more. Results
// of scripts that did not go with the answer to that request are passed over; so
// is a field without results. Errors are those of the ledger.
func (i *Issuer) Heard(ctx context.Context, tx ledger.Tx, ref string, about ledger.Key, icc []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	results, ok := tlv.Find(icc, tags.IssuerScriptResults)
	if !ok || ref == "" || len(results)%5 != 0 {
		return nil
	}
	state, err := tx.Card(ref)
	if err != nil {
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		return err
	}
	before := state.Scripts
	for r := range slicesOf(results, 5) {
		s, err := tx.Script(uint64(binary.BigEndian.Uint32(r[1:])))
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if s.Card != ref || s.State != ledger.ScriptSent || s.Authorisation != about {
			continue
		}
		s.Result = r[0]
		switch r[0] >> 4 {
		case resultDone:
			err = i.settle(tx, &state, &s, ledger.ScriptDone)
		case resultFailed:
			err = i.refused(tx, &state, &s)
		default:
			// Not performed: the terminal could not run it, and the card knows
			// nothing of it.
			s.State = ledger.ScriptOwed
			s.Changed = i.c.Now()
			err = tx.PutScript(s)
		}
		if err != nil {
			return err
		}
	}
	if state.Scripts == before {
		return nil
	}
	return tx.PutCard(state)
}

// First half byte of an issuer script result (Book 4, A5); 0 is not performed.
const (
	resultFailed = 1
	resultDone   = 2
)

// slicesOf cuts b into pieces of n bytes.
func slicesOf(b []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for ; len(b) >= n; b = b[n:] {
			if !yield(b[:n]) {
				return
			}
		}
	}
}

// settle ends a script.
func (i *Issuer) settle(tx ledger.Tx, state *ledger.Card, s *ledger.Script, end ledger.ScriptState) error {
	s.State, s.Changed = end, i.c.Now()
	if s.Command == string(PINChange) {
		s.Data = nil // the card's record has the PIN
	}
	state.Scripts = max(state.Scripts-1, 0)
	return tx.PutScript(*s)
}

// refused notes that the card refused a script: once more, or for good.
func (i *Issuer) refused(tx ledger.Tx, state *ledger.Card, s *ledger.Script) error {
	if s.Refused++; s.Refused >= maxRefused {
		return i.settle(tx, state, s, ledger.ScriptFailed)
	}
	s.State, s.Changed = ledger.ScriptOwed, i.c.Now()
	return tx.PutScript(*s)
}

// scriptsSeen is what a card says, under its cryptogram, of the scripts of the
// last transaction: how many secured commands it processed at least, and whether
// one failed. known is false for a layout that says nothing of it, and where the
// last transaction was cut off: what the card remembers is then of one before it.
func (f *fields) scriptsSeen() (n int, failed, known bool) {
	d := tags.ParseIAD(f.card.IAD)
	switch d.Format {
	case tags.IADVisa:
		return int(d.CVR[3] >> 4), d.CVR[3]&0x08 != 0, d.CVR[2]&0x80 == 0
	case tags.IADCCD:
		// Book 3, Annex C7.3.
		return int(d.CVR[3] >> 4), d.CVR[3]&0x08 != 0, d.CVR[1]&0x01 == 0
	case tags.IADMChip:
		// Byte 5: one script at least was received, and whether one failed.
		return int(d.CVR[4] >> 1 & 1), d.CVR[4]&0x01 != 0, true
	}
	return 0, false, false
}

// stale reports whether a card may say next time what it says now of scripts, and
// mean the same old ones: an M/Chip card does not tell that a transaction was cut
// off, and of one that is tapped none is completed.
func (f *fields) stale(tapped bool) bool {
	n, failed, _ := f.scriptsSeen()
	return (n > 0 || failed) && (tapped || tags.ParseIAD(f.card.IAD).Format == tags.IADMChip)
}

// remembered takes what the card remembers of the scripts that it was sent last,
// where no message told: their terminal sent none, or it was lost.
func (i *Issuer) remembered(tx ledger.Tx, k *card, state *ledger.Card, f fields) error {
	n, failed, known := f.scriptsSeen()
	if !known {
		return nil
	}
	var all, last []script
	err := tx.EachScript(k.ref, func(s ledger.Script) error { all = append(all, script{s}); return nil })
	if err != nil {
		return err
	}
	for _, s := range all {
		switch {
		case s.State != ledger.ScriptSent || s.ATC == 0 || s.ATC >= f.card.ATC:
		case len(last) > 0 && s.ATC < last[0].ATC:
		case len(last) > 0 && s.ATC > last[0].ATC:
			last = []script{s}
		default:
			last = append(last, s)
		}
	}
	commands := 0
	for _, s := range all {
		if len(last) == 0 || s.ATC != last[0].ATC || s.Authorisation != last[0].Authorisation {
			continue
		}
		if s.State != ledger.ScriptSent {
			// Of those that went together it is known what became of one: what
			// the card counts may be that.
			return nil
		}
		commands += s.commands()
	}
	switch {
	case failed:
		for _, s := range last {
			if err := i.refused(tx, state, &s.Script); err != nil {
				return err
			}
		}
	case commands > 0 && n >= min(commands, 15):
		for _, s := range last {
			if err := i.settle(tx, state, &s.Script, ledger.ScriptDone); err != nil {
				return err
			}
		}
	}
	return nil
}

// commands is how many commands a script has.
func (s script) commands() (n int) {
	if s.Command != string(PutData) {
		return 1
	}
	for range tlv.All(s.Data) {
		n++
	}
	return n
}

// blocks owes a card that is blocked the command that tells it so, once.
func (i *Issuer) blocks(tx ledger.Tx, k *card, state *ledger.Card) error {
	if !i.c.BlockCards || !k.blocked && !state.Blocked {
		return nil
	}
	known := false
	err := tx.EachScript(k.ref, func(s ledger.Script) error {
		switch Command(s.Command) {
		case ApplicationBlock, CardBlock:
			known = true
		case ApplicationUnblock:
			known = false
		}
		return nil
	})
	if err != nil || known {
		return err
	}
	s := ledger.Script{Card: k.ref, Command: string(ApplicationBlock), State: ledger.ScriptOwed, Created: i.c.Now(), Changed: i.c.Now()}
	return i.owe(tx, k, state, &s, false)
}

// hasPIN compares a PIN with what the issuer knows of the card's: the new one,
// where it was changed.
func (i *Issuer) hasPIN(k *card, state *ledger.Card, pin secret.Bytes) (bool, error) {
	if len(state.PIN) == 0 {
		return k.hasPIN(pin), nil
	}
	changed, err := i.unsealPIN(k, state.PIN)
	if err != nil {
		return false, err
	}
	defer changed.Wipe()
	return samePIN(pin, changed), nil
}
