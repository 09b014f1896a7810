package main

import (
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

func (r *request) trace() (*trace.Trace, error) {
	f, err := r.file()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return trace.Parse(f)
}

func explainTrace(r *request) (answer, error) {
	t, err := r.trace()
	if err != nil {
		return answer{}, err
	}
	out := struct {
		Interface string       `json:"interface"`
		Protocol  string       `json:"protocol"`
		ATR       string       `json:"atr"`
		Masked    bool         `json:"masked"`
		Terminal  []tags.Node  `json:"terminal"`
		Exchanges []trace.Step `json:"exchanges"`
	}{t.Interface.String(), t.Protocol.String(), upper(t.ATR), t.Masked, []tags.Node{}, t.Explain(r.showPAN)}
	for _, tag := range slices.Sorted(maps.Keys(t.Terminal)) {
		out.Terminal = append(out.Terminal, tags.ExplainValue(tag, t.Terminal[tag], r.showPAN))
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s card, %s\n", out.Interface, out.Protocol)
	if a, err := atr.Parse(t.ATR); err == nil {
		text.WriteString("answer to reset\n  " + strings.Join(a.Describe(), "\n  ") + "\n")
	}
	if len(out.Terminal) > 0 {
		text.WriteString("what the terminal gave\n" + trace.Render(out.Terminal, "  "))
	}
	for _, s := range out.Exchanges {
		text.WriteString("\n" + s.String())
	}
	return answer{object: out, text: text.String()}, nil
}

func explainODA(r *request) (answer, error) {
	if r.capk == "" {
		return answer{}, usagef("-capk FILE is missing")
	}
	t, err := r.trace()
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
	on, ok := t.Date()
	if !ok {
		on = r.now()
	}
	if r.date != "" {
		if on, err = time.Parse(time.DateOnly, r.date); err != nil {
			return answer{}, usagef("-date: write it as 2026-11-24")
		}
	}
	return report(t.CheckODA(keys, on), on), nil
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
