package issuer

import (
	"bytes"
	"slices"

	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/host/ledger"
)

// replace ends what a new script sets anew of those that the card is still owed.
// An older one that was refused, or whose fate is not known, is sent again, and
// would undo what the card has been told since.
func (i *Issuer) replace(tx ledger.Tx, state *ledger.Card, by *ledger.Script) error {
	open, err := openScripts(tx, by.Card)
	if err != nil {
		return err
	}
	for _, s := range open {
		rest, touched, err := s.without(by)
		switch {
		case err != nil:
			return err
		case !touched:
		case len(rest) == 0:
			if err := i.settle(tx, state, &s.Script, ledger.ScriptReplaced); err != nil {
				return err
			}
		default:
			// What is left is another script than the one that was sent.
			s.Data, s.State, s.Changed = rest, ledger.ScriptOwed, i.c.Now()
			if err := tx.PutScript(s.Script); err != nil {
				return err
			}
		}
	}
	return nil
}

// without returns what a script still has to set beside a later one, and whether
// that takes anything from it.
func (s script) without(by *ledger.Script) (rest []byte, touched bool, err error) {
	switch a, b := Command(s.Command), Command(by.Command); {
	case a == PINChange && b == PINChange,
		a == ApplicationBlock && b == ApplicationUnblock,
		a == ApplicationUnblock && (b == ApplicationBlock || b == CardBlock):
		return nil, true, nil
	case a == UpdateRecord && b == UpdateRecord:
		same := len(s.Data) > 2 && len(by.Data) > 2 && bytes.Equal(s.Data[:2], by.Data[:2]) // file and record
		return nil, same, nil
	case a == PutData && b == PutData:
		var set []tlv.Tag
		for o, err := range tlv.All(by.Data) {
			if err != nil {
				return nil, false, err
			}
			set = append(set, o.Tag)
		}
		for o, err := range tlv.All(s.Data) {
			if err != nil {
				return nil, false, err
			}
			if slices.Contains(set, o.Tag) {
				touched = true
				continue
			}
			rest = tlv.Append(rest, o.Tag, o.Value)
		}
		return rest, touched, nil
	}
	return nil, false, nil
}
