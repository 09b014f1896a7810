package emv

import (
	"context"
	"errors"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ODAMethod is a method of offline data authentication.
type ODAMethod uint8

// The methods. The zero value is none.
const (
	ODANone ODAMethod = iota
	SDA
	DDA
	CDA
	XDA
)

// String returns "none", "SDA", "DDA", "CDA" or "XDA".
func (m ODAMethod) String() string {
	switch m {
	case SDA:
		return "SDA"
	case DDA:
		return "DDA"
	case CDA:
		return "CDA"
	case XDA:
		return "XDA"
	}
	return "none"
}

// ODA is the result of offline data authentication.
type ODA struct {
	Method ODAMethod
	// OK is set when the data and, for CDA and XDA, every cryptogram so far
	// was authentic.
	OK bool
	// Reason says why not.
	Reason string
}

// String returns "DDA ok", "CDA failed: hash does not match", "CDA not
// performed", "none".
func (o ODA) String() string {
	switch {
	case o.Method == ODANone:
		return o.Method.String()
	case o.OK:
		return o.Method.String() + " ok"
	case o.Reason == "":
		// The certificates verified, and the card gave nothing signed.
		return o.Method.String() + " not performed"
	}
	return o.Method.String() + " failed: " + o.Reason
}

// authenticateData chooses a method and carries it out (Book 3, 10.3).
func (s *Session) authenticateData(ctx context.Context) error {
	caps := s.k.c.Terminal.Capabilities
	switch {
	case s.aip.Has(tags.AIPXDA) && caps.Security(tags.CapXDA):
		s.oda.Method = XDA
		s.missingForODA()
		s.recoverXDA()
		return nil
	case s.aip.Has(tags.AIPCDA) && caps.Security(tags.CapCDA):
		s.oda.Method = CDA
	case s.aip.Has(tags.AIPDDA) && caps.Security(tags.CapDDA):
		s.oda.Method = DDA
	case s.aip.Has(tags.AIPSDA) && caps.Security(tags.CapSDA):
		s.oda.Method = SDA
	default:
		s.oda = ODA{}
		s.tvr.Set(tags.TVRODANotPerformed)
		s.tell(StepODA, "card and terminal have no method in common")
		return nil
	}
	s.missingForODA()
	err := s.authenticate(ctx)
	switch {
	case err == nil:
		if s.oda.Method == CDA {
			// The signature itself comes with the cryptogram.
			s.cdaWanted = true
			s.tell(StepODA, "CDA: issuer and card certificates verify, the cryptogram will be signed")
			return nil
		}
		s.oda.OK = true
		s.tell(StepODA, "%s: the card is authentic", s.oda.Method)
	case errors.Is(err, oda.ErrFailed):
		if errors.Is(err, oda.ErrMissingData) {
			// A remainder that a certificate says there is.
			s.tvr.Set(tags.TVRICCDataMissing)
		}
		s.odaFailed(err)
	default:
		return err
	}
	s.tsi.Set(tags.TSIODAPerformed)
	return nil
}

// missingForODA notes that the card lacks what the method needs, however far
// authentication gets (Book 3, table 35).
func (s *Session) missingForODA() {
	need := []tlv.Tag{tags.CAPublicKeyIndex, tags.IssuerCertificate, tags.IssuerExponent, tags.ICCCertificate, tags.ICCExponent}
	switch s.oda.Method {
	case SDA:
		need = []tlv.Tag{tags.CAPublicKeyIndex, tags.IssuerCertificate, tags.IssuerExponent, tags.SignedStaticData}
	case XDA:
		need = []tlv.Tag{tags.CAPublicKeyIndex, tags.IssuerCertificate, tags.ICCCertificate}
	}
	for _, t := range need {
		if s.get(t) == nil {
			s.tvr.Set(tags.TVRICCDataMissing)
		}
	}
}

// odaFailed notes the failure of the method in use.
func (s *Session) odaFailed(err error) {
	s.oda.OK, s.oda.Reason = false, err.Error()
	switch s.oda.Method {
	case XDA:
		s.tvr.Set(tags.TVRXDAFailed)
	case CDA:
		s.tvr.Set(tags.TVRCDAFailed)
	case DDA:
		s.tvr.Set(tags.TVRDDAFailed)
	case SDA:
		s.tvr.Set(tags.TVRSDAFailed)
	}
	s.because(StepODA, "%s failed: %v", s.oda.Method, err)
}

func (s *Session) authenticate(ctx context.Context) error {
	if s.oda.Method == SDA {
		s.tvr.Set(tags.TVRSDASelected)
	}
	if err := s.recoverIssuer(); err != nil {
		return err
	}
	static, err := s.static()
	if err != nil {
		return err
	}
	defer clear(static)
	if s.oda.Method == SDA {
		dac, err := oda.VerifySDA(s.issuerKey.Key, s.get(tags.SignedStaticData), static)
		if err == nil {
			s.fromCard[tags.DataAuthenticationCode] = dac[:]
		}
		return err
	}
	icc, err := s.recoverICC(static)
	if err != nil {
		return err
	}
	s.iccKey = &icc.Key
	if s.oda.Method == CDA {
		return nil
	}
	return s.internalAuthenticate(ctx)
}

// static returns what signatures over card data cover.
func (s *Session) static() ([]byte, error) {
	return oda.StaticData(s.records, s.get(tags.SDATagList), s.aip)
}

func (s *Session) recoverICC(static []byte) (oda.ICC, error) {
	return oda.RecoverICC(s.issuerKey.Key, s.get(tags.ICCCertificate), s.get(tags.ICCRemainder), s.get(tags.ICCExponent), s.pan, static, s.date())
}

// recoverIssuer recovers the issuer's key, once.
func (s *Session) recoverIssuer() error {
	if s.issuerKey != nil {
		return nil
	}
	index := s.get(tags.CAPublicKeyIndex)
	if len(index) != 1 {
		return &oda.Failure{Step: oda.StepCA, Reason: "the card names none", Err: oda.ErrMissingData}
	}
	issuer, err := oda.RecoverIssuerFrom(s.k.c.CAKeys, oda.RID(s.cand.AID[:5]), index[0],
		s.get(tags.IssuerCertificate), s.get(tags.IssuerRemainder), s.get(tags.IssuerExponent), s.pan, s.date())
	if err != nil {
		return err
	}
	s.issuerKey = &issuer
	s.fromTerminal[tags.TerminalCAPublicKeyIndex] = []byte{index[0]}
	return nil
}

// internalAuthenticate asks for and checks a dynamic signature (Book 2, 6.5).
func (s *Session) internalAuthenticate(ctx context.Context) error {
	ddol := s.get(tags.DDOL)
	if len(ddol) == 0 {
		ddol = s.app.DefaultDDOL
	}
	list, err := tlv.ParseDOL(ddol)
	if err != nil || !list.Contains(tags.UnpredictableNumber) {
		return &oda.Failure{Step: oda.StepDynamic, Reason: "the DDOL has no unpredictable number"}
	}
	data, err := s.fill(StepODA, tags.DDOL, ddol)
	if err != nil {
		return err
	}
	r, err := s.send(ctx, StepODA, "INTERNAL AUTHENTICATE", apdu.InternalAuthenticate(data))
	if err != nil {
		return err
	}
	if !r.SW.OK() {
		return &StatusError{StepODA, "INTERNAL AUTHENTICATE", r.SW}
	}
	sdad, err := signature(r.Data)
	if err != nil {
		return err
	}
	number, err := oda.VerifyDDA(*s.iccKey, sdad, data)
	if err == nil {
		s.fromCard[tags.ICCDynamicNumber] = append([]byte(nil), number...)
	}
	return err
}

// signature reads both formats of the response (Book 3, 6.5.9.4).
func signature(b []byte) ([]byte, error) {
	o, err := single(StepODA, b)
	if err != nil {
		return nil, err
	}
	switch o.Tag {
	case tags.ResponseFormat1:
		return o.Value, nil
	case tags.ResponseFormat2:
		v, ok, err := tlv.Child(o.Value, tags.SignedDynamicData)
		if err != nil {
			return nil, &CardError{Step: StepODA, Tag: o.Tag, Reason: "malformed", Err: err}
		}
		if !ok {
			// 6.5.9.4: not a failed signature, but no answer.
			return nil, breach(StepODA, tags.SignedDynamicData, "missing in the answer to INTERNAL AUTHENTICATE")
		}
		return v, nil
	}
	return nil, breach(StepODA, o.Tag, "response is neither format 1 nor format 2")
}

func noSignature() error {
	return &oda.Failure{Step: oda.StepDynamic, Reason: "absent", Err: oda.ErrMissingData}
}
