package trace

import (
	"github.com/payunit/payunit/cardreader/apdu"
)

// message is a command with its whole response: what GET RESPONSE fetched is
// joined, and a command that was repeated with the right Le counts once.
type message struct {
	command apdu.Command
	// ok is false when the command can't be read.
	ok   bool
	data []byte // the response without its status word
	sw   apdu.Status
	// parts are the exchanges that the data is from, in order.
	parts []part
	last  int // the index of the last exchange
}

type part struct{ exchange, length int }

// messages joins the exchanges. The data is a copy.
func (t *Trace) messages() []message {
	var out []message
	for i, e := range t.Exchanges {
		c, err := apdu.ParseCommand(e.Command)
		r, rerr := apdu.ParseResponse(e.Response)
		if rerr != nil {
			continue // Parse and Record let none in
		}
		m := message{command: c, ok: err == nil, last: i}
		if n := len(out); n > 0 && err == nil && out[n-1].goesOn(c) {
			m = out[n-1]
			m.last = i
			out = out[:n-1]
		}
		m.data = append(m.data, r.Data...)
		m.parts = append(m.parts, part{i, len(r.Data)})
		m.sw = m.statusAfter(r.SW)
		out = append(out, m)
	}
	return out
}

// goesOn reports whether the next command fetches more of the response: GET
// RESPONSE, or the same command after 6Cxx.
func (m *message) goesOn(c apdu.Command) bool {
	if c.INS == apdu.INSGetResponse && c.CLA&0xFC == 0 {
		sw1 := m.sw.SW1()
		return sw1 == 0x61 || sw1 == 0x6C || sw1 == 0x62 || sw1 == 0x63
	}
	p := m.command
	return m.sw.SW1() == 0x6C && c.CLA == p.CLA && c.INS == p.INS && c.P1 == p.P1 && c.P2 == p.P2
}

// statusAfter keeps a warning that data followed (T=0, Book 1, 9.3.1.2).
func (m *message) statusAfter(next apdu.Status) apdu.Status {
	if sw1 := m.sw.SW1(); (sw1 == 0x62 || sw1 == 0x63) && next.OK() {
		return m.sw
	}
	return next
}

// challenge reports whether the response is the one that is no data object.
func (m *message) challenge() bool { return m.ok && m.command.INS == apdu.INSGetChallenge }
