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
	s := Settings{
		StatusCheck: flag(t.StatusCheck), ZeroAmount: flag(t.ZeroAmount), ExtendedSelection: flag(t.ExtendedSelection), TTQ: t.TTQ,
	}
	if t.Kernel != 2 {
		// Kernel 2 judges limits itself: a device has one of its own (Book C-2,
		// S3R1).
		s.TransactionLimit, s.FloorLimit, s.CVMLimit = t.TransactionLimit, t.FloorLimit, t.CVMLimit
	}
	return s
}
