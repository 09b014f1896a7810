package emv

import (
	"context"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// HostResponse is what came back for an OnlineRequest.
type HostResponse struct {
	// Unable says that no answer came that counts; the rest is ignored.
	Unable bool
	// ARC is the authorisation response code, tag 8A: two characters.
	ARC string
	// IssuerAuthenticationData is the value of tag 91, empty for none.
	IssuerAuthenticationData []byte
	// Scripts are templates 71 and 72 as they were received.
	Scripts []byte
}

// Authorisation response codes of the terminal's own (Book 4, A6).
const (
	arcUnableApproved = "Y3"
	arcUnableDeclined = "Z3"
	arcOfflineDecline = "Z1"
)

// approves lists the codes that approve (Book 4, A6 and ISO 8583).
func approves(arc string) bool { return slices.Contains([]string{"00", "08", "10", "11"}, arc) }

// Complete runs what follows the issuer's answer: issuer authentication,
// scripts, the second GENERATE AC, scripts (Book 3, 10.9 to 10.11). It may be
// called once, after an outcome of Online. After an error the card's word is
// missing, and Outcome declines. Errors: ErrState, *CardError, *StatusError,
// those of the card.
func (s *Session) Complete(ctx context.Context, r HostResponse) (Outcome, error) {
	if s.decision != Online || s.completed {
		return s.Outcome(), fmt.Errorf("%w: Complete of a transaction that is %s", ErrState, s.decision)
	}
	s.completed, s.decision = true, Declined
	if err := s.finish(ctx, r); err != nil {
		s.reasons = append(s.reasons, "the card did not complete")
		return s.Outcome(), err
	}
	return s.Outcome(), nil
}

func (s *Session) finish(ctx context.Context, r HostResponse) error {
	request := byte(apdu.RefAAC)
	if r.Unable {
		request = s.unable()
	} else {
		if len(r.ARC) != 2 {
			return fmt.Errorf("%w: authorisation response code of %d characters", ErrState, len(r.ARC))
		}
		s.fromTerminal[tags.ARC] = []byte(r.ARC)
		if approves(r.ARC) {
			request = apdu.RefTC
		}
		if err := s.authenticateIssuer(ctx, r.IssuerAuthenticationData); err != nil {
			return err
		}
		if err := s.runScripts(ctx, r.Scripts, tags.ScriptTemplate1, tags.TVRScriptFailedBefore); err != nil {
			return err
		}
	}
	if err := s.generateSecond(ctx, request); err != nil {
		return err
	}
	if r.Unable {
		return nil
	}
	return s.runScripts(ctx, r.Scripts, tags.ScriptTemplate2, tags.TVRScriptFailedAfter)
}

// unable decides without the issuer (Book 3, 10.7). A terminal that is always
// online declines.
func (s *Session) unable() byte {
	request := byte(apdu.RefAAC)
	if !s.k.c.Terminal.Type.OnlineOnly() {
		request = s.wishOffline()
	}
	arc := arcUnableDeclined
	if request == apdu.RefTC {
		arc = arcUnableApproved
	}
	s.fromTerminal[tags.ARC] = []byte(arc)
	s.because(StepComplete, "the issuer could not be asked")
	return request
}

// authenticateIssuer gives the issuer's answer to the card (Book 3, 10.9): by
// EXTERNAL AUTHENTICATE where the card says so, else by CDOL2.
func (s *Session) authenticateIssuer(ctx context.Context, iad []byte) error {
	if len(iad) == 0 {
		return nil
	}
	if len(iad) < 8 || len(iad) > 16 {
		s.tvr.Set(tags.TVRIssuerAuthFailed)
		s.because(StepIssuerAuth, "issuer authentication data of %d bytes", len(iad))
		return nil
	}
	s.fromTerminal[tags.IssuerAuthenticationData] = slices.Clone(iad)
	if !s.aip.Has(tags.AIPIssuerAuth) {
		return nil
	}
	r, err := s.send(ctx, StepIssuerAuth, "EXTERNAL AUTHENTICATE", apdu.ExternalAuthenticate(iad))
	if err != nil {
		return err
	}
	s.tsi.Set(tags.TSIIssuerAuthPerformed)
	if !r.SW.OK() {
		s.tvr.Set(tags.TVRIssuerAuthFailed)
		s.because(StepIssuerAuth, "the card did not accept the issuer's answer")
		return nil
	}
	s.tell(StepIssuerAuth, "the card accepts that the answer is its issuer's")
	return nil
}

// generateSecond sends the second GENERATE AC (Book 3, 10.11).
func (s *Session) generateSecond(ctx context.Context, request byte) error {
	s.request = request
	data, err := s.fill(StepComplete, tags.CDOL2, s.get(tags.CDOL2))
	if err != nil {
		return err
	}
	s.cdol2 = data
	verified, err := s.generate(ctx, StepComplete, request, data, s.cdol1, data)
	if err != nil {
		return err
	}
	if s.cryptogram == tags.TC && verified {
		s.decision = Approved
		return nil
	}
	s.decision = Declined
	if request == apdu.RefTC {
		s.because(StepComplete, "the card did not give its approval")
	}
	return nil
}

// declineSecond ends a transaction whose ARQC is not authentic.
func (s *Session) declineSecond(ctx context.Context) error {
	s.completed = true
	s.fromTerminal[tags.ARC] = []byte(arcOfflineDecline)
	return s.generateSecond(ctx, apdu.RefAAC)
}

// Script limits: what Book 3, 10.10 says a card must be able to take, with room.
const maxScripts = 1024

// runScripts sends the commands of one kind of script template (Book 3, 10.10).
func (s *Session) runScripts(ctx context.Context, scripts []byte, template tlv.Tag, failedBit tags.TVRBit) error {
	if len(scripts) > maxScripts {
		s.tvr.Set(failedBit)
		s.because(StepScript, "issuer scripts of %d bytes", len(scripts))
		return nil
	}
	for o, err := range tlv.All(scripts) {
		if err != nil {
			s.tvr.Set(failedBit)
			s.because(StepScript, "malformed issuer script: %v", err)
			return nil
		}
		if o.Tag != template {
			continue
		}
		s.tsi.Set(tags.TSIScriptPerformed)
		result, err := s.runScript(ctx, o.Value)
		s.scriptResults = append(s.scriptResults, result[:]...)
		if err != nil {
			return err
		}
		if result[0]>>4 != scriptDone {
			s.tvr.Set(failedBit)
			s.because(StepScript, "an issuer script failed at command %d", result[0]&0x0F)
		}
	}
	return nil
}

// First half byte of an issuer script result (Book 4, A5).
const (
	scriptNotPerformed = 0
	scriptFailed       = 1
	scriptDone         = 2
)

// runScript sends one script's commands until one fails.
func (s *Session) runScript(ctx context.Context, script []byte) (result [5]byte, err error) {
	commands, id, perr := scriptCommands(script)
	copy(result[1:], id)
	if perr != nil {
		result[0] = scriptNotPerformed << 4
		return result, nil
	}
	for i, c := range commands {
		n := min(i+1, 15)
		began := s.k.c.Now()
		raw, err := s.card.Transmit(ctx, c)
		if err != nil {
			result[0] = scriptFailed<<4 | byte(n)
			return result, fmt.Errorf("emv: %s: command %d: %w", StepScript, i+1, err)
		}
		r, err := apdu.ParseResponse(raw)
		if err != nil {
			result[0] = scriptFailed<<4 | byte(n)
			return result, &CardError{Step: StepScript, Reason: "no status word", Err: err}
		}
		s.k.c.Observe(Event{Step: StepScript, Text: fmt.Sprintf("issuer script command %d: %s", i+1, r.SW.Meaning()), Took: s.k.c.Now().Sub(began)})
		// Warnings and normal processing go on; anything else ends the
		// script (Book 3, 10.10).
		if sw1 := r.SW.SW1(); sw1 != 0x90 && sw1 != 0x61 && sw1 != 0x62 && sw1 != 0x63 {
			result[0] = scriptFailed<<4 | byte(n)
			return result, nil
		}
	}
	result[0] = scriptDone << 4
	return result, nil
}

// scriptCommands reads a script template: an identifier, then commands.
func scriptCommands(script []byte) (commands [][]byte, id []byte, err error) {
	for o, err := range tlv.All(script) {
		if err != nil {
			return nil, id, err
		}
		switch o.Tag {
		case tags.IssuerScriptIdentifier:
			id = o.Value[:min(len(o.Value), 4)]
		case tags.IssuerScriptCommand:
			if _, err := apdu.ParseCommand(o.Value); err != nil {
				return nil, id, err
			}
			commands = append(commands, o.Value)
		}
	}
	return commands, id, nil
}
