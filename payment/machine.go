package payment

import (
	"fmt"
	"slices"
	"strings"

	"github.com/payunit/payunit/payment/journal"
)

// State is where a payment stands.
type State string

// The states, in the order in which a sale passes through them.
const (
	StateAsking      State = "asking"
	StateConfirming  State = "confirming"
	StateReading     State = "reading"
	StatePreparing   State = "preparing"
	StateStoring     State = "storing"
	StateRequesting  State = "requesting"
	StateInquiring   State = "inquiring"
	StateAgreeing    State = "agreeing"
	StateCompleting  State = "completing"
	StateRecording   State = "recording"
	StateAdvising    State = "advising"
	StateRefusing    State = "refusing"
	StateWithdrawing State = "withdrawing"
	StateReversing   State = "reversing"
	StateWriting     State = "writing"
	StateFollowing   State = "following"

	StateApproved  State = "approved"
	StateDeclined  State = "declined"
	StateCancelled State = "cancelled"
	StateUnknown   State = "unknown"
	StateFailed    State = "failed"
)

// Trigger is what moves a payment from a state to another: an event of the
// machine.
type Trigger string

// The triggers.
const (
	TriggerTrade        Trigger = "trade"
	TriggerKnown        Trigger = "known"
	TriggerAgreed       Trigger = "agreed"
	TriggerNoCard       Trigger = "no card needed"
	TriggerCancelled    Trigger = "cancelled"
	TriggerOnline       Trigger = "ARQC"
	TriggerCardDeclined Trigger = "AAC"
	TriggerCardApproved Trigger = "TC"
	TriggerWritten      Trigger = "written"
	TriggerReady        Trigger = "nothing to write"
	TriggerHostApproved Trigger = "host approves"
	TriggerHostDeclined Trigger = "host declines"
	TriggerPartial      Trigger = "host approves a part"
	TriggerSilence      Trigger = "no answer"
	TriggerDone         Trigger = "done"
	TriggerAcknowledged Trigger = "acknowledged"
	TriggerUnsettled    Trigger = "not acknowledged"
	TriggerFailed       Trigger = "failed"
	TriggerRestart      Trigger = "restart"
)

// StateInfo says what a state is.
type StateInfo struct {
	State State
	// Text is what the unit does in it, or, of a final one, how it ended.
	Text string
	// Final: the payment's run ends in it. Only TriggerRestart leaves it,
	// where something is owed.
	Final bool
}

// Transition is an edge of the machine.
type Transition struct {
	From State
	On   Trigger
	To   State
	// Owing, on a TriggerRestart, is what the journal held when the unit came
	// up again: a debt, Kept when there was the order's result and no debt, or
	// "" for nothing. On other edges it is empty.
	Owing journal.State
}

// Kept stands for the result of an order in the journal, beside the debts that
// package journal names.
const Kept journal.State = "result"

// Diagram is the state machine of a payment as data.
type Diagram struct {
	States      []StateInfo
	Triggers    []Trigger
	Transitions []Transition
}

// Machine returns the state machine that every payment runs by.
func Machine() Diagram {
	return Diagram{States: slices.Clone(states), Triggers: slices.Clone(triggers), Transitions: slices.Clone(transitions)}
}

var states = []StateInfo{
	{State: StateAsking, Text: "settles earlier debts and asks the server what the order stands for"},
	{State: StateConfirming, Text: "shows the trade and waits for the cardholder's word"},
	{State: StateReading, Text: "reads the card, up to its first GENERATE AC"},
	{State: StatePreparing, Text: "seals the request, brings the channel up, writes the reversal to the journal"},
	{State: StateStoring, Text: "writes what the card approved without its bank to the journal: from here on the payment stands"},
	{State: StateRequesting, Text: "sends the request and waits for its answer"},
	{State: StateInquiring, Text: "sends a question that no money hangs on, and puts the answer to the card"},
	{State: StateAgreeing, Text: "shows the part of the amount that the bank approved, and waits for the cardholder's word"},
	{State: StateCompleting, Text: "puts the approval to the card: second GENERATE AC"},
	{State: StateRecording, Text: "writes the completion in the reversal's place: from here on the payment stands"},
	{State: StateAdvising, Text: "sends the completion"},
	{State: StateRefusing, Text: "puts the refusal to the card and strikes the reversal out"},
	{State: StateWithdrawing, Text: "tells the card that there is no approval"},
	{State: StateReversing, Text: "sends the reversal"},
	{State: StateWriting, Text: "writes a void, a completion or an increment of an earlier payment to the journal"},
	{State: StateFollowing, Text: "sends it"},
	{State: StateApproved, Final: true, Text: "paid"},
	{State: StateDeclined, Final: true, Text: "not paid, and nothing is charged"},
	{State: StateCancelled, Final: true, Text: "the cardholder said no before anything was requested"},
	{State: StateUnknown, Final: true, Text: "the server may have booked it; what settles that is in the journal"},
	{State: StateFailed, Final: true, Text: "a step could not be carried out before anything was requested"},
}

var triggers = []Trigger{
	TriggerTrade, TriggerKnown, TriggerAgreed, TriggerNoCard, TriggerCancelled, TriggerOnline, TriggerCardDeclined, TriggerCardApproved,
	TriggerWritten, TriggerReady, TriggerHostApproved, TriggerHostDeclined, TriggerPartial, TriggerSilence, TriggerDone, TriggerAcknowledged,
	TriggerUnsettled, TriggerFailed, TriggerRestart,
}

var transitions = []Transition{
	{From: StateAsking, On: TriggerTrade, To: StateConfirming},
	{From: StateAsking, On: TriggerKnown, To: StateApproved},
	{From: StateAsking, On: TriggerFailed, To: StateFailed},
	{From: StateConfirming, On: TriggerAgreed, To: StateReading},
	{From: StateConfirming, On: TriggerNoCard, To: StateWriting},
	{From: StateConfirming, On: TriggerCancelled, To: StateCancelled},
	{From: StateConfirming, On: TriggerFailed, To: StateFailed},
	{From: StateReading, On: TriggerOnline, To: StatePreparing},
	{From: StateReading, On: TriggerCardDeclined, To: StateDeclined},
	{From: StateReading, On: TriggerCardApproved, To: StateStoring},
	{From: StateReading, On: TriggerCancelled, To: StateCancelled},
	{From: StateReading, On: TriggerFailed, To: StateFailed},
	{From: StatePreparing, On: TriggerWritten, To: StateRequesting},
	{From: StatePreparing, On: TriggerReady, To: StateInquiring},
	{From: StatePreparing, On: TriggerCardApproved, To: StateStoring},
	{From: StatePreparing, On: TriggerFailed, To: StateFailed},
	{From: StateStoring, On: TriggerWritten, To: StateAdvising},
	{From: StateStoring, On: TriggerFailed, To: StateFailed},
	{From: StateInquiring, On: TriggerHostApproved, To: StateApproved},
	{From: StateInquiring, On: TriggerHostDeclined, To: StateDeclined},
	{From: StateInquiring, On: TriggerCardDeclined, To: StateDeclined},
	{From: StateInquiring, On: TriggerFailed, To: StateFailed},
	{From: StateRequesting, On: TriggerHostApproved, To: StateCompleting},
	{From: StateRequesting, On: TriggerHostDeclined, To: StateRefusing},
	{From: StateRequesting, On: TriggerPartial, To: StateAgreeing},
	{From: StateAgreeing, On: TriggerAgreed, To: StateCompleting},
	{From: StateAgreeing, On: TriggerCancelled, To: StateWithdrawing},
	{From: StateRequesting, On: TriggerSilence, To: StateWithdrawing},
	{From: StateCompleting, On: TriggerCardApproved, To: StateRecording},
	{From: StateCompleting, On: TriggerCardDeclined, To: StateReversing},
	{From: StateCompleting, On: TriggerFailed, To: StateReversing},
	{From: StateRecording, On: TriggerWritten, To: StateAdvising},
	{From: StateRecording, On: TriggerFailed, To: StateReversing},
	{From: StateAdvising, On: TriggerAcknowledged, To: StateApproved},
	{From: StateAdvising, On: TriggerUnsettled, To: StateApproved},
	{From: StateAdvising, On: TriggerHostDeclined, To: StateDeclined},
	{From: StateRefusing, On: TriggerDone, To: StateDeclined},
	{From: StateWithdrawing, On: TriggerDone, To: StateReversing},
	{From: StateReversing, On: TriggerAcknowledged, To: StateDeclined},
	{From: StateReversing, On: TriggerUnsettled, To: StateUnknown},
	{From: StateWriting, On: TriggerWritten, To: StateFollowing},
	{From: StateWriting, On: TriggerFailed, To: StateFailed},
	{From: StateFollowing, On: TriggerAcknowledged, To: StateApproved},
	{From: StateFollowing, On: TriggerHostDeclined, To: StateDeclined},
	{From: StateFollowing, On: TriggerUnsettled, To: StateUnknown},

	// Where the unit died, and what its journal held, say where Recover goes
	// on. A write that was under way may have taken effect, or not.
	{From: StateAsking, On: TriggerRestart, To: StateFailed},
	{From: StateConfirming, On: TriggerRestart, To: StateFailed},
	{From: StateReading, On: TriggerRestart, To: StateFailed},
	{From: StatePreparing, On: TriggerRestart, To: StateFailed},
	{From: StatePreparing, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateInquiring, On: TriggerRestart, To: StateFailed},
	{From: StateInquiring, On: TriggerRestart, Owing: Kept, To: StateApproved},
	{From: StateStoring, On: TriggerRestart, To: StateFailed},
	{From: StateStoring, On: TriggerRestart, Owing: journal.Advice, To: StateAdvising},
	{From: StateRequesting, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateAgreeing, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateCompleting, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateRecording, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateRecording, On: TriggerRestart, Owing: journal.Completion, To: StateAdvising},
	{From: StateAdvising, On: TriggerRestart, Owing: journal.Completion, To: StateAdvising},
	{From: StateAdvising, On: TriggerRestart, Owing: journal.Advice, To: StateAdvising},
	{From: StateAdvising, On: TriggerRestart, Owing: Kept, To: StateApproved},
	{From: StateAdvising, On: TriggerRestart, To: StateDeclined},
	{From: StateRefusing, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateRefusing, On: TriggerRestart, To: StateDeclined},
	{From: StateWithdrawing, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateReversing, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateReversing, On: TriggerRestart, To: StateDeclined},
	{From: StateWriting, On: TriggerRestart, To: StateFailed},
	{From: StateWriting, On: TriggerRestart, Owing: journal.Void, To: StateFollowing},
	{From: StateWriting, On: TriggerRestart, Owing: journal.Capture, To: StateFollowing},
	{From: StateWriting, On: TriggerRestart, Owing: journal.Increment, To: StateFollowing},
	{From: StateFollowing, On: TriggerRestart, Owing: journal.Void, To: StateFollowing},
	{From: StateFollowing, On: TriggerRestart, Owing: journal.Capture, To: StateFollowing},
	{From: StateFollowing, On: TriggerRestart, Owing: journal.Increment, To: StateFollowing},
	{From: StateFollowing, On: TriggerRestart, Owing: Kept, To: StateApproved},
	{From: StateFollowing, On: TriggerRestart, To: StateDeclined},
	{From: StateApproved, On: TriggerRestart, Owing: Kept, To: StateApproved},
	{From: StateApproved, On: TriggerRestart, To: StateApproved},
	{From: StateApproved, On: TriggerRestart, Owing: journal.Completion, To: StateAdvising},
	{From: StateApproved, On: TriggerRestart, Owing: journal.Advice, To: StateAdvising},
	{From: StateDeclined, On: TriggerRestart, To: StateDeclined},
	{From: StateDeclined, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateCancelled, On: TriggerRestart, To: StateCancelled},
	{From: StateUnknown, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateUnknown, On: TriggerRestart, Owing: journal.Void, To: StateFollowing},
	{From: StateUnknown, On: TriggerRestart, Owing: journal.Capture, To: StateFollowing},
	{From: StateUnknown, On: TriggerRestart, Owing: journal.Increment, To: StateFollowing},
	{From: StateFailed, On: TriggerRestart, To: StateFailed},
	{From: StateFailed, On: TriggerRestart, Owing: journal.Reversal, To: StateReversing},
	{From: StateFailed, On: TriggerRestart, Owing: journal.Advice, To: StateAdvising},
	{From: StateFailed, On: TriggerRestart, Owing: journal.Void, To: StateFollowing},
	{From: StateFailed, On: TriggerRestart, Owing: journal.Capture, To: StateFollowing},
	{From: StateFailed, On: TriggerRestart, Owing: journal.Increment, To: StateFollowing},
}

// TransitionError: a state has no such trigger.
type TransitionError struct {
	From  State
	On    Trigger
	Owing journal.State
}

// Error names state and trigger.
func (e *TransitionError) Error() string {
	s := fmt.Sprintf("payment: %q can't happen to a payment that is %s", string(e.On), e.From)
	if e.Owing != "" {
		s += ", owing a " + string(e.Owing)
	}
	return s
}

// Next returns the state that follows; owing counts on a TriggerRestart alone.
// Errors are *TransitionError: the payment stays where it is.
func (d Diagram) Next(s State, on Trigger, owing journal.State) (State, error) {
	if on != TriggerRestart {
		owing = ""
	}
	for _, t := range d.Transitions {
		if t.From == s && t.On == on && t.Owing == owing {
			return t.To, nil
		}
	}
	return s, &TransitionError{From: s, On: on, Owing: owing}
}

// Final reports whether a payment's run ends in s.
func (s State) Final() bool {
	for _, i := range states {
		if i.State == s {
			return i.Final
		}
	}
	return false
}

// Mermaid draws the machine as a state diagram for Mermaid, restarts left out:
// what the journal holds tells those.
func (d Diagram) Mermaid() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n  [*] --> " + string(d.States[0].State) + "\n")
	for _, t := range d.Transitions {
		if t.On != TriggerRestart {
			fmt.Fprintf(&b, "  %s --> %s: %s\n", t.From, t.To, t.On)
		}
	}
	for _, s := range d.States {
		if s.Final {
			fmt.Fprintf(&b, "  %s --> [*]\n", s.State)
		}
	}
	return b.String()
}
