package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/pcsc"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/trace"
)

// readers are the reader that -reader names as -interface has it used: where the
// card is inserted, and where it is tapped.
func (d *demonstration) readers() (insert, tap cardreader.Reader, err error) {
	if d.o.inserts() {
		if insert, err = d.reader(false); err != nil {
			return nil, nil, err
		}
	}
	if d.o.taps() {
		tap, err = d.reader(true)
	}
	return insert, tap, err
}

// The values of -interface.
const (
	faceAny         = ""
	faceContact     = "contact"
	faceContactless = "contactless"
	faceBoth        = "both"
)

// inserts and taps report which readers the unit has.
func (o options) inserts() bool { return o.face != faceContactless }
func (o options) taps() bool    { return o.face == faceContactless || o.face == faceBoth }

// sides is -interface, chosen where it was not given: a card that has both sides
// is tapped first, unless the run is about what is done with inserted cards.
func (d *demonstration) sides() (string, error) {
	if d.o.face != faceAny {
		return d.o.face, nil
	}
	kind, name, _ := strings.Cut(d.o.reader, ":")
	switch kind {
	case "replay":
		t, err := recording(name)
		if err == nil && t.Interface == cardreader.Contactless {
			return faceContactless, nil
		}
		return faceContact, err
	case "sim":
		p, err := simcard.LookupProfile(d.o.card)
		if err != nil {
			return "", err
		}
		plain := d.o.card == "" || d.o.card == "default"
		inserted := d.o.pin != "" || d.o.asks || d.o.cancelAt == "pin" || d.fault.card != ""
		if !p.Tapped && (!plain || inserted) {
			return faceContact, nil
		}
	}
	return faceBoth, nil
}

// reader is one of them, recorded when -trace asks for it: the second card of a
// payment, or a card's second tap, in a file of its own.
func (d *demonstration) reader(tapped bool) (cardreader.Reader, error) {
	r, err := d.bareReader(tapped)
	if err != nil || d.o.trace == "" || d.o.cassette {
		return r, err
	}
	// A file that can't be written is told before anything is paid.
	f, err := os.OpenFile(d.o.trace, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("-trace: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("-trace: %w", err)
	}
	open := func() (io.WriteCloser, error) {
		d.traces++
		name := d.o.trace
		if d.traces > 1 {
			ext := filepath.Ext(name)
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), d.traces, ext)
			d.screen.line("trace", "the next card is recorded in "+name, 0)
		}
		return os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	}
	return trace.RecordReader(r, open, trace.Options{Now: d.now}), nil
}

func (d *demonstration) bareReader(tapped bool) (cardreader.Reader, error) {
	kind, name, _ := strings.Cut(d.o.reader, ":")
	switch kind {
	case "sim":
		return d.softwareCard(tapped)
	case "replay":
		return replay(name)
	case "pcsc":
		s, err := pcsc.New(pcsc.Config{})
		if err != nil {
			return nil, fmt.Errorf("-reader pcsc: %w", err)
		}
		r := s.Reader(name)
		switch {
		case d.o.face != faceBoth:
			return r, nil
		case tapped:
			return r.Tapped(), nil
		}
		return r.Inserted(), nil
	}
	return nil, fmt.Errorf("-reader %s: want sim, pcsc, pcsc:NAME or replay:FILE", d.o.reader)
}

// replay is a card that gives a recorded one's answers.
func replay(file string) (cardreader.Reader, error) {
	t, err := recording(file)
	if err != nil {
		return nil, err
	}
	return trace.NewReader("recording "+filepath.Base(file), t), nil
}

func recording(file string) (*trace.Trace, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("-reader replay: %w", err)
	}
	defer f.Close()
	t, err := trace.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("-reader replay:%s: %w", file, err)
	}
	return t, nil
}

func (d *demonstration) softwareCard(tapped bool) (cardreader.Reader, error) {
	if d.card == nil {
		var err error
		if d.card, err = d.makeCard(); err != nil {
			return nil, err
		}
	}
	name := "software card \"" + d.card.Profile().Name + "\""
	if tapped {
		return simcard.NewField(name+" in the field", d.card), nil
	}
	d.slot = d.card.Reader(name)
	return d.slot, nil
}

// makeCard makes the software card, which both interfaces share.
func (d *demonstration) makeCard() (*simcard.Card, error) {
	p, err := simcard.LookupProfile(d.o.card)
	if err != nil {
		return nil, err
	}
	f, err := simcard.ParseFaults(d.fault.card)
	if err != nil {
		return nil, err
	}
	return simcard.New(p, simcard.Options{
		PKI: testkeys.PKI(), State: simcard.FileState(filepath.Join(d.dir, "card-"+p.Name+".json")),
		Rand: d.random("card"), Currency: d.o.amount.Currency, Faults: f,
	})
}
