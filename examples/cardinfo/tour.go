package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Names of the payment system environments: contact (EMV 4.4 Book 1, 12.2.2) and
// contactless (EMV Contactless Book B, 3.3.2).
const (
	pse  = "1PAY.SYS.DDF01"
	ppse = "2PAY.SYS.DDF01"
)

// Bounds on what a card can make this program do.
const (
	maxDirectory    = 32
	maxApplications = 32
	maxRecords      = 255
)

// tour reads everything that a card gives without a PIN: the directory, then
// each application to its records and counters. What the card refuses is in the
// tape and is no error.
func tour(ctx context.Context, t *tape, only []byte) error {
	names := [][]byte{only}
	if len(only) == 0 {
		var err error
		if names, err = readDirectory(ctx, t); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		var err error
		if names, err = probe(ctx, t); err != nil {
			return err
		}
	}
	for i, name := range names {
		if i == maxApplications {
			break
		}
		if err := readApplication(ctx, t, name); err != nil {
			return err
		}
	}
	return nil
}

// readDirectory reads the payment system environment of the card's interface.
func readDirectory(ctx context.Context, t *tape) ([][]byte, error) {
	if t.t.Interface == cardreader.Contactless {
		r, err := apdu.Send(ctx, t, apdu.Select([]byte(ppse), false))
		if err != nil || !r.SW.OK() {
			return nil, err
		}
		list, _, _ := tlv.Child(r.Data, tags.FCITemplate, tags.FCIProprietaryTemplate, tags.FCIIssuerDiscretionary)
		return entries(nil, list), nil
	}
	r, err := apdu.Send(ctx, t, apdu.Select([]byte(pse), false))
	if err != nil || !r.SW.OK() {
		return nil, err
	}
	sfi, ok, _ := tlv.Child(r.Data, tags.FCITemplate, tags.FCIProprietaryTemplate, tags.SFI)
	if !ok || len(sfi) != 1 || sfi[0] < 1 || sfi[0] > 30 {
		return nil, nil
	}
	var out [][]byte
	for n := byte(1); n <= maxDirectory; n++ {
		r, err := apdu.Send(ctx, t, apdu.ReadRecord(sfi[0], n))
		if err != nil {
			return nil, err
		}
		if !r.SW.OK() {
			break
		}
		record, _, _ := tlv.Child(r.Data, tags.RecordTemplate)
		out = entries(out, record)
	}
	return out, nil
}

// entries adds the names in application templates to a list.
func entries(list [][]byte, templates []byte) [][]byte {
	for o, err := range tlv.All(templates) {
		if err != nil {
			break
		}
		if o.Tag != tags.ApplicationTemplate {
			continue
		}
		if aid, ok, _ := tlv.Child(o.Value, tags.AID); ok {
			list = add(list, aid)
		}
	}
	return list
}

func add(list [][]byte, aid []byte) [][]byte {
	if len(aid) < 5 || len(aid) > 16 || slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, aid) }) {
		return list
	}
	return append(list, bytes.Clone(aid))
}

// registered are the registered application providers of payment schemes, asked
// for when a card has no directory; each by its shortest name.
func registered() [][]byte {
	return [][]byte{
		{0xA0, 0, 0, 0, 0x03}, {0xA0, 0, 0, 0, 0x04}, {0xA0, 0, 0, 0, 0x05}, {0xA0, 0, 0, 0, 0x25}, {0xA0, 0, 0, 0, 0x65},
		{0xA0, 0, 0, 1, 0x52}, {0xA0, 0, 0, 3, 0x33}, {0xA0, 0, 0, 0, 0x42}, {0xA0, 0, 0, 1, 0x21}, {0xA0, 0, 0, 1, 0x41},
		{0xA0, 0, 0, 2, 0x77}, {0xA0, 0, 0, 3, 0x59}, {0xA0, 0, 0, 5, 0x24}, {0xA0, 0, 0, 6, 0x15}, {0xA0, 0, 0, 6, 0x20},
		{0xA0, 0, 0, 6, 0x58}, {0xA0, 0, 0, 6, 0x72}, {0xD2, 0x76, 0, 0, 0x25}, {0xD5, 0x78, 0, 0, 0x02},
	}
}

// probe asks for the schemes' names and, with SELECT next, for every longer form.
func probe(ctx context.Context, t *tape) ([][]byte, error) {
	var out [][]byte
	for _, rid := range registered() {
		for next := false; len(out) < maxApplications; next = true {
			r, err := apdu.Send(ctx, t, apdu.Select(rid, next))
			if err != nil {
				return nil, err
			}
			name, ok, _ := tlv.Child(r.Data, tags.FCITemplate, tags.DFName)
			before := len(out)
			if ok && bytes.HasPrefix(name, rid) {
				out = add(out, name)
			}
			if !ok || len(out) == before {
				break
			}
		}
	}
	return out, nil
}

// readApplication reads one application.
func readApplication(ctx context.Context, t *tape, name []byte) error {
	r, err := apdu.Send(ctx, t, apdu.Select(name, false))
	if err != nil || !r.SW.OK() {
		return err
	}
	values, err := terminalData()
	if err != nil {
		return err
	}
	pdol, _, _ := tlv.Child(r.Data, tags.FCITemplate, tags.FCIProprietaryTemplate, tags.PDOL)
	options, err := apdu.Send(ctx, t, apdu.GetProcessingOptions(tlv.Append(nil, tags.CommandTemplate, fill(pdol, values))))
	if err != nil {
		return err
	}
	var ddol []byte
	aip, afl := processingOptions(options.Data)
	total := 0
	for ; len(afl) >= 4; afl = afl[4:] {
		sfi := afl[0] >> 3
		for n := int(afl[1]); n <= int(afl[2]) && n > 0 && total < maxRecords; n++ {
			total++
			r, err := apdu.Send(ctx, t, apdu.ReadRecord(sfi, byte(n)))
			if err != nil {
				return err
			}
			if v, ok, _ := tlv.Child(r.Data, tags.RecordTemplate, tags.DDOL); ok {
				ddol = v
			}
		}
	}
	for _, tag := range []tlv.Tag{tags.ATC, tags.LastOnlineATC, tags.PINTryCounter, tags.LogFormat} {
		if _, err := apdu.Send(ctx, t, apdu.GetData(uint16(tag))); err != nil {
			return err
		}
	}
	if len(aip) == 2 && tags.AIPValue(aip).Has(tags.AIPDDA) {
		if ddol == nil {
			ddol = tlv.Tag(tags.UnpredictableNumber).Append(nil)
			ddol = append(ddol, 4)
		}
		if _, err := apdu.Send(ctx, t, apdu.InternalAuthenticate(fill(ddol, values))); err != nil {
			return err
		}
	}
	return nil
}

// processingOptions reads both formats of the response (Book 3, 6.5.8.4).
func processingOptions(b []byte) (aip, afl []byte) {
	if v, ok, _ := tlv.Child(b, tags.ResponseFormat1); ok && len(v) >= 2 {
		return v[:2], v[2:]
	}
	template, ok, _ := tlv.Child(b, tags.ResponseFormat2)
	if !ok {
		return nil, nil
	}
	aip, _ = tlv.Find(template, tags.AIP)
	afl, _ = tlv.Find(template, tags.AFL)
	return aip, afl
}

// terminalData is what a card may ask for in its lists: those of an attended
// terminal that reads and does not pay.
func terminalData() (map[tlv.Tag][]byte, error) {
	var un [4]byte
	if _, err := rand.Read(un[:]); err != nil {
		return nil, fmt.Errorf("unpredictable number: %w", err)
	}
	y, m, d := time.Now().Date()
	hour, minute, second := time.Now().Clock()
	return map[tlv.Tag][]byte{
		tags.AmountAuthorised:               make([]byte, 6),
		tags.AmountOther:                    make([]byte, 6),
		tags.TerminalCountryCode:            {0x02, 0x80},
		tags.TransactionCurrencyCode:        {0x09, 0x78},
		tags.TransactionDate:                tlv.AppendN(nil, uint64(y%100*10000+int(m)*100+d), 3),
		tags.TransactionTime:                tlv.AppendN(nil, uint64(hour*10000+minute*100+second), 3),
		tags.TransactionType:                {0x00},
		tags.TVR:                            make([]byte, 5),
		tags.UnpredictableNumber:            un[:],
		tags.TerminalType:                   {0x22},
		tags.TerminalCapabilities:           {0xE0, 0xF8, 0xC8},
		tags.AdditionalTerminalCapabilities: {0x70, 0x00, 0xF0, 0xA0, 0x01},
		tags.TTQ:                            {0x36, 0x00, 0x40, 0x00},
	}, nil
}

// fill answers a list; a malformed one with nothing, as a card without one gets.
func fill(list []byte, values map[tlv.Tag][]byte) []byte {
	d, err := tlv.ParseDOL(list)
	if err != nil {
		return nil
	}
	b, err := d.Append(nil, func(t tlv.Tag) ([]byte, tlv.Format, bool) {
		i, _ := tags.Lookup(t)
		v, ok := values[t]
		return v, i.Format, ok
	})
	if err != nil {
		return nil
	}
	return b
}
