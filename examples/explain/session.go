package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/atr"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/trace"
)

// sessions are those of the file, or the one that -session names.
func (r *request) sessions() ([]trace.Session, error) {
	f, done, err := r.file()
	if err != nil {
		return nil, err
	}
	defer done()
	list, _, err := trace.ParseAny(f)
	if err != nil || r.session == "" {
		return list, err
	}
	var names []string
	for _, s := range list {
		if s.Name == r.session {
			return []trace.Session{s}, nil
		}
		names = append(names, fmt.Sprintf("%q", s.Name))
	}
	return nil, usagef("-session: there is no %q; there are %s", r.session, strings.Join(names, ", "))
}

// explained is a session for machines.
type explained struct {
	Name      string       `json:"name,omitempty"`
	Interface string       `json:"interface"`
	Protocol  string       `json:"protocol"`
	ATR       string       `json:"atr"`
	Masked    bool         `json:"masked"`
	Skipped   int          `json:"skipped,omitempty"`
	Terminal  []tags.Node  `json:"terminal"`
	Exchanges []trace.Step `json:"exchanges"`
	// Story is what the terminal and the card decided, in words.
	Story []trace.Decision `json:"story"`
}

func explainTrace(r *request) (answer, error) {
	list, err := r.sessions()
	if err != nil {
		return answer{}, err
	}
	if err := r.writePage(list); err != nil {
		return answer{}, err
	}
	var text strings.Builder
	out := []explained{}
	for _, s := range list {
		x := explainSession(s, r.showPAN)
		x.text(&text, s.ATR)
		out = append(out, x)
	}
	if len(out) == 1 {
		return answer{object: out[0], text: text.String()}, nil
	}
	return answer{object: map[string]any{"sessions": out}, text: text.String()}, nil
}

// writePage writes the file of -html.
func (r *request) writePage(list []trace.Session) (err error) {
	if r.html == "" {
		return nil
	}
	f, err := os.OpenFile(r.html, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("-html: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return trace.WriteHTML(f, list, r.showPAN)
}

func explainSession(s trace.Session, reveal bool) explained {
	x := explained{
		Name: s.Name, Interface: s.Interface.String(), Protocol: s.Protocol.String(), ATR: upper(s.ATR), Masked: s.Masked, Skipped: s.Skipped,
		Terminal: []tags.Node{}, Exchanges: s.Explain(reveal), Story: s.Story(),
	}
	for _, tag := range slices.Sorted(maps.Keys(s.Terminal)) {
		x.Terminal = append(x.Terminal, tags.ExplainValue(tag, s.Terminal[tag], reveal))
	}
	return x
}

func (x explained) text(b *strings.Builder, reset []byte) {
	if x.Name != "" {
		fmt.Fprintf(b, "== %s\n", x.Name)
	}
	fmt.Fprintf(b, "%s card, %s\n", x.Interface, x.Protocol)
	if a, err := atr.Parse(reset); err == nil {
		b.WriteString("answer to reset\n  " + strings.Join(a.Describe(), "\n  ") + "\n")
	}
	if len(x.Terminal) > 0 {
		b.WriteString("what the terminal gave\n" + trace.Render(x.Terminal, "  "))
	}
	for _, s := range x.Exchanges {
		b.WriteString("\n" + s.String())
	}
	if x.Skipped > 0 {
		fmt.Fprintf(b, "\nleft out because they are no exchange of APDUs: %d\n", x.Skipped)
	}
	if len(x.Story) > 0 {
		b.WriteString("\nwhat was decided\n")
		for _, d := range x.Story {
			b.WriteString(d.String())
		}
	}
	b.WriteByte('\n')
}

func explainODA(r *request) (answer, error) {
	if r.capk == "" {
		return answer{}, usagef("-capk FILE is missing")
	}
	list, err := r.sessions()
	if err != nil {
		return answer{}, err
	}
	f, err := os.Open(r.capk)
	if err != nil {
		return answer{}, err
	}
	defer f.Close()
	keys, err := oda.ParseCAPK(f)
	if err != nil {
		return answer{}, err
	}
	given := time.Time{}
	if r.date != "" {
		if given, err = time.Parse(time.DateOnly, r.date); err != nil {
			return answer{}, usagef("-date: write it as 2026-11-24")
		}
	}
	var reports []trace.ODAReport
	on := given
	for _, s := range list {
		if given.IsZero() {
			var ok bool
			if on, ok = s.Date(); !ok {
				on = r.now()
			}
		}
		reports = append(reports, s.CheckODA(keys, on)...)
	}
	return report(reports, on), nil
}

func report(reports []trace.ODAReport, on time.Time) answer {
	out := struct {
		Date         string            `json:"date"`
		Verified     bool              `json:"verified"`
		Applications []trace.ODAReport `json:"applications"`
	}{Date: on.Format(time.DateOnly), Applications: []trace.ODAReport{}}
	checked, failed := 0, 0
	var text strings.Builder
	for _, a := range reports {
		if len(a.Checks) == 0 {
			continue // a directory
		}
		out.Applications = append(out.Applications, a)
		checked++
		if !a.Verified() {
			failed++
		}
		fmt.Fprintf(&text, "application %s, card supports %s\n", a.AID, strings.Join(a.Methods, ", "))
		for _, c := range a.Checks {
			word := "failed  "
			switch {
			case c.Skipped:
				word = "skipped "
			case c.OK:
				word = "verified"
			}
			fmt.Fprintf(&text, "  %s  %s: %s\n", word, c.Step, c.Text)
			for _, d := range c.Details {
				fmt.Fprintf(&text, "              %s\n", d)
			}
		}
	}
	out.Verified = checked > 0 && failed == 0
	a := answer{object: out, text: text.String()}
	switch {
	case checked == 0:
		a.err = fmt.Errorf("the session holds no application data to check")
	case failed > 0:
		a.err = fmt.Errorf("not everything verified on %s", out.Date)
	}
	return a
}
