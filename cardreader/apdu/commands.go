package apdu

// Instructions of EMV 4.4 Book 3, table 6-1, and Book 1, 11.
const (
	INSApplicationBlock     = 0x1E
	INSApplicationUnblock   = 0x18
	INSCardBlock            = 0x16
	INSExternalAuthenticate = 0x82
	INSGenerateAC           = 0xAE
	INSGetChallenge         = 0x84
	INSGetData              = 0xCA
	INSGetProcessingOptions = 0xA8
	INSGetResponse          = 0xC0
	INSInternalAuthenticate = 0x88
	INSPINChangeUnblock     = 0x24
	INSPutData              = 0xDA
	INSReadRecord           = 0xB2
	INSSelect               = 0xA4
	INSVerify               = 0x20
)

// Select selects an application by its name, or by the start of it; next asks
// for the next one with the same start (Book 1, 11.3).
func Select(name []byte, next bool) Command {
	c := Command{INS: INSSelect, P1: 0x04, Data: name, Ne: 256}
	if next {
		c.P2 = 0x02
	}
	return c
}

// ReadRecord reads one record of a file by its short file identifier, 1 to 30
// (Book 1, 11.2).
func ReadRecord(sfi, record byte) Command {
	return Command{INS: INSReadRecord, P1: record, P2: sfi<<3 | 0x04, Ne: 256}
}

// GetProcessingOptions starts a transaction. data is the whole template 83
// (Book 3, 6.5.8).
func GetProcessingOptions(data []byte) Command {
	return Command{CLA: 0x80, INS: INSGetProcessingOptions, Data: data, Ne: 256}
}

// The reference control parameter of GENERATE AC (Book 3, 6.5.5).
const (
	RefAAC  = 0x00
	RefTC   = 0x40
	RefARQC = 0x80
	RefCDA  = 0x10
	RefXDA  = 0x08
)

// GenerateAC asks for a cryptogram.
func GenerateAC(reference byte, data []byte) Command {
	return Command{CLA: 0x80, INS: INSGenerateAC, P1: reference, Data: data, Ne: 256}
}

// ExternalAuthenticate gives the card the issuer authentication data (Book 3,
// 6.5.4).
func ExternalAuthenticate(data []byte) Command {
	return Command{INS: INSExternalAuthenticate, Data: data}
}

// InternalAuthenticate asks for a dynamic signature (Book 3, 6.5.9).
func InternalAuthenticate(data []byte) Command {
	return Command{INS: INSInternalAuthenticate, Data: data, Ne: 256}
}

// The qualifier of VERIFY (Book 3, table 6-14).
const (
	VerifyPlaintext  = 0x80
	VerifyEnciphered = 0x88
)

// Verify gives the card a PIN block (Book 3, 6.5.12).
func Verify(qualifier byte, data []byte) Command {
	return Command{INS: INSVerify, P2: qualifier, Data: data}
}

// GetData asks for a primitive data object that is in no record (Book 3,
// 6.5.7).
func GetData(tag uint16) Command {
	return Command{CLA: 0x80, INS: INSGetData, P1: byte(tag >> 8), P2: byte(tag), Ne: 256}
}

// GetChallenge asks for eight unpredictable bytes (Book 3, 6.5.6).
func GetChallenge() Command { return Command{INS: INSGetChallenge, Ne: 256} }
