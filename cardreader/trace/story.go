package trace

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Decision is what the terminal or the card decided, with the rule behind it.
type Decision struct {
	// Exchange is the number of the exchange, from 1; 0 for the conclusion.
	Exchange int    `json:"exchange,omitempty"`
	Text     string `json:"text"`
	// Because are the facts that led to it, and Rule where the books say so.
	Because []string `json:"because,omitempty"`
	Rule    string   `json:"rule,omitempty"`
}

// String returns the decision as lines of a report.
func (d Decision) String() string {
	var b strings.Builder
	at := "    "
	if d.Exchange > 0 {
		at = fmt.Sprintf("%3d.", d.Exchange)
	}
	fmt.Fprintf(&b, "  %s %s", at, d.Text)
	if d.Rule != "" {
		fmt.Fprintf(&b, "  (%s)", d.Rule)
	}
	b.WriteByte('\n')
	for _, r := range d.Because {
		fmt.Fprintf(&b, "         %s\n", r)
	}
	return b.String()
}

// Story tells what was decided in a session and how it ended, from the commands
// and responses alone: what a terminal found out for itself it shows in the TVR.
// Nothing in it is cardholder data.
func (t *Trace) Story() []Decision {
	w := &story{s: newSession(), out: []Decision{}}
	list := t.messages()
	for _, m := range list {
		defer clear(m.data) // the session points into the messages until the end
		before := len(w.s.gac)
		objects := dolData{w.s.see(m), m.command.Data}.objects()
		if !m.ok {
			continue
		}
		w.exchange = m.parts[0].exchange + 1
		w.message(m, before, objects)
	}
	if w.end != "" {
		w.exchange = 0
		w.tell("in the end: "+w.end, "")
	}
	return w.out
}

type story struct {
	s        *session
	out      []Decision
	exchange int
	// end is how it ended, as far as it is known.
	end string
}

func (w *story) tell(text, rule string, because ...string) {
	w.out = append(w.out, Decision{Exchange: w.exchange, Text: text, Rule: rule, Because: because})
}

func (w *story) message(m message, before int, objects []tlv.Object) {
	switch m.command.INS {
	case apdu.INSSelect:
		w.selected(m)
	case apdu.INSGetProcessingOptions:
		w.options(m)
	case apdu.INSInternalAuthenticate:
		w.answered(m, "dynamic data authentication: the card signed the terminal's number", "the card refused dynamic data authentication", "Book 2, 6.5")
	case apdu.INSVerify:
		w.verified(m)
	case apdu.INSExternalAuthenticate:
		w.answered(m, "the card accepted the issuer's cryptogram", "the card refused the issuer's cryptogram: issuer authentication failed", "Book 3, 10.9")
	case apdu.INSGenerateAC:
		w.generated(m, before, objects)
	case apdu.INSApplicationBlock, apdu.INSApplicationUnblock, apdu.INSCardBlock, apdu.INSPINChangeUnblock, apdu.INSPutData, 0xDC:
		w.answered(m, "issuer script command: the card carried out "+m.command.Name(), "issuer script command: the card refused "+m.command.Name(), "Book 3, 10.10")
	}
}

func (w *story) answered(m message, good, bad, rule string) {
	if m.sw.OK() || m.sw.SW1() == 0x62 || m.sw.SW1() == 0x63 && m.command.INS != apdu.INSExternalAuthenticate {
		w.tell(good, rule)
		return
	}
	w.tell(bad, rule, m.sw.String())
}

func (w *story) selected(m message) {
	if m.command.P1 != 0x04 {
		return
	}
	name := m.command.Data
	if df, ok, _ := tlv.Child(m.data, tags.FCITemplate, tags.DFName); ok {
		name = df
	}
	what := "application " + upper(name)
	if s := string(name); s == "1PAY.SYS.DDF01" || s == "2PAY.SYS.DDF01" {
		what = "the directory " + s
	} else if len(name) >= 5 {
		if scheme := tags.Scheme([5]byte(name)); scheme != "" {
			what += ", " + scheme
		}
	}
	switch {
	case m.sw.OK():
		w.tell(what+" selected", "Book 1, 12.3")
	case m.sw == 0x6A81:
		w.tell(what+": the card is blocked", "Book 1, 12.3.2", m.sw.String())
		w.end = "no payment: the card is blocked"
	case m.sw == 0x6283:
		w.tell(what+" is blocked", "Book 1, 12.3", m.sw.String())
	default:
		w.tell(what+" is not on the card, or there is no further one", "Book 1, 12.3", m.sw.String())
	}
}

func (w *story) options(m message) {
	if !m.sw.OK() {
		text := "the card refused to begin"
		if m.sw == 0x6985 {
			text = "the card asks for another application: this one leaves the list"
		}
		w.tell(text, "Book 3, 10.1", m.sw.String())
		return
	}
	facts := []string{}
	if len(w.s.aip) == 2 {
		facts = tags.AIPValue(w.s.aip).Describe()
	}
	w.tell(fmt.Sprintf("the payment begins: %d files to read", len(w.s.afl)/4), "Book 3, 10.1", facts...)
	if cid, ok := w.s.data[tags.CID]; ok && len(cid) == 1 {
		w.contactless(cid[0])
	} else if _, ok := w.s.data[tags.ApplicationCryptogram]; ok {
		w.contactless(contactlessCID(w.s.data[tags.IssuerApplicationData]))
	}
}

// contactlessCID reads the kind of cryptogram from the card verification results
// when the card sends no CID (EMV Contactless Book C-3, 4.3).
func contactlessCID(iad []byte) byte {
	d := tags.ParseIAD(iad)
	if d.Format == tags.IADVisa && len(d.CVR) > 1 {
		return d.CVR[1] << 2 & 0xC0
	}
	return 0x80
}

// contactless tells the answer of a card that decides at once.
func (w *story) contactless(cid byte) {
	kind := tags.CIDValue(cid).Cryptogram()
	w.tell(fmt.Sprintf("the card decides at once: %s", kind), "EMV Contactless Book C-3, 4.3")
	w.end = map[tags.Cryptogram]string{tags.AAC: "declined offline, by the card", tags.TC: "approved offline", tags.ARQC: "sent online"}[kind]
}

func (w *story) verified(m message) {
	switch sw := m.sw; {
	case sw.OK():
		w.tell("the PIN is right", "Book 3, 6.5.12")
	case sw.SW1() == 0x63 && sw.SW2()&0xF0 == 0xC0:
		w.tell(fmt.Sprintf("the PIN is wrong, tries left: %d", sw.SW2()&0x0F), "Book 3, 6.5.12")
	case sw == 0x6983 || sw == 0x6984:
		w.tell("the PIN is blocked", "Book 3, 10.5.1", sw.String())
	default:
		w.tell("the card did not check the PIN", "Book 3, 10.5.1", sw.String())
	}
}

// generated tells what the terminal asked for and why, and what the card gave.
func (w *story) generated(m message, before int, objects []tlv.Object) {
	asked := tags.CIDValue(m.command.P1).Cryptogram()
	which, rule := "first", "Book 3, 10.7"
	facts := []string{}
	if before > 0 {
		which, rule = "second", "Book 3, 10.11"
	}
	for _, o := range objects {
		switch {
		case o.Tag == tags.TVR && len(o.Value) == 5:
			facts = append(facts, w.verification(tags.TVRValue(o.Value), asked, before > 0)...)
		case o.Tag == tags.CVMResults && len(o.Value) == 3 && before == 0:
			facts = append(facts, "cardholder verification: "+strings.Join(tags.CVMResultsValue(o.Value).Describe(), ", "))
		case o.Tag == tags.ARC && len(o.Value) == 2 && before > 0:
			facts = append(facts, "response code: "+strings.Join(tags.Describe(tags.ARC, o.Value), ", "))
		}
	}
	w.tell(fmt.Sprintf("%s GENERATE AC: the terminal asks for %s", which, asked), rule, facts...)
	if !m.sw.OK() {
		w.tell("the card gave no cryptogram", "Book 3, 6.5.5", m.sw.String())
		w.end = "not completed: the card refused"
		return
	}
	cid, ok := cidOf(m.data)
	if !ok {
		w.tell("the card's answer can't be read", "Book 3, 6.5.5.4")
		return
	}
	given := tags.CIDValue(cid).Cryptogram()
	w.tell(fmt.Sprintf("the card answers with %s", given), "Book 3, 10.8", tags.CIDValue(cid).Describe()[1:]...)
	w.conclude(asked, given, before > 0)
}

// conclude says how it ended. A card may answer with less than it was asked for,
// never with more (Book 3, 9.3).
func (w *story) conclude(asked, given tags.Cryptogram, second bool) {
	switch {
	case asked == tags.AAC && given != tags.AAC, asked == tags.ARQC && given == tags.TC, second && given == tags.ARQC:
		w.end = "broken off: the card gave a cryptogram that it was not asked for"
	case second && given == tags.TC:
		w.end = "approved"
	case second && asked == tags.TC:
		w.end = "declined by the card, though the terminal asked for approval"
	case second:
		w.end = "declined"
	case given == tags.ARQC:
		w.end = "sent online; no second GENERATE AC is in the session"
	case given == tags.TC:
		w.end = "approved offline"
	case asked == tags.AAC:
		w.end = "declined offline, by the terminal"
	default:
		w.end = "declined offline, by the card"
	}
}

// verification tells the bits of the TVR and which of them an action code of the
// card names. The terminal's own codes are not in the session.
func (w *story) verification(tvr tags.TVRValue, asked tags.Cryptogram, second bool) []string {
	out := []string{}
	for _, d := range tvr.Describe() {
		out = append(out, "TVR: "+d)
	}
	if len(out) == 0 {
		out = append(out, "TVR: nothing to object to")
	}
	code, tag := "Issuer Action Code - Online", tags.IACOnline
	switch {
	case asked == tags.AAC && !second:
		code, tag = "Issuer Action Code - Denial", tags.IACDenial
	case asked == tags.AAC:
		code, tag = "Issuer Action Code - Default", tags.IACDefault
	case asked == tags.TC:
		return out
	}
	v, ok := w.s.data[tag]
	if !ok || len(v) != 5 || second && asked != tags.AAC {
		return out
	}
	var hit tags.TVRValue
	for i := range hit {
		hit[i] = tvr[i] & v[i]
	}
	if words := hit.Describe(); len(words) > 0 {
		out = append(out, code+" names: "+strings.Join(words, ", "))
	} else {
		out = append(out, code+" names none of it: the terminal's own action codes, its type, or an online PIN decided")
	}
	return out
}

// cidOf finds the cryptogram information data of a GENERATE AC response in either
// format.
func cidOf(b []byte) (byte, bool) {
	if v, ok, _ := tlv.Child(b, tags.ResponseFormat1); ok && len(v) >= 11 {
		return v[0], true
	}
	v, ok, _ := tlv.Child(b, tags.ResponseFormat2, tags.CID)
	if !ok || len(v) != 1 {
		return 0, false
	}
	return v[0], true
}
