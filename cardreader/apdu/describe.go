package apdu

import "fmt"

// Name returns the instruction's name, "READ RECORD", or its hex when it is none
// that EMV or ISO/IEC 7816-4 knows.
func (c Command) Name() string {
	switch c.INS {
	case INSApplicationBlock:
		return "APPLICATION BLOCK"
	case INSApplicationUnblock:
		return "APPLICATION UNBLOCK"
	case INSCardBlock:
		return "CARD BLOCK"
	case INSExternalAuthenticate:
		return "EXTERNAL AUTHENTICATE"
	case INSGenerateAC:
		return "GENERATE AC"
	case INSGetChallenge:
		return "GET CHALLENGE"
	case INSGetData:
		return "GET DATA"
	case INSGetProcessingOptions:
		return "GET PROCESSING OPTIONS"
	case INSGetResponse:
		return "GET RESPONSE"
	case INSInternalAuthenticate:
		return "INTERNAL AUTHENTICATE"
	case INSPINChangeUnblock:
		return "PIN CHANGE/UNBLOCK"
	case INSPutData:
		return "PUT DATA"
	case INSReadRecord:
		return "READ RECORD"
	case INSSelect:
		return "SELECT"
	case INSVerify:
		return "VERIFY"
	}
	return c.otherName()
}

// otherName knows instructions of the contactless books and of ISO/IEC 7816-4.
func (c Command) otherName() string {
	switch {
	case c.CLA&0x80 != 0 && c.INS == 0x2A:
		return "COMPUTE CRYPTOGRAPHIC CHECKSUM" // Contactless Book C-2, 5.3
	case c.INS == 0x2A:
		return "PERFORM SECURITY OPERATION"
	case c.CLA&0x80 != 0 && c.INS == 0xEA:
		return "EXCHANGE RELAY RESISTANCE DATA" // Contactless Book C-2, 5.4
	case c.INS == 0xB0:
		return "READ BINARY"
	case c.INS == 0xD6:
		return "UPDATE BINARY"
	case c.INS == 0xDC:
		return "UPDATE RECORD"
	case c.INS == 0xE2:
		return "APPEND RECORD"
	case c.INS == 0x70:
		return "MANAGE CHANNEL"
	}
	return fmt.Sprintf("instruction %02X", c.INS)
}

// SecureMessaging reports whether CLA says that data is protected between issuer
// and card (ISO/IEC 7816-4, 5.1.1; EMV 4.4 Book 2, 9).
func (c Command) SecureMessaging() bool { return c.CLA&0x0C != 0 && c.CLA&0x60 == 0 }

// Describe says what the header asks for, in words, a line a fact. It says
// nothing of the data, which may be a PIN.
func (c Command) Describe() []string {
	out := c.parameters()
	if c.SecureMessaging() {
		out = append(out, "secure messaging")
	}
	if n := c.CLA & 0x03; n != 0 && c.CLA&0x60 == 0 {
		out = append(out, fmt.Sprintf("logical channel %d", n))
	}
	return out
}

func (c Command) parameters() []string {
	switch c.INS {
	case INSSelect:
		return []string{selectBy(c.P1), selectWhich(c.P2)}
	case INSReadRecord:
		if c.P2&0x07 != 0x04 {
			return []string{fmt.Sprintf("file %d, P1 %02X by mode %d", c.P2>>3, c.P1, c.P2&0x07)}
		}
		return []string{fmt.Sprintf("file %d, record %d", c.P2>>3, c.P1)}
	case INSGenerateAC:
		return cryptogram(c.P1)
	case INSVerify:
		switch c.P2 {
		case VerifyPlaintext:
			return []string{"plaintext PIN"}
		case VerifyEnciphered:
			return []string{"enciphered PIN"}
		}
		return []string{fmt.Sprintf("qualifier %02X", c.P2)}
	case INSGetData, INSPutData:
		if c.P1 == 0 {
			return []string{fmt.Sprintf("tag %02X", c.P2)}
		}
		return []string{fmt.Sprintf("tag %02X%02X", c.P1, c.P2)}
	case INSGetResponse:
		return []string{fmt.Sprintf("%d bytes", c.Ne)}
	}
	return []string{}
}

func selectBy(p1 byte) string {
	switch p1 {
	case 0x00:
		return "by file identifier"
	case 0x04:
		return "by name"
	}
	return fmt.Sprintf("by method %02X", p1)
}

func selectWhich(p2 byte) string {
	switch p2 & 0x03 {
	case 0x01:
		return "last occurrence"
	case 0x02:
		return "next occurrence"
	case 0x03:
		return "previous occurrence"
	}
	return "first or only occurrence"
}

func cryptogram(p1 byte) []string {
	out := []string{[4]string{"AAC", "TC", "ARQC", "RFU"}[p1>>6] + " asked for"}
	switch p1 & 0x18 {
	case RefCDA:
		out = append(out, "combined signature asked for")
	case RefXDA:
		out = append(out, "extended signature asked for")
	}
	return out
}
