package console

import (
	"fmt"

	"github.com/payunit/payunit/trusted"
)

// Text returns the English words of a notice. A message that has none is an
// error: nothing is ever shown by its id.
func Text(n trusted.Notice) (string, error) {
	var s string
	switch n.Message {
	case trusted.MessageInsertCard:
		s = "Insert your card"
	case trusted.MessageReadingCard:
		s = "Reading the card: do not remove it"
	case trusted.MessageConnecting:
		s = "Connecting"
	case trusted.MessageAuthorizing:
		s = "Asking your bank"
	case trusted.MessageRemoveCard:
		s = "Remove your card"
	case trusted.MessageApproved:
		s = "Approved"
	case trusted.MessageDeclined:
		s = "Declined"
		if r := clean(n.Params["reason"]); r != "" {
			s += ": " + r
		}
	case trusted.MessageCancelled:
		s = "Cancelled"
	case trusted.MessageUnknown:
		s = "Outcome not known yet: do not pay again"
	case trusted.MessagePINOK:
		s = "PIN OK"
	case trusted.MessagePINWrong:
		s = "Wrong PIN"
	case trusted.MessageTryAgain:
		s = "Try again"
	case trusted.MessageReversing:
		s = "Taking the payment back"
	case trusted.MessageCardError:
		s = "The card can't be read"
	case trusted.MessageNotAccepted:
		s = "This card is not accepted here"
	case trusted.MessageCallBank:
		s = "Call your bank"
	case trusted.MessageSignRequired:
		s = "Please sign"
	default:
		return "", fmt.Errorf("console: no words for message %q", string(n.Message))
	}
	return s, nil
}
