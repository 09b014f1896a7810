package simcard

import (
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
)

// phase is where a session stands; a command is carried out in some phases and
// gets 6985 in the others.
type phase uint8

const (
	idle      phase = 1 << iota // nothing selected
	directory                   // the PSE is selected
	selected                    // an application is selected
	initiated                   // GET PROCESSING OPTIONS was answered
	online                      // the first cryptogram was an ARQC
	ended                       // the last cryptogram was given
)

const anyPhase = idle | directory | selected | initiated | online | ended

// session is what the card forgets without power.
type session struct {
	phase phase
	app   *application
	mem   *appState
	// found is the name that selected the application, at its place in the
	// card, for "next occurrence".
	found   []byte
	foundAt int

	pdolData, cdol1Data []byte
	challenge           []byte  // of the command just before this one
	signed              bool    // INTERNAL AUTHENTICATE was answered
	ac                  [8]byte // the first cryptogram: the issuer answers to it
	un                  [4]byte // 9F37 that went with it
	wentOnline          bool
	auth                authResult
	csu                 [4]byte // of an authenticated issuer, zero under method 1
	approved            bool    // the authenticated issuer approves
	scripts             int
	scriptFailed        bool
	scriptDead          bool   // a script command failed its MAC
	dynamic             []byte // the record that a tap signed
	relay               []byte // the last exchange of relay resistance data
	relayed             int
	asked               bool // a phone asked its holder to be verified
	cvr                 cvr
}

// instruction is a line of the card's command table.
type instruction struct {
	cla, ins byte
	phases   phase
	data, le bool // whether the command carries data, and wants some
	run      func(*Card, apdu.Command) ([]byte, apdu.Status)
}

// Classes of EMV 4.4 Book 3, 6.3.2: interindustry and proprietary, each also with
// secure messaging of a proprietary format (Book 2, 9, format 2; ISO/IEC 7816-4,
// 5.4.1).
const (
	claISO       = 0x00
	claISOSecure = 0x04
	claEMV       = 0x80
	claSecure    = 0x84
)

func instructions() []instruction {
	card := selected | initiated | online | ended
	script := online | ended
	return []instruction{
		{claISO, apdu.INSSelect, anyPhase, true, true, (*Card).selectName},
		{claISO, apdu.INSReadRecord, directory | card, false, true, (*Card).readRecord},
		{claEMV, apdu.INSGetProcessingOptions, selected, true, true, (*Card).processingOptions},
		{claEMV, apdu.INSGetData, card, false, true, (*Card).getData},
		{claISO, apdu.INSVerify, initiated, true, false, (*Card).verify},
		{claISO, apdu.INSGetChallenge, initiated, false, true, (*Card).getChallenge},
		{claISO, apdu.INSInternalAuthenticate, initiated, true, true, (*Card).internalAuthenticate},
		{claEMV, apdu.INSGenerateAC, initiated | online, true, true, (*Card).generateAC},
		{claEMV, insRelay, initiated, true, true, (*Card).relayResistance},
		{claEMV, insRecoverAC, initiated, true, true, (*Card).recoverAC},
		{claISO, apdu.INSExternalAuthenticate, online, true, false, (*Card).externalAuthenticate},
		{claSecure, apdu.INSApplicationBlock, script, true, false, (*Card).applicationBlock},
		{claSecure, apdu.INSApplicationUnblock, script, true, false, (*Card).applicationUnblock},
		{claSecure, apdu.INSCardBlock, script, true, false, (*Card).cardBlock},
		{claSecure, apdu.INSPINChangeUnblock, script, true, false, (*Card).pinChange},
		{claISOSecure, apdu.INSPutData, script, true, false, (*Card).putData},
		{claISOSecure, insUpdateRecord, script, true, false, (*Card).updateRecord},
	}
}

// find looks an instruction up; the status says what is wrong when it is nil.
func (c *Card) find(cmd apdu.Command) (*instruction, apdu.Status) {
	if cmd.CLA&^0x84 != 0 {
		return nil, 0x6E00
	}
	known := false
	list := instructions()
	for i := range list {
		in := &list[i]
		if in.ins != cmd.INS {
			continue
		}
		supported := c.supports(in)
		if in.cla == cmd.CLA && supported {
			return in, 0
		}
		known = known || supported
		if in.cla == cmd.CLA {
			return nil, 0x6D00
		}
	}
	if known {
		return nil, 0x6E00
	}
	return nil, 0x6D00
}

// supports reports whether the selected application has the instruction. A card
// without dynamic signatures has no INTERNAL AUTHENTICATE at all.
func (c *Card) supports(in *instruction) bool {
	if in.ins == insRelay || in.ins == insRecoverAC {
		a := c.session.app
		return a != nil && a.tap != nil && a.tap.Kernel == 2 && (in.ins != insRelay || a.tap.Relay != nil)
	}
	if c.session.app == nil {
		return true
	}
	if c.session.app.tap != nil && in.ins == apdu.INSExternalAuthenticate {
		return c.session.mem.Tap != nil
	}
	s := c.session.app.spec
	plain, enciphered := s.offlinePIN()
	switch in.ins {
	case apdu.INSInternalAuthenticate:
		return s.AIP[0]&aipDDA != 0
	case apdu.INSExternalAuthenticate:
		return s.AIP[0]&aipIssuerAuth != 0
	case apdu.INSVerify:
		return plain || enciphered
	case apdu.INSGetChallenge:
		return enciphered
	case insUpdateRecord:
		return len(s.IssuerRecords) > 0
	}
	return true
}

// Process carries out one command and returns its response, always at least two
// bytes. A fault that takes the card away answers 6F00; through a Reader it is
// an error, as it would be with a real one.
func (c *Card) Process(command []byte) []byte {
	answer, _, err := c.exchange(command)
	if err != nil || len(answer) < 2 {
		return status(0x6F00)
	}
	return answer
}

// exchange carries a command out with the faults that it sets off. wait is how
// long the card takes.
func (c *Card) exchange(command []byte) (answer []byte, wait time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.faults
	if f.muted {
		return nil, 0, cardreader.ErrCardMute
	}
	wait = c.delay
	due := f.next(c.trigger(command))
	for _, d := range due {
		switch d.Action {
		case Remove:
			c.resetLocked()
			return nil, wait, cardreader.ErrCardRemoved
		case Mute:
			f.muted = true
			return nil, wait, cardreader.ErrCardMute
		case Delay:
			wait += d.Wait
		case WrongSW:
			answer = status(apdu.Status(d.Number))
		case Replay:
			if answer = append([]byte(nil), f.last...); len(answer) == 0 {
				answer = status(0x6F00)
			}
		}
	}
	if answer == nil {
		answer = c.carryOut(command)
	}
	for _, d := range due {
		answer = d.spoil(answer)
		if d.Action == RemoveAfter {
			c.resetLocked()
			return nil, wait, cardreader.ErrCardRemoved
		}
	}
	if len(f.list) > 0 {
		f.last = append(f.last[:0], answer...)
	}
	return answer, wait, nil
}

// trigger names a command for the faults.
func (c *Card) trigger(b []byte) Trigger {
	if len(b) < 4 {
		return AnyCommand
	}
	if b[0] == claSecure || b[0] == claISOSecure {
		return OnScript
	}
	switch b[1] {
	case apdu.INSSelect:
		return OnSelect
	case apdu.INSGetProcessingOptions:
		return OnGPO
	case apdu.INSReadRecord:
		return OnReadRecord
	case apdu.INSGetData:
		return OnGetData
	case apdu.INSGetChallenge:
		return OnGetChallenge
	case apdu.INSVerify:
		return OnVerify
	case apdu.INSInternalAuthenticate:
		return OnInternalAuth
	case apdu.INSExternalAuthenticate:
		return OnExternalAuth
	case apdu.INSGenerateAC:
		if c.session.phase == online || c.session.phase == ended {
			return OnSecondGAC
		}
		return OnFirstGAC
	}
	return AnyCommand
}

// t0state is the response that GET RESPONSE fetches.
type t0state struct{ pending []byte }

// carryOut is the transmission layer: T=1 answers as it is, T=0 by procedure
// bytes (EMV 4.4 Book 1, 9.3.1.2).
func (c *Card) carryOut(b []byte) []byte {
	cmd, err := apdu.ParseCommand(b)
	// Extended length is not for contact EMV; its short form starts with 00.
	if err != nil || len(b) > 5 && b[4] == 0 {
		return status(0x6700)
	}
	if c.contactless || c.protocol() != cardreader.T0 {
		data, sw := c.dispatch(cmd)
		return append(data, status(sw)...)
	}
	if cmd.INS == apdu.INSGetResponse {
		return c.getResponse(cmd)
	}
	c.t0.pending = nil
	le := cmd.Ne
	cmd.Ne = 0
	if in, _ := c.find(cmd); in != nil && in.le {
		cmd.Ne = 256 // a T=0 command of case 4 can't say it
	}
	data, sw := c.dispatch(cmd)
	switch {
	case len(data) == 0:
		return status(sw)
	case len(cmd.Data) > 0:
		// What the status was other than 9000 (6283 from SELECT) comes with the
		// data.
		c.t0.pending = append(data, status(sw)...)
		return []byte{0x61, byte(len(data))}
	case le != len(data):
		return []byte{0x6C, byte(len(data))}
	}
	return append(data, status(sw)...)
}

// getResponse is EMV 4.4 Book 1, 9.3.1.3; it exists under T=0 only.
func (c *Card) getResponse(cmd apdu.Command) []byte {
	p := c.t0.pending
	n := len(p) - 2
	switch {
	case cmd.CLA != claISO:
		return status(0x6E00)
	case n <= 0:
		return status(0x6985)
	case cmd.P1 != 0 || cmd.P2 != 0:
		return status(0x6A86)
	case len(cmd.Data) > 0 || cmd.Ne == 0:
		return status(0x6700)
	case cmd.Ne > n:
		return []byte{0x6C, byte(n)}
	case cmd.Ne < n:
		c.t0.pending = append([]byte(nil), p[cmd.Ne:]...)
		return append(append([]byte(nil), p[:cmd.Ne]...), 0x61, byte(n-cmd.Ne))
	}
	c.t0.pending = nil
	return p
}

// dispatch finds the instruction and checks phase and case before it runs.
func (c *Card) dispatch(cmd apdu.Command) ([]byte, apdu.Status) {
	// A challenge serves the next command only (Book 2, 7.2).
	challenge := c.session.challenge
	c.session.challenge = nil
	in, sw := c.find(cmd)
	if in == nil {
		return nil, sw
	}
	if c.session.phase == 0 {
		c.session.phase = idle
	}
	if in.phases&c.session.phase == 0 {
		return nil, 0x6985
	}
	if in.data != (len(cmd.Data) > 0) || in.le != (cmd.Ne > 0) {
		return nil, 0x6700
	}
	c.session.challenge = challenge
	data, sw := in.run(c, cmd)
	if in.ins != apdu.INSGetChallenge {
		c.session.challenge = nil
	}
	if in.le && len(data) > cmd.Ne {
		// Only reading commands take an Le that may be too small; the others
		// insist on 00 before they change anything.
		return nil, 0x6C00 | apdu.Status(byte(len(data)))
	}
	return data, sw
}

func status(sw apdu.Status) []byte { return []byte{byte(sw >> 8), byte(sw)} }
