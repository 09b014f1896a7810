package simcard

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Instructions of EMV Contactless Book C-2, 5.3 and 5.8.
const (
	insRelay     = 0xEA // EXCHANGE RELAY RESISTANCE DATA
	insRecoverAC = 0xD0
)

// RelayTimes are what a card says of itself in the relay resistance protocol, to
// the tenth of a millisecond.
type RelayTimes struct{ Min, Max, Transmission time.Duration }

// relayUnit is what the protocol counts time in.
const relayUnit = 100 * time.Microsecond

// Bits of byte 2 of a contactless AIP.
const (
	aipEMVMode  = 0x80
	aipRelay    = 0x01
	aipOnDevice = 0x02 // byte 1
)

// mchipCDOL1 is what the cryptogram covers, and the verification results, by which
// a phone knows whether its holder's was asked for.
const mchipCDOL1 = dolAmounts + "9F3501" + "9F3403"

// lastAC is the last answer to GENERATE AC, for RECOVER AC.
type lastAC struct {
	un   [4]byte
	body []byte
}

// personaliseMChip makes the contactless side of an application for kernel 2.
func personaliseMChip(p *Profile, s *Application, o Options) (*application, error) {
	tap := s.Contactless
	spec := *s
	spec.AIP = [2]byte{aipCDA | aipCVM, aipEMVMode}
	if tap.NoAuthentication {
		spec.AIP[0] &^= aipCDA
	}
	if tap.Device {
		spec.AIP[0] |= aipOnDevice
	}
	if tap.Relay != nil {
		spec.AIP[1] |= aipRelay
	}
	switch {
	case tap.OnlinePIN:
		spec.CVMList = cvmList(0x42, 0x03, 0x5E, 0x03, 0x1F, 0x03)
	case tap.Signature:
		spec.CVMList = cvmList(0x5E, 0x03, 0x1F, 0x03)
	default:
		spec.CVMList = cvmList(0x1F, 0x03)
	}
	spec.Format, spec.PDOL, spec.DDOL, spec.CDOL1 = 2, tap.PDOL, nil, unhex(mchipCDOL1)
	a, err := personalise(p, &spec, o)
	if err != nil {
		return nil, err
	}
	a.tap = tap
	a.fci = a.tapFCI(tap.PDOL)
	// One file for what is signed and what is not: fewer commands.
	holder := tlv.Append(nil, 0x57, spec.track2())
	holder = tlv.Append(holder, 0x9F51, unhex("9F3704"))
	if tap.Device {
		// Third party data: country, unique identifier, a phone.
		holder = tlv.Append(holder, 0x9F6E, append(append(bytes.Clone(a.country), 0x00, 0x00), "01"...))
	}
	keys := a.afl[8:] // the certificates' entry, when there is one
	a.records[recordID{sfiSigned, 2}] = tlv.Append(nil, 0x70, holder)
	a.afl = append([]byte{sfiSigned << 3, 1, 2, 1}, keys...)
	return a, nil
}

// relayResistance is EXCHANGE RELAY RESISTANCE DATA (Book C-2, 5.3), up to three
// times before the first cryptogram.
func (c *Card) relayResistance(cmd apdu.Command) ([]byte, apdu.Status) {
	s := &c.session
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return nil, 0x6A86
	case len(cmd.Data) != 4:
		return nil, 0x6700
	case s.relayed >= 3:
		return nil, 0x6985
	}
	s.relayed++
	r := s.app.tap.Relay
	data := make([]byte, 4, 10)
	if _, err := io.ReadFull(c.rand, data); err != nil {
		return nil, 0x6581
	}
	for _, d := range []time.Duration{r.Min, r.Max, r.Transmission} {
		data = binary.BigEndian.AppendUint16(data, uint16(d/relayUnit))
	}
	s.relay = append(bytes.Clone(cmd.Data), data...)
	return tlv.Append(nil, 0x80, data), apdu.StatusOK
}

// recoverAC is RECOVER AC (Book C-2, 5.8): the last answer again, to whoever
// knows the unpredictable number that it is for.
func (c *Card) recoverAC(cmd apdu.Command) ([]byte, apdu.Status) {
	last := c.torn[c.session.app]
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return nil, 0x6A86
	case len(cmd.Data) != 4:
		return nil, 0x6700
	case last == nil || !bytes.Equal(last.un[:], cmd.Data):
		return nil, 0x6985
	}
	delete(c.torn, c.session.app)
	c.session.phase = ended
	return bytes.Clone(last.body), apdu.StatusOK
}

// remember keeps the answer to a GENERATE AC for RECOVER AC.
func (c *Card) remember(t transaction, body []byte) {
	a := c.session.app
	if a.tap == nil {
		return
	}
	if c.torn == nil {
		c.torn = map[*application]*lastAC{}
	}
	c.torn[a] = &lastAC{un: [4]byte(fixed(t.value(0x9F37), 4)), body: bytes.Clone(body)}
	// Who was asked does it before the next tap.
	c.holderVerified = c.session.asked
}

// unlocked judges a phone's part in a transaction: false when the terminal counts
// on its holder's verification and that has not been done.
func (c *Card) unlocked(t transaction) bool {
	a := c.session.app
	if a.tap == nil || !a.tap.Device {
		return true
	}
	results := t.value(0x9F34)
	if len(results) != 3 || results[0]&0x3F != byte(tags.CVMPlaintextPIN) {
		return true
	}
	if !c.verified() {
		return false
	}
	c.session.cvr.set(cvrPINPerformed)
	return true
}

// askHolder is what a phone adds to its refusal when its holder has to be
// verified: the POS cardholder interaction information (Book C-2, A.1.130).
func (c *Card) askHolder(kind byte, t transaction) []tlv.Object {
	if kind != aac || c.unlocked(t) {
		return nil
	}
	c.session.asked = true
	return []tlv.Object{{Tag: 0xDF4B, Value: []byte{0x00, 0x01, 0x00}}}
}

// tapData is GET DATA for what a contactless card alone has.
func (c *Card) tapData(t tlv.Tag) ([]byte, bool) {
	tap := c.session.app.tap
	if tap == nil || tap.Balance == nil || t != 0x9F50 {
		return nil, false
	}
	return tlv.Append(nil, t, tlv.AppendN(nil, uint64(*tap.Balance), 6)), true
}
