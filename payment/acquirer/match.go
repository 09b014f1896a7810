package acquirer

import "fmt"

// Matches says whether a response is the answer to a request: the message type
// that answers it, and the same STAN, terminal, RRN, merchant, processing code,
// transmission time, amount, currency, order, network code and original where
// the response has them; STAN and terminal it must have when the request does.
// A partial approval (code 10) may have a smaller amount. Errors wrap
// ErrMismatch and name what differs, not its value.
func Matches(request, response *Message) error {
	want, err := ResponseMTI(request.MTI)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	// A host may answer a repeat with the repeat's own type.
	if response.MTI != want && response.MTI != want[:3]+request.MTI[3:] {
		return fmt.Errorf("%w: message type", ErrMismatch)
	}
	if len(response.ResponseCode) != 2 {
		return fmt.Errorf("%w: no response code", ErrMismatch)
	}
	for _, f := range []struct {
		name      string
		req, resp string
		must      bool
	}{
		{"STAN", request.STAN, response.STAN, true},
		{"terminal", request.TerminalID, response.TerminalID, true},
		{"RRN", request.RRN, response.RRN, false},
		{"merchant", request.MerchantID, response.MerchantID, false},
		{"processing code", request.ProcessingCode, response.ProcessingCode, false},
		{"order", request.Order, response.Order, false},
		{"network code", request.NetworkCode, response.NetworkCode, false},
	} {
		if f.resp != f.req && (f.must || f.resp != "" && f.req != "") {
			return fmt.Errorf("%w: %s", ErrMismatch, f.name)
		}
	}
	return matchValues(request, response)
}

func matchValues(request, response *Message) error {
	if !request.TransmissionTime.IsZero() && !response.TransmissionTime.IsZero() && !sameStamp(request, response) {
		return fmt.Errorf("%w: transmission time", ErrMismatch)
	}
	if !response.PAN.IsZero() && !request.PAN.IsZero() && !response.PAN.Equal(request.PAN) {
		return fmt.Errorf("%w: PAN", ErrMismatch)
	}
	if request.Original != nil && response.Original != nil && request.Original.STAN != response.Original.STAN {
		return fmt.Errorf("%w: original", ErrMismatch)
	}
	if request.Amount == nil || response.Amount == nil {
		return nil
	}
	if request.Amount.Currency != response.Amount.Currency {
		return fmt.Errorf("%w: currency", ErrMismatch)
	}
	partial := response.ResponseCode == "10" && response.Amount.Minor > 0 && response.Amount.Minor < request.Amount.Minor
	if request.Amount.Minor != response.Amount.Minor && !partial {
		return fmt.Errorf("%w: amount", ErrMismatch)
	}
	return nil
}

// sameStamp compares what field 7 carries: no year, no fractions.
func sameStamp(a, b *Message) bool {
	const layout = "0102150405"
	return a.TransmissionTime.UTC().Format(layout) == b.TransmissionTime.UTC().Format(layout)
}
