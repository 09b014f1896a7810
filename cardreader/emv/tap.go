package emv

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/payunit/payunit/cardreader/emv/tags"
)

// Tap is what a terminal holds for an AID on the contactless interface: the
// configuration of a reader's combination (EMV Contactless Book A, table 5-2).
// Package contactless works by it. Limits are in minor units of the
// transaction's currency; nil means that there is none.
type Tap struct {
	// Kernel is the kernel's number, 1 to 8.
	Kernel byte
	// TransactionLimit is the amount from which on a card is not taken by
	// contactless, DeviceLimit the same for a device that verifies its holder
	// (Kernel 2), FloorLimit the highest amount without online authorisation,
	// CVMLimit the one from which on the cardholder is verified.
	TransactionLimit, DeviceLimit, FloorLimit, CVMLimit *uint64
	// StatusCheck, ZeroAmount and ExtendedSelection are flags that may be
	// absent.
	StatusCheck, ZeroAmount, ExtendedSelection *bool
	// TTQ are the terminal transaction qualifiers (9F66) of kernels that have
	// them.
	TTQ *tags.TTQValue
	// CheckCash and CheckCashback have Kernel 3 look at the card's usage control
	// for cash and for cashback (Book C-3, 5.5.1.3 and 5.5.1.4): a card that
	// does not give it is declined then.
	CheckCash, CheckCashback bool
	// Programs are Kernel 3's dynamic reader limits (Book C-3, 5.1).
	Programs []TapProgram
	// Accounts are the beginnings that card numbers of the scheme have; nil
	// takes any.
	Accounts []string
}

// TapProgram are the limits for the cards of an application program, in the place
// of the Tap's: what is nil in them is no limit.
type TapProgram struct {
	// ID is the beginning of the cards' application program identifier (9F5A),
	// 1 to 16 bytes.
	ID []byte
	// The fields are those of a Tap.
	TransactionLimit, FloorLimit, CVMLimit *uint64
	StatusCheck, ZeroAmount                *bool
}

// tapFile is the member contactless of an application in a terminal file.
type tapFile struct {
	Kernel            byte          `json:"kernel"`
	TransactionLimit  *uint64       `json:"transaction_limit,omitempty"`
	DeviceLimit       *uint64       `json:"device_limit,omitempty"`
	FloorLimit        *uint64       `json:"floor_limit,omitempty"`
	CVMLimit          *uint64       `json:"cvm_limit,omitempty"`
	StatusCheck       *bool         `json:"status_check,omitempty"`
	ZeroAmount        *bool         `json:"zero_amount,omitempty"`
	ExtendedSelection *bool         `json:"extended_selection,omitempty"`
	TTQ               string        `json:"ttq,omitempty"`
	CheckCash         bool          `json:"check_cash,omitempty"`
	CheckCashback     bool          `json:"check_cashback,omitempty"`
	Programs          []programFile `json:"programs,omitempty"`
	Accounts          []string      `json:"accounts,omitempty"`
}

// programFile is one of the member programs.
type programFile struct {
	ID               string  `json:"id"`
	TransactionLimit *uint64 `json:"transaction_limit,omitempty"`
	FloorLimit       *uint64 `json:"floor_limit,omitempty"`
	CVMLimit         *uint64 `json:"cvm_limit,omitempty"`
	StatusCheck      *bool   `json:"status_check,omitempty"`
	ZeroAmount       *bool   `json:"zero_amount,omitempty"`
}

// kernelVisa is the kernel that has programs and the checks of usage control.
const kernelVisa = 3

// programs reads the member programs.
func (f *tapFile) programs() ([]TapProgram, error) {
	if f.Kernel != kernelVisa && (len(f.Programs) > 0 || f.CheckCash || f.CheckCashback) {
		return nil, fmt.Errorf("contactless: programs, check_cash and check_cashback are for kernel 3, not %d", f.Kernel)
	}
	var out []TapProgram
	for i, p := range f.Programs {
		id, err := hex.DecodeString(p.ID)
		if err != nil || len(id) < 1 || len(id) > 16 {
			return nil, fmt.Errorf("contactless: program %d: id %q is not the hex of 1 to 16 bytes", i+1, p.ID)
		}
		if slices.ContainsFunc(out, func(o TapProgram) bool { return bytes.Equal(o.ID, id) }) {
			return nil, fmt.Errorf("contactless: program %d: id %q is given twice", i+1, p.ID)
		}
		out = append(out, TapProgram{
			ID: id, TransactionLimit: p.TransactionLimit, FloorLimit: p.FloorLimit, CVMLimit: p.CVMLimit,
			StatusCheck: p.StatusCheck, ZeroAmount: p.ZeroAmount,
		})
	}
	return out, nil
}

// tap reads the member; nil when there is none.
func (f *tapFile) tap() (*Tap, error) {
	if f == nil {
		return nil, nil
	}
	t := &Tap{
		Kernel: f.Kernel, TransactionLimit: f.TransactionLimit, DeviceLimit: f.DeviceLimit, FloorLimit: f.FloorLimit, CVMLimit: f.CVMLimit,
		StatusCheck: f.StatusCheck, ZeroAmount: f.ZeroAmount, ExtendedSelection: f.ExtendedSelection,
		CheckCash: f.CheckCash, CheckCashback: f.CheckCashback, Accounts: f.Accounts,
	}
	if f.Kernel < 1 || f.Kernel > 8 {
		return nil, fmt.Errorf("contactless: kernel %d is not 1 to 8", f.Kernel)
	}
	if f.TTQ != "" {
		b, err := hex.DecodeString(f.TTQ)
		if err != nil || len(b) != 4 {
			return nil, fmt.Errorf("contactless: ttq %q is not the hex of 4 bytes", f.TTQ)
		}
		v := tags.TTQValue(b)
		t.TTQ = &v
	}
	var err error
	if t.Programs, err = f.programs(); err != nil {
		return nil, err
	}
	for _, a := range f.Accounts {
		if a == "" || strings.Trim(a, "0123456789") != "" {
			return nil, fmt.Errorf("contactless: account beginning %q is not digits", a)
		}
	}
	return t, nil
}

// file is the member that tap reads.
func (t *Tap) file() *tapFile {
	if t == nil {
		return nil
	}
	f := &tapFile{
		Kernel: t.Kernel, TransactionLimit: t.TransactionLimit, DeviceLimit: t.DeviceLimit, FloorLimit: t.FloorLimit, CVMLimit: t.CVMLimit,
		StatusCheck: t.StatusCheck, ZeroAmount: t.ZeroAmount, ExtendedSelection: t.ExtendedSelection,
		CheckCash: t.CheckCash, CheckCashback: t.CheckCashback, Accounts: t.Accounts,
	}
	for _, p := range t.Programs {
		f.Programs = append(f.Programs, programFile{
			ID: fmt.Sprintf("%X", p.ID), TransactionLimit: p.TransactionLimit, FloorLimit: p.FloorLimit, CVMLimit: p.CVMLimit,
			StatusCheck: p.StatusCheck, ZeroAmount: p.ZeroAmount,
		})
	}
	if t.TTQ != nil {
		f.TTQ = t.TTQ.String()
	}
	return f
}
