package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/atr"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/cardreader/trace"
)

// report is what a card said.
type report struct {
	Reader    string `json:"reader"`
	Interface string `json:"interface"`
	Protocol  string `json:"protocol,omitempty"`
	ATR       answer `json:"atr"`
	// Masked says that the session was recorded without cardholder data.
	Masked       bool          `json:"masked"`
	Directory    *directoryOf  `json:"directory,omitempty"`
	Applications []application `json:"applications"`
	Date         string        `json:"date"`
	// Error says why the report ends early, "" when it does not.
	Error string `json:"error,omitempty"`
}

type answer struct {
	Hex     string   `json:"hex"`
	Meaning []string `json:"meaning"`
	Error   string   `json:"error,omitempty"`
}

// directoryOf is a payment system environment.
type directoryOf struct {
	Name    string       `json:"name"`
	Status  string       `json:"status"`
	FCI     []tags.Node  `json:"fci"`
	Records []recordRead `json:"records"`
}

type recordRead struct {
	SFI    int    `json:"sfi"`
	Record int    `json:"record"`
	Status string `json:"status"`
	// Signed says that offline data authentication covers it.
	Signed bool        `json:"signed"`
	Data   []tags.Node `json:"data"`
	Error  string      `json:"error,omitempty"`
}

// application is one application of a card.
type application struct {
	AID      string `json:"aid"`
	Scheme   string `json:"scheme,omitempty"`
	Label    string `json:"label,omitempty"`
	Status   string `json:"status"`
	PAN      string `json:"pan,omitempty"`
	Expiry   string `json:"expiry,omitempty"`
	PINTries *int   `json:"pin_tries,omitempty"`

	FCI     []tags.Node  `json:"fci"`
	PDOL    []string     `json:"pdol"`
	Options []tags.Node  `json:"options"`
	Files   []string     `json:"files"`
	Records []recordRead `json:"records"`
	CVM     []string     `json:"cvm"`
	CDOL1   []string     `json:"cdol1"`
	CDOL2   []string     `json:"cdol2"`
	Data    []dataRead   `json:"data"`
	// ODA is what the card's certificates and signatures come to.
	ODA      trace.ODAReport `json:"oda"`
	Problems []string        `json:"problems"`

	afl []byte
}

// dataRead is an answer to GET DATA.
type dataRead struct {
	Tag    string     `json:"tag"`
	Name   string     `json:"name,omitempty"`
	Status string     `json:"status"`
	Value  *tags.Node `json:"value,omitempty"`
}

// draft gathers a report from what passed.
type draft struct {
	r      *report
	reveal bool
	only   []byte
	// app is the application that is selected, directory the environment; one
	// of them at most.
	app       *application
	directory *directoryOf
}

// draw draws up the report of a session.
func draw(t *trace.Trace, reader string, o options, keys oda.Keys, on time.Time) *report {
	r := &report{
		Reader: reader, Interface: t.Interface.String(), Protocol: t.Protocol.String(), Masked: t.Masked,
		ATR: reset(t.ATR), Applications: []application{}, Date: on.Format(time.DateOnly),
	}
	d := &draft{r: r, reveal: o.showPAN, only: o.aid}
	for _, x := range whole(t.Exchanges) {
		d.see(x)
	}
	for _, a := range t.CheckODA(keys, on) {
		for i := range r.Applications {
			if r.Applications[i].AID == a.AID {
				r.Applications[i].ODA = a
			}
		}
	}
	return r
}

func reset(b []byte) answer {
	out := answer{Hex: fmt.Sprintf("%X", b), Meaning: []string{}}
	a, err := atr.Parse(b)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Meaning = a.Describe()
	return out
}

// exchange is a command with its whole response.
type exchange struct {
	command  apdu.Command
	response apdu.Response
}

// whole joins what T=0 takes in pieces: GET RESPONSE after 61xx, and the command
// again after 6Cxx (EMV 4.4 Book 1, 9.3.1.2).
func whole(list []trace.Exchange) []exchange {
	var out []exchange
	for _, e := range list {
		c, err := apdu.ParseCommand(e.Command)
		r, rerr := apdu.ParseResponse(e.Response)
		if err != nil || rerr != nil {
			continue
		}
		if n := len(out); n > 0 && goesOn(out[n-1], c) {
			last := &out[n-1]
			last.response.Data = append(bytes.Clone(last.response.Data), r.Data...)
			if sw1 := last.response.SW.SW1(); sw1 != 0x62 && sw1 != 0x63 || !r.SW.OK() {
				last.response.SW = r.SW
			}
			continue
		}
		out = append(out, exchange{c, r})
	}
	return out
}

func goesOn(x exchange, c apdu.Command) bool {
	sw1 := x.response.SW.SW1()
	if c.INS == apdu.INSGetResponse && c.CLA&0xFC == 0 {
		return sw1 == 0x61 || sw1 == 0x6C || sw1 == 0x62 || sw1 == 0x63
	}
	p := x.command
	return sw1 == 0x6C && c.CLA == p.CLA && c.INS == p.INS && c.P1 == p.P1 && c.P2 == p.P2
}

// see takes one exchange in.
func (d *draft) see(x exchange) {
	switch {
	case x.command.INS == apdu.INSSelect && x.command.P1 == 0x04:
		d.selected(x)
	case x.command.INS == apdu.INSGetProcessingOptions && x.command.CLA&0x80 != 0:
		d.options(x)
	case x.command.INS == apdu.INSReadRecord:
		d.record(x)
	case x.command.INS == apdu.INSGetData && x.command.CLA&0x80 != 0:
		d.data(x)
	}
}

func (d *draft) selected(x exchange) {
	d.app, d.directory = nil, nil
	nodes, problem := d.explain(x.response.Data)
	name := x.command.Data
	if df, ok, _ := tlv.Child(x.response.Data, tags.FCITemplate, tags.DFName); ok {
		name = df
	}
	if s := string(name); s == pse || s == ppse {
		d.directory = &directoryOf{Name: s, Status: x.response.SW.String(), FCI: nodes, Records: []recordRead{}}
		d.r.Directory = d.directory
		return
	}
	there := x.response.SW.OK() || x.response.SW.SW1() == 0x62
	if !there || len(name) < 5 || len(d.only) > 0 && !bytes.HasPrefix(name, d.only) {
		return
	}
	aid := fmt.Sprintf("%X", name)
	for i := range d.r.Applications {
		if a := &d.r.Applications[i]; a.AID == aid {
			d.app = a
			a.Status = x.response.SW.String()
			return
		}
	}
	a := application{
		AID: aid, Scheme: tags.Scheme([5]byte(name)), Status: x.response.SW.String(), FCI: nodes,
		PDOL: []string{}, Options: []tags.Node{}, Files: []string{}, Records: []recordRead{}, CVM: []string{},
		CDOL1: []string{}, CDOL2: []string{}, Data: []dataRead{}, Problems: []string{},
		ODA: trace.ODAReport{AID: aid, Methods: []string{}, Checks: []trace.Check{}},
	}
	a.add("SELECT", problem)
	a5, _, _ := tlv.Child(x.response.Data, tags.FCITemplate, tags.FCIProprietaryTemplate)
	if v, ok := tlv.Find(a5, tags.ApplicationLabel); ok {
		a.Label = printable(v)
	}
	if v, ok := tlv.Find(a5, tags.PDOL); ok {
		a.PDOL = a.list("PDOL", v)
	}
	d.r.Applications = append(d.r.Applications, a)
	d.app = &d.r.Applications[len(d.r.Applications)-1]
}

func (d *draft) options(x exchange) {
	a := d.app
	if a == nil {
		return
	}
	if !x.response.SW.OK() {
		a.Problems = append(a.Problems, "GET PROCESSING OPTIONS: "+x.response.SW.String())
		return
	}
	aip, afl := processingOptions(x.response.Data)
	if v, ok, _ := tlv.Child(x.response.Data, tags.ResponseFormat1); ok && len(v) >= 2 {
		a.Options = []tags.Node{tags.ExplainValue(tags.AIP, aip, d.reveal), tags.ExplainValue(tags.AFL, afl, d.reveal)}
	} else {
		var problem string
		a.Options, problem = d.explain(x.response.Data)
		a.add("GET PROCESSING OPTIONS", problem)
		template, _, _ := tlv.Child(x.response.Data, tags.ResponseFormat2)
		a.facts(template, d.reveal)
	}
	a.afl = bytes.Clone(afl)
	a.Files = a.Files[:0]
	for ; len(afl) >= 4; afl = afl[4:] {
		a.Files = append(a.Files, fmt.Sprintf("file %d, records %d to %d, the first %d signed", afl[0]>>3, afl[1], afl[2], afl[3]))
	}
}

func (d *draft) record(x exchange) {
	r := recordRead{SFI: int(x.command.P2 >> 3), Record: int(x.command.P1), Status: x.response.SW.String()}
	r.Data, r.Error = d.explain(x.response.Data)
	if d.directory != nil {
		if x.response.SW.OK() {
			d.directory.Records = append(d.directory.Records, r)
		}
		return
	}
	a := d.app
	if a == nil {
		return
	}
	for _, have := range a.Records {
		if have.SFI == r.SFI && have.Record == r.Record {
			return
		}
	}
	for l := a.afl; len(l) >= 4; l = l[4:] {
		if int(l[0]>>3) == r.SFI && r.Record >= int(l[1]) && r.Record < int(l[1])+int(l[3]) {
			r.Signed = true
		}
	}
	a.Records = append(a.Records, r)
	template, ok, _ := tlv.Child(x.response.Data, tags.RecordTemplate)
	if ok {
		a.facts(template, d.reveal)
	}
}

func (d *draft) data(x exchange) {
	if d.app == nil {
		return
	}
	t := tlv.Tag(uint32(x.command.P1)<<8 | uint32(x.command.P2))
	if x.command.P1 == 0 {
		t = tlv.Tag(x.command.P2)
	}
	r := dataRead{Tag: t.String(), Name: tags.Name(t), Status: x.response.SW.String()}
	if v, ok := tlv.Find(x.response.Data, t); ok && x.response.SW.OK() {
		n := tags.ExplainValue(t, v, d.reveal)
		r.Value = &n
		if t == tags.PINTryCounter && len(v) == 1 {
			tries := int(v[0])
			d.app.PINTries = &tries
		}
	}
	d.app.Data = append(d.app.Data, r)
}

// explain is a response as a tree, and why it is none.
func (d *draft) explain(b []byte) ([]tags.Node, string) {
	nodes, err := tags.Explain(b, d.reveal)
	if nodes == nil {
		nodes = []tags.Node{}
	}
	if err != nil {
		return nodes, err.Error()
	}
	return nodes, ""
}

// facts are what the head of an application's report says.
func (a *application) facts(template []byte, reveal bool) {
	for o, err := range tlv.All(template) {
		if err != nil {
			return
		}
		switch o.Tag {
		case tags.PAN:
			if p, err := secret.PANFromCN(o.Value); err == nil {
				a.pan(p, reveal)
			} else {
				a.Problems = append(a.Problems, "PAN: "+err.Error())
			}
		case tags.Track2:
			t, err := secret.Track2FromTag(o.Value)
			if err != nil {
				a.Problems = append(a.Problems, "track 2: "+err.Error())
				continue
			}
			if p, err := t.PAN(); err == nil && a.PAN == "" {
				a.pan(p, reveal)
			}
			if e := t.Expiry(); a.Expiry == "" && len(e) == 4 {
				a.Expiry = "20" + e[:2] + "-" + e[2:]
			}
			t.Wipe()
		case tags.ExpirationDate:
			if len(o.Value) == 3 {
				a.Expiry = fmt.Sprintf("20%02X-%02X-%02X", o.Value[0], o.Value[1], o.Value[2])
			}
		case tags.CVMList:
			a.CVM = tags.Describe(o.Tag, o.Value)
		case tags.CDOL1:
			a.CDOL1 = a.list("CDOL1", o.Value)
		case tags.CDOL2:
			a.CDOL2 = a.list("CDOL2", o.Value)
		}
	}
}

func (a *application) pan(p secret.PAN, reveal bool) {
	defer p.Wipe()
	a.PAN = p.Masked()
	if reveal {
		a.PAN = string(p.Reveal())
	}
}

func (a *application) list(name string, v []byte) []string {
	d, err := tlv.ParseDOL(v)
	if err != nil {
		a.add(name, err.Error())
		return []string{}
	}
	return tags.DescribeDOL(d)
}

func (a *application) add(what, problem string) {
	if problem != "" {
		a.Problems = append(a.Problems, what+": "+problem)
	}
}

// printable is a label with what is no printable ASCII taken out.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b))
}
