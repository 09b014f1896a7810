package emv

import (
	"context"
	"errors"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// xda is where extended data authentication stands (Book 2, 12; Book 4, 6.3.2.2).
type xda struct {
	key oda.ECKey
	// failed is set once any part failed; nothing is verified after it.
	failed bool
	// unrecovered is a failure of the certificates. Its TVR bit is due only
	// after the first GENERATE AC.
	unrecovered bool
}

// recoverXDA recovers the card's elliptic-curve key. Only a missing authority's
// key shows before action analysis.
func (s *Session) recoverXDA() {
	s.tvr.Set(tags.TVRXDASelected)
	err := s.recoverECKey()
	if err == nil {
		s.tell(StepODA, "XDA: issuer and card certificates verify, the cryptogram will be signed")
		return
	}
	s.xda.failed, s.oda.Reason = true, err.Error()
	var f *oda.Failure
	if errors.As(err, &f) && f.Step == oda.StepCA {
		s.tvr.Set(tags.TVRECKeyMissing)
	} else {
		s.xda.unrecovered = true
	}
	s.because(StepODA, "XDA failed: %v", err)
}

func (s *Session) recoverECKey() error {
	index := s.get(tags.CAPublicKeyIndex)
	if len(index) != 1 {
		return &oda.Failure{Step: oda.StepCA, Reason: "the card names none", Err: oda.ErrMissingData}
	}
	now := s.t.Time.UTC()
	issuer, err := oda.RecoverECIssuerFrom(s.k.c.CAKeys, oda.RID(s.cand.AID[:5]), index[0], s.get(tags.IssuerCertificate), s.pan, now)
	if err != nil {
		return err
	}
	s.fromTerminal[tags.TerminalCAPublicKeyIndex] = []byte{index[0]}
	certified, err := oda.CertifiedCardData(s.records, s.aip, s.cand.AID, s.get(tags.PDOL))
	if err != nil {
		return err
	}
	defer clear(certified)
	icc, err := oda.RecoverECICC(issuer.Key, s.get(tags.ICCCertificate), certified, now)
	s.xda.key = icc.Key
	return err
}

// verifyXDA checks the signature of an answer that is no AAC, unless XDA has
// failed before. It reports false when it is this signature that fails.
func (s *Session) verifyXDA(step Step, kind tags.Cryptogram, objects map[tlv.Tag][]byte, response, cdol1, cdol2 []byte) bool {
	if kind == tags.AAC || s.xda.failed {
		return true
	}
	lists := [][]byte{s.pdol, cdol1}
	if step == StepComplete {
		lists = [][]byte{cdol2}
	}
	if err := oda.VerifyXDA(s.xda.key, objects[tags.SignedDynamicData], oda.XDAData(response, lists...)); err != nil {
		s.xda.failed = true
		s.odaFailed(err)
		return false
	}
	s.oda.OK, s.oda.Reason = true, ""
	s.tell(step, "the card answers with a signed %s: XDA verifies", kind)
	return true
}

// judgeXDA is what follows a first answer when XDA has failed (Book 4,
// 6.3.2.2.4): the denial codes again, over the bits that are known now; else the
// issuer decides, also about a TC.
func (s *Session) judgeXDA(ctx context.Context) error {
	if s.tvr.Matches(s.actionCode(tags.IACDenial)) || s.tvr.Matches(s.app.TACDenial) {
		s.because(StepAction, "an action code denies it: %s", s.matched(s.actionCode(tags.IACDenial), s.app.TACDenial))
		if s.cryptogram == tags.ARQC {
			return s.declineSecond(ctx)
		}
		s.decision = Declined
		s.fromTerminal[tags.ARC] = []byte(arcOfflineDeclined)
		return nil
	}
	delete(s.fromTerminal, tags.ARC)
	return s.goOnline(ctx)
}

// unableAfterXDA declines: a failed XDA is for the issuer to accept.
func (s *Session) unableAfterXDA(ctx context.Context) error {
	s.fromTerminal[tags.ARC] = []byte(arcUnableDeclined)
	s.because(StepComplete, "the issuer could not be asked, and XDA had failed")
	if s.cryptogram == tags.TC {
		return nil
	}
	return s.generateSecond(ctx, apdu.RefAAC)
}
