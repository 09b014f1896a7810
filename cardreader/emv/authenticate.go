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
)

// String returns "none", "SDA", "DDA" or "CDA".
func (m ODAMethod) String() string {
	switch m {
	case SDA:
		return "SDA"
	case DDA:
		return "DDA"
	case CDA:
		return "CDA"
	}
	return "none"
}

// ODA is the result of offline data authentication.
type ODA struct {
	Method ODAMethod
	// OK is set when the data and, for CDA, every cryptogram so far was
	// authentic.
	OK bool
	// Reason says why not.
	Reason string
}

// String returns "DDA ok", "CDA failed: hash does not match", "none".
func (o ODA) String() string {
	switch {
	case o.Method == ODANone:
		return o.Method.String()
	case o.OK:
		return o.Method.String() + " ok"
	}
	return o.Method.String() + " failed: " + o.Reason
}

// errMissing marks data that authentication needs and the card lacks.
var errMissing = errors.New("emv: card data for offline data authentication is missing")

// authenticateData chooses a method and carries it out (Book 3, 10.3).
func (s *Session) authenticateData(ctx context.Context) error {
	caps := s.k.c.Terminal.Capabilities
	switch {
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
	case errors.Is(err, oda.ErrFailed), errors.Is(err, errMissing):
		if errors.Is(err, errMissing) {
			s.tvr.Set(tags.TVRICCDataMissing)
		}
		s.odaFailed(err)
	default:
		return err
	}
	s.tsi.Set(tags.TSIODAPerformed)
	return nil
}

// odaFailed notes the failure of the method in use.
func (s *Session) odaFailed(err error) {
	s.oda.OK, s.oda.Reason = false, err.Error()
	switch s.oda.Method {
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
	if s.oda.Method == SDA {
		ssad := s.get(tags.SignedStaticData)
		if len(ssad) == 0 {
			return errMissing
		}
		dac, err := oda.VerifySDA(s.issuerKey.Key, ssad, static)
		if err == nil {
			s.fromCard[tags.DataAuthenticationCode] = dac[:]
		}
		return err
	}
	cert, exponent := s.get(tags.ICCCertificate), s.get(tags.ICCExponent)
	if len(cert) == 0 || len(exponent) == 0 {
		return errMissing
	}
	icc, err := oda.RecoverICC(s.issuerKey.Key, cert, s.get(tags.ICCRemainder), exponent, s.pan, static, s.date())
	if err != nil {
		return err
	}
	s.iccKey = &icc.Key
	if s.oda.Method == CDA {
		return nil
	}
	return s.internalAuthenticate(ctx)
}

// recoverIssuer recovers the issuer's key, once.
func (s *Session) recoverIssuer() error {
	if s.issuerKey != nil {
		return nil
	}
	index, cert, exponent := s.get(tags.CAPublicKeyIndex), s.get(tags.IssuerCertificate), s.get(tags.IssuerExponent)
	if len(index) == 0 || len(cert) == 0 || len(exponent) == 0 {
		return errMissing
	}
	rid := oda.RID(s.cand.AID[:5])
	ca, ok := s.k.c.CAKeys.CAKey(rid, index[0])
	if !ok {
		return &oda.Failure{Step: oda.StepCA, Reason: "the terminal does not have it"}
	}
	issuer, err := oda.RecoverIssuer(ca, cert, s.get(tags.IssuerRemainder), exponent, s.pan, s.date())
	if err != nil {
		return err
	}
	if s.k.c.CAKeys.Revoked(rid, index[0], issuer.Serial) {
		return &oda.Failure{Step: oda.StepIssuer, Reason: "it is revoked"}
	}
	s.issuerKey = &issuer
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
			return nil, errMissing
		}
		return v, nil
	}
	return nil, breach(StepODA, o.Tag, "response is neither format 1 nor format 2")
}
