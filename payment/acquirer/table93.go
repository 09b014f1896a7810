package acquirer

// ASCII93 is the table of iso93-ascii: ISO 8583:1993 in ASCII, hexadecimal
// bitmap, bytes as they are. It differs from 1987 in the first digit of the
// message type, in 12 (date and time in one), 22 (twelve positions), 24, 25
// (message reason code), 39 (action code), 53, 54 and 56 (original data
// elements). Three elements have this project's own form:
//
//	52  b ..16, LL     PIN block: 8 bytes, or the 16 of ISO 9564-1 format 4
//	62  ans ..64, LLL  the caller's order id
//	63  b ..255, LLL   BER-TLV: C1 KSN of the MAC's key, C4 condition code, C5 CVV2
//
// 24, the function code, says what follows from the transaction (Transaction.Function),
// and stands for field 70 of 1987 in network management.
func ASCII93() Table {
	return Table{
		Name: "iso93-ascii", Text: "ISO 8583:1993, ASCII, hexadecimal bitmap, bytes as they are", Version: 1,
		Digits: ASCII, Lengths: ASCII, Bytes: Raw, Bitmap: Hex, Elements: payunit93(),
	}
}

// StandardHex93 is the table of iso93-hex: ISO 8583:1993 as it stands, in printable
// characters, bytes in hexadecimal but for 55. It carries no order id and no KSN of
// a MAC's key.
func StandardHex93() Table {
	return Table{
		Name: "iso93-hex", Text: "ISO 8583:1993 as published, all printable, bytes in hexadecimal", Version: 1,
		Digits: ASCII, Lengths: ASCII, Bytes: Hex, Bitmap: Hex,
		Elements: replace(standard93(), Element{55, "ICC system related data", B, 3, 255, Raw, MemberICC}),
	}
}

// StandardBinary93 is the table of iso93-binary: ISO 8583:1993 as it stands, in BCD
// with zeros as fill, binary bitmaps.
func StandardBinary93() Table {
	return Table{
		Name: "iso93-binary", Text: "ISO 8583:1993 as published, BCD, binary bitmap", Version: 1,
		Digits: BCD, Lengths: BCD, Bytes: Raw, Bitmap: Raw, Odd: RightZero, Elements: standard93(),
	}
}

// standard93 is the element list of ISO 8583:1993.
func standard93() []Element {
	return replace(payunit93(),
		Element{52, "PIN data", B, 0, 8, Inherit, MemberPINBlock},
		Element{62, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		Element{63, "reserved, private", ANS, 3, 999, Inherit, NoMember},
	)
}

// payunit93 is the element list of this project's own 1993 dialect; ASCII93 says
// what it changes in the standard.
func payunit93() []Element {
	return []Element{
		{2, "primary account number", N, 2, 19, Inherit, MemberPAN},
		{3, "processing code", N, 0, 6, Inherit, MemberProcessingCode},
		{4, "amount, transaction", N, 0, 12, Inherit, MemberAmount},
		{5, "amount, reconciliation", N, 0, 12, Inherit, NoMember},
		{6, "amount, cardholder billing", N, 0, 12, Inherit, NoMember},
		{7, "date and time, transmission", N, 0, 10, Inherit, MemberTransmissionTime},
		{8, "amount, cardholder billing fee", N, 0, 8, Inherit, NoMember},
		{9, "conversion rate, reconciliation", N, 0, 8, Inherit, NoMember},
		{10, "conversion rate, cardholder billing", N, 0, 8, Inherit, NoMember},
		{11, "systems trace audit number", N, 0, 6, Inherit, MemberSTAN},
		{12, "date and time, local transaction", N, 0, 12, Inherit, MemberLocalDateTime},
		{13, "date, effective", N, 0, 4, Inherit, NoMember},
		{14, "date, expiration", N, 0, 4, Inherit, MemberExpiry},
		{15, "date, settlement", N, 0, 6, Inherit, NoMember},
		{16, "date, conversion", N, 0, 4, Inherit, NoMember},
		{17, "date, capture", N, 0, 4, Inherit, NoMember},
		{18, "merchant type", N, 0, 4, Inherit, MemberMerchantType},
		{19, "country code, acquiring institution", N, 0, 3, Inherit, NoMember},
		{20, "country code, PAN", N, 0, 3, Inherit, NoMember},
		{21, "country code, forwarding institution", N, 0, 3, Inherit, NoMember},
		{22, "point of service data code", AN, 0, 12, Inherit, MemberPointOfService},
		{23, "card sequence number", N, 0, 3, Inherit, MemberPSN},
		{24, "function code", N, 0, 3, Inherit, MemberFunctionCode},
		{25, "message reason code", N, 0, 4, Inherit, MemberReason},
		{26, "card acceptor business code", N, 0, 4, Inherit, NoMember},
		{27, "approval code length", N, 0, 1, Inherit, NoMember},
		{28, "date, reconciliation", N, 0, 6, Inherit, NoMember},
		{29, "reconciliation indicator", N, 0, 3, Inherit, NoMember},
		{30, "amounts, original", N, 0, 24, Inherit, NoMember},
		{31, "acquirer reference data", ANS, 2, 99, Inherit, NoMember},
		{32, "acquiring institution id", N, 2, 11, Inherit, MemberAcquirerID},
		{33, "forwarding institution id", N, 2, 11, Inherit, NoMember},
		{34, "primary account number, extended", ANS, 2, 28, Inherit, NoMember},
		{35, "track 2 data", Z, 2, 37, Inherit, MemberTrack2},
		{36, "track 3 data", ANS, 3, 104, Inherit, NoMember},
		{37, "retrieval reference number", AN, 0, 12, Inherit, MemberRRN},
		{38, "approval code", AN, 0, 6, Inherit, MemberAuthCode},
		{39, "action code", N, 0, 3, Inherit, MemberActionCode},
		{40, "service code", N, 0, 3, Inherit, NoMember},
		{41, "card acceptor terminal id", ANS, 0, 8, Inherit, MemberTerminalID},
		{42, "card acceptor id", ANS, 0, 15, Inherit, MemberMerchantID},
		{43, "card acceptor name and location", ANS, 2, 99, Inherit, MemberMerchantName},
		{44, "additional response data", ANS, 2, 99, Inherit, NoMember},
		{45, "track 1 data", ANS, 2, 76, Inherit, NoMember},
		{46, "amounts, fees", ANS, 3, 204, Inherit, NoMember},
		{47, "additional data, national", ANS, 3, 999, Inherit, NoMember},
		{48, "additional data, private", ANS, 3, 999, Inherit, NoMember},
		{49, "currency code, transaction", N, 0, 3, Inherit, MemberCurrency},
		{50, "currency code, reconciliation", N, 0, 3, Inherit, MemberSettlementCurrency},
		{51, "currency code, cardholder billing", N, 0, 3, Inherit, NoMember},
		{52, "PIN data", B, 2, 16, Inherit, MemberPINBlock},
		{53, "security related control information", B, 2, 48, Inherit, MemberPINSecurity},
		{54, "amounts, additional", ANS, 3, 120, Inherit, MemberOther},
		{55, "ICC system related data", B, 3, 255, Inherit, MemberICC},
		{56, "original data elements", N, 2, 35, Inherit, MemberOriginalElements},
		{57, "authorization life cycle code", N, 0, 3, Inherit, NoMember},
		{58, "authorizing agent institution id", N, 2, 11, Inherit, NoMember},
		{59, "transport data", ANS, 3, 999, Inherit, NoMember},
		{60, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{61, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{62, "order id", ANS, 3, 64, Inherit, MemberOrder},
		{63, "key and reason data", B, 3, 255, Inherit, MemberPrivate},
		{64, "message authentication code", B, 0, 8, Inherit, MemberMAC},
		{66, "amounts, original fees", ANS, 3, 204, Inherit, NoMember},
		{67, "extended payment data", N, 0, 2, Inherit, NoMember},
		{68, "country code, receiving institution", N, 0, 3, Inherit, NoMember},
		{69, "country code, settlement institution", N, 0, 3, Inherit, NoMember},
		{70, "country code, authorizing agent institution", N, 0, 3, Inherit, NoMember},
		{71, "message number", N, 0, 8, Inherit, NoMember},
		{72, "data record", ANS, 3, 999, Inherit, NoMember},
		{73, "date, action", N, 0, 6, Inherit, NoMember},
		{74, "credits, number", N, 0, 10, Inherit, MemberCreditsNumber},
		{75, "credits, reversal number", N, 0, 10, Inherit, MemberCreditReversalsNumber},
		{76, "debits, number", N, 0, 10, Inherit, MemberDebitsNumber},
		{77, "debits, reversal number", N, 0, 10, Inherit, MemberDebitReversalsNumber},
		{78, "transfer, number", N, 0, 10, Inherit, NoMember},
		{79, "transfer, reversal number", N, 0, 10, Inherit, NoMember},
		{80, "inquiries, number", N, 0, 10, Inherit, NoMember},
		{81, "authorizations, number", N, 0, 10, Inherit, NoMember},
		{82, "inquiries, reversal number", N, 0, 10, Inherit, NoMember},
		{83, "payments, number", N, 0, 10, Inherit, NoMember},
		{84, "payments, reversal number", N, 0, 10, Inherit, NoMember},
		{85, "fee collections, number", N, 0, 10, Inherit, NoMember},
		{86, "credits, amount", N, 0, 16, Inherit, MemberCreditsAmount},
		{87, "credits, reversal amount", N, 0, 16, Inherit, MemberCreditReversalsAmount},
		{88, "debits, amount", N, 0, 16, Inherit, MemberDebitsAmount},
		{89, "debits, reversal amount", N, 0, 16, Inherit, MemberDebitReversalsAmount},
		{90, "authorizations, reversal number", N, 0, 10, Inherit, NoMember},
		{91, "country code, transaction destination institution", N, 0, 3, Inherit, NoMember},
		{92, "country code, transaction originator institution", N, 0, 3, Inherit, NoMember},
		{93, "transaction destination institution id", N, 2, 11, Inherit, NoMember},
		{94, "transaction originator institution id", N, 2, 11, Inherit, NoMember},
		{95, "card issuer reference data", ANS, 2, 99, Inherit, NoMember},
		{96, "key management data", B, 3, 999, Inherit, NoMember},
		{97, "amount, net reconciliation", XN, 0, 17, Inherit, MemberNetSettlement},
		{98, "payee", ANS, 0, 25, Inherit, NoMember},
		{99, "settlement institution id", N, 2, 11, Inherit, NoMember},
		{100, "receiving institution id", N, 2, 11, Inherit, NoMember},
		{101, "file name", ANS, 2, 17, Inherit, NoMember},
		{102, "account identification 1", ANS, 2, 28, Inherit, NoMember},
		{103, "account identification 2", ANS, 2, 28, Inherit, NoMember},
		{104, "transaction description", ANS, 3, 100, Inherit, NoMember},
		{105, "credits, chargeback amount", N, 0, 16, Inherit, NoMember},
		{106, "debits, chargeback amount", N, 0, 16, Inherit, NoMember},
		{107, "credits, chargeback number", N, 0, 10, Inherit, NoMember},
		{108, "debits, chargeback number", N, 0, 10, Inherit, NoMember},
		{109, "credits, fee amounts", ANS, 2, 84, Inherit, NoMember},
		{110, "debits, fee amounts", ANS, 2, 84, Inherit, NoMember},
		{111, "reserved, ISO", ANS, 3, 999, Inherit, NoMember},
		{112, "reserved, ISO", ANS, 3, 999, Inherit, NoMember},
		{113, "reserved, ISO", ANS, 3, 999, Inherit, NoMember},
		{114, "reserved, ISO", ANS, 3, 999, Inherit, NoMember},
		{115, "reserved, ISO", ANS, 3, 999, Inherit, NoMember},
		{116, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{117, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{118, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{119, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{120, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{121, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{122, "reserved, national", ANS, 3, 999, Inherit, NoMember},
		{123, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{124, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{125, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{126, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{127, "reserved, private", ANS, 3, 999, Inherit, NoMember},
		{128, "message authentication code", B, 0, 8, Inherit, MemberMAC},
	}
}
