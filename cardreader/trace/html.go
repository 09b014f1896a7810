package trace

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/atr"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

//go:embed page.html
var pageText string

// page is parsed once; a test writes it.
var page = sync.OnceValues(func() (*template.Template, error) {
	return template.New("page").Funcs(template.FuncMap{"total": total}).Parse(pageText)
})

// shownSession is a session as the page has it.
type shownSession struct {
	Name, Interface, Protocol, ATR string
	Reset                          []string
	Masked                         bool
	Skipped                        int
	Steps                          []Step
	Story                          []Decision
	Nodes                          []tags.Node
}

// WriteHTML writes explained sessions as one page that needs nothing from
// elsewhere: folded, searchable, and printed whole. Without reveal cardholder
// data is masked; PIN data is never in it. Errors are those of w.
func WriteHTML(w io.Writer, list []Session, reveal bool) error {
	p, err := page()
	if err != nil {
		return fmt.Errorf("trace: page: %w", err)
	}
	var out []shownSession
	for _, s := range list {
		x := shownSession{
			Name: s.Name, Interface: s.Interface.String(), Protocol: s.Protocol.String(), ATR: upper(s.ATR), Masked: s.Masked || !reveal,
			Skipped: s.Skipped, Steps: s.Explain(reveal), Story: s.Story(),
		}
		if a, err := atr.Parse(s.ATR); err == nil {
			x.Reset = a.Describe()
		}
		out = append(out, x)
	}
	if err := p.Execute(w, out); err != nil {
		return fmt.Errorf("trace: writing: %w", err)
	}
	return nil
}

// total is how long the card took for all of it.
func total(steps []Step) string {
	var us int64
	for _, s := range steps {
		us += s.Micros
	}
	return (time.Duration(us) * time.Microsecond).String()
}
