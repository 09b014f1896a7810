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

// reader is the reader that -reader names, recorded when -trace asks for it.
func (d *demonstration) reader() (cardreader.Reader, error) {
	r, err := d.bareReader()
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
	open := func() (io.WriteCloser, error) { return os.Create(d.o.trace) }
	return trace.RecordReader(r, open, trace.Options{Now: d.now}), nil
}

func (d *demonstration) bareReader() (cardreader.Reader, error) {
	kind, name, _ := strings.Cut(d.o.reader, ":")
	switch kind {
	case "sim":
		return d.softwareCard()
	case "replay":
		return replay(name)
	case "pcsc":
		s, err := pcsc.New(pcsc.Config{})
		if err != nil {
			return nil, fmt.Errorf("-reader pcsc: %w", err)
		}
		return s.Reader(name), nil
	}
	return nil, fmt.Errorf("-reader %s: want sim, pcsc, pcsc:NAME or replay:FILE", d.o.reader)
}

// replay is a card that gives a recorded one's answers.
func replay(file string) (cardreader.Reader, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("-reader replay: %w", err)
	}
	defer f.Close()
	t, err := trace.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("-reader replay:%s: %w", file, err)
	}
	return trace.NewReader("recording "+filepath.Base(file), t), nil
}

func (d *demonstration) softwareCard() (cardreader.Reader, error) {
	p, err := simcard.LookupProfile(d.o.card)
	if err != nil {
		return nil, err
	}
	f, err := simcard.ParseFaults(d.fault.card)
	if err != nil {
		return nil, err
	}
	c, err := simcard.New(p, simcard.Options{
		PKI: testkeys.PKI(), State: simcard.FileState(filepath.Join(d.dir, "card-"+p.Name+".json")),
		Rand: d.random("card"), Currency: d.o.amount.Currency, Faults: f,
	})
	if err != nil {
		return nil, err
	}
	return c.Reader("software card \"" + p.Name + "\""), nil
}
