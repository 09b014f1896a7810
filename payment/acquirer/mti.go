package acquirer

import "fmt"

// parseMTI takes a message type in 1987 terms apart: class (second digit) and
// function (third).
func parseMTI(mti string) (class, function byte, reason string) {
	if len(mti) != 4 || !digitsOnly(mti) {
		return 0, 0, "is not four digits"
	}
	if mti[0] != '0' {
		return 0, 0, "does not begin with 0"
	}
	switch mti[1] {
	case '1', '2', '3', '4', '5', '8':
	default:
		return 0, 0, "is of an unknown class"
	}
	if mti[2] > '3' {
		return 0, 0, "is of an unknown function"
	}
	if mti[3] > '5' {
		return 0, 0, "is of an unknown origin"
	}
	return mti[1], mti[2], ""
}

// IsResponse reports whether a message type is that of an answer: 0110, 0130,
// 0210 and so on.
func IsResponse(mti string) bool {
	_, f, reason := parseMTI(mti)
	return reason == "" && (f == '1' || f == '3')
}

// IsRepeat reports whether a message type is that of a repeat: 0201, 0421.
func IsRepeat(mti string) bool {
	_, _, reason := parseMTI(mti)
	return reason == "" && mti[3]%2 == 1
}

// ResponseMTI returns the message type that answers a request or an advice; a
// repeat is answered as what it repeats. Errors wrap ErrInvalid.
func ResponseMTI(mti string) (string, error) {
	_, f, reason := parseMTI(mti)
	if reason == "" && (f == '1' || f == '3') {
		reason = "is that of an answer"
	}
	if reason != "" {
		return "", invalid(0, reason)
	}
	origin := mti[3] - mti[3]%2
	return fmt.Sprintf("%s%c%c", mti[:2], f+1, origin), nil
}

// RepeatMTI returns the message type of a repeat of a request or advice. Errors
// wrap ErrInvalid.
func RepeatMTI(mti string) (string, error) {
	r, err := ResponseMTI(mti)
	if err != nil {
		return "", err
	}
	return mti[:3] + string(rune(r[3]+1)), nil
}

// describeMTI says in words what a message type is.
func describeMTI(mti string) string {
	class, function, reason := parseMTI(mti)
	if reason != "" {
		return "message type that " + reason
	}
	s := map[byte]string{'1': "authorization", '2': "financial", '3': "file or batch", '4': "reversal", '5': "reconciliation", '8': "network management"}[class]
	s += [...]string{" request", " response", " advice", " advice response"}[function-'0']
	if mti[3]%2 == 1 {
		s += " repeat"
	}
	return s
}
