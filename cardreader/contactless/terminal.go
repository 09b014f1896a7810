package contactless

import "github.com/payunit/payunit/cardreader/emv"

// SettingsOf are the settings that a terminal file gives an application.
func SettingsOf(t *emv.Tap) Settings {
	flag := func(b *bool) Flag {
		switch {
		case b == nil:
			return Absent
		case *b:
			return Yes
		}
		return No
	}
	return Settings{
		StatusCheck: flag(t.StatusCheck), ZeroAmount: flag(t.ZeroAmount), ExtendedSelection: flag(t.ExtendedSelection),
		TransactionLimit: t.TransactionLimit, FloorLimit: t.FloorLimit, CVMLimit: t.CVMLimit, TTQ: t.TTQ,
	}
}
