package payment

import "time"

// Phase is the part of a payment that an event belongs to.
type Phase string

// The phases, in the order in which a payment passes through them.
const (
	PhaseRecover  Phase = "recover"
	PhaseConnect  Phase = "connect"
	PhaseTrade    Phase = "trade"
	PhaseConfirm  Phase = "confirm"
	PhaseInsert   Phase = "insert"
	PhaseCard     Phase = "card"
	PhaseOnline   Phase = "online"
	PhaseComplete Phase = "complete"
	PhaseReverse  Phase = "reverse"
	PhaseResult   Phase = "result"
	PhaseSettle   Phase = "settle"
)

// Event is something that happened, for the app to show or log. It holds no
// secret, and no number that a card or a server did not mean for print.
type Event struct {
	Phase Phase
	// Step names the step within the phase in the field's words, "select",
	// "GENERATE AC"; it may be empty.
	Step string
	// Text says what was asked of whom and what came back.
	Text string
	// State is set on the event that tells that the payment entered it (Step is
	// "state"), and on the final one.
	State State
	// On is what led to State, empty for the first.
	On Trigger
	// Took is how long the step took; zero where nothing was waited for.
	Took time.Duration
	// Final marks the one event that ends a payment.
	Final bool
	// Outcome is set on the final event; empty when an error ended the
	// payment.
	Outcome Outcome
}

// phaseOf is the phase that a state's own event belongs to.
func phaseOf(s State) Phase {
	switch s {
	case StateAsking:
		return PhaseTrade
	case StateConfirming, StateAgreeing:
		return PhaseConfirm
	case StateReading:
		return PhaseCard
	case StatePreparing, StateStoring, StateRequesting, StateInquiring, StateWriting, StateFollowing:
		return PhaseOnline
	case StateReversing:
		return PhaseReverse
	}
	return PhaseComplete
}
