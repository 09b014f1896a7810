package contactless

import (
	"slices"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// Indicators are the entry point pre-processing indicators of a combination
// (Book A, table 5-3).
type Indicators struct {
	StatusCheckRequested bool
	NotAllowed           bool
	ZeroAmount           bool
	CVMRequired          bool
	FloorLimitExceeded   bool
	// TTQ is the copy of the terminal transaction qualifiers, nil where the
	// combination has none.
	TTQ *tags.TTQValue
}

// Preprocess evaluates a combination's settings for a transaction (Book B, 3.1.1,
// requirements 3.1.1.1 to 3.1.1.12). Kernels with limits of their own per card
// programme evaluate those with it again (Book C-3, 5.1).
func Preprocess(s Settings, t emv.Transaction) Indicators {
	var i Indicators
	amount := uint64(max(t.Amount.Minor, 0))
	if s.TTQ != nil {
		ttq := *s.TTQ
		ttq.Clear(tags.TTQOnlineCryptogramRequired)
		ttq.Clear(tags.TTQCVMRequired)
		i.TTQ = &ttq
	}
	i.StatusCheckRequested = s.StatusCheck == Yes && amount == unit(t)
	if amount == 0 {
		if s.ZeroAmount == No {
			i.NotAllowed = true
		} else {
			i.ZeroAmount = true
		}
	}
	if s.TransactionLimit != nil && amount >= *s.TransactionLimit {
		i.NotAllowed = true
	}
	floor := s.FloorLimit
	if floor == nil {
		floor = s.TerminalFloorLimit
	}
	i.FloorLimitExceeded = floor != nil && amount > *floor
	i.CVMRequired = s.CVMLimit != nil && amount >= *s.CVMLimit
	if i.TTQ == nil {
		return i
	}
	// A wish of the merchant's is beside the book's reasons.
	if i.FloorLimitExceeded || i.StatusCheckRequested || t.ForceOnline {
		i.TTQ.Set(tags.TTQOnlineCryptogramRequired)
	}
	if i.ZeroAmount {
		if i.TTQ.Has(tags.TTQOfflineOnly) {
			i.NotAllowed = true
		} else {
			i.TTQ.Set(tags.TTQOnlineCryptogramRequired)
		}
	}
	if i.CVMRequired {
		i.TTQ.Set(tags.TTQCVMRequired)
	}
	return i
}

// unit is one unit of the transaction's currency in minor units.
func unit(t emv.Transaction) uint64 {
	n := uint64(1)
	for range t.Amount.Currency.Exponent() {
		n *= 10
	}
	return n
}

// combination is a Combination during a transaction.
type combination struct {
	*Combination
	indicators Indicators
}

// combinations are those that the transaction's type has, with indicators reset
// (3.2.1.1, for a reader that starts at B and skips pre-processing).
func (e *Entry) combinations() []*combination {
	var out []*combination
	for i := range e.r.c.Combinations {
		c := &e.r.c.Combinations[i]
		if len(c.Types) > 0 && !slices.Contains(c.Types, e.t.Type) {
			continue
		}
		x := &combination{Combination: c}
		if c.Settings.TTQ != nil {
			ttq := *c.Settings.TTQ
			x.indicators.TTQ = &ttq
		}
		out = append(out, x)
	}
	return out
}

// preprocess is Start A. It reports the outcome when no combination is allowed
// (3.1.1.13).
func (e *Entry) preprocess() (Outcome, bool) {
	e.list = e.combinations()
	allowed := 0
	for _, c := range e.list {
		c.indicators = Preprocess(c.Settings, e.t)
		if !c.indicators.NotAllowed {
			allowed++
		}
	}
	if allowed > 0 {
		return Outcome{}, true
	}
	return Outcome{
		Kind:    TryAnotherInterface,
		UI:      &UIRequest{Message: MessageInsertOrSwipe, Status: StatusProcessingError},
		Reasons: []string{"no contactless application is allowed for this amount and type"},
	}, false
}
