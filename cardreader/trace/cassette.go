package trace

import (
	"encoding/json"
	"errors"
)

// parseCassetteLine takes from a line of a cassette what a trace has too.
func (t *Trace) parseCassetteLine(b []byte) error {
	var l struct {
		line
		Port   string          `json:"port"`
		Op     string          `json:"op"`
		Answer json.RawMessage `json:"answer"`
	}
	if json.Unmarshal(b, &l) != nil {
		return errors.New("not an object of the format")
	}
	switch {
	case l.Port == "", l.Cmd != nil:
		return t.exchange(l.line)
	case (l.Port == "card" || l.Port == "tap") && l.Op == "connect" && len(l.Answer) > 0:
		var a struct {
			ATR       string `json:"atr"`
			Protocol  string `json:"protocol"`
			Interface string `json:"interface"`
		}
		if json.Unmarshal(l.Answer, &a) != nil {
			return errors.New("the card's connection is not of the format")
		}
		if a.Interface == "" {
			// The card could not be connected.
			return nil
		}
		return t.setCard(a.Interface, a.Protocol, a.ATR)
	}
	return nil
}
