package simcard

import (
	"bytes"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// qvsdcPDOL asks for what the cryptogram and the signature cover (EMV Contactless
// Book C-3, annex A).
const qvsdcPDOL = "9F66049F02069F03069F1A0295055F2A029A039C019F3704"

// dynamicRecord holds the signature and what it covers; it is the last that the
// AFL names.
var dynamicRecord = recordID{4, 1}

// personaliseQVSDC makes the contactless side of an application for kernel 3. The
// records are there for offline data authentication alone.
func personaliseQVSDC(s *Application, o Options) (*application, error) {
	spec := *s
	spec.AIP = [2]byte{aipDDA, 0}
	if s.Contactless.NoAuthentication {
		spec.AIP = [2]byte{}
	}
	spec.CVMList = append(make([]byte, 8), 0x1F, 0x00)
	spec.Format = 2
	a := &application{spec: &spec, tap: s.Contactless, aip: spec.AIP[:], currency: tlv.AppendN(nil, uint64(o.Currency.Numeric()), 2), country: tlv.AppendN(nil, uint64(o.Country), 2)}
	pdol := s.Contactless.PDOL
	if len(pdol) == 0 {
		pdol = unhex(qvsdcPDOL)
	}
	var err error
	if a.pdol, err = tlv.ParseDOL(pdol); err != nil {
		return nil, fmt.Errorf("%w: PDOL: %w", ErrProfile, err)
	}
	if err := carriesCryptogramData(a.pdol); err != nil {
		return nil, err
	}
	if a.keys, err = deriveKeys(o.PKI, &spec); err != nil {
		return nil, err
	}
	a.fci = a.tapFCI(pdol)
	return a, a.qvsdcRecords(o.PKI)
}

func (a *application) qvsdcRecords(pki *PKI) error {
	s := a.spec
	r := tlv.Append(nil, 0x5A, cn(s.PAN, (len(s.PAN)+1)/2))
	r = tlv.Append(r, 0x5F24, cn(s.Expiry, 3))
	r = tlv.Append(r, 0x5F28, a.country)
	r = tlv.Append(r, 0x9F07, s.AUC[:])
	r = tlv.Append(r, 0x9F4A, []byte{0x82})
	a.records = map[recordID][]byte{{sfiSigned, 1}: tlv.Append(nil, 0x70, r)}
	a.afl = []byte{sfiSigned << 3, 1, 1, 1}
	keys, err := a.keyRecords(pki, append(bytes.Clone(r), a.aip...))
	if err != nil || len(keys) == 0 {
		return err
	}
	for i, body := range keys {
		a.records[recordID{sfiKeys, byte(i + 1)}] = tlv.Append(nil, 0x70, body)
	}
	a.afl = append(a.afl, sfiKeys<<3, 1, byte(len(keys)), 0, dynamicRecord.sfi<<3, dynamicRecord.record, dynamicRecord.record, 0)
	return nil
}

// qvsdcOptions is GET PROCESSING OPTIONS of a qVSDC card: the whole transaction
// in one answer.
func (c *Card) qvsdcOptions(data []byte) ([]byte, apdu.Status) {
	s := &c.session
	a, m := s.app, s.mem
	t := transaction{a.pdol, bytes.Clone(data)}
	raw := t.value(0x9F66)
	if len(raw) != 4 {
		return nil, 0x6A80
	}
	ttq := tags.TTQValue(raw)
	switch {
	case !ttq.Has(tags.TTQEMVMode):
		return nil, 0x6985
	case a.tap.UseContact:
		return nil, 0x6984
	case a.tap.Device && ttq.Has(tags.TTQCVMRequired) && !c.verified():
		// The holder looks at the device now, and the next tap finds it
		// unlocked.
		c.holderVerified = true
		return nil, 0x6986
	}
	before, memBefore := *s, *m
	undo := func() ([]byte, apdu.Status) {
		*m, *s = memBefore, before
		return nil, 0x6581
	}
	m.ATC++
	m.Tap = nil
	s.cvr = m.historyCVR(c.state.PINTries)
	ctq := a.tap.qualifiers(ttq, c.verified())
	if ctq.Has(tags.CTQConsumerDeviceCVM) {
		s.cvr.set(cvrPINPerformed)
	}
	kind := c.decideTap(ttq, t)
	ac, iad, err := c.cryptogram(kind, t)
	if err != nil {
		return undo()
	}
	body := tlv.Append(nil, 0x82, a.aip)
	signed := len(a.afl) > 4 && (kind == tc || kind == arqc && ttq.Has(tags.TTQODAForOnline))
	if signed {
		if err := c.signFDDA(ctq, t); err != nil {
			return undo()
		}
	}
	switch {
	case signed || kind == tc:
		body = tlv.Append(body, 0x94, a.afl)
	case kind == arqc && paysOut(t.value(0x9C)):
		// The usage control and the issuer's country, which a reader may have to
		// look at before it gives cash (Book C-3, 5.5.1.3, 5.5.1.4).
		body = tlv.Append(body, 0x94, a.afl[:4])
	}
	body = tlv.Append(body, 0x57, a.spec.track2())
	body = tlv.Append(body, 0x5F34, tlv.AppendN(nil, uint64(a.spec.PSN), 1))
	body = tlv.Append(body, 0x9F10, iad)
	body = tlv.Append(body, 0x9F26, ac[:])
	body = tlv.Append(body, 0x9F27, []byte{kind})
	body = tlv.Append(body, 0x9F36, be16(m.ATC))
	if !a.tap.NoCTQ {
		body = tlv.Append(body, 0x9F6C, ctq[:])
	}
	body = tlv.Append(body, 0x9F6E, a.tap.formFactor())
	if b := a.tap.Balance; b != nil {
		body = tlv.Append(body, 0x9F5D, tlv.AppendN(nil, uint64(*b), 6))
	}
	if kind == arqc && a.tap.IssuerUpdate {
		m.Tap = &pendingTap{AC: ac}
		copy(m.Tap.UN[:], t.value(0x9F37))
	}
	if !c.saveLocked() {
		return undo()
	}
	c.holderVerified = false
	s.phase = ended
	s.pdolData = t.data
	return tlv.Append(nil, 0x77, body), apdu.StatusOK
}

// paysOut reports a transaction type that gives the cardholder cash.
func paysOut(kind []byte) bool {
	return len(kind) == 1 && (kind[0] == 0x01 || kind[0] == 0x09 || kind[0] == 0x17)
}

// verified reports whether a phone's holder unlocked it for this payment.
func (c *Card) verified() bool { return c.session.app.tap.Verified || c.holderVerified }

// qualifiers are the card transaction qualifiers: how the holder is to be
// verified, where the reader wants that, and the profile's own bits.
func (t *Contactless) qualifiers(ttq tags.TTQValue, verified bool) tags.CTQValue {
	v := t.CTQ
	switch {
	case t.Device && verified:
		v[1] |= 0x80
	case !ttq.Has(tags.TTQCVMRequired):
	case t.OnlinePIN && ttq.Has(tags.TTQOnlinePIN):
		v[0] |= 0x80
	case t.Signature && ttq.Has(tags.TTQSignature):
		v[0] |= 0x40
	case t.OnlinePIN:
		v[0] |= 0x80
	case t.Signature:
		v[0] |= 0x40
	}
	if t.IssuerUpdate {
		v[1] |= 0x40
	}
	return v
}

// formFactor is 9F6E of Visa's: a card, or a phone.
func (t *Contactless) formFactor() []byte {
	if t.Device {
		return []byte{0x22, 0x70, 0x00, 0x00}
	}
	return []byte{0x20, 0x70, 0x00, 0x00}
}

// decideTap is card risk management at a tap: online when the reader wants it or
// the card's own counters do, else an approval.
func (c *Card) decideTap(ttq tags.TTQValue, t transaction) byte {
	s, m, spec := &c.session, c.session.mem, c.session.app.spec
	amount, own := s.app.amount(t)
	kind := byte(tc)
	switch {
	case m.Blocked || c.state.CardBlocked || spec.DeclineFirst || spec.Limit > 0 && amount > spec.Limit:
		kind = aac
	case ttq.Has(tags.TTQOnlineCryptogramRequired) || s.app.tap.OnlineOnly || c.riskyOffline(amount, own):
		kind = arqc
		if ttq.Has(tags.TTQOfflineOnly) {
			kind = aac
		}
	}
	s.cvr.first(kind)
	if kind == tc {
		c.countOffline(amount, own)
	}
	return kind
}

// signFDDA makes the record with the dynamic signature (Book C-3, annex C).
func (c *Card) signFDDA(ctq tags.CTQValue, t transaction) error {
	s := &c.session
	related := make([]byte, 7)
	related[0] = 0x01
	if _, err := io.ReadFull(c.rand, related[1:5]); err != nil {
		return err
	}
	copy(related[5:], ctq[:])
	data, err := oda.FDDAData([4]byte(t.value(0x9F37)), [6]byte(t.value(0x9F02)), [2]byte(t.value(0x5F2A)), related)
	if err != nil {
		return err
	}
	sig, err := dynamicSignature(c.pki.ICC, append([]byte{2}, be16(s.mem.ATC)...), data)
	if err != nil {
		return err
	}
	c.maybeSpoil(sig)
	r := tlv.Append(nil, 0x9F4B, sig)
	s.dynamic = tlv.Append(nil, 0x70, tlv.Append(r, 0x9F69, related))
	s.cvr.set(cvrDynamicDone)
	return nil
}

// tapCompleted is what an issuer's authentic answer does that a second tap
// brought: the counters begin anew, as after an online transaction by contact.
func (c *Card) tapCompleted() {
	m := c.session.mem
	m.Tap = nil
	m.OnlineIncomplete = false
	m.LastOnlineATC = m.ATC
	m.OfflineCount, m.OfflineAmount = 0, 0
}
