package acquirer

// Reason says why a reversal or an advice is sent: a message reason code of ISO
// 8583:1993, four digits. In the 1987 dialects it travels in the private field.
type Reason string

// Reasons of reversals.
const (
	ReasonCancelled     Reason = "4000" // the customer cancelled
	ReasonUnspecified   Reason = "4001" // unspecified, no action taken
	ReasonMalfunction   Reason = "4002" // suspected malfunction
	ReasonPartial       Reason = "4004" // completed partially
	ReasonWrongAmount   Reason = "4005" // original amount incorrect
	ReasonLate          Reason = "4006" // the response came too late
	ReasonDevice        Reason = "4007" // the acceptor's device could not complete
	ReasonInvalidAnswer Reason = "4020" // invalid response, no action taken
	ReasonTimeout       Reason = "4021" // no response in time
)

// String says the reason in words.
func (r Reason) String() string {
	switch r {
	case "":
		return ""
	case ReasonCancelled:
		return "cancelled by the customer"
	case ReasonUnspecified:
		return "unspecified"
	case ReasonMalfunction:
		return "suspected malfunction"
	case ReasonPartial:
		return "completed partially"
	case ReasonWrongAmount:
		return "original amount incorrect"
	case ReasonLate:
		return "response too late"
	case ReasonDevice:
		return "device could not complete"
	case ReasonInvalidAnswer:
		return "invalid response"
	case ReasonTimeout:
		return "no response in time"
	}
	return "message reason " + string(r)
}
