package simcard

import (
	"fmt"
	"io"
	"strconv"

	"github.com/payunit/payunit/cardreader/tlv"
)

// application is a personalised Application: everything that its commands read.
type application struct {
	spec              *Application
	tap               *Contactless // nil on the contact interface
	aip, afl          []byte
	fci               []byte
	records           map[recordID][]byte // the whole template 70
	pdol, cdol1, ddol tlv.DOL
	cdol2             tlv.DOL
	currency, country []byte
	exponent          byte
	keys              cardKeys
}

type recordID struct{ sfi, record byte }

// Where things lie. The limits and the log change in the field, so they are in
// files that are never signed.
const (
	sfiDirectory = 1
	sfiHolder    = 1
	sfiSigned    = 2
	sfiKeys      = 3
	sfiLog       = 11
	sfiIssuer    = 21 // of the issuer's own (Book 1, 10.3.2)
	logRecords   = 10
)

var limitsRecord = recordID{sfiHolder, 2}

// logFormat is 9F4F: what a log record holds (Book 3, Annex D).
var logFormat = unhex("9F360295059F27019F02069F1A025F2A029A039C01")

// defaultDDOL is the terminal's when the card has none (Book 3, 10.3).
var defaultDDOL = unhex("9F3704")

func personalise(p *Profile, s *Application, o Options) (*application, error) {
	if err := o.PKI.check(); err != nil {
		return nil, err
	}
	a := &application{spec: s, aip: s.AIP[:], currency: tlv.AppendN(nil, uint64(o.Currency.Numeric()), 2), country: tlv.AppendN(nil, uint64(o.Country), 2)}
	a.exponent = o.Currency.Exponent()
	var err error
	for _, d := range []struct {
		to   *tlv.DOL
		from []byte
		name string
	}{{&a.pdol, s.PDOL, "PDOL"}, {&a.cdol1, s.CDOL1, "CDOL1"}, {&a.cdol2, s.CDOL2, "CDOL2"}, {&a.ddol, s.DDOL, "DDOL"}} {
		if *d.to, err = tlv.ParseDOL(d.from); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrProfile, d.name, err)
		}
		if d.to.Len() > 250 {
			return nil, fmt.Errorf("%w: %s asks for %d bytes, more than a command holds", ErrProfile, d.name, d.to.Len())
		}
	}
	for _, d := range []tlv.DOL{a.cdol1, a.cdol2} {
		if err := carriesCryptogramData(d); err != nil {
			return nil, err
		}
	}
	if len(s.DDOL) == 0 {
		if a.ddol, err = tlv.ParseDOL(defaultDDOL); err != nil {
			return nil, err
		}
	}
	if a.keys, err = deriveKeys(o.PKI, s); err != nil {
		return nil, err
	}
	a.fci = a.makeFCI()
	if err := a.makeRecords(o.PKI, o.Rand); err != nil {
		return nil, err
	}
	return a, nil
}

// cryptogramData is what CVN 10 and 18 put into a cryptogram from the terminal,
// in their order, and with the lengths that both ends must agree on.
var cryptogramData = tlv.DOL{{Tag: 0x9F02, Len: 6}, {Tag: 0x9F03, Len: 6}, {Tag: 0x9F1A, Len: 2}, {Tag: 0x95, Len: 5},
	{Tag: 0x5F2A, Len: 2}, {Tag: 0x9A, Len: 3}, {Tag: 0x9C, Len: 1}, {Tag: 0x9F37, Len: 4}}

func carriesCryptogramData(d tlv.DOL) error {
	for _, want := range cryptogramData {
		found := false
		for _, e := range d {
			if e.Tag == want.Tag {
				found = e.Len == want.Len
				break // transaction.value takes the first
			}
		}
		if !found {
			return fmt.Errorf("%w: CDOL without %v of %d bytes, which the cryptogram covers", ErrProfile, want.Tag, want.Len)
		}
	}
	return nil
}

// makeFCI is the answer to SELECT (Book 1, table 45).
func (a *application) makeFCI() []byte {
	s := a.spec
	prop := tlv.Append(nil, 0x50, []byte(s.Label))
	if s.Priority != 0 {
		prop = tlv.Append(prop, 0x87, []byte{s.Priority})
	}
	if len(s.PDOL) > 0 {
		prop = tlv.Append(prop, 0x9F38, s.PDOL)
	}
	prop = tlv.Append(prop, 0x5F2D, []byte("en"))
	if s.Preferred != "" {
		prop = tlv.Append(prop, 0x9F11, []byte{1})
		prop = tlv.Append(prop, 0x9F12, []byte(s.Preferred))
	}
	prop = tlv.Append(prop, 0xBF0C, tlv.Append(nil, 0x9F4D, []byte{sfiLog, logRecords}))
	return tlv.Append(nil, 0x6F, tlv.Append(tlv.Append(nil, 0x84, s.AID), 0xA5, prop))
}

// directoryFCI and directoryRecord are the PSE (Book 1, 12.2.2 and 12.2.3).
func (c *Card) directoryFCI() []byte {
	prop := tlv.Append(nil, 0x88, []byte{sfiDirectory})
	prop = tlv.Append(prop, 0x5F2D, []byte("en"))
	prop = tlv.Append(prop, 0x9F11, []byte{1})
	return tlv.Append(nil, 0x6F, tlv.Append(tlv.Append(nil, 0x84, pseName), 0xA5, prop))
}

// directoryRecord returns record n of the directory, one application each.
func (c *Card) directoryRecord(n byte) ([]byte, bool) {
	if n == 0 || int(n) > len(c.apps) {
		return nil, false
	}
	s := c.apps[n-1].spec
	e := tlv.Append(nil, 0x4F, s.AID)
	e = tlv.Append(e, 0x50, []byte(s.Label))
	if s.Preferred != "" {
		e = tlv.Append(e, 0x9F12, []byte(s.Preferred))
	}
	if s.Priority != 0 {
		e = tlv.Append(e, 0x87, []byte{s.Priority})
	}
	return tlv.Append(nil, 0x70, tlv.Append(nil, 0x61, e)), true
}

// makeRecords writes the files and the AFL, and signs what is to be signed.
func (a *application) makeRecords(pki *PKI, random io.Reader) error {
	s := a.spec
	a.records = map[recordID][]byte{}
	put := func(sfi, n byte, body []byte) error {
		r := tlv.Append(nil, 0x70, body)
		if len(r) > 256 {
			return fmt.Errorf("%w: record %d of file %d has %d bytes", ErrProfile, n, sfi, len(r))
		}
		a.records[recordID{sfi, n}] = r
		return nil
	}
	holder := tlv.Append(nil, 0x57, s.track2())
	holder = tlv.Append(holder, 0x5F20, []byte("CARDHOLDER/TEST"))
	if err := put(sfiHolder, 1, holder); err != nil {
		return err
	}
	a.records[limitsRecord] = nil // made at each reading

	static := a.staticRecord()
	if err := put(sfiSigned, 1, static); err != nil {
		return err
	}
	if len(s.DDOL) > 0 {
		if err := put(sfiSigned, 2, tlv.Append(nil, 0x9F49, s.DDOL)); err != nil {
			return err
		}
	}
	// The AIP joins the signed data because 9F4A names it.
	signed := append(append([]byte(nil), static...), a.aip...)
	var keys [][]byte
	var err error
	if s.AIP[0]&aipXDA != 0 {
		keys, err = a.ecRecords(&pki.EC, random, static)
	} else {
		keys, err = a.keyRecords(pki, signed)
	}
	if err != nil {
		return err
	}
	for i, body := range keys {
		if err := put(sfiKeys, byte(i+1), body); err != nil {
			return err
		}
	}
	lastSigned := byte(1)
	if len(s.DDOL) > 0 {
		lastSigned = 2
	}
	a.afl = []byte{sfiHolder << 3, 1, 2, 0, sfiSigned << 3, 1, lastSigned, 1}
	if len(keys) > 0 {
		a.afl = append(a.afl, sfiKeys<<3, 1, byte(len(keys)), 0)
	}
	return nil
}

// staticRecord is the record that offline data authentication covers.
func (a *application) staticRecord() []byte {
	s := a.spec
	r := tlv.Append(nil, 0x5A, cn(s.PAN, (len(s.PAN)+1)/2))
	r = tlv.Append(r, 0x5F34, tlv.AppendN(nil, uint64(s.PSN), 1))
	r = tlv.Append(r, 0x5F24, cn(s.Expiry, 3))
	r = tlv.Append(r, 0x5F25, cn(s.Effective, 3))
	r = tlv.Append(r, 0x5F28, a.country)
	r = tlv.Append(r, 0x5F30, tlv.AppendN(nil, uint64(s.ServiceCode), 2))
	r = tlv.Append(r, 0x9F07, s.AUC[:])
	r = tlv.Append(r, 0x9F08, []byte{0x00, 0x96})
	r = tlv.Append(r, 0x8E, s.CVMList)
	r = tlv.Append(r, 0x9F0D, s.Default[:])
	r = tlv.Append(r, 0x9F0E, s.Denial[:])
	r = tlv.Append(r, 0x9F0F, s.Online[:])
	r = tlv.Append(r, 0x9F42, a.currency)
	r = tlv.Append(r, 0x9F44, []byte{a.exponent})
	r = tlv.Append(r, 0x8C, s.CDOL1)
	r = tlv.Append(r, 0x8D, s.CDOL2)
	return tlv.Append(r, 0x9F4A, []byte{0x82})
}

// keyRecords are the certificates: one record each, because one fills it.
func (a *application) keyRecords(pki *PKI, signed []byte) ([][]byte, error) {
	s := a.spec
	_, enciphered := s.offlinePIN()
	if s.AIP[0]&(aipSDA|aipDDA|aipCDA) == 0 && !enciphered {
		return nil, nil
	}
	ca, err := pki.authority(s.AID[:5], s.CAIndex)
	if err != nil {
		return nil, err
	}
	expiry := [2]byte{0x12, 0x31} // certificates run to 12/2031, also of an expired card
	cert, rest, err := issuerCertificate(ca.Key, pki.Issuer, s.PAN, expiry, s.Serial)
	if err != nil {
		return nil, err
	}
	second := tlv.Append(nil, 0x8F, []byte{s.CAIndex})
	second = tlv.Append(second, 0x9F32, pki.Issuer.Exponent())
	if len(rest) > 0 {
		second = tlv.Append(second, 0x92, rest)
	}
	records := [][]byte{tlv.Append(nil, 0x90, cert), second}
	if s.AIP[0]&aipSDA != 0 {
		sig, err := staticSignature(pki.Issuer, [2]byte{0xDA, 0xC1}, signed)
		if err != nil {
			return nil, err
		}
		records = append(records, tlv.Append(nil, 0x93, sig))
	}
	card := func(key *Key, static []byte, cert, exponent, remainder tlv.Tag) error {
		c, rest, err := iccCertificate(pki.Issuer, key, s.PAN, expiry, s.Serial, static)
		if err != nil {
			return err
		}
		r := tlv.Append(tlv.Append(nil, cert, c), exponent, key.Exponent())
		if len(rest) > 0 {
			r = tlv.Append(r, remainder, rest)
		}
		records = append(records, r)
		return nil
	}
	if s.AIP[0]&(aipDDA|aipCDA) != 0 {
		if err := card(pki.ICC, signed, 0x9F46, 0x9F47, 0x9F48); err != nil {
			return nil, err
		}
	}
	if enciphered {
		if err := card(pki.PIN, nil, 0x9F2D, 0x9F2E, 0x9F2F); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// track2 is tag 57: PAN, D, YYMM, service code, discretionary data, F if odd.
func (s *Application) track2() []byte {
	t := s.PAN + "D" + s.Expiry[:4] + fmt.Sprintf("%03d", s.ServiceCode) + "00000"
	if len(t)%2 != 0 {
		t += "F"
	}
	out := make([]byte, len(t)/2)
	for i := range out {
		v, _ := strconv.ParseUint(t[2*i:2*i+2], 16, 8)
		out[i] = byte(v)
	}
	return out
}
