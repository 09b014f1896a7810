package simcard

import (
	"bytes"
	"maps"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/tlv"
)

// macLength is the length of a script command's MAC; Book 2, 9.2.3 has 4 to 8.
const (
	minMAC = 4
	maxMAC = 8
)

// open checks the MAC of a script command (Book 2, 9.2) whose plain data is
// want bytes long, and returns that data. A wrong MAC ends scripts for this
// transaction: what follows it is not from the issuer either.
func (c *Card) open(cmd apdu.Command, want int) ([]byte, apdu.Status) {
	s := &c.session
	if s.phase == ended && !s.wentOnline && !s.mem.Blocked {
		return nil, 0x6985 // scripts come from an issuer that was asked
	}
	n := len(cmd.Data) - want
	if want < 0 || n < minMAC || n > maxMAC {
		return nil, 0x6700
	}
	if s.scriptDead {
		return nil, 0x6982
	}
	s.scripts++
	if s.verifyScript(cmd, want, s.scripts-1) != nil {
		s.scriptDead, s.scriptFailed = true, true
		s.mem.Scripts, s.mem.ScriptFailed = s.scripts, true
		c.saveLocked()
		return nil, 0x6988
	}
	return cmd.Data[:want], apdu.StatusOK
}

// done keeps what a script command changed.
func (c *Card) done() ([]byte, apdu.Status) {
	s := &c.session
	s.mem.Scripts, s.mem.ScriptFailed = s.scripts, s.scriptFailed
	if !c.saveLocked() {
		return nil, 0x6581
	}
	return nil, apdu.StatusOK
}

// fail notes a script command that was authentic and can't be done.
func (c *Card) fail(sw apdu.Status) ([]byte, apdu.Status) {
	c.session.scriptFailed = true
	c.session.mem.ScriptFailed = true
	c.saveLocked()
	return nil, sw
}

// applicationBlock is APPLICATION BLOCK (Book 3, 6.5.1): from now on SELECT
// answers 6283 and every cryptogram is an AAC.
func (c *Card) applicationBlock(cmd apdu.Command) ([]byte, apdu.Status) {
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return nil, 0x6A86
	}
	if _, sw := c.open(cmd, 0); !sw.OK() {
		return nil, sw
	}
	c.session.mem.Blocked = true
	return c.done()
}

// applicationUnblock is APPLICATION UNBLOCK (Book 3, 6.5.2).
func (c *Card) applicationUnblock(cmd apdu.Command) ([]byte, apdu.Status) {
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return nil, 0x6A86
	}
	if _, sw := c.open(cmd, 0); !sw.OK() {
		return nil, sw
	}
	c.session.mem.Blocked = false
	return c.done()
}

// cardBlock is CARD BLOCK (Book 3, 6.5.3): for good.
func (c *Card) cardBlock(cmd apdu.Command) ([]byte, apdu.Status) {
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return nil, 0x6A86
	}
	if _, sw := c.open(cmd, 0); !sw.OK() {
		return nil, sw
	}
	c.state.CardBlocked = true
	return c.done()
}

// pinChange is PIN CHANGE/UNBLOCK (Book 3, 6.5.10): P2 00 gives the tries back,
// 01 and 02 set a new PIN as well, enciphered.
func (c *Card) pinChange(cmd apdu.Command) ([]byte, apdu.Status) {
	if cmd.P1 != 0 || cmd.P2 > 2 {
		return nil, 0x6A86
	}
	want := 0
	if cmd.P2 != 0 {
		want = 16
	}
	data, sw := c.open(cmd, want)
	if !sw.OK() {
		return nil, sw
	}
	if cmd.P2 != 0 {
		pin, err := c.session.newPIN(cmd.P2, data, c.state.PIN)
		if err != nil {
			return c.fail(0x6A80)
		}
		c.state.PIN = pin
	}
	c.state.PINTries = pinTryLimit
	return c.done()
}

// putData is PUT DATA for the two limits of offline transactions, 9F14 and
// 9F23.
func (c *Card) putData(cmd apdu.Command) ([]byte, apdu.Status) {
	m := c.session.mem
	var to *byte
	switch uint16(cmd.P1)<<8 | uint16(cmd.P2) {
	case 0x9F14:
		to = &m.LowerLimit
	case 0x9F23:
		to = &m.UpperLimit
	case 0x9F54:
		return c.putOfflineLimit(cmd)
	default:
		return nil, 0x6A88
	}
	data, sw := c.open(cmd, 1)
	if !sw.OK() {
		return nil, sw
	}
	*to = data[0]
	return c.done()
}

// putOfflineLimit is PUT DATA for what offline transactions may come to together,
// n 12.
func (c *Card) putOfflineLimit(cmd apdu.Command) ([]byte, apdu.Status) {
	data, sw := c.open(cmd, 6)
	if !sw.OK() {
		return nil, sw
	}
	v, err := tlv.ParseN(data)
	if err != nil {
		return c.fail(0x6A80)
	}
	most := int64(v)
	c.session.mem.OfflineLimit = &most
	return c.done()
}

// offlineLimit is what offline transactions may come to together; zero is no
// limit.
func (c *Card) offlineLimit() int64 {
	if l := c.session.mem.OfflineLimit; l != nil {
		return *l
	}
	return c.session.app.spec.OfflineLimit
}

func bcd6(v int64) []byte { return tlv.AppendN(nil, uint64(v), 6) }

// insUpdateRecord is UPDATE RECORD (ISO/IEC 7816-4, 11.3.5).
const insUpdateRecord = 0xDC

// maxIssuerRecord leaves room for the MAC in one command.
const maxIssuerRecord = 200

// updateRecord replaces a record of the issuer's own file.
func (c *Card) updateRecord(cmd apdu.Command) ([]byte, apdu.Status) {
	m, n := c.session.mem, len(c.session.app.spec.IssuerRecords)
	switch {
	case cmd.P2&0x07 != 0x04 || cmd.P1 == 0:
		return nil, 0x6A86
	case cmd.P2>>3 != sfiIssuer:
		return nil, 0x6982 // what the terminal reads is nobody's to change
	case int(cmd.P1) > n:
		return nil, 0x6A83
	}
	data, sw := c.open(cmd, len(cmd.Data)-maxMAC)
	if !sw.OK() {
		return nil, sw
	}
	if len(data) == 0 || len(data) > maxIssuerRecord {
		return c.fail(0x6A84)
	}
	// A map of its own: what an interrupted command began is put back whole.
	records := maps.Clone(m.IssuerRecords)
	if records == nil {
		records = map[byte]string{}
	}
	records[cmd.P1] = hexString(data)
	m.IssuerRecords = records
	return c.done()
}

// issuerRecord is a record of the issuer's own file as it is now.
func (c *Card) issuerRecord(n byte) ([]byte, apdu.Status) {
	list := c.session.app.spec.IssuerRecords
	if int(n) > len(list) {
		return nil, 0x6A83
	}
	if s, ok := c.session.mem.IssuerRecords[n]; ok {
		b, err := parseHex(s)
		if err != nil {
			return nil, 0x6581
		}
		return b, apdu.StatusOK
	}
	return bytes.Clone(list[n-1]), apdu.StatusOK
}

// The card status update of ARPC method 2 (Book 2, 8.2.2; layout of the common
// core definitions, CCD).
const (
	csuTries       = 0x0F // byte 1: PIN tries to set
	csuApproved    = 0x80 // byte 2
	csuCardBlock   = 0x40
	csuAppBlock    = 0x20
	csuUpdateTries = 0x10
	csuGoOnline    = 0x08
)

// applyCSU does what an authenticated card status update says.
func (c *Card) applyCSU() {
	s := &c.session
	if s.auth != authOK {
		return
	}
	if s.csu[1]&csuUpdateTries != 0 {
		c.state.PINTries = min(int(s.csu[0]&csuTries), pinTryLimit)
	}
	if s.csu[1]&csuAppBlock != 0 {
		s.mem.Blocked = true
	}
	if s.csu[1]&csuCardBlock != 0 {
		c.state.CardBlocked = true
	}
	if s.csu[1]&csuGoOnline != 0 {
		s.mem.OnlineIncomplete = true // makes the next offline request an ARQC
	}
}
