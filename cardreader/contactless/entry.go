package contactless

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Activation is what the entry point makes available to a kernel (Book B, 3.4;
// Book A, 5.1 and 5.2).
type Activation struct {
	// Start is where the entry point was activated, Restart the restart flag.
	Start   Start
	Restart bool
	Card    cardreader.Card
	// Kernel is the kernel's identifier, AID the combination's, Name the name
	// that SELECT was given: the ADF name, with the extended selection.
	Kernel KernelID
	AID    []byte
	Name   []byte
	// FCI and SW are the answer to SELECT.
	FCI        []byte
	SW         apdu.Status
	Settings   Settings
	Indicators Indicators
	// Transaction is what is to be paid, Terminal the terminal's data objects
	// for it, with a new unpredictable number. The kernel may keep both.
	Transaction emv.Transaction
	Terminal    map[tlv.Tag][]byte
	// Issuer is the issuer's answer when the activation brings it to the card,
	// Before the data of the activation that had asked for it; nil else.
	Issuer *emv.HostResponse
	Before *Data
	// Show sends a user interface request at once, Observe tells what
	// happens.
	Show    func(UIRequest)
	Observe func(emv.Event)
	Config  *Config
}

// Entry is one transaction of a reader, over its activations. It is used from
// one goroutine at a time and is to be closed.
type Entry struct {
	r      *Reader
	reader cardreader.Reader
	t      emv.Transaction
	card   cardreader.Card

	start    Start
	restart  bool
	begun    int
	list     []*combination
	retained *UIRequest
	issuer   *emv.HostResponse

	// off is how long the field stays off from offSince on.
	off      time.Duration
	offSince time.Time

	candidates []candidate
	selected   *selection
	data       *Data
	// passed says why applications were passed over.
	passed []string
}

// selection is the combination that was selected last.
type selection struct {
	candidate
	name []byte
	fci  []byte
	sw   apdu.Status
}

// Activate activates the entry point at Start A or B, or after a restart at C or
// D, and returns the final outcome: Try Again and Select Next are carried out
// within. A second and later call is a restart (Book A, 5.1.4); issuer is the
// issuer's answer when it is one to an online request, else nil. Errors:
// ErrState, ErrConfig, those of the reader and the kernel, one that wraps
// ctx.Err().
func (e *Entry) Activate(ctx context.Context, at Start, issuer *emv.HostResponse) (Outcome, error) {
	if at == StartNone || at > StartB && (!e.restart || e.selected == nil || e.card == nil) {
		return Outcome{}, fmt.Errorf("%w: start %s of a transaction without a card", ErrState, at)
	}
	e.start, e.issuer = at, issuer
	for next := at; ; {
		if err := ctx.Err(); err != nil {
			return Outcome{}, fmt.Errorf("contactless: %w", err)
		}
		out, final, err := e.step(ctx, &next)
		switch {
		case isCommunication(err) && e.begun < e.r.c.Restarts:
			// 3.3.3.7: back to protocol activation.
			e.tell("the card was lost during selection: %v", err)
			next = StartB
			continue
		case err != nil:
			return Outcome{}, err
		case final:
			e.restart = true
			return out, nil
		}
	}
}

// step carries the part of the entry point out that next names, and sets next to
// the one to follow.
func (e *Entry) step(ctx context.Context, next *Start) (out Outcome, final bool, err error) {
	switch *next {
	case StartA:
		out, ok := e.preprocess()
		if !ok {
			final, err := e.process(ctx, &out, next)
			return out, final, err
		}
		*next = StartB
		return Outcome{}, false, nil
	case StartB:
		if err := e.activateProtocol(ctx); err != nil {
			return Outcome{}, false, err
		}
		if e.bringsIssuerData() {
			// 3.3.1.1: the combination is the one of before.
			e.candidates = []candidate{e.selected.candidate}
		} else if err := e.readDirectory(ctx); err != nil {
			return Outcome{}, false, err
		}
		*next = StartC
		return Outcome{}, false, nil
	case StartC:
		ok, err := e.selectFinal(ctx)
		if err != nil {
			return Outcome{}, false, err
		}
		if !ok {
			out := Outcome{
				// 3.3.2.7
				Kind:    EndApplication,
				UI:      &UIRequest{Message: MessageInsertSwipeOrTry, Status: StatusReadyToRead},
				Reasons: append(e.passed, "card and reader have no application in common that can be used"),
			}
			final, err := e.process(ctx, &out, next)
			return out, final, err
		}
		*next = StartD
		return Outcome{}, false, nil
	}
	out, err = e.runKernel(ctx)
	if err != nil {
		return Outcome{}, false, fmt.Errorf("contactless: kernel %s: %w", e.selected.Kernel, notCommunication{err})
	}
	final, err = e.process(ctx, &out, next)
	return out, final, err
}

// bringsIssuerData reports whether an activation at B is there to bring the
// issuer's data to the card that had asked.
func (e *Entry) bringsIssuerData() bool {
	return e.restart && e.start == StartB && hasEMVData(e.issuer) && e.selected != nil
}

func hasEMVData(r *emv.HostResponse) bool {
	return r != nil && (len(r.IssuerAuthenticationData) > 0 || len(r.Scripts) > 0)
}

// How often, and how many times, the field is looked at while several cards are
// in it: 30 s in all, or a pile of cards would hold the reader.
const (
	collisionPoll  = 100 * time.Millisecond
	collisionPolls = 300
)

// activateProtocol is Start B: the field, the cardholder's card, and one of it
// (3.2.1).
func (e *Entry) activateProtocol(ctx context.Context) error {
	if !e.restart {
		if e.start == StartB {
			e.list = e.combinations()
		}
		e.candidates = nil
	}
	e.begun++
	// The rest of the time that the field was to stay off.
	if rest := e.off - e.r.c.Now().Sub(e.offSince); e.off > 0 && rest > 0 {
		if err := e.r.c.Pause(ctx, rest); err != nil {
			return err
		}
	}
	e.off = 0
	if e.restart && e.retained != nil {
		e.r.c.Show(*e.retained)
	} else {
		e.r.c.Show(UIRequest{Message: MessagePresentCard, Status: StatusReadyToRead})
	}
	e.retained = nil
	if err := e.powerDown(); err != nil {
		return err
	}
	collision := false
	for polls := 0; ; polls++ {
		card, err := e.reader.Connect(ctx)
		if errors.Is(err, cardreader.ErrCollision) && polls < collisionPolls {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("contactless: %w", err)
			}
			if !collision {
				collision = true
				// 3.2.1.4
				e.r.c.Show(UIRequest{Message: MessageOneCardOnly, Status: StatusProcessingError})
			}
			if err := e.r.c.Pause(ctx, collisionPoll); err != nil {
				return err
			}
			continue
		}
		if collision && !errors.Is(err, cardreader.ErrCollision) {
			// 3.2.1.5
			e.r.c.Show(UIRequest{Message: MessageOneCardOnly, Status: StatusReadyToRead})
			collision = false
		}
		if err != nil {
			return fmt.Errorf("contactless: waiting for a card: %w", err)
		}
		e.card = card
		return nil
	}
}

// runKernel is Start D: kernel activation (3.4).
func (e *Entry) runKernel(ctx context.Context) (Outcome, error) {
	terminal, err := emv.TerminalData(e.r.c.Terminal, e.t)
	if err != nil {
		return Outcome{}, err
	}
	un, err := e.r.drawn.next(e.r.c.Rand)
	if err != nil {
		return Outcome{}, err
	}
	terminal[tags.UnpredictableNumber] = un
	terminal[tags.TerminalAID] = e.selected.AID
	// Contactless using chip data rules (ISO 8583:1987 DE 22).
	terminal[tags.PointOfServiceEntryMode] = []byte{0x07}
	if t := e.selected.indicators.TTQ; t != nil {
		terminal[tags.TTQ] = t[:]
	}
	a := &Activation{
		Start: e.start, Restart: e.restart, Card: e.card,
		Kernel: e.selected.Kernel, AID: e.selected.AID, Name: e.selected.name,
		FCI: e.selected.fci, SW: e.selected.sw,
		Settings: e.selected.Settings, Indicators: e.selected.indicators,
		Transaction: e.t, Terminal: terminal,
		Show: e.r.c.Show, Observe: e.r.c.Observe, Config: &e.r.c,
	}
	if e.issuer != nil {
		a.Issuer, a.Before = e.issuer, e.data
	}
	out, err := e.selected.Run.Activate(ctx, a)
	if err != nil {
		return Outcome{}, err
	}
	if out.Data != e.data {
		e.data.Wipe()
		e.data = out.Data
	}
	e.tell("kernel %s: %s", e.selected.Kernel, out)
	return out, nil
}

// process is outcome processing (3.5). It reports a final outcome, or sets next
// for one that the entry point carries on with.
func (e *Entry) process(ctx context.Context, out *Outcome, next *Start) (final bool, err error) {
	if out.UI != nil {
		e.r.c.Show(*out.UI)
	}
	e.retained = out.UIRestart
	if out.FieldOff.Requested {
		if err := e.powerDown(); err != nil {
			return false, err
		}
		// Who asks the issuer meanwhile is not kept waiting.
		e.off, e.offSince = out.FieldOff.Hold, e.r.c.Now()
	}
	switch out.Kind {
	case TryAgain:
		if e.begun >= e.r.c.Restarts {
			*out = Outcome{
				Kind:    EndApplication,
				UI:      &UIRequest{Message: MessageInsertSwipeOrTry, Status: StatusProcessingError},
				Reasons: append(out.Reasons, fmt.Sprintf("the card was tried %d times", e.begun)),
			}
			e.r.c.Show(*out.UI)
			return true, nil
		}
		e.restart = true
		*next = StartB
		return false, nil
	case SelectNext:
		e.passed = append(e.passed, out.Reasons...)
		if len(e.candidates) > 0 {
			e.candidates = e.candidates[1:]
		}
		*next = StartC
		return false, nil
	}
	return true, nil
}

// powerDown switches the field off.
func (e *Entry) powerDown() error {
	if e.card == nil {
		return nil
	}
	err := e.card.Close()
	e.card = nil
	if err != nil {
		return fmt.Errorf("contactless: switching the field off: %w", err)
	}
	return nil
}

// Close switches the field off and wipes what was read.
func (e *Entry) Close() error {
	e.data.Wipe()
	return e.powerDown()
}

func (e *Entry) tell(format string, a ...any) {
	e.r.c.Observe(emv.Event{Step: emv.StepSelect, Text: fmt.Sprintf(format, a...)})
}

// isCommunication reports a transmission, protocol or time-out error as Book D
// has them.
func isCommunication(err error) bool {
	var own notCommunication
	return err != nil && !errors.As(err, &own) && (errors.Is(err, cardreader.ErrCardRemoved) ||
		errors.Is(err, cardreader.ErrCardMute) || errors.Is(err, cardreader.ErrProtocol) || errors.Is(err, emv.ErrCard))
}

// notCommunication marks an error that a kernel has judged already.
type notCommunication struct{ error }

// Unwrap returns the kernel's error.
func (e notCommunication) Unwrap() error { return e.error }
