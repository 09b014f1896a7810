package contactless

import "github.com/payunit/payunit/cardreader/emv"

// SettingsOf are the settings that a terminal file gives an application.
func SettingsOf(t *emv.Tap) Settings {
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

// SettingsOfProgram are those that it gives a card programme (Book C-3, 5.1).
func SettingsOfProgram(p emv.TapProgram) Settings {
	return Settings{
		StatusCheck: flag(p.StatusCheck), ZeroAmount: flag(p.ZeroAmount),
		TransactionLimit: p.TransactionLimit, FloorLimit: p.FloorLimit, CVMLimit: p.CVMLimit,
	}
}

func flag(b *bool) Flag {
	switch {
	case b == nil:
		return Absent
	case *b:
		return Yes
	}
	return No
}
