package trace

import (
	"slices"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// dolData is the data of a command as a list of the card asked for it.
type dolData struct {
	list tlv.DOL
	data []byte
}

// objects splits the data, or returns nothing when it is not as long as the list
// says.
func (d dolData) objects() []tlv.Object {
	if d.list.Len() != len(d.data) {
		return nil
	}
	var out []tlv.Object
	at := 0
	for _, e := range d.list {
		out = append(out, tlv.Object{Tag: e.Tag, Value: d.data[at : at+e.Len], Offset: at})
		at += e.Len
	}
	return out
}

// session follows a trace as a terminal does and keeps what it learns of the
// card. A SELECT of an application begins anew.
type session struct {
	aid  []byte
	data map[tlv.Tag][]byte // of the card, the first of each tag
	// records are in the order in which they were read.
	records []fileRecord
	pdol    dolData
	afl     []byte
	aip     []byte
	cdol    [2]dolData
	gac     []message // the GENERATE AC messages
	auth    []message // the INTERNAL AUTHENTICATE messages
}

// fileRecord is a response to READ RECORD.
type fileRecord struct {
	sfi, number byte
	data        []byte
}

func newSession() *session { return &session{data: map[tlv.Tag][]byte{}} }

// see takes the next message and returns the list by which its data is made, nil
// when there is none.
func (s *session) see(m message) tlv.DOL {
	if !m.ok {
		return nil
	}
	switch m.command.INS {
	case apdu.INSSelect:
		if m.sw.OK() {
			*s = *newSession()
			s.aid, _ = tlv.Find(m.data, tags.DFName)
			s.learn(m.data, 0)
		}
	case apdu.INSGetProcessingOptions:
		return s.options(m)
	case apdu.INSReadRecord:
		if m.sw.OK() {
			s.records = append(s.records, fileRecord{m.command.P2 >> 3, m.command.P1, m.data})
			s.learn(m.data, 0)
		}
	case apdu.INSGetData:
		if m.sw.OK() {
			s.learn(m.data, 0)
		}
	case apdu.INSInternalAuthenticate:
		s.auth = append(s.auth, m)
		d, err := tlv.ParseDOL(s.data[tags.DDOL])
		if err != nil || len(d) == 0 {
			d = tlv.DOL{{Tag: tags.UnpredictableNumber, Len: 4}}
		}
		if d.Len() == len(m.command.Data) {
			return d
		}
	case apdu.INSGenerateAC:
		return s.generate(m)
	}
	return nil
}

// learn keeps the data objects in a response, the first of each tag.
func (s *session) learn(b []byte, depth int) {
	for o, err := range tlv.All(b) {
		if err != nil {
			return
		}
		if o.Tag.Constructed() {
			if depth < 16 {
				s.learn(o.Value, depth+1)
			}
			continue
		}
		if _, ok := s.data[o.Tag]; !ok {
			s.data[o.Tag] = o.Value
		}
	}
}

func (s *session) options(m message) tlv.DOL {
	d, err := tlv.ParseDOL(s.data[tags.PDOL])
	data, ok, terr := tlv.Child(m.command.Data, tags.CommandTemplate)
	if err == nil && terr == nil && ok && d.Len() == len(data) {
		s.pdol = dolData{d, data}
	} else {
		d = nil
	}
	if !m.sw.OK() {
		return d
	}
	if v, ok, _ := tlv.Child(m.data, tags.ResponseFormat1); ok && len(v) >= 2 {
		s.aip, s.afl = v[:2], v[2:]
		return d
	}
	s.learn(m.data, 0)
	s.aip, s.afl = s.data[tags.AIP], s.data[tags.AFL]
	return d
}

func (s *session) generate(m message) tlv.DOL {
	n := min(len(s.gac), 1)
	s.gac = append(s.gac, m)
	list := s.data[[2]tlv.Tag{tags.CDOL1, tags.CDOL2}[n]]
	d, err := tlv.ParseDOL(list)
	if err != nil || d.Len() != len(m.command.Data) {
		return nil
	}
	s.cdol[n] = dolData{d, m.command.Data}
	return d
}

// terminalData finds in the commands what the terminal gave the card: the values
// of a transaction that a replay needs to make the same commands. What the
// terminal works out from the card's answers is left out.
func (t *Trace) terminalData() map[tlv.Tag][]byte {
	out := map[tlv.Tag][]byte{}
	s := newSession()
	all := t.messages()
	for _, m := range all {
		// The session points into the messages until the end.
		defer clear(m.data)
		list := s.see(m)
		data := m.command.Data
		if m.command.INS == apdu.INSGetProcessingOptions {
			data = s.pdol.data
		}
		for _, o := range (dolData{list, data}).objects() {
			info, ok := tags.Lookup(o.Tag)
			if !ok || info.Source != tags.FromTerminal || info.Secrecy != tags.Public || workedOut(o.Tag) {
				continue
			}
			if _, ok := out[o.Tag]; !ok && len(o.Value) >= info.Min {
				out[o.Tag] = slices.Clone(o.Value)
			}
		}
	}
	return out
}

func workedOut(t tlv.Tag) bool {
	return slices.Contains([]tlv.Tag{tags.TVR, tags.TSI, tags.CVMResults, tags.TCHashValue}, t)
}
