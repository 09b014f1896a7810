package emv

import (
	"bytes"
	"context"
	"strings"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// generateFirst sends the first GENERATE AC and judges the answer (Book 3,
// 10.8 and 10.9).
func (s *Session) generateFirst(ctx context.Context) error {
	if s.request == apdu.RefAAC && s.cdaWanted {
		// An AAC is not signed: nothing will be authenticated.
		s.cdaWanted, s.oda = false, ODA{}
		s.tvr.Set(tags.TVRODANotPerformed)
	}
	s.offlineARC(tags.Cryptogram(s.request))
	data, err := s.fill(StepGenerate, tags.CDOL1, s.get(tags.CDOL1))
	if err != nil {
		return err
	}
	s.cdol1 = data
	verified, err := s.generate(ctx, StepGenerate, s.request, data, data, nil)
	if err != nil {
		return err
	}
	s.tsi.Set(tags.TSICardRiskPerformed)
	s.offlineARC(s.cryptogram)
	if s.oda.Method == XDA {
		s.tsi.Set(tags.TSIODAPerformed)
		if s.xda.unrecovered {
			s.tvr.Set(tags.TVRECRecoveryFailed)
		}
		if s.xda.failed && s.cryptogram != tags.AAC {
			return s.judgeXDA(ctx)
		}
	}
	switch {
	case s.cryptogram == tags.AAC:
		s.decision = Declined
		if s.request != apdu.RefAAC {
			s.because(StepGenerate, "the card declined: %s", strings.Join(s.cid.Describe(), ", "))
		}
	case !verified && s.cryptogram == tags.ARQC:
		// Book 2, 6.6.2: an ARQC that is not authentic is answered by asking
		// for an AAC at once.
		return s.declineSecond(ctx)
	case !verified:
		// A TC that is not authentic: no second GENERATE AC (Book 4, 6.3.2).
		s.decision = Declined
		s.fromTerminal[tags.ARC] = []byte(arcOfflineDeclined)
	case s.cryptogram == tags.ARQC:
		return s.goOnline(ctx)
	default:
		s.decision = Approved
	}
	return nil
}

// goOnline leaves the transaction to the issuer. A terminal that never goes
// online is unable to, at once (Book 3, 10.7).
func (s *Session) goOnline(ctx context.Context) error {
	s.decision = Online
	if !s.k.c.Terminal.Type.OfflineOnly() {
		return nil
	}
	s.completed, s.decision = true, Declined
	return s.withoutIssuer(ctx)
}

// offlineARC sets the code that the terminal gives a transaction which ends
// without the issuer (Book 4, A6).
func (s *Session) offlineARC(c tags.Cryptogram) {
	switch c {
	case tags.TC:
		s.fromTerminal[tags.ARC] = []byte(arcOfflineApproved)
	case tags.AAC:
		s.fromTerminal[tags.ARC] = []byte(arcOfflineDeclined)
	default:
		delete(s.fromTerminal, tags.ARC)
	}
}

// generate sends one GENERATE AC. It reports whether a signature that was asked
// for verifies, true where none was.
func (s *Session) generate(ctx context.Context, step Step, request byte, data, cdol1, cdol2 []byte) (bool, error) {
	signed := s.cdaWanted && request != apdu.RefAAC
	reference := request
	switch {
	case signed:
		reference |= apdu.RefCDA
	case s.oda.Method == XDA:
		// Always, an AAC included, and after a failure too (Book 2, 12.5.1).
		reference |= apdu.RefXDA
	}
	r, err := s.send(ctx, step, "GENERATE AC for "+tags.Cryptogram(request).String(), apdu.GenerateAC(reference, data))
	if err != nil {
		return false, err
	}
	if !r.SW.OK() {
		return false, &StatusError{step, "GENERATE AC", r.SW}
	}
	objects, response, err := cryptogramResponse(step, r.Data)
	if err != nil {
		return false, err
	}
	cid := objects[tags.CID]
	if len(cid) != 1 {
		return false, breach(step, tags.CID, "missing or not 1 byte")
	}
	if len(objects[tags.ATC]) != 2 {
		return false, breach(step, tags.ATC, "missing or not 2 bytes")
	}
	kind := tags.CIDValue(cid[0]).Cryptogram()
	if err := answers(step, request, kind); err != nil {
		if step == StepGenerate {
			return false, err
		}
		// 9.3: the second time all is over, and whatever else it is counts as an
		// AAC.
		s.because(step, "%v", err)
		s.take(tags.AAC, objects)
		return true, nil
	}
	sdad, hasSDAD := objects[tags.SignedDynamicData]
	if signed && kind != tags.AAC {
		return s.takeSigned(step, kind, objects, sdad, hasSDAD, response, cdol1, cdol2)
	}
	if len(objects[tags.ApplicationCryptogram]) != 8 {
		return false, breach(step, tags.ApplicationCryptogram, "missing or not 8 bytes")
	}
	s.take(kind, objects)
	if s.oda.Method == XDA && !s.verifyXDA(step, kind, objects, response, cdol1, cdol2) {
		return false, nil
	}
	s.tell(step, "the card answers with %s", strings.Join(tags.CIDValue(cid[0]).Describe(), ", "))
	return true, nil
}

// take makes the answer's objects the session's: those that have their place in
// it (Book 3, 6.5.5.4), of which none is left from an earlier answer.
func (s *Session) take(kind tags.Cryptogram, objects map[tlv.Tag][]byte) {
	s.cryptogram, s.cid = kind, tags.CIDValue(objects[tags.CID][0])
	for _, t := range []tlv.Tag{tags.CID, tags.ATC, tags.ApplicationCryptogram, tags.IssuerApplicationData, tags.SignedDynamicData} {
		delete(s.fromCard, t)
		if v := objects[t]; len(v) > 0 {
			s.fromCard[t] = bytes.Clone(v)
		}
	}
}

// takeSigned verifies a combined signature; what it signs is what counts (Book
// 2, 6.6.2).
func (s *Session) takeSigned(step Step, kind tags.Cryptogram, objects map[tlv.Tag][]byte, sdad []byte, has bool, response, cdol1, cdol2 []byte) (bool, error) {
	s.take(kind, objects)
	s.tsi.Set(tags.TSIODAPerformed)
	fail := func(err error) (bool, error) {
		s.cdaWanted = false
		s.odaFailed(err)
		return false, nil
	}
	if !has {
		return fail(noSignature())
	}
	c, err := oda.VerifyCDA(*s.iccKey, sdad, s.fromTerminal[tags.UnpredictableNumber], oda.TransactionData(s.pdol, cdol1, cdol2, response))
	if err != nil {
		return fail(err)
	}
	if c.CID != objects[tags.CID][0] {
		// The signed one says what the card gave (Book 4, 6.3.2.1).
		s.cid, s.cryptogram = tags.CIDValue(c.CID), tags.CIDValue(c.CID).Cryptogram()
		return fail(&oda.Failure{Step: oda.StepDynamic, Reason: "the signed cryptogram information is not the one outside"})
	}
	s.oda.OK, s.oda.Reason = true, ""
	s.fromCard[tags.ApplicationCryptogram] = c.Cryptogram[:]
	s.fromCard[tags.ICCDynamicNumber] = append([]byte(nil), c.Number...)
	s.tell(step, "the card answers with a signed %s: CDA verifies", kind)
	return true, nil
}

// answers checks that a card gave what it may give for a request (Book 3,
// 10.8).
func answers(step Step, request byte, kind tags.Cryptogram) error {
	ok := false
	switch request {
	case apdu.RefAAC:
		ok = kind == tags.AAC
	case apdu.RefARQC:
		ok = kind == tags.AAC || kind == tags.ARQC
	case apdu.RefTC:
		// The second time nobody can be asked any more.
		ok = kind == tags.AAC || kind == tags.TC || kind == tags.ARQC && step == StepGenerate
	}
	if !ok {
		return breach(step, tags.CID, "the card answers "+tags.Cryptogram(request).String()+" with "+kind.String())
	}
	return nil
}

// cryptogramResponse reads both formats (Book 3, 6.5.5.4). response is the
// template's value without the signature, as a combined signature hashes it.
func cryptogramResponse(step Step, b []byte) (objects map[tlv.Tag][]byte, response []byte, err error) {
	o, err := single(step, b)
	if err != nil {
		return nil, nil, err
	}
	objects = map[tlv.Tag][]byte{}
	switch o.Tag {
	case tags.ResponseFormat1:
		v := o.Value
		if len(v) < 11 || len(v) > 43 {
			return nil, nil, breach(step, o.Tag, "not 11 to 43 bytes")
		}
		objects[tags.CID], objects[tags.ATC], objects[tags.ApplicationCryptogram] = v[:1], v[1:3], v[3:11]
		if len(v) > 11 {
			objects[tags.IssuerApplicationData] = v[11:]
		}
		return objects, nil, nil
	case tags.ResponseFormat2:
		// The hash of a combined signature covers the objects as they came,
		// whatever stands between them.
		at := 0
		for c, err := range tlv.All(o.Value) {
			if err != nil {
				return nil, nil, &CardError{Step: step, Tag: o.Tag, Reason: "malformed", Err: err}
			}
			if _, twice := objects[c.Tag]; twice {
				return nil, nil, breach(step, c.Tag, "given twice")
			}
			objects[c.Tag] = c.Value
			if end := c.Offset + c.HeaderLen + len(c.Value); c.Tag == tags.SignedDynamicData {
				response = append(response, o.Value[at:c.Offset]...)
				at = end
			}
		}
		return objects, append(response, o.Value[at:]...), nil
	}
	return nil, nil, breach(step, o.Tag, "response is neither format 1 nor format 2")
}
