package emv

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// maxScripts bounds the issuer's scripts of one answer. A terminal has to take
// 128 bytes (Book 3, 10.10); networks carry up to 255 in field 55.
const maxScripts = 1024

// First half byte of an issuer script result (Book 4, A5).
const (
	scriptNotPerformed = 0
	scriptFailed       = 1
	scriptDone         = 2
)

// scripts sorts the issuer's templates by when they are due (Book 3, 10.10): 71
// before the second GENERATE AC, 72 after it. Scripts that are too long or no
// BER-TLV are not run at all.
func (s *Session) scripts(b []byte) (before, after [][]byte) {
	if len(b) > maxScripts {
		s.tvr.Set(tags.TVRScriptFailedBefore)
		s.because(StepScript, "issuer scripts of %d bytes are too long", len(b))
		return nil, nil
	}
	list, err := tlv.Parse(b)
	if err != nil {
		s.tvr.Set(tags.TVRScriptFailedBefore)
		s.because(StepScript, "malformed issuer scripts: %v", err)
		return nil, nil
	}
	for _, o := range list {
		switch o.Tag {
		case tags.ScriptTemplate1:
			before = append(before, o.Value)
		case tags.ScriptTemplate2:
			after = append(after, o.Value)
		}
	}
	return before, after
}

// runScripts runs the scripts of one kind; one that fails does not keep the next
// from running.
func (s *Session) runScripts(ctx context.Context, scripts [][]byte, failedBit tags.TVRBit) error {
	for _, script := range scripts {
		s.tsi.Set(tags.TSIScriptPerformed)
		result, err := s.runScript(ctx, script)
		s.scriptResults = append(s.scriptResults, result[:]...)
		if result[0]>>4 != scriptDone {
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
func (s *Session) runScript(ctx context.Context, script []byte) (result [5]byte, err error) {
	commands, id, ok := scriptCommands(script)
	copy(result[1:], id)
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
