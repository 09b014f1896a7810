package simcard

import (
	"bytes"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/tlv"
)

// pseName is the DF name of the directory (Book 1, 12.2.2).
var pseName = []byte("1PAY.SYS.DDF01")

// selectName is SELECT by name (Book 1, 11.3): the directory, or the first
// application whose AID starts with the name, or the next one after it.
func (c *Card) selectName(cmd apdu.Command) ([]byte, apdu.Status) {
	if c.contactless {
		return c.selectTap(cmd)
	}
	switch {
	case cmd.P1 != 0x04 || cmd.P2 != 0x00 && cmd.P2 != 0x02:
		return nil, 0x6A86
	case len(cmd.Data) < 5 || len(cmd.Data) > 16 || cmd.Ne != 256:
		return nil, 0x6700
	case c.state.CardBlocked:
		return nil, 0x6A81 // Book 1, 12.3.1: the card is blocked
	}
	from := 0
	if cmd.P2 == 0x02 {
		// Next occurrence goes on from the last one found by the same name.
		if !bytes.Equal(c.session.found, cmd.Data) {
			return nil, 0x6A82
		}
		from = c.session.foundAt + 1
	} else if c.profile.PSE && bytes.Equal(cmd.Data, pseName) {
		c.session = session{phase: directory}
		return c.directoryFCI(), apdu.StatusOK
	}
	for i := from; i < len(c.apps); i++ {
		a := c.apps[i]
		if !bytes.HasPrefix(a.spec.AID, cmd.Data) {
			continue
		}
		c.session = session{
			phase: selected, app: a, mem: &c.state.Applications[i],
			found: append([]byte(nil), cmd.Data...), foundAt: i,
		}
		fci := append([]byte(nil), a.fci...)
		if c.session.mem.Blocked {
			return fci, 0x6283
		}
		return fci, apdu.StatusOK
	}
	// What was selected stays selected (ISO/IEC 7816-4, 7.1.1).
	return nil, 0x6A82
}

// readRecord is READ RECORD (Book 1, 11.2).
func (c *Card) readRecord(cmd apdu.Command) ([]byte, apdu.Status) {
	sfi := cmd.P2 >> 3
	if cmd.P2&0x07 != 0x04 || sfi == 0 || sfi == 31 || cmd.P1 == 0 {
		return nil, 0x6A86
	}
	if c.session.phase == directory {
		if sfi != sfiDirectory {
			return nil, 0x6A82
		}
		if r, ok := c.directoryRecord(cmd.P1); ok {
			return r, apdu.StatusOK
		}
		return nil, 0x6A83
	}
	a := c.session.app
	id := recordID{sfi, cmd.P1}
	switch {
	case id == dynamicRecord && len(c.session.dynamic) > 0:
		return append([]byte(nil), c.session.dynamic...), apdu.StatusOK
	case sfi == sfiLog:
		return c.logRecord(cmd.P1)
	case sfi == sfiIssuer && len(a.spec.IssuerRecords) > 0:
		return c.issuerRecord(cmd.P1)
	case id == limitsRecord && a.tap == nil:
		r := tlv.Append(nil, 0x9F14, []byte{c.session.mem.LowerLimit})
		r = tlv.Append(r, 0x9F23, []byte{c.session.mem.UpperLimit})
		return tlv.Append(nil, 0x70, r), apdu.StatusOK
	}
	if r, ok := a.records[id]; ok {
		return append([]byte(nil), r...), apdu.StatusOK
	}
	if sfi == sfiHolder || sfi == sfiSigned || sfi == sfiKeys {
		return nil, 0x6A83
	}
	return nil, 0x6A82
}

// getData is GET DATA (Book 3, 6.5.7) for what is in no record.
func (c *Card) getData(cmd apdu.Command) ([]byte, apdu.Status) {
	m := c.session.mem
	t := tlv.Tag(cmd.P1)<<8 | tlv.Tag(cmd.P2)
	if b, ok := c.tapData(t); ok {
		return b, apdu.StatusOK
	}
	switch t {
	case 0x9F36:
		return tlv.Append(nil, t, be16(m.ATC)), apdu.StatusOK
	case 0x9F13:
		return tlv.Append(nil, t, be16(m.LastOnlineATC)), apdu.StatusOK
	case 0x9F17:
		if plain, enciphered := c.session.app.spec.offlinePIN(); plain || enciphered {
			return tlv.Append(nil, t, []byte{byte(c.state.PINTries)}), apdu.StatusOK
		}
	case 0x9F54:
		if most := c.offlineLimit(); most > 0 {
			return tlv.Append(nil, t, bcd6(most)), apdu.StatusOK
		}
	case 0x9F4F:
		return tlv.Append(nil, t, logFormat), apdu.StatusOK
	}
	return nil, 0x6A88
}

// processingOptions is GET PROCESSING OPTIONS (Book 3, 6.5.8 and 10.1).
func (c *Card) processingOptions(cmd apdu.Command) ([]byte, apdu.Status) {
	a, m := c.session.app, c.session.mem
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return nil, 0x6A86
	}
	if cmd.Ne != 256 {
		return nil, 0x6700
	}
	objects, err := tlv.Parse(cmd.Data)
	if err != nil || len(objects) != 1 || objects[0].Tag != 0x83 ||
		objects[0].Offset != 0 || objects[0].HeaderLen+len(objects[0].Value) != len(cmd.Data) {
		return nil, 0x6A80
	}
	if len(objects[0].Value) != a.pdol.Len() {
		return nil, 0x6700
	}
	if a.spec.RefuseGPO || m.ATC == 0xFFFF {
		// At the end of its counter an application is never used again.
		return nil, 0x6985
	}
	if a.tap != nil && a.tap.Kernel == 3 {
		return c.qvsdcOptions(objects[0].Value)
	}
	m.ATC++
	c.session.cvr = m.historyCVR(c.state.PINTries)
	if !c.saveLocked() {
		m.ATC--
		return nil, 0x6581
	}
	c.session.pdolData = append([]byte(nil), objects[0].Value...)
	c.session.phase = initiated
	return a.respond(tlv.Object{Tag: 0x82, Value: a.aip}, tlv.Object{Tag: 0x94, Value: a.afl}), apdu.StatusOK
}

// respond writes a response in the application's format: 1 is values alone in
// tag 80, 2 is objects in tag 77.
func (a *application) respond(objects ...tlv.Object) []byte {
	var b []byte
	for _, o := range objects {
		if a.spec.Format == 1 {
			b = append(b, o.Value...)
		} else {
			b = tlv.Append(b, o.Tag, o.Value)
		}
	}
	if a.spec.Format == 1 {
		return tlv.Append(nil, 0x80, b)
	}
	return tlv.Append(nil, 0x77, b)
}

func be16(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }
