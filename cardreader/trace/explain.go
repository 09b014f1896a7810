package trace

import (
	"fmt"
	"slices"
	"strings"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Command is a command APDU for people.
type Command struct {
	// Hex is the command; PIN data in it is zeros, with reveal too.
	Hex  string `json:"hex"`
	Name string `json:"name"`
	// Words say what the header asks for.
	Words []string `json:"words,omitempty"`
	// Length is that of the data, Ne what is asked for.
	Length int `json:"length"`
	Ne     int `json:"ne"`
	// Data are the data objects in it, or those that a list asked for.
	Data []tags.Node `json:"data,omitempty"`
}

// Response is a response APDU for people.
type Response struct {
	Hex string `json:"hex"`
	SW  string `json:"sw"`
	// Status is the status word in words.
	Status string `json:"status"`
	Length int    `json:"length"`
	// Data are the data objects in it. Of a response that comes in pieces the
	// last one has them all.
	Data []tags.Node `json:"data,omitempty"`
	// Malformed says why the data are no data objects, "" when they are.
	Malformed string `json:"malformed,omitempty"`
}

// Step is an exchange for people.
type Step struct {
	Number   int      `json:"number"`
	Micros   int64    `json:"us"`
	Command  Command  `json:"command"`
	Response Response `json:"response"`
}

// ExplainCommand says what a command APDU is. PIN data is never shown, and
// without reveal what is not public in data objects is masked. Errors wrap
// apdu.ErrMalformed.
func ExplainCommand(b []byte, reveal bool) (Command, error) {
	c, err := apdu.ParseCommand(b)
	if err != nil {
		return Command{}, err
	}
	out := Command{Name: c.Name(), Words: c.Describe(), Length: len(c.Data), Ne: c.Ne}
	shown := slices.Clone(b)
	defer clear(shown)
	maskCommand(shown)
	switch c.INS {
	case apdu.INSSelect:
		if c.P1 == 0x04 && len(c.Data) > 0 {
			out.Data = []tags.Node{tags.ExplainValue(tags.DFName, c.Data, reveal)}
		}
	case apdu.INSGetProcessingOptions:
		out.Data, _ = tags.Explain(c.Data, reveal)
	case apdu.INSExternalAuthenticate:
		out.Data = []tags.Node{tags.ExplainValue(tags.IssuerAuthenticationData, c.Data, reveal)}
	}
	out.Hex = upper(shown)
	return out, nil
}

// ExplainResponse says what a response APDU is, masked as ExplainCommand does.
// Errors wrap apdu.ErrMalformed.
func ExplainResponse(b []byte, reveal bool) (Response, error) {
	r, err := apdu.ParseResponse(b)
	if err != nil {
		return Response{}, err
	}
	out := Response{SW: fmt.Sprintf("%04X", uint16(r.SW)), Status: r.SW.Meaning(), Length: len(r.Data)}
	shown := slices.Clone(b)
	defer clear(shown)
	if !reveal {
		for _, p := range maskTree(shown[:len(r.Data)], 0) {
			sweep(shown, p)
			clear(p)
		}
	}
	out.Hex = upper(shown)
	if len(r.Data) > 0 {
		nodes, err := tags.Explain(r.Data, reveal)
		out.Data = nodes
		if err != nil {
			out.Malformed = err.Error()
		}
	}
	return out, nil
}

// Explain says what each exchange is. Without reveal, it is that of Mask.
func (t *Trace) Explain(reveal bool) []Step {
	original := t
	if !reveal && !t.Masked {
		t = t.Mask()
		defer t.Wipe()
	}
	out := make([]Step, 0, len(t.Exchanges))
	for i, e := range t.Exchanges {
		st := Step{Number: i + 1, Micros: e.Took.Microseconds()}
		c, err := ExplainCommand(e.Command, reveal)
		if err != nil {
			c = Command{Hex: upper(e.Command[:4]), Name: "no command", Words: []string{err.Error()}}
		}
		st.Command = c
		// Parse and Record let no response without a status word in.
		if r, err := ExplainResponse(e.Response, reveal); err == nil {
			st.Response = r
		}
		st.Response.Hex = upper(e.Response)
		st.Response.Data, st.Response.Malformed = nil, ""
		out = append(out, st)
	}
	s := newSession()
	for _, m := range t.messages() {
		list := s.see(m)
		first, last := &out[m.parts[0].exchange], &out[m.last]
		if list != nil {
			data := m.command.Data
			if m.command.INS == apdu.INSGetProcessingOptions {
				data = s.pdol.data
			}
			first.Command.Data = explainList(dolData{list, data}, reveal)
		}
		last.Response.Data = explainData(m, reveal)
	}
	for _, m := range original.messages() {
		// Masking hides what is malformed too; that something is, it does not.
		if err := tlv.Validate(m.data); err != nil && !m.challenge() {
			out[m.last].Response.Malformed = err.Error()
		}
		clear(m.data)
	}
	return out
}

func explainList(d dolData, reveal bool) []tags.Node {
	nodes := []tags.Node{}
	for _, o := range d.objects() {
		n := tags.ExplainValue(o.Tag, o.Value, reveal)
		n.Offset = o.Offset
		nodes = append(nodes, n)
	}
	return nodes
}

// explainData says a whole response, and takes format 1 apart (EMV 4.4 Book 3,
// 6.5).
func explainData(m message, reveal bool) []tags.Node {
	if len(m.data) == 0 || m.challenge() {
		return nil
	}
	nodes, _ := tags.Explain(m.data, reveal) // Explain says what is malformed
	if v, ok, err := tlv.Child(m.data, tags.ResponseFormat1); err == nil && ok && m.ok && len(nodes) == 1 {
		nodes[0].Children = format1(m.command.INS, v, reveal)
	}
	return nodes
}

func format1(ins byte, v []byte, reveal bool) []tags.Node {
	var fields []dataField
	switch ins {
	case apdu.INSGetProcessingOptions:
		fields = []dataField{{tags.AIP, 2}, {tags.AFL, len(v) - 2}}
	case apdu.INSGenerateAC:
		fields = []dataField{{tags.CID, 1}, {tags.ATC, 2}, {tags.ApplicationCryptogram, 8}, {tags.IssuerApplicationData, len(v) - 11}}
	case apdu.INSInternalAuthenticate:
		fields = []dataField{{tags.SignedDynamicData, len(v)}}
	}
	nodes, at := []tags.Node{}, 0
	for _, f := range fields {
		if f.length < 0 || at+f.length > len(v) {
			return nil
		}
		if f.length == 0 {
			continue
		}
		n := tags.ExplainValue(f.tag, v[at:at+f.length], reveal)
		n.Offset = at
		nodes = append(nodes, n)
		at += f.length
	}
	return nodes
}

type dataField struct {
	tag    tlv.Tag
	length int
}

// Render writes nodes as people read them, a line an object.
func Render(nodes []tags.Node, indent string) string {
	var b strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&b, "%s%-6s %s", indent, n.Tag, n.Name)
		if n.Name == "" {
			b.WriteString("(not in the dictionary)")
		}
		if n.Value != "" {
			b.WriteString(": " + n.Value)
		}
		b.WriteByte('\n')
		for _, m := range n.Meaning {
			fmt.Fprintf(&b, "%s         %s\n", indent, m)
		}
		b.WriteString(Render(n.Children, indent+"  "))
	}
	return b.String()
}

// String renders the exchange for people.
func (s Step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d. %s", s.Number, s.Command.Name)
	if len(s.Command.Words) > 0 {
		b.WriteString(", " + strings.Join(s.Command.Words, ", "))
	}
	fmt.Fprintf(&b, "  [%d us]\n  > %s\n%s", s.Micros, s.Command.Hex, Render(s.Command.Data, "    "))
	fmt.Fprintf(&b, "  < %s\n    %s %s\n", s.Response.Hex, s.Response.SW, s.Response.Status)
	if s.Response.Malformed != "" {
		fmt.Fprintf(&b, "    malformed: %s\n", s.Response.Malformed)
	}
	b.WriteString(Render(s.Response.Data, "    "))
	return b.String()
}
