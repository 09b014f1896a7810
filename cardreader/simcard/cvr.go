package simcard

// cvr is the card verification results of the IAD: four bytes, the first their
// length, in the layout that Visa's CVN 10 and 18 share. It is the card's own
// account of the transaction; only the issuer reads it.
type cvr [4]byte

// Bits of the CVR as (byte index, mask).
const (
	cvrAuthFailed     = 0x0108 // issuer authentication performed and failed
	cvrPINPerformed   = 0x0104 // offline PIN verification performed
	cvrPINFailed      = 0x0102 // and failed
	cvrUnableOnline   = 0x0101
	cvrLastIncomplete = 0x0280 // last online transaction not completed
	cvrPINBlocked     = 0x0240 // PIN try limit exceeded
	cvrVelocity       = 0x0220 // velocity counters exceeded
	cvrNewCard        = 0x0210
	cvrLastAuthFailed = 0x0208
	cvrLastAuthAbsent = 0x0204
	cvrScriptFailed   = 0x0308
	cvrDynamicDone    = 0x0302 // offline dynamic data authentication performed
)

func (c *cvr) set(bit uint16) { c[bit>>8] |= byte(bit) }

// Cryptogram types as CID bits 8-7 and CVR bits hold them.
const (
	aac  = 0x00
	tc   = 0x40
	arqc = 0x80
)

// first and second note what was given at each GENERATE AC.
func (c *cvr) first(kind byte)  { c[1] = c[1]&0x0F | 0x80 | kind>>2 }
func (c *cvr) second(kind byte) { c[1] = c[1]&0x3F | kind }

// historyCVR is what the CVR tells of earlier transactions.
func (m *appState) historyCVR(pinTries int) cvr {
	c := cvr{0x03}
	for _, b := range []struct {
		on  bool
		bit uint16
	}{
		{m.OnlineIncomplete, cvrLastIncomplete},
		{pinTries == 0, cvrPINBlocked},
		{m.LastOnlineATC == 0, cvrNewCard},
		{m.AuthFailed, cvrLastAuthFailed},
		{m.AuthMissing, cvrLastAuthAbsent},
		{m.ScriptFailed, cvrScriptFailed},
	} {
		if b.on {
			c.set(b.bit)
		}
	}
	c[3] |= byte(min(m.Scripts, 15)) << 4
	return c
}
