package simcard

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // EMV hash algorithm indicator 01
	"io"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/tlv"
)

// authResult is what became of issuer authentication.
type authResult uint8

const (
	authNone authResult = iota
	authOK
	authFailed
)

// CID reason codes (Book 3, table 15).
const (
	reasonPINBlocked = 0x02
	reasonAuthFailed = 0x03
)

// generateAC is GENERATE AC, first and second (Book 3, 6.5.5).
func (c *Card) generateAC(cmd apdu.Command) ([]byte, apdu.Status) {
	s := &c.session
	want := cmd.P1 & 0xC0
	signature := cmd.P1 & (apdu.RefCDA | apdu.RefXDA)
	switch {
	case cmd.P2 != 0 || cmd.P1&^(0xC0|apdu.RefCDA|apdu.RefXDA) != 0 || want == 0xC0:
		return nil, 0x6A86
	case signature == apdu.RefCDA && s.app.spec.AIP[0]&aipCDA == 0, signature == apdu.RefXDA && s.app.spec.AIP[0]&aipXDA == 0,
		signature == apdu.RefCDA|apdu.RefXDA:
		return nil, 0x6A86
	case cmd.Ne != 256:
		return nil, 0x6700
	}
	second := s.phase == online
	dol := s.app.cdol1
	if second {
		dol = s.app.cdol2
		if want == arqc {
			return nil, 0x6A86 // no second request
		}
	}
	if len(cmd.Data) != dol.Len() {
		return nil, 0x6700
	}
	data := append([]byte(nil), cmd.Data...)
	// Everything that changes is put back when it can't be kept or computed.
	before, memBefore := *s, *s.mem
	undo := func() ([]byte, apdu.Status) {
		*s.mem = memBefore
		*s = before
		return nil, 0x6581
	}
	var given, reason byte
	if second {
		given, reason = c.decideSecond(want, transaction{dol, data})
	} else {
		given, reason = c.decideFirst(want, transaction{dol, data})
	}
	ac, iad, err := c.cryptogram(given, transaction{dol, data})
	if err != nil {
		return undo()
	}
	body, err := c.acResponse(given, reason, ac, iad, signature, second, transaction{dol, data})
	if err != nil {
		return undo()
	}
	if given != arqc {
		c.log(given, transaction{dol, data})
	}
	if !c.saveLocked() {
		return undo()
	}
	if !second {
		s.ac = ac
		copy(s.un[:], transaction{dol, data}.value(0x9F37))
	}
	if given == arqc {
		s.phase, s.wentOnline = online, true
		s.cdol1Data = data
	} else {
		s.phase = ended
	}
	c.remember(transaction{dol, data}, body)
	return body, apdu.StatusOK
}

// transaction is the data of a GENERATE AC with the list that it follows.
type transaction struct {
	dol  tlv.DOL
	data []byte
}

// value returns the value of the first t in the data, nil when not asked for.
func (t transaction) value(tag tlv.Tag) []byte {
	at := 0
	for _, e := range t.dol {
		if at+e.Len > len(t.data) {
			return nil
		}
		if e.Tag == tag {
			return t.data[at : at+e.Len : at+e.Len]
		}
		at += e.Len
	}
	return nil
}

// amount returns the amount authorised, and whether it is one in the card's own
// currency.
func (a *application) amount(t transaction) (int64, bool) {
	v, err := tlv.ParseN(t.value(0x9F02))
	if err != nil || v > 999999999999 {
		return 999999999999, true // what can't be read is above every limit
	}
	return int64(v), bytes.Equal(t.value(0x5F2A), a.currency)
}

// decideFirst is card risk management at the first GENERATE AC. The card may
// give less than asked, never more.
func (c *Card) decideFirst(want byte, t transaction) (given, reason byte) {
	s, m, spec := &c.session, c.session.mem, c.session.app.spec
	amount, own := s.app.amount(t)
	most := c.offlineLimit()
	given = want
	switch {
	case want == aac:
	case m.Blocked || c.state.CardBlocked || spec.DeclineFirst:
		given = aac
	case spec.Limit > 0 && amount > spec.Limit, !c.unlocked(t):
		given = aac
	case want == tc && c.riskyOffline(amount, own):
		given = arqc
		if m.OfflineCount >= int(m.LowerLimit) || most > 0 && m.OfflineAmount+amount > most {
			s.cvr.set(cvrVelocity)
		}
	}
	if given == aac && c.pinBlocked() {
		reason = reasonPINBlocked
	}
	s.cvr.first(given)
	switch given {
	case arqc:
		// Over contactless there is no second GENERATE AC to complete it.
		m.OnlineIncomplete = s.app.tap == nil
	case tc:
		c.countOffline(amount, own)
	}
	return given, reason
}

// riskyOffline reports whether the card wants the issuer asked before it
// approves.
func (c *Card) riskyOffline(amount int64, own bool) bool {
	m, most := c.session.mem, c.offlineLimit()
	switch {
	case m.OnlineIncomplete, m.LastOnlineATC == 0, m.AuthFailed, c.pinBlocked():
		return true
	case m.OfflineCount >= int(m.LowerLimit):
		return true
	case most > 0 && (!own || m.OfflineAmount+amount > most):
		return true
	}
	return false
}

// pinBlocked reports whether the application takes an offline PIN and there are
// no tries left for it.
func (c *Card) pinBlocked() bool {
	plain, enciphered := c.session.app.spec.offlinePIN()
	return (plain || enciphered) && c.state.PINTries == 0
}

func (c *Card) countOffline(amount int64, own bool) {
	m := c.session.mem
	m.OfflineCount++
	if own {
		m.OfflineAmount += amount
	}
}

// decideSecond is the second GENERATE AC: the terminal's verdict, bounded by
// issuer authentication and the card's own limits (Book 3, 10.11).
func (c *Card) decideSecond(want byte, t transaction) (given, reason byte) {
	s, m, spec := &c.session, c.session.mem, c.session.app.spec
	amount, own := s.app.amount(t)
	most := c.offlineLimit()
	arc := string(t.value(0x8A))
	offline := arc == "Y3" || arc == "Z3" // unable to go online (Book 4, A6)
	if iad := t.value(0x91); !offline && len(iad) > 0 && !zero(iad) && s.auth == authNone {
		s.auth = c.authenticateIssuer(iad, arc)
	}
	given = want
	switch {
	case want == aac:
	case m.Blocked || c.state.CardBlocked || spec.DeclineSecond:
		given = aac
	case offline:
		if m.OfflineCount >= int(m.UpperLimit) || m.LastOnlineATC == 0 ||
			most > 0 && (!own || m.OfflineAmount+amount > most) {
			s.cvr.set(cvrVelocity)
			given = aac
		}
	case s.auth == authFailed:
		given, reason = aac, reasonAuthFailed
	case s.auth == authNone && !spec.AuthOptional:
		given = aac
	case s.auth == authOK && !s.approved:
		given = aac
	}
	if offline {
		s.cvr.set(cvrUnableOnline)
	}
	if s.auth == authFailed {
		s.cvr.set(cvrAuthFailed)
	}
	s.cvr.second(given)
	switch {
	case offline && given == tc:
		c.countOffline(amount, own)
	case offline:
	default:
		m.OnlineIncomplete = false
		m.AuthFailed = s.auth == authFailed
		m.AuthMissing = s.auth == authNone
		m.Scripts, m.ScriptFailed = s.scripts, s.scriptFailed
		if s.auth == authOK || s.auth == authNone && spec.AuthOptional {
			m.LastOnlineATC = m.ATC
			m.OfflineCount, m.OfflineAmount = 0, 0
			c.applyCSU()
		}
	}
	return given, reason
}

// cryptogram computes the AC and the IAD that goes with it.
func (c *Card) cryptogram(kind byte, t transaction) (ac [8]byte, iad []byte, err error) {
	s := &c.session
	iad = append([]byte{0x06, 0x01, s.app.spec.CVN}, s.cvr[:]...)
	ac, err = s.app.keys.compute(s.app, s.mem.ATC, iad, t)
	return ac, iad, err
}

// acResponse writes the response, with the CDA signature when asked for and the
// cryptogram is no AAC (Book 2, 6.6.1), or the XDA signature when asked for.
func (c *Card) acResponse(kind, reason byte, ac [8]byte, iad []byte, signature byte, second bool, t transaction) ([]byte, error) {
	s := &c.session
	cid := tlv.Object{Tag: 0x9F27, Value: []byte{kind | reason}}
	atc := tlv.Object{Tag: 0x9F36, Value: be16(s.mem.ATC)}
	if signature == apdu.RefXDA {
		response := tlv.Append(tlv.Append(nil, cid.Tag, cid.Value), atc.Tag, atc.Value)
		response = tlv.Append(tlv.Append(response, 0x9F26, ac[:]), 0x9F10, iad)
		if second {
			return c.signXDA(response, t.data)
		}
		return c.signXDA(response, s.pdolData, t.data)
	}
	if signature == 0 || kind == aac {
		objects := []tlv.Object{cid, atc, {Tag: 0x9F26, Value: ac[:]}, {Tag: 0x9F10, Value: iad}}
		return s.app.respond(append(objects, c.askHolder(kind, t)...)...), nil
	}
	// The hash covers what was sent and the response without its signature.
	h := sha1.New()
	h.Write(s.pdolData)
	if second {
		h.Write(s.cdol1Data)
	}
	h.Write(t.data)
	head := tlv.Append(tlv.Append(nil, cid.Tag, cid.Value), atc.Tag, atc.Value)
	tail := tlv.Append(nil, 0x9F10, iad)
	h.Write(head)
	h.Write(tail)
	number, err := c.dynamicNumber()
	if err != nil {
		return nil, err
	}
	dynamic := append(number, cid.Value...)
	dynamic = append(append(dynamic, ac[:]...), h.Sum(nil)...)
	dynamic = append(dynamic, s.relay...)
	sig, err := dynamicSignature(c.pki.ICC, dynamic, t.value(0x9F37))
	if err != nil {
		return nil, err
	}
	c.maybeSpoil(sig)
	head = tlv.Append(head, 0x9F4B, sig)
	return tlv.Append(nil, 0x77, append(head, tail...)), nil
}

// dynamicNumber is the ICC dynamic number with its length.
func (c *Card) dynamicNumber() ([]byte, error) {
	b := make([]byte, 9, 64)
	b[0] = 8
	_, err := io.ReadFull(c.rand, b[1:])
	return b, err
}

func (c *Card) maybeSpoil(sig []byte) {
	if c.session.app.spec.WrongSignature {
		sig[len(sig)-1] ^= 0x01
	}
}

// internalAuthenticate is INTERNAL AUTHENTICATE (Book 3, 6.5.9; Book 2, 6.5.1).
func (c *Card) internalAuthenticate(cmd apdu.Command) ([]byte, apdu.Status) {
	s := &c.session
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return nil, 0x6A86
	case cmd.Ne != 256 || len(cmd.Data) != s.app.ddol.Len():
		return nil, 0x6700
	case s.signed:
		return nil, 0x6985 // one signature a transaction
	}
	number, err := c.dynamicNumber()
	if err != nil {
		return nil, 0x6581
	}
	sig, err := dynamicSignature(c.pki.ICC, number, cmd.Data)
	if err != nil {
		return nil, 0x6581
	}
	c.maybeSpoil(sig)
	s.signed = true
	s.cvr.set(cvrDynamicDone)
	return s.app.respond(tlv.Object{Tag: 0x9F4B, Value: sig}), apdu.StatusOK
}

// externalAuthenticate is EXTERNAL AUTHENTICATE (Book 3, 6.5.4): once.
func (c *Card) externalAuthenticate(cmd apdu.Command) ([]byte, apdu.Status) {
	s := &c.session
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return nil, 0x6A86
	case len(cmd.Data) < 8 || len(cmd.Data) > 16:
		return nil, 0x6700
	case s.auth != authNone:
		return nil, 0x6985
	}
	// The failure is remembered now: a terminal that leaves the second GENERATE
	// AC out must not make it forgotten.
	s.auth = c.authenticateIssuer(cmd.Data, "")
	s.mem.AuthFailed = s.auth == authFailed
	if s.app.tap != nil && s.auth == authOK {
		c.tapCompleted()
	}
	if !c.saveLocked() {
		return nil, 0x6581
	}
	if s.auth != authOK {
		return nil, 0x6300
	}
	return nil, apdu.StatusOK
}

// log keeps the transaction, newest first.
func (c *Card) log(kind byte, t transaction) {
	m := c.session.mem
	entry := append(be16(m.ATC), fixed(t.value(0x95), 5)...)
	entry = append(entry, kind)
	for _, f := range []struct {
		tag tlv.Tag
		n   int
	}{{0x9F02, 6}, {0x9F1A, 2}, {0x5F2A, 2}, {0x9A, 3}, {0x9C, 1}} {
		entry = append(entry, fixed(t.value(f.tag), f.n)...)
	}
	m.Log = append([]string{hexString(entry)}, m.Log[:min(len(m.Log), logRecords-1)]...)
}

// logRecord is a record of the log, which has no template (Book 3, Annex D).
func (c *Card) logRecord(n byte) ([]byte, apdu.Status) {
	l := c.session.mem.Log
	if int(n) > len(l) {
		return nil, 0x6A83
	}
	b, err := parseHex(l[n-1])
	if err != nil {
		return nil, 0x6A83
	}
	return b, apdu.StatusOK
}

func fixed(v []byte, n int) []byte {
	out := make([]byte, n)
	copy(out, v)
	return out
}

func zero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
