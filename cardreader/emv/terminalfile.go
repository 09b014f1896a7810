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
)

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
	ScriptLength     int               `json:"script_length,omitempty"`
	Exceptions       []string          `json:"exceptions,omitempty"`
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
	Contactless *tapFile        `json:"contactless,omitempty"`
}

const maxTerminalFile = 1 << 20

// ParseTerminal reads a terminal file: one JSON object, coded elements in hex
// as the standard codes them, as testdata/terminal.json shows. Members that the
// format lacks are refused. Errors wrap ErrConfig and name the place.
//
//	type                     9F35  two digits, "22": merchant, attended, offline
//	                               with online capability
//	capabilities             9F33  3 bytes
//	additional_capabilities  9F40  5 bytes
//	country                  9F1A  three digits of ISO 3166
//	ifd_serial, terminal_id  9F1E, 9F1C  8 characters or ""
//	merchant_id              9F16  15 characters or ""
//	merchant_category        9F15  four digits or ""
//	merchant_name            9F4E
//	acquirer_id              9F01  up to 11 digits or ""
//	script_length            bytes of issuer scripts taken of one answer, 128
//	                         to 4096; left out, 128 (Book 4, 6.3.9)
//	exceptions               card numbers that are not taken (Book 3, 10.6), each
//	                         with or without "/" and the two digits of a PAN
//	                         sequence number; left out, none
//	applications             one set an AID, in the terminal's order:
//	  aid                    9F06  5 to 16 bytes
//	  partial                longer names on the card match too
//	  version                9F09  2 bytes
//	  tac_denial, tac_online, tac_default  5 bytes each; left out, all
//	                         zeros (Book 3, 10.7)
//	  floor_limit            9F1B  minor units
//	  random_selection       threshold (minor units), target_percent,
//	                         max_target_percent (Book 3, 10.6.2)
//	  default_ddol           for cards without 9F49; names 9F37
//	  default_tdol           for cards without 97
//	  risk_data              9F1D  up to 8 bytes
//	  contactless            left out where cards are inserted only; each
//	                         member but kernel may be left out (EMV
//	                         Contactless Book A, table 5-2):
//	    kernel               1 to 8
//	    transaction_limit, device_limit, floor_limit, cvm_limit  minor units
//	    status_check, zero_amount, extended_selection  flags
//	    ttq                  9F66  4 bytes
//	    check_cash, check_cashback  Kernel 3: flags, the card's usage control
//	                         has to allow it (Book C-3, 5.5.1.3, 5.5.1.4)
//	    programs             Kernel 3: limits by card programme (Book C-3, 5.1),
//	                         the one whose id agrees longest; each member but
//	                         id may be left out, which is no limit:
//	      id                 beginning of 9F5A, 1 to 16 bytes
//	      transaction_limit, floor_limit, cvm_limit, status_check, zero_amount
//	    accounts             beginnings of the scheme's card numbers
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
		MerchantName: f.MerchantName, AcquirerID: f.AcquirerID, ScriptLength: f.ScriptLength,
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
	if t.Exceptions, err = parseExceptions(f.Exceptions); err != nil {
		return t, err
	}
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
		// A terminal action code that is left out is all zeros (EMV 4.4 Book 3,
		// 10.7).
		if x.text == "" && strings.HasPrefix(x.name, "tac_") {
			continue
		}
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
	var err error
	a.Contactless, err = f.Contactless.tap()
	return a, err
}

func hexInto(name, text string, into []byte) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(into) {
		return fmt.Errorf("%s is not the hex of %d bytes", name, len(into))
	}
	copy(into, b)
	return nil
}

// Write writes the file that ParseTerminal reads.
func (t Terminal) Write(w io.Writer) error {
	f := terminalFile{
		Type:             fmt.Sprintf("%02X", byte(t.Type)),
		Capabilities:     t.Capabilities.String(),
		Additional:       t.Additional.String(),
		Country:          fmt.Sprintf("%03d", t.Country),
		IFDSerial:        t.IFDSerial,
		ID:               t.ID,
		MerchantID:       t.MerchantID,
		MerchantCategory: t.MerchantCategory,
		MerchantName:     t.MerchantName,
		AcquirerID:       t.AcquirerID,
		ScriptLength:     t.ScriptLength,
		Exceptions:       t.Exceptions.file(),
	}
	for _, a := range t.Applications {
		f.Applications = append(f.Applications, applicationFile{
			AID:         fmt.Sprintf("%X", a.AID),
			Partial:     a.Partial,
			Version:     fmt.Sprintf("%X", a.Version),
			TACDenial:   fmt.Sprintf("%X", a.TACDenial),
			TACOnline:   fmt.Sprintf("%X", a.TACOnline),
			TACDefault:  fmt.Sprintf("%X", a.TACDefault),
			FloorLimit:  a.FloorLimit,
			Random:      a.Random,
			DefaultDDOL: fmt.Sprintf("%X", a.DefaultDDOL),
			DefaultTDOL: fmt.Sprintf("%X", a.DefaultTDOL),
			RiskData:    fmt.Sprintf("%X", a.RiskData),
			Contactless: a.Contactless.file(),
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(f); err != nil {
		return fmt.Errorf("emv: writing the terminal file: %w", err)
	}
	return nil
}
