package emv

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// defaultScriptLength is what a terminal has to take of an answer's issuer
// scripts, tags and lengths included (Book 4, 6.3.9).
const defaultScriptLength = 128

// maxScriptLength is the most that Terminal.ScriptLength may say.
const maxScriptLength = 4096

// First half byte of an issuer script result (Book 4, A5).
const (
	scriptNotPerformed = 0
	scriptFailed       = 1
	scriptDone         = 2
)

// script is an issuer script template's value; a bad one can't be run: it is cut
// off, or goes over the length that the terminal takes.
type script struct {
	value []byte
	bad   string
}

// scripts sorts the issuer's templates by when they are due (Book 3, 10.10): 71
// before the second GENERATE AC, 72 after it. What is neither is passed over.
func (s *Session) scripts(b []byte) (before, after []script) {
	most := s.k.c.Terminal.ScriptLength
	if most == 0 {
		most = defaultScriptLength
	}
	add := func(t tlv.Tag, x script, end int) {
		if x.bad == "" && end > most {
			x.bad = fmt.Sprintf("the scripts are longer than %d bytes", most)
		}
		switch t {
		case tags.ScriptTemplate1:
			before = append(before, x)
		case tags.ScriptTemplate2:
			after = append(after, x)
		}
	}
	at := 0
	for o, err := range tlv.All(b) {
		if err != nil {
			s.tell(StepScript, "malformed issuer scripts: %v", err)
			t, value := broken(b[at:])
			add(t, script{value, "cut off"}, len(b))
			break
		}
		at = o.Offset + o.HeaderLen + len(o.Value)
		add(o.Tag, script{value: o.Value}, at)
	}
	return before, after
}

// broken reads what there is of a template that does not parse: its tag, 0 when
// there is none, and what would be its value.
func broken(b []byte) (tlv.Tag, []byte) {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	t, n, err := tlv.ParseTag(b)
	switch {
	case err != nil:
		return 0, nil
	case len(b) > n && b[n] > 0x80 && b[n] <= 0x84:
		n += int(b[n] & 0x7F)
	}
	return t, b[min(n+1, len(b)):]
}

// runScripts runs the scripts of one kind; one that fails does not keep the next
// from running.
func (s *Session) runScripts(ctx context.Context, scripts []script, failedBit tags.TVRBit) error {
	for _, x := range scripts {
		s.tsi.Set(tags.TSIScriptPerformed)
		result, err := s.runScript(ctx, x)
		s.scriptResults = append(s.scriptResults, result[:]...)
		switch result[0] >> 4 {
		case scriptNotPerformed:
			s.tvr.Set(failedBit)
			s.because(StepScript, "an issuer script could not be run")
		case scriptFailed:
			s.tvr.Set(failedBit)
			s.because(StepScript, "an issuer script failed at command %d", result[0]&0x0F)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// runScript sends one script's commands until one fails. The result is five
// bytes: how it ended and at which command, F for the fifteenth and later ones;
// then the script's identifier (Book 4, A5). An error is one of the card.
func (s *Session) runScript(ctx context.Context, x script) (result [5]byte, err error) {
	commands, id, ok := scriptCommands(x.value)
	copy(result[1:], id)
	if x.bad != "" {
		// It is reported with its identifier (Book 4, 12.2.4).
		s.tell(StepScript, "an issuer script is not run: %s", x.bad)
		return result, nil
	}
	if !ok {
		result[0] = scriptNotPerformed << 4
		return result, nil
	}
	for i, c := range commands {
		r, err := s.send(ctx, StepScript, fmt.Sprintf("issuer script command %d", i+1), c)
		// Normal processing and warnings go on, whatever SW2 says; anything
		// else ends the script.
		if sw1 := r.SW.SW1(); err == nil && (sw1 == 0x90 || sw1 == 0x62 || sw1 == 0x63) {
			continue
		}
		result[0] = scriptFailed<<4 | byte(min(i+1, 15))
		return result, err
	}
	result[0] = scriptDone << 4
	return result, nil
}

// scriptCommands reads a script template: an identifier, which may be absent,
// then commands. Other objects are passed over.
func scriptCommands(script []byte) (commands []apdu.Command, id []byte, ok bool) {
	for o, err := range tlv.All(script) {
		if err != nil {
			return nil, id, false
		}
		switch o.Tag {
		case tags.IssuerScriptIdentifier:
			id = o.Value[:min(len(o.Value), 4)]
		case tags.IssuerScriptCommand:
			c, err := apdu.ParseCommand(o.Value)
			if err != nil {
				return nil, id, false
			}
			commands = append(commands, c)
		}
	}
	return commands, id, true
}
