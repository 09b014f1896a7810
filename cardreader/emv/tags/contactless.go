package tags

// ttqWords are the bits of the Terminal Transaction Qualifiers (EMV Contactless
// Book A, 5.7).
func ttqWords() []bitWord {
	return []bitWord{
		{0, 0x80, "Mag-stripe mode supported"},
		{0, 0x20, "EMV mode supported"},
		{0, 0x10, "EMV contact chip supported"},
		{0, 0x08, "Offline-only reader"},
		{0, 0x04, "Online PIN supported"},
		{0, 0x02, "Signature supported"},
		{0, 0x01, "Offline data authentication for online authorisations supported"},
		{1, 0x80, "Online cryptogram required"},
		{1, 0x40, "CVM required"},
		{1, 0x20, "Offline PIN supported, contact chip"},
		{2, 0x80, "Issuer update processing supported"},
		{2, 0x40, "Consumer device CVM supported"},
	}
}

// ctqWords are the bits of the Card Transaction Qualifiers (EMV Contactless Book
// C-3, A.2).
func ctqWords() []bitWord {
	return []bitWord{
		{0, 0x80, "Online PIN required"},
		{0, 0x40, "Signature required"},
		{0, 0x20, "Go online if offline data authentication fails and the reader is online capable"},
		{0, 0x10, "Switch interface if offline data authentication fails and the reader supports contact chip"},
		{0, 0x08, "Go online if the application has expired"},
		{0, 0x04, "Switch interface for cash transactions"},
		{0, 0x02, "Switch interface for cashback transactions"},
		{1, 0x80, "Consumer device CVM performed"},
		{1, 0x40, "Card supports issuer update processing at the point of sale"},
	}
}
