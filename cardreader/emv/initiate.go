package emv

import (
	"context"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// initiate sends GET PROCESSING OPTIONS (Book 3, 10.1). errNext when the card
// does not want this application now.
func (s *Session) initiate(ctx context.Context) error {
	data, err := s.fill(StepInitiate, tags.PDOL, s.get(tags.PDOL))
	if err != nil {
		return err
	}
	s.pdol = data
	r, err := s.send(ctx, StepInitiate, "GET PROCESSING OPTIONS", apdu.GetProcessingOptions(tlv.Append(nil, tags.CommandTemplate, data)))
	if err != nil {
		return err
	}
	if r.SW == apdu.StatusConditionsNotSatisfied {
		return errNext
	}
	if !r.SW.OK() {
		return &StatusError{StepInitiate, "GET PROCESSING OPTIONS", r.SW}
	}
	aip, afl, err := options(r.Data)
	if err != nil {
		return err
	}
	if len(aip) != 2 {
		return breach(StepInitiate, tags.AIP, "missing or not 2 bytes")
	}
	if len(afl) == 0 || len(afl)%4 != 0 {
		return breach(StepInitiate, tags.AFL, "missing or not a multiple of 4 bytes")
	}
	s.aip = tags.AIPValue(aip)
	s.afl = append([]byte(nil), afl...)
	s.fromCard[tags.AIP], s.fromCard[tags.AFL] = append([]byte(nil), aip...), s.afl
	s.tell(StepInitiate, "the card says AIP %s, %d files to read", s.aip, len(afl)/4)
	return nil
}

// options reads both formats of the response (Book 3, 6.5.8.4).
func options(b []byte) (aip, afl []byte, err error) {
	o, err := single(StepInitiate, b)
	if err != nil {
		return nil, nil, err
	}
	switch o.Tag {
	case tags.ResponseFormat1:
		if len(o.Value) < 2 {
			return nil, nil, breach(StepInitiate, o.Tag, "too short")
		}
		return o.Value[:2], o.Value[2:], nil
	case tags.ResponseFormat2:
		seen := map[tlv.Tag]bool{}
		for c, err := range tlv.All(o.Value) {
			if err != nil {
				return nil, nil, &CardError{Step: StepInitiate, Tag: o.Tag, Reason: "malformed", Err: err}
			}
			if seen[c.Tag] {
				return nil, nil, breach(StepInitiate, c.Tag, "given twice")
			}
			seen[c.Tag] = true
			switch c.Tag {
			case tags.AIP:
				aip = c.Value
			case tags.AFL:
				afl = c.Value
			}
		}
		return aip, afl, nil
	}
	return nil, nil, breach(StepInitiate, o.Tag, "response is neither format 1 nor format 2")
}

// single reads a response that is one data object and nothing else.
func single(step Step, b []byte) (tlv.Object, error) {
	list, err := tlv.Parse(b)
	if err != nil {
		return tlv.Object{}, &CardError{Step: step, Reason: "malformed response", Err: err}
	}
	if len(list) != 1 {
		return tlv.Object{}, breach(step, 0, "response is not one data object")
	}
	return list[0], nil
}
