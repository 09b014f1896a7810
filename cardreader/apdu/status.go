package apdu

import "fmt"

// Status is the status word SW1 SW2 of a response.
type Status uint16

// Status words that EMV names (EMV 4.4 Book 3, 6.3.5 and the commands).
const (
	StatusOK                     Status = 0x9000
	StatusFileInvalidated        Status = 0x6283 // selected file is blocked
	StatusAuthenticationFailed   Status = 0x6300
	StatusMemoryFailure          Status = 0x6581
	StatusWrongLength            Status = 0x6700
	StatusSecurityNotSatisfied   Status = 0x6982
	StatusBlocked                Status = 0x6983 // authentication method blocked
	StatusReferenceInvalidated   Status = 0x6984
	StatusConditionsNotSatisfied Status = 0x6985
	StatusCommandNotAllowed      Status = 0x6986
	StatusMACMissing             Status = 0x6987
	StatusMACIncorrect           Status = 0x6988
	StatusWrongData              Status = 0x6A80
	StatusFunctionNotSupported   Status = 0x6A81
	StatusFileNotFound           Status = 0x6A82
	StatusRecordNotFound         Status = 0x6A83
	StatusNotEnoughMemory        Status = 0x6A84
	StatusIncorrectP1P2          Status = 0x6A86
	StatusReferenceNotFound      Status = 0x6A88
	StatusWrongP1P2              Status = 0x6B00
	StatusINSNotSupported        Status = 0x6D00
	StatusCLANotSupported        Status = 0x6E00
	StatusNoDiagnosis            Status = 0x6F00
)

// OK reports whether the command was carried out without a warning.
func (s Status) OK() bool { return s == StatusOK }

// SW1 returns the first byte.
func (s Status) SW1() byte { return byte(s >> 8) }

// SW2 returns the second byte.
func (s Status) SW2() byte { return byte(s) }

// TriesLeft returns the x of 63Cx, false for any other status.
func (s Status) TriesLeft() (int, bool) {
	if s&0xFFF0 != 0x63C0 {
		return 0, false
	}
	return int(s & 0x0F), true
}

// String returns the hex and the meaning in words: "6A82 file or application
// not found".
func (s Status) String() string { return fmt.Sprintf("%04X %s", uint16(s), s.Meaning()) }

// Meaning returns the status in words (ISO/IEC 7816-4, 5.6).
func (s Status) Meaning() string {
	if w, ok := exact(s); ok {
		return w
	}
	switch s.SW1() {
	case 0x61:
		return fmt.Sprintf("%d more bytes are available", upTo(int(s.SW2()), 256))
	case 0x6C:
		return fmt.Sprintf("wrong Le: %d bytes are available", upTo(int(s.SW2()), 256))
	case 0x62:
		return "warning, nothing changed"
	case 0x63:
		if n, ok := s.TriesLeft(); ok {
			if n == 1 {
				return "verification failed, 1 try left"
			}
			return fmt.Sprintf("verification failed, %d tries left", n)
		}
		return "warning, something changed"
	case 0x64:
		// 02 to 80: the card asks for so many bytes to be fetched.
		if n := s.SW2(); n >= 0x02 && n <= 0x80 {
			return fmt.Sprintf("error, nothing changed: the card expects a query of %d bytes", n)
		}
		return "error, nothing changed"
	case 0x65:
		return "error, something changed"
	case 0x66:
		return "security error"
	case 0x68:
		return "function in CLA not supported"
	case 0x69:
		return "command not allowed"
	case 0x6A:
		return "wrong parameters"
	case 0x67:
		return "wrong length"
	case 0x6B:
		return "wrong P1 P2"
	case 0x6D:
		return "instruction not supported"
	case 0x6E:
		return "class not supported"
	case 0x6F:
		return "no precise diagnosis"
	}
	if s.SW1()>>4 == 9 {
		return "a status of the card's own"
	}
	return "unknown status"
}

func exact(s Status) (string, bool) {
	switch s {
	case StatusOK:
		return "done", true
	case 0x6281:
		return "part of the data may be corrupted", true
	case 0x6282:
		return "end of file before Le bytes", true
	case StatusFileInvalidated:
		return "selected file is blocked", true
	case 0x6284:
		return "file control information badly formatted", true
	case 0x6285:
		return "selected file is in termination state", true
	case 0x6286:
		return "no input from a sensor on the card", true
	case 0x6287:
		return "one of the referenced records is deactivated", true
	case 0x6381:
		return "file filled up by the last write", true
	case StatusAuthenticationFailed:
		return "authentication failed", true
	case 0x6400:
		return "execution error", true
	case 0x6401:
		return "the card needs an immediate response", true
	case StatusMemoryFailure:
		return "memory failure", true
	case StatusWrongLength:
		return "wrong length", true
	case 0x6881:
		return "logical channel not supported", true
	case 0x6882:
		return "secure messaging not supported", true
	case 0x6883:
		return "last command of the chain expected", true
	case 0x6884:
		return "command chaining not supported", true
	case 0x6900:
		return "command not allowed", true
	case 0x6981:
		return "command incompatible with the file", true
	case StatusSecurityNotSatisfied:
		return "security status not satisfied", true
	case StatusBlocked:
		return "authentication method blocked", true
	case StatusReferenceInvalidated:
		return "reference data not usable", true
	case StatusConditionsNotSatisfied:
		return "conditions of use not satisfied", true
	case StatusCommandNotAllowed:
		return "command not allowed, no file selected", true
	case StatusMACMissing:
		return "secure messaging data missing", true
	case StatusMACIncorrect:
		return "secure messaging data incorrect", true
	case StatusWrongData:
		return "wrong data", true
	case StatusFunctionNotSupported:
		return "function not supported", true
	case StatusFileNotFound:
		return "file or application not found", true
	case StatusRecordNotFound:
		return "record not found", true
	case StatusNotEnoughMemory:
		return "not enough memory", true
	case 0x6A85:
		return "Lc inconsistent with TLV structure", true
	case StatusIncorrectP1P2:
		return "incorrect P1 P2", true
	case 0x6A87:
		return "Lc inconsistent with P1 P2", true
	case StatusReferenceNotFound:
		return "referenced data not found", true
	case 0x6A89:
		return "file already exists", true
	case 0x6A8A:
		return "DF name already exists", true
	case StatusWrongP1P2:
		return "wrong P1 P2", true
	case StatusINSNotSupported:
		return "instruction not supported", true
	case StatusCLANotSupported:
		return "class not supported", true
	case StatusNoDiagnosis:
		return "no precise diagnosis", true
	}
	return "", false
}
