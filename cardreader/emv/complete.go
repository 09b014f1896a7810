package emv

import (
	"context"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// HostResponse is what came back for an OnlineRequest.
type HostResponse struct {
	// Unable says that no answer came that counts; the rest is ignored.
	Unable bool
	// Approved says that the response approves, by the table of the dialect or the
	// acquirer that it came by, and that the session's owner takes the approval.
	// The kernel knows no table: what a code means, its sender decides.
	Approved bool
	// ARC is the authorisation response code, tag 8A: two characters.
	ARC string
	// AuthorisationCode is the approval code that the issuer gave (DE 38), tag
	// 89 for a CDOL2 that names it; empty for none.
	AuthorisationCode string
	// IssuerAuthenticationData is the value of tag 91, empty for none.
	IssuerAuthenticationData []byte
	// Scripts are templates 71 and 72 as they were received.
	Scripts []byte
}

// Authorisation response codes of the terminal's own (Book 4, A6).
const (
	arcOfflineApproved = "Y1"
	arcOfflineDeclined = "Z1"
	arcUnableApproved  = "Y3"
	arcUnableDeclined  = "Z3"
)

// Complete runs what follows the issuer's answer: issuer authentication,
// scripts, the second GENERATE AC, scripts (Book 3, 10.9 to 10.11). It may be
// called once, after an outcome of Online. After an error the card's word is
// missing, and Outcome declines. Errors: ErrState, *CardError, *StatusError,
// those of the card.
func (s *Session) Complete(ctx context.Context, r HostResponse) (Outcome, error) {
	switch {
	case s.decision != Online || s.completed:
		return s.Outcome(), fmt.Errorf("%w: Complete of a transaction that is %s", ErrState, s.decision)
	case !r.Unable && len(r.ARC) != 2:
		return s.Outcome(), fmt.Errorf("%w: authorisation response code of %d characters", ErrState, len(r.ARC))
	}
	s.completed, s.decision = true, Declined
	var err error
	if r.Unable {
		err = s.withoutIssuer(ctx)
	} else {
		err = s.answered(ctx, r)
	}
	if err != nil {
		s.reasons = append(s.reasons, "the card did not complete")
	}
	return s.Outcome(), err
}

// withoutIssuer ends a transaction about which the issuer could not be asked.
func (s *Session) withoutIssuer(ctx context.Context) error {
	if s.xda.failed {
		return s.unableAfterXDA(ctx)
	}
	return s.generateSecond(ctx, s.unable())
}

// answered gives the issuer's answer to the card.
func (s *Session) answered(ctx context.Context, r HostResponse) error {
	s.fromTerminal[tags.ARC] = []byte(r.ARC)
	if r.AuthorisationCode != "" {
		s.fromTerminal[tags.AuthorisationCode] = []byte(r.AuthorisationCode)
	}
	request := byte(apdu.RefAAC)
	switch {
	case r.Approved:
		request = apdu.RefTC
	default:
		s.because(StepComplete, "the issuer did not approve")
	}
	if err := s.authenticateIssuer(ctx, r.IssuerAuthenticationData); err != nil {
		return err
	}
	before, after := s.scripts(r.Scripts)
	if err := s.runScripts(ctx, before, tags.TVRScriptFailedBefore); err != nil {
		return err
	}
	if s.cryptogram == tags.TC {
		// A TC for which XDA failed was sent to the issuer: the card has nothing
		// more to say (Book 4, 6.3.2.2.4).
		if request == apdu.RefTC {
			s.decision = Approved
		}
	} else if err := s.generateSecond(ctx, request); err != nil {
		return err
	}
	if err := s.runScripts(ctx, after, tags.TVRScriptFailedAfter); err != nil {
		// The card has decided: what goes wrong now changes no outcome (Book
		// 3, 10.10).
		s.tell(StepScript, "the card is gone: %v", err)
	}
	return nil
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
	s.fromTerminal[tags.ARC] = []byte(arcOfflineDeclined)
	return s.generateSecond(ctx, apdu.RefAAC)
}
