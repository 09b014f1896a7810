package sqlledger

import "github.com/payunit/payunit/payment/host/ledger"

// EachTerminal walks over the terminals.
func (t *tx) EachTerminal(fn func(ledger.Terminal) error) error {
	return t.each("reading terminals", "SELECT "+terminalColumns+" FROM terminals ORDER BY id", nil, func(scan func(...any) error) error {
		v, err := scanTerminal(scan)
		if err != nil {
			return err
		}
		return fn(v)
	})
}
