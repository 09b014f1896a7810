package contactless_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// entryCase is a reader, a card, and what Book B has to come of them. A reader is
// "AID/KERNEL" a combination, with "+" behind it for extended selection and "-"
// for one that says no to it. A card is "NAME[/KERNEL[/PRIORITY[/EXTENDED]]]" a
// directory entry, "-" being an element that is not there and "=" one of no length.
type entryCase struct {
	name, reader, card string
	// status is the answer to a SELECT of a name instead of 9000, one a time; PPSE
	// is a name.
	status map[string][]string
	// kernels are outcomes, one an activation: "approve", "next", "again", "end"
	// and "interface".
	kernels string

	selects string // the names
	ran     string // "KERNEL:NAME" of each activation
	end     string
}

// step are the outcomes of entryCase.kernels.
func step(name string) contactless.Outcome {
	switch name {
	case "next":
		return contactless.Outcome{Kind: contactless.SelectNext, Start: contactless.StartC}
	case "again":
		return contactless.Outcome{Kind: contactless.TryAgain, Start: contactless.StartB}
	case "end":
		return contactless.Outcome{Kind: contactless.EndApplication}
	case "interface":
		return contactless.Outcome{Kind: contactless.TryAnotherInterface}
	}
	return contactless.Outcome{Kind: contactless.Approved}
}

// Names of the table: a card's own begin with a reader's.
const (
	a1, a2, a3 = "A00000099901", "A00000099902", "A00000099903"
	visaAID    = "A0000000031010"
	mcAID      = "A0000000041010"
	long16     = "A0000009990102030405060708090A0B"
)

func entryCases() []entryCase {
	const none = "no kernel"
	two := a1 + "/21 " + a2 + "/22"
	return []entryCase{
		// 3.3.2.2 to 3.3.2.4: the directory.
		{name: "no PPSE", reader: two, card: a1 + "/21", status: map[string][]string{"PPSE": {"6A82"}}, selects: "PPSE", ran: none, end: "End Application"},
		{name: "PPSE blocked", reader: two, card: a1 + "/21", status: map[string][]string{"PPSE": {"6283"}}, selects: "PPSE", ran: none, end: "End Application"},
		{name: "card blocked", reader: two, card: a1 + "/21", status: map[string][]string{"PPSE": {"6A81"}}, selects: "PPSE", ran: none, end: "End Application"},
		{name: "instruction not known", reader: two, card: a1 + "/21", status: map[string][]string{"PPSE": {"6D00"}}, selects: "PPSE", ran: none, end: "End Application"},
		{name: "an empty directory", reader: two, selects: "PPSE", ran: none, end: "End Application"},
		{name: "nothing in common", reader: two, card: a3 + "/21/1", selects: "PPSE", ran: none, end: "End Application"},

		// 3.3.2.5 A: the name.
		{name: "no name", reader: two, card: "-/21/1 " + a2 + "/22/2", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "a name of no length", reader: two, card: "=/21/1 " + a2 + "/22/2", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "a name of four bytes", reader: two, card: "A0000009/21/1 " + a2 + "/22/2", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "a name of five bytes", reader: "A000000999/21", card: "A000000999/21/1", selects: "PPSE A000000999", ran: "21:A000000999", end: "Approved"},
		{name: "a name of 16 bytes", reader: "A00000099901/21", card: long16 + "/21/1", selects: "PPSE " + long16, ran: "21:" + long16, end: "Approved"},
		{name: "a name of 17 bytes", reader: two, card: long16 + "0C/21/1 " + a2 + "/22/2", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},

		// 3.3.2.5 B: it begins with the reader's AID.
		{name: "the name is longer than the AID", reader: two, card: a1 + "77/21/1", selects: "PPSE " + a1 + "77", ran: "21:" + a1 + "77", end: "Approved"},
		{name: "the name is shorter than the AID", reader: a1 + "77/21", card: a1 + "/21/1", selects: "PPSE", ran: none, end: "End Application"},
		{name: "the name differs in its last byte", reader: two, card: a3 + "/22/1 " + a2 + "/22/2", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "two names under one AID", reader: a1 + "/21", card: a1 + "02/21/2 " + a1 + "01/21/1", kernels: "next approve", selects: "PPSE " + a1 + "01 " + a1 + "02", ran: "21:" + a1 + "01 21:" + a1 + "02", end: "Approved"},
		{name: "one name under two AIDs", reader: "A000000999/21 " + a1 + "/22", card: a1 + "/00/1", kernels: "next approve", selects: "PPSE " + a1 + " " + a1, ran: "21:" + a1 + " 22:" + a1, end: "Approved"},

		// 3.3.2.5 C and D: the kernel.
		{name: "no kernel identifier, no default", reader: a1 + "/21", card: a1, selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "a kernel identifier of no length", reader: a1 + "/21", card: a1 + "/=", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "kernel 0 is the reader's choice", reader: a1 + "/21", card: a1 + "/00", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "another kernel", reader: a1 + "/21", card: a1 + "/22", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 01: the whole byte", reader: a1 + "/41", card: a1 + "/41", selects: "PPSE " + a1, ran: "41:" + a1, end: "Approved"},
		{name: "b8b7 01 is not b8b7 00", reader: a1 + "/01", card: a1 + "/41", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 01 with a short identifier of zero", reader: a1 + "/40", card: a1 + "/40", selects: "PPSE " + a1, ran: "40:" + a1, end: "Approved"},
		{name: "b8b7 01 with zero is not the reader's choice", reader: a1 + "/21", card: a1 + "/40", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 00: what follows the first byte does not count", reader: a1 + "/21", card: a1 + "/21AABB", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "b8b7 00 in two bytes", reader: a1 + "/21", card: a1 + "/21AA", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "b8b7 10 in one byte", reader: a1 + "/81", card: a1 + "/81", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 10 in two bytes", reader: a1 + "/810978", card: a1 + "/8109", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 10 in two bytes, and the reader's kernel is that", reader: a1 + "/8109", card: a1 + "/8109", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 10 in two bytes is not three with a zero", reader: a1 + "/810900", card: a1 + "/8109", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 11 in two bytes, and the reader's kernel is that", reader: a1 + "/C109", card: a1 + "/C109", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 10 in two bytes passes its entry over alone", reader: a1 + "/810978 " + a2 + "/22", card: a1 + "/8109/1 " + a2 + "/22/2", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "b8b7 10: three bytes", reader: a1 + "/810978", card: a1 + "/810978", selects: "PPSE " + a1, ran: "810978:" + a1, end: "Approved"},
		{name: "b8b7 10: three of five bytes", reader: a1 + "/810978", card: a1 + "/810978AABB", selects: "PPSE " + a1, ran: "810978:" + a1, end: "Approved"},
		{name: "b8b7 10: three of eight bytes", reader: a1 + "/810978", card: a1 + "/8109780102030405", selects: "PPSE " + a1, ran: "810978:" + a1, end: "Approved"},
		{name: "b8b7 10 of another currency", reader: a1 + "/810978", card: a1 + "/810840", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 11: proprietary", reader: a1 + "/C10978", card: a1 + "/C10978", selects: "PPSE " + a1, ran: "C10978:" + a1, end: "Approved"},
		{name: "b8b7 11 is not b8b7 10", reader: a1 + "/810978", card: a1 + "/C10978", selects: "PPSE", ran: none, end: "End Application"},
		{name: "b8b7 11 with zero: a kernel of that very name", reader: a1 + "/C0010203", card: a1 + "/C0010203", selects: "PPSE " + a1, ran: "C0010203:" + a1, end: "Approved"},
		{name: "b8b7 11 with zero is nobody else's", reader: a1 + "/21 " + a1 + "/C00102", card: a1 + "/C0010203", selects: "PPSE", ran: none, end: "End Application"},
		{name: "no identifier under Visa's RID", reader: visaAID + "/02 " + visaAID + "/07", card: visaAID, selects: "PPSE", ran: none, end: "End Application"},
		{name: "no identifier under Mastercard's RID", reader: mcAID + "/21 " + mcAID + "/02", card: mcAID, selects: "PPSE " + mcAID, ran: "02:" + mcAID, end: "Approved"},
		{name: "an identifier before the default", reader: mcAID + "/21 " + mcAID + "/02", card: mcAID + "/21", selects: "PPSE " + mcAID, ran: "21:" + mcAID, end: "Approved"},
		{name: "no identifier, RID of kernel 4", reader: "A00000002501/04 A00000002501/21", card: "A00000002501", selects: "PPSE A00000002501", ran: "04:A00000002501", end: "Approved"},
		{name: "no identifier, RID of kernel 5", reader: "A0000000651010/21 A0000000651010/05", card: "A0000000651010", selects: "PPSE A0000000651010", ran: "05:A0000000651010", end: "Approved"},
		{name: "no identifier, RID of kernel 6", reader: "A0000001523010/21 A0000001523010/06", card: "A0000001523010", selects: "PPSE A0000001523010", ran: "06:A0000001523010", end: "Approved"},
		{name: "no identifier, RID of kernel 7", reader: "A000000333010101/21 A000000333010101/07", card: "A000000333010101", selects: "PPSE A000000333010101", ran: "07:A000000333010101", end: "Approved"},
		{name: "the first of two entries is for a kernel that is not there", reader: a1 + "/22", card: a1 + "/21/1 " + a1 + "/22/2", selects: "PPSE " + a1, ran: "22:" + a1, end: "Approved"},

		// 3.3.3.1 and 3.3.3.2: the order.
		{name: "by priority", reader: two, card: a1 + "/21/2 " + a2 + "/22/1", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "by priority, whatever the reader's order", reader: a2 + "/22 " + a1 + "/21", card: a2 + "/22/2 " + a1 + "/21/1", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "equal priorities: the directory's order", reader: two, card: a2 + "/22/1 " + a1 + "/21/1", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "no priorities: the directory's order", reader: two, card: a2 + "/22 " + a1 + "/21", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "priority 0 is the last", reader: two, card: a1 + "/21/0 " + a2 + "/22/15", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "no priority is the last", reader: two, card: a1 + "/21/- " + a2 + "/22/15", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "priority 0 and none are equal", reader: two, card: a2 + "/22/- " + a1 + "/21/0", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "the half byte above the priority does not count", reader: two, card: a1 + "/21/2 " + a2 + "/22/129", selects: "PPSE " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "kernels of one entry: the reader's order", reader: a1 + "/22 " + a1 + "/21", card: a1 + "/00/1", selects: "PPSE " + a1, ran: "22:" + a1, end: "Approved"},
		{name: "kernels of one entry come before the next entry", reader: a2 + "/23 " + a1 + "/22 " + a1 + "/21", card: a1 + "/00/1 " + a2 + "/23/1", kernels: "next next approve", selects: "PPSE " + a1 + " " + a1 + " " + a2, ran: "22:" + a1 + " 21:" + a1 + " 23:" + a2, end: "Approved"},
		{name: "several kernels with an entry each", reader: a1 + "/21 " + a1 + "/22", card: a1 + "/22/1 " + a1 + "/21/2", selects: "PPSE " + a1, ran: "22:" + a1, end: "Approved"},
		{name: "several entries with the same kernel and priority", reader: a1 + "/21", card: a1 + "B0/21/1 " + a1 + "A0/21/1", selects: "PPSE " + a1 + "B0", ran: "21:" + a1 + "B0", end: "Approved"},

		// 3.3.3.3: extended selection.
		{name: "extended selection", reader: a1 + "/21+", card: a1 + "/21/1/0708", selects: "PPSE " + a1 + "0708", ran: "21:" + a1 + "0708", end: "Approved"},
		{name: "extended selection that the reader says no to", reader: a1 + "/21-", card: a1 + "/21/1/0708", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "extended selection that the reader says nothing of", reader: a1 + "/21", card: a1 + "/21/1/0708", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "no extended selection on the card", reader: a1 + "/21+", card: a1 + "/21/1", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "extended selection of no length", reader: a1 + "/21+", card: a1 + "/21/1/=", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "extended selection behind a longer name", reader: a1 + "/21+", card: a1 + "77/21/1/08", selects: "PPSE " + a1 + "7708", ran: "21:" + a1 + "7708", end: "Approved"},
		{name: "extended selection up to 16 bytes", reader: a1 + "/21+", card: a1 + "/21/1/0102030405060708090A", selects: "PPSE " + a1 + "0102030405060708090A", ran: "21:" + a1 + "0102030405060708090A", end: "Approved"},
		{name: "extended selection beyond 16 bytes", reader: a1 + "/21+", card: a1 + "/21/1/0102030405060708090A0B", selects: "PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "extended selection is each combination's", reader: a1 + "/21+ " + a2 + "/22", card: a1 + "/21/1/07 " + a2 + "/22/2/07", kernels: "next approve", selects: "PPSE " + a1 + "07 " + a2, ran: "21:" + a1 + "07 22:" + a2, end: "Approved"},
		{name: "an extended name that the card does not know", reader: a1 + "/21+", card: a1 + "/21/1/07", status: map[string][]string{a1 + "07": {"6A82"}}, selects: "PPSE " + a1 + "07", ran: none, end: "End Application"},

		// 3.3.3.5: the answer to SELECT.
		{name: "not there: the next", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a1: {"6A82"}}, selects: "PPSE " + a1 + " " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "blocked: the next", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a1: {"6283"}}, selects: "PPSE " + a1 + " " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "the card blocked: the next", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a1: {"6A81"}}, selects: "PPSE " + a1 + " " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "conditions: the next", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a1: {"6985"}}, selects: "PPSE " + a1 + " " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "a warning is no 9000", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a1: {"6310"}}, selects: "PPSE " + a1 + " " + a2, ran: "22:" + a2, end: "Approved"},
		{name: "all refused", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a1: {"6A82"}, a2: {"6A82"}}, selects: "PPSE " + a1 + " " + a2, ran: none, end: "End Application"},
		{name: "refused, then given back", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a1: {"6A82"}}, kernels: "next", selects: "PPSE " + a1 + " " + a2, ran: "22:" + a2, end: "End Application"},

		// 3.5.1: outcomes that the entry point carries on with.
		{name: "select next at the end of the list", reader: a1 + "/21", card: a1 + "/21", kernels: "next", selects: "PPSE " + a1, ran: "21:" + a1, end: "End Application"},
		{name: "select next does not come back", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", kernels: "next next", selects: "PPSE " + a1 + " " + a2, ran: "21:" + a1 + " 22:" + a2, end: "End Application"},
		{name: "try again begins with the directory", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", kernels: "again approve", selects: "PPSE " + a1 + " PPSE " + a1, ran: "21:" + a1 + " 21:" + a1, end: "Approved"},
		{name: "try again forgets what was passed over", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", kernels: "next again approve", selects: "PPSE " + a1 + " " + a2 + " PPSE " + a1, ran: "21:" + a1 + " 22:" + a2 + " 21:" + a1, end: "Approved"},
		{name: "end application tries no other", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", kernels: "end", selects: "PPSE " + a1, ran: "21:" + a1, end: "End Application"},
		{name: "another interface tries no other", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", kernels: "interface", selects: "PPSE " + a1, ran: "21:" + a1, end: "Try Another Interface"},
		{name: "the card is lost in the directory", reader: two, card: a1 + "/21/1", status: map[string][]string{"PPSE": {"lost", "9000"}}, selects: "PPSE PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "the card is lost in its selection", reader: two, card: a1 + "/21/1", status: map[string][]string{a1: {"lost", "9000"}}, selects: "PPSE " + a1 + " PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "the card breaks the protocol in its selection", reader: two, card: a1 + "/21/1", status: map[string][]string{a1: {"broken", "9000"}}, selects: "PPSE " + a1 + " PPSE " + a1, ran: "21:" + a1, end: "Approved"},
		{name: "lost after one was passed over", reader: two, card: a1 + "/21/1 " + a2 + "/22/2", status: map[string][]string{a2: {"lost", "9000"}}, kernels: "next next approve", selects: "PPSE " + a1 + " " + a2 + " PPSE " + a1 + " " + a2, ran: "21:" + a1 + " 21:" + a1 + " 22:" + a2, end: "Approved"},
	}
}

// TestEntryCases is Book B, 3.3 and 3.5, case by case.
func TestEntryCases(t *testing.T) {
	for _, c := range entryCases() {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

// combinations reads a reader.
func (c *entryCase) combinations(t *testing.T, run contactless.Kernel) []contactless.Combination {
	t.Helper()
	var out []contactless.Combination
	for _, s := range strings.Fields(c.reader) {
		aid, kernel, _ := strings.Cut(s, "/")
		set := contactless.Settings{}
		switch {
		case strings.HasSuffix(kernel, "+"):
			set.ExtendedSelection = contactless.Yes
		case strings.HasSuffix(kernel, "-"):
			set.ExtendedSelection = contactless.No
		}
		out = append(out, contactless.Combination{
			AID: unhex(t, aid), Kernel: contactless.KernelID(unhex(t, strings.TrimRight(kernel, "+-"))), Settings: set, Run: run,
		})
	}
	return out
}

// entries reads a card.
func (c *entryCase) entries(t *testing.T) [][]byte {
	t.Helper()
	var out [][]byte
	for _, s := range strings.Fields(c.card) {
		parts := append(strings.Split(s, "/"), "-", "-", "-")
		var e []byte
		add := func(tag tlv.Tag, text string) {
			switch text {
			case "-":
			case "=":
				e = tlv.Append(e, tag, nil)
			default:
				e = tlv.Append(e, tag, unhex(t, text))
			}
		}
		add(tags.AID, parts[0])
		e = tlv.Append(e, tags.ApplicationLabel, []byte("TEST"))
		if parts[2] != "-" {
			var n byte
			if _, err := fmt.Sscan(parts[2], &n); err != nil {
				t.Fatal(err)
			}
			parts[2] = fmt.Sprintf("%02X", n)
		}
		add(tags.PriorityIndicator, parts[2])
		add(tags.KernelIdentifier, parts[1])
		add(tags.ExtendedSelection, parts[3])
		out = append(out, e)
	}
	return out
}

func (c *entryCase) run(t *testing.T) {
	var selects []string
	status := map[string][]string{}
	for k, v := range c.status {
		status[k] = append([]string{}, v...)
	}
	k := &card{answer: func(b []byte) ([]byte, error) {
		name := selected(b)
		key := named(name)
		selects = append(selects, key)
		sw := "9000"
		if list := status[key]; len(list) > 0 {
			sw = list[0]
			if len(list) > 1 {
				status[key] = list[1:]
			}
		}
		switch sw {
		case "lost":
			return nil, cardreader.ErrCardMute
		case "broken":
			return []byte{0x90}, nil
		}
		if key == "PPSE" {
			return append(directory(c.entries(t)...), unhex(t, sw)...), nil
		}
		return append(fci(name, []byte("TEST"), tlv.Append(nil, tags.PDOL, unhex(t, "9F6604"))), unhex(t, sw)...), nil
	}}
	kernel := &proxy{}
	for _, s := range strings.Fields(c.kernels + " approve") {
		kernel.outcomes = append(kernel.outcomes, step(s))
		if s == "end" || s == "interface" {
			break
		}
	}
	if strings.HasSuffix(c.kernels, "next") {
		kernel.outcomes = kernel.outcomes[:len(kernel.outcomes)-1]
	}
	r, err := contactless.New(contactless.Config{Terminal: terminal(), Combinations: c.combinations(t, kernel), Now: still, Pause: noPause}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := r.Begin(&field{connect: []func() (cardreader.Card, error){func() (cardreader.Card, error) { return k, nil }}}, emv.Transaction{Amount: amount(t, 100, "EUR")})
	out, err := e.Activate(t.Context(), contactless.StartA, nil)
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	var ran []string
	for _, a := range kernel.given {
		ran = append(ran, fmt.Sprintf("%s:%X", a.Kernel, a.Name))
		if !bytes.HasPrefix(a.Name, a.AID) || !bytes.Equal(a.Terminal[tags.TerminalAID], a.AID) {
			t.Errorf("kernel %s: AID %X, 9F06 %X, name %X", a.Kernel, a.AID, a.Terminal[tags.TerminalAID], a.Name)
		}
	}
	if len(ran) == 0 {
		ran = []string{"no kernel"}
	}
	got := []string{strings.Join(selects, " "), strings.Join(ran, " "), out.Kind.String()}
	if d := cmp.Diff([]string{c.selects, c.ran, c.end}, got); d != "" {
		t.Errorf("selected, run, outcome (-want +got):\n%s", d)
	}
	if len(kernel.given) == 0 || c.kernels == "next" || strings.HasSuffix(c.kernels, "next next") {
		// 3.3.2.7
		if out.Kind == contactless.EndApplication && fmt.Sprintf("%X", out.Bytes()) != "40F0F0F080F0FF00" {
			t.Errorf("parameters %X", out.Bytes())
		}
		if out.UI == nil || out.UI.Message != contactless.MessageInsertSwipeOrTry || out.UI.Status != contactless.StatusReadyToRead {
			t.Errorf("shown %+v", out.UI)
		}
	}
}

// TestPreprocessedEntry is Book B, 3.1 and 3.2.1.1: which combinations an amount
// leaves, where the reader begins, and what the cardholder is told.
func TestPreprocessedEntry(t *testing.T) {
	limit := func(n uint64) *uint64 { return &n }
	ttq := func() *tags.TTQValue { return &tags.TTQValue{0x36, 0xC0, 0x80, 0x00} }
	offlineOnly := &tags.TTQValue{0x2E, 0x00, 0x80, 0x00}
	type settings = contactless.Settings
	for _, c := range []struct {
		name     string
		at       contactless.Start
		amount   int64
		currency string
		one, two settings
		types    [2]string
		kind     byte
		ran      string // kernel, and its TTQ
		end      string
		shown    string
	}{
		{"both allowed", contactless.StartA, 100, "EUR", settings{TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36008000", "Approved", "15 ready to read"},
		{"the first not allowed", contactless.StartA, 100, "EUR", settings{TransactionLimit: limit(100)}, settings{}, [2]string{}, 0, "22", "Approved", "15 ready to read"},
		{"none allowed", contactless.StartA, 100, "EUR", settings{TransactionLimit: limit(100)}, settings{TransactionLimit: limit(1)}, [2]string{}, 0, "", "Try Another Interface", "18 processing error"},
		{"one below the limits", contactless.StartA, 99, "EUR", settings{TransactionLimit: limit(100)}, settings{}, [2]string{}, 0, "21", "Approved", "15 ready to read"},
		{"zero, not allowed by the first", contactless.StartA, 0, "EUR", settings{ZeroAmount: contactless.No}, settings{TTQ: ttq()}, [2]string{}, 0, "22 36808000", "Approved", "15 ready to read"},
		{"zero, allowed by none", contactless.StartA, 0, "EUR", settings{ZeroAmount: contactless.No}, settings{ZeroAmount: contactless.No}, [2]string{}, 0, "", "Try Another Interface", "18 processing error"},
		{"zero, the first is offline only", contactless.StartA, 0, "EUR", settings{TTQ: offlineOnly}, settings{TTQ: ttq()}, [2]string{}, 0, "22 36808000", "Approved", "15 ready to read"},
		{"zero, offline only, and no reader of it", contactless.StartA, 0, "EUR", settings{TTQ: offlineOnly}, settings{TTQ: offlineOnly}, [2]string{}, 0, "", "Try Another Interface", "18 processing error"},
		{"zero under a transaction limit of zero", contactless.StartA, 0, "EUR", settings{TransactionLimit: limit(0)}, settings{}, [2]string{}, 0, "22", "Approved", "15 ready to read"},
		{"zero under a CVM limit of zero", contactless.StartA, 0, "EUR", settings{CVMLimit: limit(0), TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36C08000", "Approved", "15 ready to read"},
		{"zero under a floor limit of zero", contactless.StartA, 0, "EUR", settings{FloorLimit: limit(0), TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36808000", "Approved", "15 ready to read"},
		{"the floor limit", contactless.StartA, 100, "EUR", settings{FloorLimit: limit(100), TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36008000", "Approved", "15 ready to read"},
		{"above the floor limit", contactless.StartA, 101, "EUR", settings{FloorLimit: limit(100), TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36808000", "Approved", "15 ready to read"},
		{"the CVM limit", contactless.StartA, 100, "EUR", settings{CVMLimit: limit(100), TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36408000", "Approved", "15 ready to read"},
		{"the CVM limit is over the transaction limit", contactless.StartA, 100, "EUR", settings{CVMLimit: limit(200), TransactionLimit: limit(101), TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36008000", "Approved", "15 ready to read"},
		{"a status check of one euro", contactless.StartA, 100, "EUR", settings{StatusCheck: contactless.Yes, TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36808000", "Approved", "15 ready to read"},
		{"a status check of one cent is none", contactless.StartA, 1, "EUR", settings{StatusCheck: contactless.Yes, TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36008000", "Approved", "15 ready to read"},
		{"a status check of one yen", contactless.StartA, 1, "JPY", settings{StatusCheck: contactless.Yes, TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36808000", "Approved", "15 ready to read"},
		{"a status check of one dinar", contactless.StartA, 1000, "KWD", settings{StatusCheck: contactless.Yes, TTQ: ttq()}, settings{}, [2]string{}, 0, "21 36808000", "Approved", "15 ready to read"},
		{"a status check over the transaction limit", contactless.StartA, 100, "EUR", settings{StatusCheck: contactless.Yes, TransactionLimit: limit(100)}, settings{}, [2]string{}, 0, "22", "Approved", "15 ready to read"},
		{"of the transaction's type", contactless.StartA, 100, "EUR", settings{}, settings{}, [2]string{"00", "20"}, 0x20, "22", "Approved", "15 ready to read"},
		{"of no type", contactless.StartA, 100, "EUR", settings{}, settings{}, [2]string{"00", "20"}, 0x09, "", "Try Another Interface", "18 processing error"},
		{"begun at B, the TTQ are as they are", contactless.StartB, 100, "EUR", settings{TTQ: ttq(), TransactionLimit: limit(1), FloorLimit: limit(1)}, settings{}, [2]string{}, 0, "21 36C08000", "Approved", "15 ready to read"},
		{"begun at B, of the transaction's type", contactless.StartB, 100, "EUR", settings{}, settings{}, [2]string{"00", "20"}, 0x20, "22", "Approved", "15 ready to read"},
		{"begun at B, of no type", contactless.StartB, 100, "EUR", settings{}, settings{}, [2]string{"00", "20"}, 0x09, "", "End Application", "15 ready to read, 1C ready to read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log, shown []string
			kernel := &proxy{outcomes: []contactless.Outcome{{Kind: contactless.Approved}}}
			r, err := contactless.New(contactless.Config{
				Terminal: terminal(), Now: still, Pause: noPause,
				Combinations: []contactless.Combination{
					{AID: aidOne, Kernel: "\x21", Settings: c.one, Types: unhex(t, c.types[0]), Run: kernel},
					{AID: aidTwo, Kernel: "\x22", Settings: c.two, Types: unhex(t, c.types[1]), Run: kernel},
				},
				Show: func(u contactless.UIRequest) {
					shown = append(shown, fmt.Sprintf("%02X %s", byte(u.Message), u.Status))
				},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := &field{connect: []func() (cardreader.Card, error){func() (cardreader.Card, error) { return plainCard(&log), nil }}}
			e := r.Begin(f, emv.Transaction{Type: c.kind, Amount: amount(t, c.amount, c.currency)})
			out, err := e.Activate(t.Context(), c.at, nil)
			if err := errors.Join(err, e.Close()); err != nil {
				t.Fatal(err)
			}
			ran := ""
			if len(kernel.given) > 0 {
				a := kernel.last(t)
				ran = a.Kernel.String()
				if a.Indicators.TTQ != nil {
					ran += " " + a.Indicators.TTQ.String()
					if !bytes.Equal(a.Terminal[tags.TTQ], a.Indicators.TTQ[:]) {
						t.Errorf("9F66 is %X", a.Terminal[tags.TTQ])
					}
				}
			}
			got := []string{ran, out.Kind.String(), strings.Join(shown, ", ")}
			if d := cmp.Diff([]string{c.ran, c.end, c.shown}, got); d != "" {
				t.Errorf("run, outcome, shown (-want +got):\n%s", d)
			}
			if out.Kind == contactless.TryAnotherInterface {
				// 3.1.1.13: no field was powered for it.
				if b := fmt.Sprintf("%X", out.Bytes()); b != "60F0F0F080F0FF00" || f.opened != 0 {
					t.Errorf("parameters %s, the field was powered %d times", b, f.opened)
				}
			}
		})
	}
}

// TestRestarts is Book A, 5.1.4 and Book B, 3.3.1.1 and 3.5: where a transaction
// goes on, on what data, after what pause and which message.
func TestRestarts(t *testing.T) {
	present := &contactless.UIRequest{Message: contactless.MessagePresentCardAgain, Status: contactless.StatusReadyToRead}
	iad := &emv.HostResponse{ARC: "00", IssuerAuthenticationData: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	bare := &emv.HostResponse{ARC: "00"}
	for _, c := range []struct {
		name     string
		first    contactless.Outcome
		at       contactless.Start
		response *emv.HostResponse
		selects  string
		shown    string
		paused   string
		opened   int
		issuer   bool // the kernel is given the issuer's answer, and the data of before
	}{
		{"at B, without a message", contactless.Outcome{Start: contactless.StartB}, contactless.StartB, nil,
			"PPSE " + a1 + " PPSE " + a1, "15 ready to read, 15 ready to read", "", 2, false},
		{"at B, with one", contactless.Outcome{Start: contactless.StartB, UIRestart: present}, contactless.StartB, nil,
			"PPSE " + a1 + " PPSE " + a1, "15 ready to read, 21 ready to read", "", 2, false},
		{"at A", contactless.Outcome{Start: contactless.StartA, UIRestart: present}, contactless.StartA, nil,
			"PPSE " + a1 + " PPSE " + a1, "15 ready to read, 21 ready to read", "", 2, false},
		{"at C", contactless.Outcome{Start: contactless.StartC, UIRestart: present}, contactless.StartC, nil,
			"PPSE " + a1 + " " + a1, "15 ready to read", "", 1, false},
		{"at D", contactless.Outcome{Start: contactless.StartD}, contactless.StartD, nil,
			"PPSE " + a1, "15 ready to read", "", 1, false},
		{"at B, with the issuer's data", contactless.Outcome{Kind: contactless.OnlineRequest, Start: contactless.StartB, OnlineResponse: contactless.OnlineResponseEMV, UIRestart: present}, contactless.StartB, iad,
			"PPSE " + a1 + " " + a1, "15 ready to read, 21 ready to read", "", 2, true},
		{"at B, with an answer that has none", contactless.Outcome{Kind: contactless.OnlineRequest, Start: contactless.StartB, OnlineResponse: contactless.OnlineResponseAny, UIRestart: present}, contactless.StartB, bare,
			"PPSE " + a1 + " PPSE " + a1, "15 ready to read, 21 ready to read", "", 2, true},
		{"at D, with the issuer's data", contactless.Outcome{Kind: contactless.OnlineRequest, Start: contactless.StartD, OnlineResponse: contactless.OnlineResponseEMV}, contactless.StartD, iad,
			"PPSE " + a1, "15 ready to read", "", 1, true},
		{"the field off meanwhile", contactless.Outcome{Start: contactless.StartB, FieldOff: contactless.FieldOff{Requested: true, Hold: 1300 * time.Millisecond}}, contactless.StartB, nil,
			"PPSE " + a1 + " PPSE " + a1, "15 ready to read, 15 ready to read", "1.3s", 2, false},
		{"the field off, and on at once", contactless.Outcome{Start: contactless.StartB, FieldOff: contactless.FieldOff{Requested: true}}, contactless.StartB, nil,
			"PPSE " + a1 + " PPSE " + a1, "15 ready to read, 15 ready to read", "", 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log, shown, paused []string
			data := &contactless.Data{}
			c.first.Data = data
			kernel := &proxy{outcomes: []contactless.Outcome{c.first, {Kind: contactless.Approved}}}
			r, err := contactless.New(contactless.Config{
				Terminal: terminal(), Now: still,
				Combinations: []contactless.Combination{{AID: aidOne, Kernel: "\x21", Run: kernel}},
				Pause:        func(_ context.Context, d time.Duration) error { paused = append(paused, d.String()); return nil },
				Show: func(u contactless.UIRequest) {
					shown = append(shown, fmt.Sprintf("%02X %s", byte(u.Message), u.Status))
				},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := &field{connect: []func() (cardreader.Card, error){func() (cardreader.Card, error) { return plainCard(&log), nil }}}
			e := r.Begin(f, emv.Transaction{Amount: amount(t, 100, "EUR")})
			if _, err := e.Activate(t.Context(), contactless.StartA, nil); err != nil {
				t.Fatal(err)
			}
			out, err := e.Activate(t.Context(), c.at, c.response)
			if err := errors.Join(err, e.Close()); err != nil {
				t.Fatal(err)
			}
			got := []string{strings.Join(log, " "), strings.Join(shown, ", "), strings.Join(paused, " "), fmt.Sprint(f.opened), out.Kind.String()}
			if d := cmp.Diff([]string{c.selects, c.shown, c.paused, fmt.Sprint(c.opened), "Approved"}, got); d != "" {
				t.Errorf("selected, shown, paused, powered, outcome (-want +got):\n%s", d)
			}
			a := kernel.last(t)
			if !a.Restart || a.Start != c.at || kernel.given[0].Restart || kernel.given[0].Start != contactless.StartA {
				t.Errorf("the kernel sees restart %t, start %s", a.Restart, a.Start)
			}
			if c.issuer != (a.Issuer != nil) || c.issuer != (a.Before == data) || kernel.given[0].Issuer != nil {
				t.Errorf("the kernel is given %v, and data %t", a.Issuer, a.Before == data)
			}
			if n := [2][]byte{kernel.given[0].Terminal[tags.UnpredictableNumber], a.Terminal[tags.UnpredictableNumber]}; bytes.Equal(n[0], n[1]) {
				t.Errorf("the unpredictable number is %X both times", n[0])
			}
		})
	}
}
