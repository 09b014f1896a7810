package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/payunit/payunit/examples/internal/sealed"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/cassette"
	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// recordings are the flags that are about recording and not about the payment.
func recordings() []string {
	return []string{"trace", "cassette", "passphrase-file", "reader", "json", "storage"}
}

// openCassette returns the cassette that -reader replay:FILE names, nil when the
// file is a card's recording, or no file is named.
func openCassette(o options) (*cassette.Tape, error) {
	kind, name, _ := strings.Cut(o.reader, ":")
	if kind != "replay" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("-reader replay: %w", err)
	}
	defer f.Close()
	var passphrase string
	if o.passphrase != "" {
		if passphrase, err = sealed.Passphrase(o.passphrase); err != nil {
			return nil, fmt.Errorf("-passphrase-file: %w", err)
		}
	}
	r, err := sealed.Reader(f, passphrase)
	if err != nil {
		return nil, fmt.Errorf("-reader replay:%s: %w; give -passphrase-file", name, err)
	}
	b := bufio.NewReaderSize(r, 1<<20)
	line, err := b.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("-reader replay:%s: %w", name, err)
	}
	line = bytes.Clone(line)
	if !cassette.IsCassette(line) {
		return nil, nil
	}
	t, err := cassette.Play(io.MultiReader(bytes.NewReader(line), b))
	if err != nil {
		return nil, fmt.Errorf("-reader replay:%s: %w", name, err)
	}
	return t, nil
}

// played is the command line of the recorded payment, with what the present one
// says about printing.
func played(o options, t *cassette.Tape, stderr io.Writer) (options, error) {
	if o.trace != "" {
		return o, errors.New("-trace: a cassette is a recording already, and its payment is not recorded again")
	}
	p, err := parse(t.Setup().Arguments, stderr)
	if err != nil {
		return p, fmt.Errorf("-%s: the cassette's arguments: %w", o.reader, err)
	}
	if p.face == faceAny {
		// So it was where the choice was not recorded.
		p.face = faceContact
	}
	p.json, p.reader, p.tape = o.json, o.reader, t
	return p, nil
}

// arguments are those of the payment alone.
func arguments(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !slices.Contains(recordings(), name) {
			kept = append(kept, args[i])
			continue
		}
		if boolean := name == "cassette" || name == "json"; !joined && !boolean {
			i++
		}
	}
	return kept
}

// record begins a cassette in the file of -trace.
func (d *demonstration) record() error {
	if t, err := d.terminalData(); err == nil && t.Exceptions.Len() > 0 && d.o.passphrase == "" {
		return errors.New("-cassette: the exceptions of the terminal file are card numbers, which only a sealed cassette holds: give -passphrase-file")
	}
	f, err := os.OpenFile(d.o.trace, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("-trace: %w", err)
	}
	d.closing = append(d.closing, f.Close)
	var w io.Writer = f
	if d.o.passphrase != "" {
		passphrase, err := sealed.Passphrase(d.o.passphrase)
		if err != nil {
			return fmt.Errorf("-passphrase-file: %w", err)
		}
		s, err := sealed.Writer(f, passphrase)
		if err != nil {
			return err
		}
		d.closing = append(d.closing, s.Close)
		w = s
	}
	s := cassette.Setup{Arguments: append(arguments(d.o.args), "-interface="+d.o.face)}
	if s.Terminal, err = compacted(d.terminalJSON()); err != nil {
		return fmt.Errorf("-terminal: %w", err)
	}
	if s.CAPK, err = compacted(d.capkJSON()); err != nil {
		return fmt.Errorf("-capk: %w", err)
	}
	d.o.tape, err = cassette.Record(w, s, d.now)
	return err
}

// compacted is JSON on one line.
func compacted(b []byte, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Compact(&out, b)
	return out.Bytes(), err
}

// context is the payment's, which a recording tells the end of from that of a wait.
func (d *demonstration) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.o.tape == nil || d.playing() {
		return context.WithCancel(ctx)
	}
	return d.o.tape.Context(ctx)
}

// through puts the tape between the unit and its modules, and returns what
// opens the state through it.
func (d *demonstration) through(ctx context.Context, c *softunit.Config) func() error {
	t := d.o.tape
	// What seals the state has its own use for randomness, which is not the
	// unit's.
	kept := softunit.Config{Rand: c.Rand}
	c.Link, c.UI, c.Panel = t.Link(c.Link), t.UI(c.UI), t.Panel(c.Panel)
	// A unit has the readers that it had, and no other.
	if d.o.inserts() {
		c.Reader = t.Reader(c.Reader)
	}
	if d.o.taps() {
		c.TapReader = t.TapReader(c.TapReader)
	}
	if d.o.swipes() {
		c.Stripe = t.Stripe(c.Stripe)
	}
	c.Rand, c.Now, c.Timeout = t.Rand(c.Rand), t.Now, t.Timeout
	return func() error {
		if t.Playing() {
			c.State = t.State(nil)
			return nil
		}
		kept.State = nil
		if err := d.o.storage.open(ctx, d.dir, &kept); err != nil {
			return err
		}
		if kept.State == nil {
			v, err := vault.Open(ctx, kept.Dir, vault.Config{Key: kept.Key, Rand: kept.Rand})
			if err != nil {
				return err
			}
			kept.State = v
		}
		c.State = taped{t.State(kept.State), kept.State}
		return nil
	}
}

// taped is a state through a tape. The unit closes what is behind it.
type taped struct {
	cassette.State
	behind softunit.State
}

// Value implements trusted.CounterReader: the tape's does.
func (t taped) Value(ctx context.Context, name string) (uint64, error) {
	if r, ok := t.State.(trusted.CounterReader); ok {
		return r.Value(ctx, name)
	}
	return 0, errors.ErrUnsupported
}

func (t taped) Close() error {
	if c, ok := t.behind.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// value is a value that comes from outside of the unit, or from the cassette.
func (d *demonstration) value(ctx context.Context, name string, get func(context.Context) (string, error)) (string, error) {
	if d.o.tape == nil {
		return get(ctx)
	}
	return d.o.tape.Value(ctx, name, get)
}

// end ends the tape, and says what a played one showed.
func (d *demonstration) end(r payment.Result, rep *payment.Report, failed error) error {
	t := d.o.tape
	if t == nil {
		return nil
	}
	var result any = r
	if rep != nil {
		result = rep
	}
	if err := t.End(result, failed); err != nil {
		return err
	}
	if t.Playing() {
		d.screen.line("cassette", fmt.Sprintf("%d calls of the unit, each as recorded to the byte, and the same result", t.Calls()), 0)
	} else {
		d.screen.line("cassette", "recorded whole: -reader replay:"+filepath.Base(d.o.trace)+" makes this payment again", 0)
	}
	return nil
}
