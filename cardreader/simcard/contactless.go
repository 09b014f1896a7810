package simcard

import (
	"bytes"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Contactless is what an application is on the contactless interface (EMV
// Contactless Book B, 3.3; Books C-2 and C-3 for the kernels' side). Counters,
// keys and account are those of the contact one.
type Contactless struct {
	// Kernel is 2 for M/Chip, 3 for qVSDC.
	Kernel byte
	// KernelID is 9F2A of the directory entry, absent when empty; Extended is
	// 9F29.
	KernelID, Extended []byte
	// PDOL replaces the built-in one of the kernel.
	PDOL []byte
	// Device makes it a phone: its holder is verified by it. Verified says
	// that this was done before the tap; else a transaction that needs it is
	// answered 6986, and the holder does it then.
	Device, Verified bool
	// OnlinePIN and Signature are what the card asks for where the reader wants
	// its holder verified and it is no phone.
	OnlinePIN, Signature bool
	// CTQ are further bits of the card transaction qualifiers; NoCTQ leaves
	// them out.
	CTQ   tags.CTQValue
	NoCTQ bool
	// IssuerUpdate lets an issuer's answer be brought by a second tap.
	IssuerUpdate bool
	// Program is the application program identifier, 9F5A.
	Program []byte
	// OnlineOnly never approves offline.
	OnlineOnly bool
	// UseContact answers 6984 to GET PROCESSING OPTIONS.
	UseContact bool
	// NoAuthentication leaves certificates and dynamic signature out.
	NoAuthentication bool
	// Relay makes the card take part in the relay resistance protocol of
	// kernel 2; nil does not.
	Relay *RelayTimes
	// Balance is the offline spending amount that the card tells, 9F5D
	// to kernel 3, 9F50 to kernel 2; nil does not.
	Balance *int64
}

// ppseName is the DF name of the contactless directory (Book B, 3.3.2.2).
var ppseName = []byte("2PAY.SYS.DDF01")

func (t *Contactless) check() string {
	switch {
	case t == nil:
		return ""
	case t.Kernel != 2 && t.Kernel != 3:
		return "contactless kernel"
	case len(t.KernelID) > 8 || len(t.Extended) > 11 || len(t.Program) > 16:
		return "contactless identifiers"
	case t.Balance != nil && *t.Balance < 0:
		return "contactless balance"
	}
	return ""
}

// personaliseTaps makes the contactless side of every application that has one;
// the others have nil in their place.
func (c *Card) personaliseTaps(o Options) error {
	for i := range c.profile.Applications {
		s := &c.profile.Applications[i]
		var a *application
		// The kernels have RSA alone: an XDA card is for contact.
		if t := s.Contactless; t != nil && !tags.AIPValue(s.AIP).Has(tags.AIPXDA) {
			var err error
			switch t.Kernel {
			case 2:
				a, err = personaliseMChip(&c.profile, s, o)
			default:
				a, err = personaliseQVSDC(s, o)
			}
			if err != nil {
				return fmt.Errorf("simcard: personalising %s, contactless application %d: %w", c.profile.Name, i+1, err)
			}
		}
		c.taps = append(c.taps, a)
	}
	return nil
}

// selectTap is SELECT over the contactless interface: the directory, or an
// application by a name that begins its AID with its extended selection.
func (c *Card) selectTap(cmd apdu.Command) ([]byte, apdu.Status) {
	switch {
	case cmd.P1 != 0x04 || cmd.P2 != 0x00:
		return nil, 0x6A86
	case len(cmd.Data) < 5 || len(cmd.Data) > 16 || cmd.Ne != 256:
		return nil, 0x6700
	case c.state.CardBlocked:
		return nil, 0x6A81
	case bytes.Equal(cmd.Data, ppseName):
		c.session = session{phase: directory}
		return c.ppse(), apdu.StatusOK
	}
	for i, a := range c.taps {
		if a == nil || !bytes.HasPrefix(append(bytes.Clone(a.spec.AID), a.tap.Extended...), cmd.Data) {
			continue
		}
		m := &c.state.Applications[i]
		c.session = session{phase: selected, app: a, mem: m}
		if m.Blocked {
			return bytes.Clone(a.fci), 0x6283
		}
		if p := m.Tap; p != nil {
			// The issuer's answer to the last tap may come now.
			c.session.phase |= online
			c.session.ac, c.session.un, c.session.wentOnline = p.AC, p.UN, true
		}
		return bytes.Clone(a.fci), apdu.StatusOK
	}
	return nil, 0x6A82
}

// pendingTap is what the card remembers of a tap that went online, until the
// next transaction.
type pendingTap struct {
	AC [8]byte `json:"ac"`
	UN [4]byte `json:"un"`
}

// ppse is the contactless directory (Book B, tables 3-2 and 3-3).
func (c *Card) ppse() []byte {
	var list []byte
	for _, a := range c.taps {
		if a == nil {
			continue
		}
		s := a.spec
		e := tlv.Append(nil, 0x4F, s.AID)
		e = tlv.Append(e, 0x50, []byte(s.Label))
		if s.Priority != 0 {
			e = tlv.Append(e, 0x87, []byte{s.Priority})
		}
		if len(a.tap.KernelID) > 0 {
			e = tlv.Append(e, 0x9F2A, a.tap.KernelID)
		}
		if len(a.tap.Extended) > 0 {
			e = tlv.Append(e, 0x9F29, a.tap.Extended)
		}
		list = tlv.Append(list, 0x61, e)
	}
	a5 := tlv.Append(nil, 0xA5, tlv.Append(nil, 0xBF0C, list))
	return tlv.Append(nil, 0x6F, append(tlv.Append(nil, 0x84, ppseName), a5...))
}

// tapFCI is the answer to SELECT of an application.
func (a *application) tapFCI(pdol []byte) []byte {
	s := a.spec
	prop := tlv.Append(nil, 0x50, []byte(s.Label))
	if s.Priority != 0 {
		prop = tlv.Append(prop, 0x87, []byte{s.Priority})
	}
	if len(pdol) > 0 {
		prop = tlv.Append(prop, 0x9F38, pdol)
	}
	prop = tlv.Append(prop, 0x5F2D, []byte("en"))
	if s.Preferred != "" {
		prop = tlv.Append(prop, 0x9F11, []byte{1})
		prop = tlv.Append(prop, 0x9F12, []byte(s.Preferred))
	}
	var own []byte
	if len(a.tap.Program) > 0 {
		own = tlv.Append(own, 0x9F5A, a.tap.Program)
	}
	if a.tap.Kernel == 2 && a.tap.Balance != nil {
		// Application capabilities information: the balance can be read.
		own = tlv.Append(own, 0x9F5D, []byte{0x00, 0x02, 0x00})
	}
	if len(own) > 0 {
		prop = tlv.Append(prop, 0xBF0C, own)
	}
	name := append(bytes.Clone(s.AID), a.tap.Extended...)
	return tlv.Append(nil, 0x6F, tlv.Append(tlv.Append(nil, 0x84, name), 0xA5, prop))
}

// HolderVerified tells a phone that its holder has unlocked it for a payment.
func (c *Card) HolderVerified() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holderVerified = true
}
