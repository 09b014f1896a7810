package emv

import (
	"encoding/hex"
	"fmt"
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
	// Accounts are the beginnings that card numbers of the scheme have; nil
	// takes any.
	Accounts []string
}

// tapFile is the member contactless of an application in a terminal file.
type tapFile struct {
	Kernel            byte     `json:"kernel"`
	TransactionLimit  *uint64  `json:"transaction_limit,omitempty"`
	DeviceLimit       *uint64  `json:"device_limit,omitempty"`
	FloorLimit        *uint64  `json:"floor_limit,omitempty"`
	CVMLimit          *uint64  `json:"cvm_limit,omitempty"`
	StatusCheck       *bool    `json:"status_check,omitempty"`
	ZeroAmount        *bool    `json:"zero_amount,omitempty"`
	ExtendedSelection *bool    `json:"extended_selection,omitempty"`
	TTQ               string   `json:"ttq,omitempty"`
	Accounts          []string `json:"accounts,omitempty"`
}

// tap reads the member; nil when there is none.
func (f *tapFile) tap() (*Tap, error) {
	if f == nil {
		return nil, nil
	}
	t := &Tap{
		Kernel: f.Kernel, TransactionLimit: f.TransactionLimit, DeviceLimit: f.DeviceLimit, FloorLimit: f.FloorLimit, CVMLimit: f.CVMLimit,
		StatusCheck: f.StatusCheck, ZeroAmount: f.ZeroAmount, ExtendedSelection: f.ExtendedSelection, Accounts: f.Accounts,
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
		StatusCheck: t.StatusCheck, ZeroAmount: t.ZeroAmount, ExtendedSelection: t.ExtendedSelection, Accounts: t.Accounts,
	}
	if t.TTQ != nil {
		f.TTQ = t.TTQ.String()
	}
	return f
}
