package acquirer

// standard87 is the data element list of ISO 8583:1987, without members for the
// private fields and with 36, the track 3 that nobody fills as the standard
// has it, as ans.
func standard87() []Element {
	return []Element{
		{2, "primary account number", N, 2, 19, Inherit, MemberPAN},
		{3, "processing code", N, 0, 6, Inherit, MemberProcessingCode},
		{4, "amount, transaction", N, 0, 12, Inherit, MemberAmount},
		{5, "amount, settlement", N, 0, 12, Inherit, NoMember},
		{6, "amount, cardholder billing", N, 0, 12, Inherit, NoMember},
		{7, "transmission date and time", N, 0, 10, Inherit, MemberTransmissionTime},
		{8, "amount, cardholder billing fee", N, 0, 8, Inherit, NoMember},
		{9, "conversion rate, settlement", N, 0, 8, Inherit, NoMember},
		{10, "conversion rate, cardholder billing", N, 0, 8, Inherit, NoMember},
		{11, "systems trace audit number", N, 0, 6, Inherit, MemberSTAN},
		{12, "time, local transaction", N, 0, 6, Inherit, MemberLocalTime},
		{13, "date, local transaction", N, 0, 4, Inherit, MemberLocalDate},
		{14, "date, expiration", N, 0, 4, Inherit, MemberExpiry},
		{15, "date, settlement", N, 0, 4, Inherit, MemberSettlementDate},
		{16, "date, conversion", N, 0, 4, Inherit, NoMember},
		{17, "date, capture", N, 0, 4, Inherit, NoMember},
		{18, "merchant type", N, 0, 4, Inherit, MemberMerchantType},
		{19, "country code, acquiring institution", N, 0, 3, Inherit, NoMember},
		{20, "country code, PAN extended", N, 0, 3, Inherit, NoMember},
		{21, "country code, forwarding institution", N, 0, 3, Inherit, NoMember},
		{22, "POS entry mode", N, 0, 3, Inherit, MemberEntryMode},
		{23, "card sequence number", N, 0, 3, Inherit, MemberPSN},
		{24, "network international identifier", N, 0, 3, Inherit, MemberNetworkID},
		{25, "POS condition code", N, 0, 2, Inherit, MemberConditionCode},
		{26, "POS PIN capture code", N, 0, 2, Inherit, NoMember},
		{27, "authorization id response length", N, 0, 1, Inherit, NoMember},
		{28, "amount, transaction fee", XN, 0, 9, Inherit, NoMember},
		{29, "amount, settlement fee", XN, 0, 9, Inherit, NoMember},
		{30, "amount, transaction processing fee", XN, 0, 9, Inherit, NoMember},
		{31, "amount, settlement processing fee", XN, 0, 9, Inherit, NoMember},
		{32, "acquiring institution id", N, 2, 11, Inherit, MemberAcquirerID},
		{33, "forwarding institution id", N, 2, 11, Inherit, NoMember},
		{34, "primary account number, extended", ANS, 2, 28, Inherit, NoMember},
		{35, "track 2 data", Z, 2, 37, Inherit, MemberTrack2},
		{36, "track 3 data", ANS, 3, 104, Inherit, NoMember},
		{37, "retrieval reference number", AN, 0, 12, Inherit, MemberRRN},
		{38, "authorization id response", AN, 0, 6, Inherit, MemberAuthCode},
		{39, "response code", AN, 0, 2, Inherit, MemberResponseCode},
		{40, "service restriction code", AN, 0, 3, Inherit, NoMember},
		{41, "card acceptor terminal id", ANS, 0, 8, Inherit, MemberTerminalID},
		{42, "card acceptor id", ANS, 0, 15, Inherit, MemberMerchantID},
		{43, "card acceptor name and location", ANS, 0, 40, Inherit, MemberMerchantName},
		{44, "additional response data", ANS, 2, 25, Inherit, NoMember},
		{45, "track 1 data", ANS, 2, 76, Inherit, NoMember},
		{46, "additional data, ISO", ANS, 3, 999, Inherit, NoMember},
		{47, "additional data, national", ANS, 3, 999, Inherit, NoMember},
		{48, "additional data, private", ANS, 3, 999, Inherit, NoMember},
		{49, "currency code, transaction", N, 0, 3, Inherit, MemberCurrency},
		{50, "currency code, settlement", N, 0, 3, Inherit, MemberSettlementCurrency},
		{51, "currency code, cardholder billing", N, 0, 3, Inherit, NoMember},
		{52, "PIN data", B, 0, 8, Inherit, MemberPINBlock},
		{53, "security related control information", N, 0, 16, Inherit, NoMember},
		{54, "additional amounts", ANS, 3, 120, Inherit, MemberOther},
		{55, "ICC data", B, 3, 999, Inherit, MemberICC},
		{56, "reserved, ISO", ANS, 3, 999, Inherit, NoMember},
		{57, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{58, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{59, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{60, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{61, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{62, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{63, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{64, "message authentication code", B, 0, 8, Inherit, MemberMAC},
		{66, "settlement code", N, 0, 1, Inherit, NoMember},
		{67, "extended payment code", N, 0, 2, Inherit, NoMember},
		{68, "country code, receiving institution", N, 0, 3, Inherit, NoMember},
		{69, "country code, settlement institution", N, 0, 3, Inherit, NoMember},
		{70, "network management information code", N, 0, 3, Inherit, MemberNetworkCode},
		{71, "message number", N, 0, 4, Inherit, NoMember},
		{72, "message number, last", N, 0, 4, Inherit, NoMember},
		{73, "date, action", N, 0, 6, Inherit, NoMember},
		{74, "credits, number", N, 0, 10, Inherit, MemberCreditsNumber},
		{75, "credits, reversal number", N, 0, 10, Inherit, MemberCreditReversalsNumber},
		{76, "debits, number", N, 0, 10, Inherit, MemberDebitsNumber},
		{77, "debits, reversal number", N, 0, 10, Inherit, MemberDebitReversalsNumber},
		{78, "transfers, number", N, 0, 10, Inherit, NoMember},
		{79, "transfers, reversal number", N, 0, 10, Inherit, NoMember},
		{80, "inquiries, number", N, 0, 10, Inherit, NoMember},
		{81, "authorizations, number", N, 0, 10, Inherit, NoMember},
		{82, "credits, processing fee amount", N, 0, 12, Inherit, NoMember},
		{83, "credits, transaction fee amount", N, 0, 12, Inherit, NoMember},
		{84, "debits, processing fee amount", N, 0, 12, Inherit, NoMember},
		{85, "debits, transaction fee amount", N, 0, 12, Inherit, NoMember},
		{86, "credits, amount", N, 0, 16, Inherit, MemberCreditsAmount},
		{87, "credits, reversal amount", N, 0, 16, Inherit, MemberCreditReversalsAmount},
		{88, "debits, amount", N, 0, 16, Inherit, MemberDebitsAmount},
		{89, "debits, reversal amount", N, 0, 16, Inherit, MemberDebitReversalsAmount},
		{90, "original data elements", N, 0, 42, Inherit, MemberOriginal},
		{91, "file update code", AN, 0, 1, Inherit, NoMember},
		{92, "file security code", AN, 0, 2, Inherit, NoMember},
		{93, "response indicator", AN, 0, 5, Inherit, NoMember},
		{94, "service indicator", AN, 0, 7, Inherit, NoMember},
		{95, "replacement amounts", ANS, 0, 42, Inherit, MemberReplacement},
		{96, "message security code", B, 0, 8, Inherit, NoMember},
		{97, "amount, net settlement", XN, 0, 17, Inherit, MemberNetSettlement},
		{98, "payee", ANS, 0, 25, Inherit, NoMember},
		{99, "settlement institution id", N, 2, 11, Inherit, NoMember},
		{100, "receiving institution id", N, 2, 11, Inherit, NoMember},
		{101, "file name", ANS, 2, 17, Inherit, NoMember},
		{102, "account identification 1", ANS, 2, 28, Inherit, NoMember},
		{103, "account identification 2", ANS, 2, 28, Inherit, NoMember},
		{104, "transaction description", ANS, 3, 100, Inherit, NoMember},
		{128, "message authentication code", B, 0, 8, Inherit, MemberMAC},
	}
}

// replace puts elements in the place of those with the same number.
func replace(list []Element, with ...Element) []Element {
	for _, e := range with {
		found := false
		for i := range list {
			if list[i].Number == e.Number {
				list[i], found = e, true
			}
		}
		if !found {
			list = append(list, e)
		}
	}
	return list
}

// published87 is standard87 with the elements that the standard reserves, of which
// other hosts make use.
func published87() []Element {
	list := standard87()
	for n := 105; n <= 127; n++ {
		name := "reserved, ISO"
		switch {
		case n >= 120:
			name = "reserved, private"
		case n >= 112:
			name = "reserved, national"
		}
		list = replace(list, Element{n, name, ANS, 3, 999, Inherit, NoMember})
	}
	return list
}

// payunit87 is the element list of this project's own 1987 dialects; ASCII87 says
// what it changes in the standard.
func payunit87() []Element {
	return replace(standard87(),
		Element{52, "PIN data", B, 2, 16, Inherit, MemberPINBlock},
		Element{53, "security related control information", B, 2, 48, Inherit, MemberPINSecurity},
		Element{62, "order id", ANS, 3, 64, Inherit, MemberOrder},
		Element{63, "key and reason data", B, 3, 255, Inherit, MemberPrivate},
	)
}

// ASCII87 is the table of the default dialect, iso87-ascii: ISO 8583:1987 with
// digits and lengths in ASCII, the bitmaps in hexadecimal, and bytes as they
// are. Four elements have this project's own form:
//
//	52  b ..16, LL     PIN block: 8 bytes, or the 16 of ISO 9564-1 format 4,
//	                   for which the standard has no room
//	53  b ..48, LL     as in 1993: one byte PIN block format, then the KSN
//	                   of 10 or 12 bytes, if any
//	62  ans ..64, LLL  the caller's order id
//	63  b ..255, LLL   BER-TLV: C1 KSN of the MAC's key, C3 message reason code,
//	                   C5 the CVV2 of a card entered by hand
func ASCII87() Table {
	return Table{
		Name: "iso87-ascii", Text: "ISO 8583:1987, ASCII, hexadecimal bitmap, bytes as they are",
		Digits: ASCII, Lengths: ASCII, Bytes: Raw, Bitmap: Hex, Elements: payunit87(),
	}
}

// BCD87 is the table of iso87-bcd: the same fields, with digits and lengths in
// BCD and the bitmaps in binary. Odd digits of variable fields are filled with F
// on the right. It usually travels behind a TPDU (package link).
func BCD87() Table {
	return Table{
		Name: "iso87-bcd", Text: "ISO 8583:1987, BCD, binary bitmap",
		Digits: BCD, Lengths: BCD, Bytes: Raw, Bitmap: Raw, Odd: RightF, Elements: payunit87(),
	}
}

// StandardHex87 is the table of iso87-hex: ISO 8583:1987 as it stands, in
// printable characters, bytes in hexadecimal but for 55, which 1987 had not
// given to chips yet and which hosts fill with text or bytes as they are. The
// private fields are kept as extra fields, so it carries no order id and no KSN.
func StandardHex87() Table {
	return Table{
		Name: "iso87-hex", Text: "ISO 8583:1987 as published, all printable, bytes in hexadecimal",
		Digits: ASCII, Lengths: ASCII, Bytes: Hex, Bitmap: Hex,
		Elements: replace(published87(), Element{55, "ICC data", B, 3, 999, Raw, MemberICC}),
	}
}

// StandardBinary87 is the table of iso87-binary: ISO 8583:1987 as it stands, in
// BCD with zeros as fill, binary bitmaps. Currency codes, which the standard
// lets be letters, are in ASCII.
func StandardBinary87() Table {
	return Table{
		Name: "iso87-binary", Text: "ISO 8583:1987 as published, BCD, binary bitmap",
		Digits: BCD, Lengths: BCD, Bytes: Raw, Bitmap: Raw, Odd: RightZero,
		Elements: replace(published87(),
			Element{49, "currency code, transaction", N, 0, 3, ASCII, MemberCurrency},
			Element{50, "currency code, settlement", N, 0, 3, ASCII, MemberSettlementCurrency},
			Element{51, "currency code, cardholder billing", N, 0, 3, ASCII, NoMember}),
	}
}

// BothBitmaps87 is the table of iso87-2bitmaps: ISO 8583:1987 in ASCII with both
// bitmaps always there, as some hosts have it; bytes as they are, tracks with D.
func BothBitmaps87() Table {
	return Table{
		Name: "iso87-2bitmaps", Text: "ISO 8583:1987, ASCII, both bitmaps always there, bytes as they are",
		Digits: ASCII, Lengths: ASCII, Bytes: Raw, Bitmap: Hex, BothBitmaps: true, TrackSeparator: 'D', Elements: published87(),
	}
}
