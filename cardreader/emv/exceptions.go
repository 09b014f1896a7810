package emv

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
)

// Exceptions is an ExceptionFile of a terminal's own. Printed, it tells how many
// cards it has and none of them. The zero value has none.
type Exceptions struct {
	cards []exception
	_     [0]func()
}

var _ ExceptionFile = Exceptions{}

type exception struct {
	pan secret.PAN
	// psn is two digits, empty for every card of the number.
	psn string
}

// Listed implements ExceptionFile.
func (x Exceptions) Listed(pan secret.PAN, psn string) bool {
	for _, c := range x.cards {
		if c.pan.Equal(pan) && (c.psn == "" || c.psn == psn) {
			return true
		}
	}
	return false
}

// Len returns how many there are.
func (x Exceptions) Len() int { return len(x.cards) }

// String tells how many there are.
func (x Exceptions) String() string { return fmt.Sprintf("%d cards", x.Len()) }

// Format implements fmt.Formatter with the same.
func (x Exceptions) Format(f fmt.State, _ rune) { fmt.Fprint(f, x.String()) }

// parseExceptions reads the member exceptions of a terminal file. What is wrong is
// named by its place: it may be a card number but for a digit.
func parseExceptions(list []string) (Exceptions, error) {
	var x Exceptions
	for i, s := range list {
		number, psn, has := strings.Cut(s, "/")
		pan, err := secret.NewPAN([]byte(number))
		if err != nil {
			return Exceptions{}, fmt.Errorf("exception %d is no card number", i+1)
		}
		if has && (len(psn) != 2 || strings.Trim(psn, "0123456789") != "") {
			return Exceptions{}, fmt.Errorf("exception %d: the sequence number is not two digits", i+1)
		}
		x.cards = append(x.cards, exception{pan, psn})
	}
	return x, nil
}

// file is the member that parseExceptions reads.
func (x Exceptions) file() []string {
	var out []string
	for _, c := range x.cards {
		s := string(c.pan.Reveal())
		if c.psn != "" {
			s += "/" + c.psn
		}
		out = append(out, s)
	}
	return out
}
