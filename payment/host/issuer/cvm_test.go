package issuer

import "testing"

// TestContradictions: what card and terminal say of one payment has to agree.
func TestContradictions(t *testing.T) {
	visa := func(b byte) func(*sayings) { return func(s *sayings) { s.iad[4] |= b } }
	offlinePIN := func(method byte) func(*sayings) { return func(s *sayings) { s.cvm = []byte{method, 3, 2} } }
	tvr := func(b byte) func(*sayings) { return func(s *sayings) { s.tvr[2] = b } }
	able := func(b byte) func(*sayings) { return func(s *sayings) { s.capabilities = []byte{0xE0, b, 0xC8} } }
	type does = func(*sayings)
	for _, c := range []struct {
		name string
		line line
		pin  string
		does []does
		want string
	}{
		{"plaintext PIN, and the card says so", line{}, "", []does{offlinePIN(0x01), visa(0x04)}, CodeApproved},
		{"plaintext PIN, and the card saw none", line{}, "", []does{offlinePIN(0x01)}, CodeNotHonoured},
		{"plaintext PIN, and the card says it was wrong", line{}, "", []does{offlinePIN(0x01), visa(0x06)}, CodeNotHonoured},
		{"with more rules after it", line{}, "", []does{offlinePIN(0x41)}, CodeNotHonoured},
		{"and signature", line{}, "", []does{offlinePIN(0x03)}, CodeNotHonoured},
		{"enciphered PIN, and the card saw none", line{}, "", []does{offlinePIN(0x04)}, CodeNotHonoured},
		{"enciphered PIN and signature", line{}, "", []does{offlinePIN(0x05)}, CodeNotHonoured},
		{"a wrong PIN that the terminal says was wrong", line{}, "", []does{func(s *sayings) { s.cvm = []byte{1, 3, 1} }, tvr(0x80), visa(0x06)}, CodeApproved},
		{"M/Chip, PIN right", line{session: "mchip", cvn: "0x10"}, "", []does{offlinePIN(0x01), func(s *sayings) { s.iad[2] |= 0x05 }}, CodeApproved},
		{"M/Chip, PIN not seen", line{session: "mchip", cvn: "0x10"}, "", []does{offlinePIN(0x01)}, CodeNotHonoured},
		{"M/Chip, PIN wrong", line{session: "mchip", cvn: "0x10"}, "", []does{offlinePIN(0x01), func(s *sayings) { s.iad[2] |= 0x04 }}, CodeNotHonoured},
		{"M/Chip, the results say AAC", line{session: "mchip", cvn: "0x10"}, "", []does{func(s *sayings) { s.iad[2] = 0x80 }}, CodeNotHonoured},
		{"an AAC shown as an ARQC", line{}, "", []does{func(s *sayings) { s.iad[4] = 0x80 }}, CodeNotHonoured},
		{"a TC shown as an ARQC", line{}, "", []does{func(s *sayings) { s.iad[4] = 0x90 }}, CodeNotHonoured},
		{"a second AAC shown as an ARQC", line{}, "", []does{func(s *sayings) { s.iad[4] = 0x20 }}, CodeNotHonoured},
		{"a second TC shown as an ARQC", line{}, "", []does{func(s *sayings) { s.iad[4] = 0x60 }}, CodeNotHonoured},
		{"not verified in the TVR, verified in the results", line{}, "", []does{tvr(0x80)}, CodeNotHonoured},
		{"tries exceeded, and a PIN that was right", line{}, "", []does{offlinePIN(0x01), visa(0x04), tvr(0x20)}, CodeNotHonoured},
		{"no pad, and a PIN that was right", line{}, "", []does{offlinePIN(0x01), visa(0x04), tvr(0x10)}, CodeNotHonoured},
		{"no PIN entered, and one that was right", line{}, "", []does{offlinePIN(0x01), visa(0x04), tvr(0x08)}, CodeNotHonoured},
		{"no pad, and no verification wanted", line{}, "", []does{tvr(0x10)}, CodeApproved},
		{"online PIN at a terminal that has it", line{}, "1234", []does{able(0x40)}, CodeApproved},
		{"online PIN at a terminal that has none", line{}, "1234", []does{able(0xB8)}, CodeNotHonoured},
		{"signature at a terminal without", line{}, "", []does{func(s *sayings) { s.cvm = []byte{0x1E, 3, 0} }, able(0xD8)}, CodeNotHonoured},
		{"signature at a terminal with it", line{}, "", []does{func(s *sayings) { s.cvm = []byte{0x1E, 3, 0} }, able(0x20)}, CodeApproved},
		{"PIN and signature at a terminal without signature", line{}, "", []does{offlinePIN(0x03), visa(0x04), able(0x80)}, CodeNotHonoured},
		{"no verification, whatever the terminal has", line{}, "", []does{able(0x00)}, CodeApproved},
		{"results of another length", line{}, "", []does{func(s *sayings) { s.cvm = []byte{0x01} }}, CodeApproved},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, Config{}, c.line)
			d.alter = func(s *sayings) {
				for _, do := range c.does {
					do(s)
				}
			}
			d.want(c.name, d.authorize(d.request(100, c.pin)), c.want)
		})
	}
}

// TestDeviceAtTerminalWithoutPINPad: a tapped device that verified its holder says
// so as an offline PIN does, which the terminal need not be capable of.
func TestDeviceAtTerminalWithoutPINPad(t *testing.T) {
	for tapped, want := range map[bool]string{true: CodeApproved, false: CodeNotHonoured} {
		d := newDesk(t, Config{}, line{})
		d.alter = func(s *sayings) {
			s.cvm, s.capabilities = []byte{0x01, 0x00, 0x02}, []byte{0xE0, 0x40, 0xC8}
			s.iad[4] |= 0x04
		}
		r := d.request(100, "")
		r.Tapped = tapped
		d.want("an offline PIN that the terminal can't take", d.authorize(r), want)
	}
}
