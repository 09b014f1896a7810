package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/pcsc"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/trace"
)

// session is what passed between the card and a terminal: this program, or the
// one that recorded it.
func session(ctx context.Context, o options) (t *trace.Trace, name string, err error) {
	kind, file, _ := strings.Cut(o.reader, ":")
	if kind == "replay" {
		f, err := os.Open(file)
		if err != nil {
			return nil, "", fmt.Errorf("-reader replay: %w", err)
		}
		defer f.Close()
		list, _, err := trace.ParseAny(f)
		if err != nil {
			return nil, "", fmt.Errorf("-reader replay:%s: %w", file, err)
		}
		return choose(list, o.session, filepath.Base(file))
	}
	r, err := open(o)
	if err != nil {
		return nil, "", err
	}
	if kind != "pcsc" {
		o.say = func(string) {}
	}
	return read(ctx, r, o)
}

// read reads the card that a reader gets. With an error, the trace is what there
// was until then, nil when nothing was.
func read(ctx context.Context, r cardreader.Reader, o options) (*trace.Trace, string, error) {
	o.say("waiting for a card in " + r.Name())
	card, err := r.Connect(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("waiting for a card in %s: %w", r.Name(), err)
	}
	o.say("reading; leave the card where it is")
	tape := newTape(card)
	err = errors.Join(tour(ctx, tape, o.aid), card.Close())
	if err != nil && len(tape.t.Exchanges) == 0 {
		return nil, "", err
	}
	return &tape.t, r.Name(), err
}

// choose takes the one session of a file, or the one that -session names.
func choose(list []trace.Session, name, file string) (*trace.Trace, string, error) {
	if name == "" && len(list) == 1 {
		return list[0].Trace, "recording " + file, nil
	}
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s.Trace, "recording " + file + ", " + s.Name, nil
		}
		names = append(names, s.Name)
	}
	return nil, "", fmt.Errorf("-session: the file holds %s", strings.Join(names, ", "))
}

// unknownReader is a -reader that this program can't open.
type unknownReader struct{ name, why string }

func (e *unknownReader) Error() string { return fmt.Sprintf("-reader %s: %s", e.name, e.why) }

// open is the reader that -reader names. A kind of reader is a case here.
func open(o options) (cardreader.Reader, error) {
	switch kind, name, _ := strings.Cut(o.reader, ":"); kind {
	case "sim":
		return software(o)
	case "pcsc":
		s, err := pcsc.New(pcsc.Config{})
		if err != nil {
			return nil, fmt.Errorf("-reader pcsc: %w", err)
		}
		return s.Reader(name), nil
	}
	return nil, &unknownReader{o.reader, "there are sim, pcsc, pcsc:NAME and replay:FILE"}
}

func software(o options) (cardreader.Reader, error) {
	p, err := simcard.LookupProfile(o.card)
	if err != nil {
		return nil, err
	}
	c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI()})
	if err != nil {
		return nil, err
	}
	return c.Reader("software card \"" + p.Name + "\""), nil
}

// authorities are the CA keys of a file, or those of the software cards.
func authorities(file string) (*oda.Store, error) {
	if file == "" {
		var b bytes.Buffer
		if err := simcard.WriteCAPK(&b, testkeys.PKI(), simcard.AllProfiles()); err != nil {
			return nil, err
		}
		return oda.ParseCAPK(&b)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("-capk: %w", err)
	}
	defer f.Close()
	s, err := oda.ParseCAPK(f)
	if err != nil {
		return nil, fmt.Errorf("-capk %s: %w", file, err)
	}
	return s, nil
}

// tape passes commands on and keeps what passed.
type tape struct {
	cardreader.Card
	t trace.Trace
}

func newTape(c cardreader.Card) *tape {
	t := &tape{Card: c, t: trace.Trace{ATR: c.ATR()}}
	if p, ok := c.(cardreader.Protocoler); ok {
		t.t.Protocol = p.Protocol()
	}
	if i, ok := c.(cardreader.Interfacer); ok {
		t.t.Interface = i.Interface()
	}
	return t
}

// Transmit implements cardreader.Card.
func (t *tape) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	began := time.Now()
	r, err := t.Card.Transmit(ctx, command)
	if err == nil && len(r) >= 2 {
		t.t.Exchanges = append(t.t.Exchanges, trace.Exchange{
			Took: time.Since(began), Command: bytes.Clone(command), Response: bytes.Clone(r),
		})
	}
	return r, err
}
