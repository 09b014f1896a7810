package main

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/trace"
)

// text is the report for people.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s card", r.Reader, r.Interface)
	if r.Protocol != "" {
		fmt.Fprintf(&b, ", %s", r.Protocol)
	}
	b.WriteByte('\n')
	if r.Masked {
		b.WriteString("recorded without cardholder data: what depends on it can't be checked\n")
	}
	fmt.Fprintf(&b, "\nanswer to reset %s\n", r.ATR.Hex)
	lines(&b, "  ", r.ATR.Meaning)
	if r.ATR.Error != "" {
		fmt.Fprintf(&b, "  %s\n", r.ATR.Error)
	}
	if d := r.Directory; d != nil {
		fmt.Fprintf(&b, "\ndirectory %s: %s\n%s", d.Name, d.Status, trace.Render(d.FCI, "  "))
		for _, rec := range d.Records {
			rec.text(&b)
		}
	} else {
		b.WriteString("\nno directory was asked for\n")
	}
	for i := range r.Applications {
		r.Applications[i].text(&b, r.Date)
	}
	if r.Error != "" {
		fmt.Fprintf(&b, "\nnot read to the end: %s\n", r.Error)
	}
	return b.String()
}

func lines(b *strings.Builder, indent string, list []string) {
	for _, s := range list {
		fmt.Fprintf(b, "%s%s\n", indent, s)
	}
}

// section writes a title and lines, nothing when there are none.
func section(b *strings.Builder, title string, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n  %s\n", title)
	lines(b, "    ", list)
}

func (r recordRead) text(b *strings.Builder) {
	signed := ""
	if r.Signed {
		signed = ", signed"
	}
	fmt.Fprintf(b, "\n  file %d, record %d%s: %s\n%s", r.SFI, r.Record, signed, r.Status, trace.Render(r.Data, "    "))
	if r.Error != "" {
		fmt.Fprintf(b, "    %s\n", r.Error)
	}
}

func (a *application) text(b *strings.Builder, date string) {
	title := strings.TrimSpace(strings.Join([]string{a.AID, a.Label}, " "))
	fmt.Fprintf(b, "\n%s\napplication %s\n", strings.Repeat("=", 72), title)
	for _, f := range []struct{ name, value string }{
		{"scheme", a.Scheme}, {"status", a.Status}, {"PAN", a.PAN}, {"expires", a.Expiry}, {"PIN tries left", tries(a.PINTries)},
	} {
		if f.value != "" {
			fmt.Fprintf(b, "  %-16s %s\n", f.name, f.value)
		}
	}
	section(b, "problems", a.Problems)
	fmt.Fprintf(b, "\n  file control information\n%s", trace.Render(a.FCI, "    "))
	section(b, "asked for at GET PROCESSING OPTIONS (PDOL)", a.PDOL)
	if len(a.Options) > 0 {
		fmt.Fprintf(b, "\n  processing options\n%s", trace.Render(a.Options, "    "))
	}
	section(b, "files to read (AFL)", a.Files)
	for _, r := range a.Records {
		r.text(b)
	}
	section(b, "cardholder verification, in this order", a.CVM)
	section(b, "asked for at the first GENERATE AC (CDOL1)", a.CDOL1)
	section(b, "asked for at the second GENERATE AC (CDOL2)", a.CDOL2)
	if len(a.Data) > 0 {
		b.WriteString("\n  counters and other data (GET DATA)\n")
		for _, d := range a.Data {
			if d.Value != nil {
				b.WriteString(trace.Render([]tags.Node{*d.Value}, "    "))
				continue
			}
			fmt.Fprintf(b, "    %-6s %s: %s\n", d.Tag, d.Name, d.Status)
		}
	}
	a.authentication(b, date)
}

func (a *application) authentication(b *strings.Builder, date string) {
	supports := "nothing"
	if len(a.ODA.Methods) > 0 {
		supports = strings.Join(a.ODA.Methods, ", ")
	}
	fmt.Fprintf(b, "\n  offline data authentication on %s, the card supports %s\n", date, supports)
	for _, c := range a.ODA.Checks {
		word := "failed  "
		switch {
		case c.Skipped:
			word = "skipped "
		case c.OK:
			word = "verified"
		}
		fmt.Fprintf(b, "    %s  %s: %s\n", word, c.Step, c.Text)
		for _, d := range c.Details {
			fmt.Fprintf(b, "                %s\n", d)
		}
	}
}

func tries(n *int) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}
