package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/atr"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/cardreader/trace"
)

func explainTLV(r *request) (answer, error) {
	b, err := r.hex(0)
	if err != nil {
		return answer{}, err
	}
	nodes, err := tags.Explain(b, r.showPAN)
	return answer{
		object: struct {
			Length  int         `json:"length"`
			Objects []tags.Node `json:"objects"`
			Error   string      `json:"error,omitempty"`
		}{len(b), nodes, problem(err)},
		text: trace.Render(nodes, ""),
		err:  err,
	}, nil
}

// entry is a data element of the dictionary with, when it is given, a value.
type entry struct {
	tags.Node
	Book string `json:"book,omitempty"`
	Min  int    `json:"min_length"`
	Max  int    `json:"max_length,omitempty"`
	// Known says that the dictionary has the tag.
	Known bool   `json:"known"`
	Class string `json:"secrecy,omitempty"`
	Error string `json:"error,omitempty"`
}

func explainTag(r *request) (answer, error) {
	if len(r.args) == 0 {
		return answer{}, usagef("the TAG is missing")
	}
	raw, err := hex.DecodeString(r.args[0])
	if err != nil {
		return answer{}, usagef("the tag is not hexadecimal")
	}
	t, n, err := tlv.ParseTag(raw)
	if err != nil || n != len(raw) {
		return answer{}, usagef("%s is no tag", strings.ToUpper(r.args[0]))
	}
	var value []byte
	if len(r.args) > 1 {
		if value, err = r.hex(1); err != nil {
			return answer{}, err
		}
	}
	e := entry{Node: tags.ExplainValue(t, value, r.showPAN)}
	if value == nil {
		e.Node.Value, e.Node.Hidden, e.Node.Meaning = "", false, nil
	}
	info, known := tags.Lookup(t)
	if known {
		e.Known, e.Book, e.Min, e.Max = true, info.Book, info.Min, info.Max
		e.Class = [...]string{tags.Public: "public", tags.Sensitive: "sensitive", tags.Secret: "secret"}[info.Secrecy]
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s  %s\n", t, tags.Name(t))
	if known {
		fmt.Fprintf(&text, "  from the %s, format %s, %s, %s\n  %s\n", e.Source, e.Format, length(info), e.Class, e.Book)
	} else {
		text.WriteString("  not in the dictionary\n")
	}
	if value != nil {
		if t.Constructed() {
			e.Node.Value, e.Node.Hidden = "", false
			e.Children, err = tags.Explain(value, r.showPAN)
			e.Error = problem(err)
			text.WriteString(trace.Render(e.Children, "  "))
		} else {
			fmt.Fprintf(&text, "  value %s\n", e.Value)
		}
		for _, m := range e.Meaning {
			fmt.Fprintf(&text, "    %s\n", m)
		}
	}
	return answer{object: e, text: text.String(), err: err}, nil
}

func length(i tags.Info) string {
	switch {
	case i.Max == 0:
		return "any length"
	case i.Min == i.Max:
		return fmt.Sprintf("%d bytes", i.Max)
	}
	return fmt.Sprintf("%d to %d bytes", i.Min, i.Max)
}

func explainDOL(r *request) (answer, error) {
	b, err := r.hex(0)
	if err != nil {
		return answer{}, err
	}
	type item struct {
		Tag    string `json:"tag"`
		Name   string `json:"name,omitempty"`
		Length int    `json:"length"`
	}
	d, err := tlv.ParseDOL(b)
	out := struct {
		Length  int    `json:"length"`
		Entries []item `json:"entries"`
		Error   string `json:"error,omitempty"`
	}{d.Len(), []item{}, problem(err)}
	for _, e := range d {
		info, _ := tags.Lookup(e.Tag)
		out.Entries = append(out.Entries, item{e.Tag.String(), info.Name, e.Len})
	}
	lines := tags.DescribeDOL(d)
	if err == nil {
		lines = append(lines, fmt.Sprintf("%d bytes together", d.Len()))
	}
	text := ""
	if len(lines) > 0 {
		text = strings.Join(lines, "\n") + "\n"
	}
	return answer{object: out, text: text, err: err}, nil
}

func explainATR(r *request) (answer, error) {
	b, err := r.hex(0)
	if err != nil {
		return answer{}, err
	}
	a, err := atr.Parse(b)
	if err != nil {
		return answer{object: struct {
			ATR   string `json:"atr"`
			Error string `json:"error"`
		}{upper(b), problem(err)}, err: err}, nil
	}
	type character struct {
		Name    string `json:"name"`
		Value   string `json:"value"`
		Meaning string `json:"meaning"`
	}
	out := struct {
		ATR         string      `json:"atr"`
		Convention  string      `json:"convention"`
		Protocols   []string    `json:"protocols"`
		Contactless bool        `json:"contactless_reader"`
		Characters  []character `json:"characters"`
		Historical  string      `json:"historical"`
		Meaning     []string    `json:"historical_meaning"`
		TCK         string      `json:"tck,omitempty"`
		EMV         bool        `json:"emv"`
		Reason      string      `json:"emv_reason,omitempty"`
	}{ATR: upper(b), Convention: "direct", Contactless: a.Pseudo(), Characters: []character{}, Historical: upper(a.Historical()), Meaning: a.HistoricalWords()}
	if a.Inverse() {
		out.Convention = "inverse"
	}
	for _, p := range a.Protocols() {
		out.Protocols = append(out.Protocols, fmt.Sprintf("T=%d", p))
	}
	for _, c := range a.Characters() {
		out.Characters = append(out.Characters, character{c.Name(), fmt.Sprintf("%02X", c.Value), a.Words(c)})
	}
	if v, ok := a.TCK(); ok {
		out.TCK = fmt.Sprintf("%02X", v)
	}
	lines := a.Describe()
	switch err := a.EMV(false); {
	case a.Pseudo():
		out.Reason = "a contactless reader's answer: EMV's rules are for contact cards"
		lines = append(lines, out.Reason)
	case err != nil:
		out.Reason = err.Error()
		lines = append(lines, "an EMV terminal rejects it at a cold reset: "+out.Reason)
	default:
		out.EMV = true
		lines = append(lines, "an EMV terminal accepts it")
	}
	return answer{object: out, text: strings.Join(lines, "\n") + "\n"}, nil
}

func explainAPDU(r *request) (answer, error) {
	b, err := r.hex(0)
	if err != nil {
		return answer{}, err
	}
	if isResponse(b) {
		resp, err := trace.ExplainResponse(b, r.showPAN)
		if err != nil {
			return answer{}, err
		}
		return answer{
			object: struct {
				Kind string `json:"kind"`
				trace.Response
			}{"response", resp},
			text: fmt.Sprintf("response %s\n%s %s\n%s", resp.Hex, resp.SW, resp.Status, trace.Render(resp.Data, "  ")),
		}, nil
	}
	c, err := trace.ExplainCommand(b, r.showPAN)
	if err != nil {
		return answer{object: struct {
			Error string `json:"error"`
		}{problem(err)}, err: err}, nil
	}
	text := fmt.Sprintf("command %s\n%s", c.Hex, c.Name)
	if len(c.Words) > 0 {
		text += ", " + strings.Join(c.Words, ", ")
	}
	text += fmt.Sprintf("\n%d bytes of data, %d asked for\n%s", c.Length, c.Ne, trace.Render(c.Data, "  "))
	return answer{object: struct {
		Kind string `json:"kind"`
		trace.Command
	}{"command", c}, text: text}, nil
}

// isResponse tells responses from commands: a response ends with a status word,
// and what precedes it are data objects, or the whole can be no command.
func isResponse(b []byte) bool {
	resp, err := apdu.ParseResponse(b)
	if err != nil {
		return false
	}
	sw1 := resp.SW.SW1()
	if sw1 == 0x60 || sw1>>4 != 6 && sw1>>4 != 9 {
		return false
	}
	if tlv.Validate(resp.Data) == nil {
		return true
	}
	_, err = apdu.ParseCommand(b)
	return err != nil
}

// fromHex reads hexadecimal of whole bytes.
func fromHex(s string) ([]byte, error) { return hex.DecodeString(s) }
