package emv

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
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
}

// RandomSelection are the parameters of Book 3, 10.6.2.
type RandomSelection struct {
	// Threshold is in minor units and below the floor limit.
	Threshold uint64 `json:"threshold"`
	// TargetPercent and MaxTargetPercent are 0 to 99.
	TargetPercent    int `json:"target_percent"`
	MaxTargetPercent int `json:"max_target_percent"`
}

type terminalFile struct {
	Type             string            `json:"type"`
	Capabilities     string            `json:"capabilities"`
	Additional       string            `json:"additional_capabilities"`
	Country          string            `json:"country"`
	IFDSerial        string            `json:"ifd_serial"`
	ID               string            `json:"terminal_id"`
	MerchantID       string            `json:"merchant_id"`
	MerchantCategory string            `json:"merchant_category"`
	MerchantName     string            `json:"merchant_name"`
	AcquirerID       string            `json:"acquirer_id"`
	Applications     []applicationFile `json:"applications"`
}

type applicationFile struct {
	AID         string          `json:"aid"`
	Partial     bool            `json:"partial"`
	Version     string          `json:"version"`
	TACDenial   string          `json:"tac_denial"`
	TACOnline   string          `json:"tac_online"`
	TACDefault  string          `json:"tac_default"`
	FloorLimit  uint64          `json:"floor_limit"`
	Random      RandomSelection `json:"random_selection"`
	DefaultDDOL string          `json:"default_ddol"`
	DefaultTDOL string          `json:"default_tdol"`
	RiskData    string          `json:"risk_data"`
}

const maxTerminalFile = 1 << 20

// ParseTerminal reads a terminal file: JSON with hex for coded elements, as
// testdata/terminal.json shows. Members that the format lacks are refused.
// Errors wrap ErrConfig and name the place.
func ParseTerminal(r io.Reader) (Terminal, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxTerminalFile+1))
	if err != nil {
		return Terminal{}, fmt.Errorf("%w: reading the terminal file: %w", ErrConfig, err)
	}
	if len(raw) > maxTerminalFile {
		return Terminal{}, fmt.Errorf("%w: terminal file over %d bytes", ErrConfig, maxTerminalFile)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var f terminalFile
	if err := d.Decode(&f); err != nil {
		return Terminal{}, fmt.Errorf("%w: terminal file at byte %d: %w", ErrConfig, d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Terminal{}, fmt.Errorf("%w: terminal file: bytes after the object at byte %d", ErrConfig, d.InputOffset())
	}
	t, err := f.terminal()
	if err != nil {
		return Terminal{}, fmt.Errorf("%w: terminal file: %w", ErrConfig, err)
	}
	return t, t.check()
}

func (f terminalFile) terminal() (Terminal, error) {
	t := Terminal{
		IFDSerial: f.IFDSerial, ID: f.ID, MerchantID: f.MerchantID, MerchantCategory: f.MerchantCategory,
		MerchantName: f.MerchantName, AcquirerID: f.AcquirerID,
	}
	var kind [1]byte
	for _, x := range []struct {
		name, text string
		into       []byte
	}{
		{"type", f.Type, kind[:]},
		{"capabilities", f.Capabilities, t.Capabilities[:]},
		{"additional_capabilities", f.Additional, t.Additional[:]},
	} {
		if err := hexInto(x.name, x.text, x.into); err != nil {
			return t, err
		}
	}
	t.Type = tags.TerminalTypeValue(kind[0])
	country, err := strconv.ParseUint(f.Country, 10, 16)
	if err != nil || len(f.Country) != 3 {
		return t, fmt.Errorf("country %q is not three digits of ISO 3166", f.Country)
	}
	t.Country = uint16(country)
	for i, a := range f.Applications {
		app, err := a.application()
		if err != nil {
			return t, fmt.Errorf("application %d (%q): %w", i+1, a.AID, err)
		}
		t.Applications = append(t.Applications, app)
	}
	return t, nil
}

func (f applicationFile) application() (Application, error) {
	a := Application{Partial: f.Partial, FloorLimit: f.FloorLimit, Random: f.Random}
	for _, x := range []struct {
		name, text string
		into       []byte
	}{
		{"version", f.Version, a.Version[:]},
		{"tac_denial", f.TACDenial, a.TACDenial[:]},
		{"tac_online", f.TACOnline, a.TACOnline[:]},
		{"tac_default", f.TACDefault, a.TACDefault[:]},
	} {
		if err := hexInto(x.name, x.text, x.into); err != nil {
			return a, err
		}
	}
	for _, x := range []struct {
		name, text string
		into       *[]byte
	}{
		{"aid", f.AID, &a.AID},
		{"default_ddol", f.DefaultDDOL, &a.DefaultDDOL},
		{"default_tdol", f.DefaultTDOL, &a.DefaultTDOL},
		{"risk_data", f.RiskData, &a.RiskData},
	} {
		b, err := hex.DecodeString(x.text)
		if err != nil {
			return a, fmt.Errorf("%s is not hex", x.name)
		}
		*x.into = b
	}
	return a, nil
}

func hexInto(name, text string, into []byte) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(into) {
		return fmt.Errorf("%s is not the hex of %d bytes", name, len(into))
	}
	copy(into, b)
	return nil
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
	case len(t.AcquirerID) > 11 || !decimal(t.AcquirerID):
		return bad("acquirer id %q is not up to 11 digits", t.AcquirerID)
	case len(t.Applications) == 0:
		return bad("no applications")
	}
	for name, x := range map[string]struct {
		text string
		n    int
	}{"IFD serial": {t.IFDSerial, 8}, "terminal id": {t.ID, 8}, "merchant id": {t.MerchantID, 15}} {
		if x.text != "" && (len(x.text) != x.n || !printable(x.text)) {
			return bad("%s %q is not %d characters", name, x.text, x.n)
		}
	}
	for i, a := range t.Applications {
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
	for name, list := range map[string][]byte{"default DDOL": a.DefaultDDOL, "default TDOL": a.DefaultTDOL} {
		if _, err := tlv.ParseDOL(list); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
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
