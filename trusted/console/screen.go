package console

import (
	"strings"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

// page is text that is laid out for the screen. The first error of the catalogue
// ends it: a screen with a gap in it is not shown.
type page struct {
	columns  int
	language string
	lines    []string
	err      error
}

// page speaks the language that a prompt asks for, if the catalogue has it, else
// the console's.
func (c *Console) page(language string) *page {
	return &page{columns: c.width(), language: catalogue.Choose([]string{language}, c.language)}
}

// text returns the words of a message.
func (p *page) text(m trusted.Message, params ...string) string {
	n := trusted.Notice{Message: m, Language: p.language, Params: map[string]string{}}
	for i := 0; i+1 < len(params); i += 2 {
		n.Params[params[i]] = params[i+1]
	}
	s, err := catalogue.Text(n)
	p.fail(err)
	return s
}

func (p *page) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *page) amount(a money.Amount) string {
	s, err := catalogue.Amount(a, p.language)
	p.fail(err)
	return s
}

// add adds a text, broken into lines.
func (p *page) add(s string) { p.lines = append(p.lines, catalogue.Wrap(s, p.columns)...) }

// foreign adds text that is not ours, cleaned.
func (p *page) foreign(s string) {
	if s = catalogue.Clean(s); s != "" {
		p.add(s)
	}
}

// String returns the lines, each ended by end.
func (p *page) String(end string) string {
	if len(p.lines) == 0 {
		return ""
	}
	return strings.Join(p.lines, end) + end
}
