package emv

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Terminal is a terminal's EMV data (EMV 4.4 Book 4, A and Book 3, A).
type Terminal struct {
	Type         tags.TerminalTypeValue
	Capabilities tags.CapabilitiesValue
	Additional   tags.AdditionalCapabilitiesValue
	// Country is the numeric code of ISO 3166.
	Country uint16
	// IFDSerial and ID are 8 characters, MerchantID 15, MerchantCategory 4
	// digits, AcquirerID up to 11 digits; empty ones are not given to cards.
	IFDSerial, ID, MerchantID, MerchantCategory, MerchantName, AcquirerID string
	// ScriptLength is how many bytes of issuer scripts the terminal takes of one
	// answer; 0 is 128, the least that it has to (Book 4, 6.3.9).
	ScriptLength int
	// Exceptions are cards that are not taken. Who knows more has an
	// ExceptionFile in Config in their place.
	Exceptions Exceptions
	// Applications are in the terminal's order.
	Applications []Application
}

// Application is what a terminal holds for one AID.
type Application struct {
	AID []byte
	// Partial lets cards' longer names match (application selection
	// indicator, Book 1, 12.3.1).
	Partial bool
	Version [2]byte
	// TACDenial, TACOnline and TACDefault are terminal action codes.
	TACDenial, TACOnline, TACDefault [5]byte
	// FloorLimit is in minor units of the transaction's currency.
	FloorLimit uint64
	Random     RandomSelection
	// DefaultDDOL and DefaultTDOL serve cards without their own.
	DefaultDDOL, DefaultTDOL []byte
	// RiskData is tag 9F1D.
	RiskData []byte
	// Contactless is the application's side on the contactless interface; nil
	// where cards of it are inserted only.
	Contactless *Tap
}

// RandomSelection are the parameters of Book 3, 10.6.2.
type RandomSelection struct {
	// Threshold is in minor units and below the floor limit.
	Threshold uint64 `json:"threshold"`
	// TargetPercent and MaxTargetPercent are 0 to 99.
	TargetPercent    int `json:"target_percent"`
	MaxTargetPercent int `json:"max_target_percent"`
}

// check refuses a terminal that can't work. Errors wrap ErrConfig.
func (t *Terminal) check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: terminal: %s", ErrConfig, fmt.Sprintf(format, a...))
	}
	switch {
	case len(t.Type.Describe()) == 0:
		return bad("type %02X is not one of Book 4, A1", byte(t.Type))
	case t.Country > 999:
		return bad("country %d", t.Country)
	case t.MerchantCategory != "" && (len(t.MerchantCategory) != 4 || !decimal(t.MerchantCategory)):
		return bad("merchant category %q is not four digits", t.MerchantCategory)
	case len(t.MerchantName) > 127 || !printable(t.MerchantName):
		return bad("merchant name %q is not up to 127 printable characters", t.MerchantName)
	case len(t.AcquirerID) > 11 || !decimal(t.AcquirerID):
		return bad("acquirer id %q is not up to 11 digits", t.AcquirerID)
	case t.ScriptLength != 0 && (t.ScriptLength < defaultScriptLength || t.ScriptLength > maxScriptLength):
		return bad("script length %d is not %d to %d", t.ScriptLength, defaultScriptLength, maxScriptLength)
	case len(t.Applications) == 0:
		return bad("no applications")
	}
	for _, x := range []struct {
		name, text string
		n          int
	}{{"IFD serial", t.IFDSerial, 8}, {"terminal id", t.ID, 8}, {"merchant id", t.MerchantID, 15}} {
		if x.text != "" && (len(x.text) != x.n || !printable(x.text)) {
			return bad("%s %q is not %d characters", x.name, x.text, x.n)
		}
	}
	for i, a := range t.Applications {
		for _, b := range t.Applications[:i] {
			if bytes.Equal(a.AID, b.AID) {
				return bad("application %d (%X): given twice", i+1, a.AID)
			}
		}
		if err := a.check(); err != nil {
			return bad("application %d (%X): %v", i+1, a.AID, err)
		}
	}
	return nil
}

func (a *Application) check() error {
	if len(a.AID) < 5 || len(a.AID) > 16 {
		return fmt.Errorf("AID of %d bytes, want 5 to 16", len(a.AID))
	}
	if _, err := tlv.ParseDOL(a.DefaultDDOL); err != nil {
		return fmt.Errorf("default DDOL: %w", err)
	}
	if _, err := tlv.ParseDOL(a.DefaultTDOL); err != nil {
		return fmt.Errorf("default TDOL: %w", err)
	}
	r := a.Random
	if r.TargetPercent < 0 || r.TargetPercent > 99 || r.MaxTargetPercent < r.TargetPercent || r.MaxTargetPercent > 99 {
		return errors.New("random selection percentages are not 0 to 99, the maximum not below the target")
	}
	if r.TargetPercent > 0 && r.Threshold >= a.FloorLimit {
		return errors.New("random selection threshold is not below the floor limit")
	}
	if len(a.RiskData) > 8 {
		return fmt.Errorf("risk data of %d bytes, want at most 8", len(a.RiskData))
	}
	return nil
}

func decimal(s string) bool { return strings.Trim(s, "0123456789") == "" }

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
