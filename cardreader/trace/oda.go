package trace

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Check is a step of offline data authentication, done again on a trace.
type Check struct {
	Step string `json:"step"`
	// OK says that it verified. With Skipped it could not be tried.
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped,omitempty"`
	Text    string `json:"text"`
	// Details are the steps of the recovery, field by field.
	Details []Detail `json:"details,omitempty"`
}

// ODAReport is what data authentication says of one application of a trace.
type ODAReport struct {
	AID string `json:"aid"`
	// Methods are what the card supports, of "SDA", "DDA", "CDA", "XDA".
	Methods []string `json:"methods"`
	Checks  []Check  `json:"checks"`
}

// Verified reports whether there was something to check, and all of it verified.
func (r ODAReport) Verified() bool {
	return len(r.Checks) > 0 && !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.OK })
}

// Date returns the transaction date that the trace holds, 9A.
func (t *Trace) Date() (time.Time, bool) {
	v, ok := t.terminalData()[tags.TransactionDate]
	if given, there := t.Terminal[tags.TransactionDate]; there {
		v, ok = given, true
	}
	if !ok || len(v) != 3 {
		return time.Time{}, false
	}
	d, err := time.Parse("060102", fmt.Sprintf("%X", v))
	return d, err == nil
}

// CheckODA does the certificates and signatures of a trace again (EMV 4.4 Book 2,
// 5 and 6), an application at a time, with the keys given and on the date given.
// A masked trace lacks what is needed for most of it, and the checks say so.
func (t *Trace) CheckODA(keys oda.Keys, on time.Time) []ODAReport {
	var out []ODAReport
	var s *session
	for _, m := range t.messages() {
		if s == nil {
			s = newSession()
		}
		aid := s.aid
		before := *s
		s.see(m)
		if len(s.records) == 0 && len(before.records) > 0 {
			out = append(out, t.checkSession(&before, aid, keys, on))
		}
	}
	if s != nil && len(s.records) > 0 {
		out = append(out, t.checkSession(s, s.aid, keys, on))
	}
	return out
}

// odaRun carries what one step found to the next.
type odaRun struct {
	*session
	t      *Trace
	on     time.Time
	pan    secret.PAN
	static []byte
	issuer oda.Issuer
	icc    oda.ICC
	report *ODAReport
	// details are those of the check that comes next.
	details []Detail
}

func (t *Trace) checkSession(s *session, aid []byte, keys oda.Keys, on time.Time) ODAReport {
	r := ODAReport{AID: upper(aid), Methods: methods(s.aip), Checks: []Check{}}
	if len(aid) < 5 || len(s.aip) != 2 {
		// A directory: it has records and no certificates.
		return r
	}
	run := &odaRun{session: s, t: t, on: on, report: &r}
	defer func() { run.pan.Wipe() }()
	run.findPAN()
	if cert := s.data[tags.IssuerCertificate]; len(cert) > 0 && tags.AIPValue(s.aip).Has(tags.AIPXDA) {
		run.extended(oda.RID(aid[:5]), keys)
		return r
	}
	if !run.recoverIssuer(oda.RID(aid[:5]), keys) {
		return r
	}
	run.staticData()
	run.signedStatic()
	if run.recoverICC() {
		run.dynamic()
		run.combined()
	}
	run.pinKey()
	return r
}

func methods(aip []byte) []string {
	out := []string{}
	if len(aip) != 2 {
		return out
	}
	for _, m := range []struct {
		bit  byte
		name string
	}{{tags.AIPSDA, "SDA"}, {tags.AIPDDA, "DDA"}, {tags.AIPCDA, "CDA"}, {tags.AIPXDA, "XDA"}} {
		if tags.AIPValue(aip).Has(m.bit) {
			out = append(out, m.name)
		}
	}
	return out
}

func (r *odaRun) add(step string, err error, text string) bool {
	c := Check{Step: step, OK: err == nil, Text: text, Details: r.details}
	r.details = nil
	if err != nil {
		c.Text = err.Error()
		var f *oda.Failure
		if errors.As(err, &f) {
			c.Text = f.Reason
			if f.Err != nil {
				c.Text = f.Err.Error() + ": " + f.Reason
			}
		}
	}
	r.report.Checks = append(r.report.Checks, c)
	return err == nil
}

func (r *odaRun) skip(step, text string) {
	r.report.Checks = append(r.report.Checks, Check{Step: step, Skipped: true, Text: text})
}

func (r *odaRun) findPAN() {
	if p, err := secret.PANFromCN(r.data[tags.PAN]); err == nil {
		r.pan = p
		return
	}
	tr, err := secret.Track2FromTag(r.data[tags.Track2])
	if err != nil {
		return
	}
	defer tr.Wipe()
	r.pan, _ = tr.PAN()
}

func (r *odaRun) recoverIssuer(rid oda.RID, keys oda.Keys) bool {
	index := r.data[tags.CAPublicKeyIndex]
	if len(index) != 1 {
		r.skip(oda.StepCA, "the card names no CA key (8F): it has no certificates")
		return false
	}
	var err error
	r.issuer, err = oda.RecoverIssuerFrom(keys, rid, index[0], r.data[tags.IssuerCertificate], r.data[tags.IssuerRemainder], r.data[tags.IssuerExponent], r.pan, r.on)
	if errors.Is(err, oda.ErrNoCAKey) {
		r.skip(oda.StepCA, fmt.Sprintf("no key of %X with index %02X was given", rid[:], index[0]))
		return false
	}
	var sound bool
	var key oda.PublicKey
	if ca, ok := keys.CAKey(rid, index[0]); ok {
		owner := fmt.Sprintf("CA key %X index %02X", rid[:], index[0])
		r.details, key, sound = r.certificate(tags.IssuerCertificate, tags.IssuerRemainder, tags.IssuerExponent, ca.PublicKey(), owner, nil)
		if ca.Expired(r.on) {
			r.details = append(r.details, Detail{What: owner, Value: "valid to " + ca.Expiry.Format(time.DateOnly), Wrong: "expired on " + r.on.Format(time.DateOnly)})
		}
	}
	ok := r.add(oda.StepIssuer, err, fmt.Sprintf("signed by CA key %X index %02X; issuer key of %d bits, serial %X, valid to %s",
		rid[:], index[0], 8*r.issuer.Key.Len(), r.issuer.Serial[:], r.issuer.Expiry.Format("2006-01")))
	if !ok && sound {
		// A terminal would stop here; who asks what is wrong with a card wants
		// to know the rest as well.
		r.issuer.Key = key
		ok = true
	}
	return ok
}

// staticData gathers what signatures cover: the records that the file locator
// marks, in its order.
func (r *odaRun) staticData() {
	records, ok := r.signedRecords()
	if !ok {
		return
	}
	var err error
	r.static, err = oda.StaticData(records, r.data[tags.SDATagList], [2]byte(r.aip))
	r.add(oda.StepRecords, err, fmt.Sprintf("%d records, %d bytes with what 9F4A asks for", len(records), len(r.static)))
}

func (r *odaRun) signedRecords() (records []oda.Record, ok bool) {
	for at := 0; at+4 <= len(r.afl); at += 4 {
		sfi, first, n := r.afl[at]>>3, r.afl[at+1], r.afl[at+3]
		for i := range n {
			j := slices.IndexFunc(r.records, func(f fileRecord) bool { return f.sfi == sfi && f.number == first+i })
			if j < 0 {
				r.add(oda.StepRecords, fmt.Errorf("record %d of file %d is not in the trace", first+i, sfi), "")
				return nil, false
			}
			records = append(records, oda.Record{SFI: sfi, Data: r.records[j].data})
		}
	}
	return records, true
}

// masked skips a step for which masking took out the data.
func (r *odaRun) masked(step string) bool {
	if r.t.Masked {
		r.skip(step, "the trace is masked, and the data would give the PAN away")
	}
	return r.t.Masked
}

func (r *odaRun) signedStatic() {
	v, ok := r.data[tags.SignedStaticData]
	if !ok || r.masked(oda.StepStatic) {
		return
	}
	r.details = r.staticSignature(r.issuer.Key)
	dac, err := oda.VerifySDA(r.issuer.Key, v, r.static)
	r.add(oda.StepStatic, err, fmt.Sprintf("data authentication code %X", dac[:]))
}

func (r *odaRun) recoverICC() bool {
	v, ok := r.data[tags.ICCCertificate]
	if !ok || r.masked(oda.StepICC) {
		return false
	}
	var err error
	var key oda.PublicKey
	var sound bool
	r.details, key, sound = r.certificate(tags.ICCCertificate, tags.ICCRemainder, tags.ICCExponent, r.issuer.Key, "issuer key", append([]byte{}, r.static...))
	r.icc, err = oda.RecoverICC(r.issuer.Key, v, r.data[tags.ICCRemainder], r.data[tags.ICCExponent], r.pan, r.static, r.on)
	ok = r.add(oda.StepICC, err, fmt.Sprintf("card key of %d bits, serial %X, valid to %s, PAN and static data as read",
		8*r.icc.Key.Len(), r.icc.Serial[:], r.icc.Expiry.Format("2006-01")))
	if !ok && sound {
		r.icc.Key = key
		ok = true
	}
	return ok
}

// dynamic checks the answers to INTERNAL AUTHENTICATE and, of a contactless card
// that signs at once, that to GET PROCESSING OPTIONS.
func (r *odaRun) dynamic() {
	for _, m := range r.auth {
		if !m.sw.OK() {
			continue
		}
		sig, ok, _ := tlv.Child(m.data, tags.ResponseFormat1)
		if !ok {
			sig, _ = tlv.Find(m.data, tags.SignedDynamicData)
		}
		r.details = dynamicSignature(r.icc.Key, sig, m.command.Data, false, nil)
		number, err := oda.VerifyDDA(r.icc.Key, sig, m.command.Data)
		r.add(oda.StepDynamic, err, fmt.Sprintf("DDA, ICC dynamic number %X", number))
	}
	sig, ok := r.data[tags.SignedDynamicData]
	if !ok || len(r.gac) > 0 || len(r.auth) > 0 {
		return
	}
	un, amount, currency := r.fromTerminal(tags.UnpredictableNumber), r.fromTerminal(tags.AmountAuthorised), r.fromTerminal(tags.TransactionCurrencyCode)
	if len(un) != 4 {
		r.skip(oda.StepDynamic, "the unpredictable number is not in the trace")
		return
	}
	var a [6]byte
	var c [2]byte
	copy(a[:], amount)
	copy(c[:], currency)
	data, err := oda.FDDAData([4]byte(un), a, c, r.data[tags.CardAuthenticationRelatedData])
	if err == nil {
		r.details = dynamicSignature(r.icc.Key, sig, data, false, nil)
		_, err = oda.VerifyDDA(r.icc.Key, sig, data)
	}
	r.add(oda.StepDynamic, err, "fast DDA")
}

// combined checks the signatures in GENERATE AC responses.
func (r *odaRun) combined() {
	for i, m := range r.gac {
		template, ok, _ := tlv.Child(m.data, tags.ResponseFormat2)
		if !ok || !m.sw.OK() || i > 1 {
			continue
		}
		sig, rest := withoutSignature(template)
		if sig == nil {
			continue
		}
		un := r.fromTerminal(tags.UnpredictableNumber)
		for _, o := range r.cdol[i].objects() {
			if o.Tag == tags.UnpredictableNumber {
				un = o.Value
			}
		}
		var second []byte
		if i == 1 {
			second = r.cdol[1].data
		}
		transaction := oda.TransactionData(r.pdol.data, r.cdol[0].data, second, rest)
		r.details = dynamicSignature(r.icc.Key, sig, un, true, transaction)
		c, err := oda.VerifyCDA(r.icc.Key, sig, un, transaction)
		r.add(oda.StepDynamic, err, fmt.Sprintf("CDA, %s with cryptogram %X", tags.CIDValue(c.CID).Cryptogram(), c.Cryptogram[:]))
	}
}

// withoutSignature returns the signature in a response and the response without
// it, as the hash in the signature covers it (Book 2, 6.6.1).
func withoutSignature(template []byte) (sig, rest []byte) {
	at := 0
	for o, err := range tlv.All(template) {
		if err != nil {
			return nil, nil
		}
		if o.Tag == tags.SignedDynamicData && sig == nil {
			sig = o.Value
			rest = append(rest, template[at:o.Offset]...)
			at = o.Offset + o.HeaderLen + len(o.Value)
		}
	}
	return sig, append(rest, template[at:]...)
}

// fromTerminal finds what the card was given of an element.
func (r *odaRun) fromTerminal(t tlv.Tag) []byte {
	for _, d := range []dolData{r.pdol, r.cdol[0], r.cdol[1]} {
		for _, o := range d.objects() {
			if o.Tag == t {
				return o.Value
			}
		}
	}
	return r.t.Terminal[t]
}

func (r *odaRun) pinKey() {
	v, ok := r.data[tags.PINEnciphermentCertificate]
	if !ok || r.masked(oda.StepPIN) {
		return
	}
	r.details, _, _ = r.certificate(tags.PINEnciphermentCertificate, tags.PINEnciphermentRemainder, tags.PINEnciphermentExponent, r.issuer.Key, "issuer key", nil)
	k, err := oda.RecoverPINKey(r.issuer.Key, v, r.data[tags.PINEnciphermentRemainder], r.data[tags.PINEnciphermentExponent], r.pan, r.on)
	r.add(oda.StepPIN, err, fmt.Sprintf("PIN encipherment key of %d bits", 8*k.Key.Len()))
}
