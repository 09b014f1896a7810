package main

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/examples/internal/bank"
)

// fault is something that can be made to go wrong.
type fault struct {
	name, text string
	// bank faults happen in the in-process bank, card faults in the software
	// card.
	bank bool
	card string
}

const (
	faultLostAnswer   = bank.FaultLostAnswer
	faultLostRequest  = bank.FaultLostRequest
	faultAnswerOnce   = bank.FaultAnswerOnce
	faultLinkStays    = "lost-answer-link-down"
	faultLinkDown     = "link-down"
	faultRemoveFirst  = "remove-first"
	faultRemoveSecond = "remove-second"
	cardPrefix        = "card:"
)

func faults() []fault {
	return []fault{
		{faultLostAnswer, "the bank books the sale, and its answer is lost, to the unit's second question too", true, ""},
		{faultLostRequest, "the request is lost on its way to the bank, and so is its repeat", true, ""},
		{faultAnswerOnce, "the bank books the sale, and its answer is lost once: the unit asks again", true, ""},
		{faultLinkStays, "the bank books the sale, its answer is lost, and the link stays down", true, ""},
		{faultLinkDown, "the bank can't be reached", false, ""},
		{faultRemoveFirst, "the card is removed before the first GENERATE AC", false, "remove@first-gac"},
		{faultRemoveSecond, "the card is removed before the second GENERATE AC", false, "remove@second-gac"},
	}
}

func findFault(name string) (fault, error) {
	for _, f := range faults() {
		if f.name == name {
			return f, nil
		}
	}
	if script, ok := strings.CutPrefix(name, cardPrefix); ok {
		if _, err := simcard.ParseFaults(script); err != nil {
			return fault{}, err
		}
		return fault{name: name, card: script}, nil
	}
	if name == "" {
		return fault{}, nil
	}
	return fault{}, fmt.Errorf("no fault %q", name)
}
