package host

import (
	"fmt"
	"time"
)

// Event is something that happened, for people. It holds no secret and no card
// number.
type Event struct {
	// Terminal and Order say whom and what it is about; empty when unknown.
	Terminal, Order string
	// Text says it in words.
	Text string
	// Code is the response code of an answer, else empty.
	Code string
	// Took is how long it took, where that means something.
	Took time.Duration
}

func (s *Server) tell(terminal, order, format string, a ...any) {
	s.c.Observe(Event{Terminal: terminal, Order: order, Text: fmt.Sprintf(format, a...)})
}

// Stage is a moment in the life of a financial message.
type Stage uint8

// The stages at which Intercept is called.
const (
	// StageVerified: the message's MAC is right; nothing was done.
	StageVerified Stage = iota + 1
	// StageAsked: the acquirer above is about to be asked, and its reversal
	// is owed.
	StageAsked
	// StageCommitted: what it did is in the ledger; nothing was answered.
	StageCommitted
)

// Point is where Intercept is called. An error that Intercept returns cuts the
// channel there: before the message counts, or with its answer lost.
type Point struct {
	Stage Stage
	// MTI is the message type of the request.
	MTI             string
	Terminal, Order string
	// Code is the response code that would be answered, at StageCommitted.
	Code string
}
