package c2_test

import "github.com/payunit/payunit/cardreader/emv/oda"

// noKeys is a terminal without certification authority keys.
type noKeys struct{}

func (noKeys) CAKey(oda.RID, byte) (oda.CAKey, bool) { return oda.CAKey{}, false }
func (noKeys) Revoked(oda.RID, byte, [3]byte) bool   { return false }
