package contactless

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Send transmits a command of a step and tells how it went. Errors: *CardError
// of the emv package for no response APDU, those of the card.
func (a *Activation) Send(ctx context.Context, step emv.Step, name string, cmd apdu.Command) (apdu.Response, error) {
	return emv.SendStep(ctx, a.Card, step, name, cmd, a.Observe, a.Config.Now)
}

// Tell tells what happens, in words without secrets.
func (a *Activation) Tell(step emv.Step, format string, args ...any) {
	a.Observe(emv.Event{Step: step, Text: fmt.Sprintf(format, args...)})
}

// Lost reports an error of the radio: the card was taken away, is mute or broke
// its transmission protocol.
func Lost(err error) bool {
	return errors.Is(err, cardreader.ErrCardRemoved) || errors.Is(err, cardreader.ErrCardMute) || errors.Is(err, cardreader.ErrProtocol)
}

// PresentAgain is the outcome for a card that was lost before it had given its
// cryptogram: nothing has happened, and the cardholder presents it again.
func PresentAgain(why string) Outcome {
	u := UIRequest{Message: MessagePresentCardAgain, Status: StatusReadyToRead}
	return Outcome{Kind: TryAgain, Start: StartB, UI: &u, UIRestart: &u, Reasons: []string{why}}
}

// EndWith is the outcome for a card whose data break a rule.
func EndWith(why string) Outcome {
	return Outcome{
		Kind:    EndApplication,
		UI:      &UIRequest{Message: MessageInsertSwipeOrTry, Status: StatusProcessingError},
		Reasons: []string{why},
	}
}

// Options sends GET PROCESSING OPTIONS with the data that the PDOL asks for. The
// status word is for the kernel to judge.
func (d *Data) Options(ctx context.Context, a *Activation) (apdu.Response, []byte, error) {
	data, err := d.Fill(emv.StepInitiate, tags.PDOL, d.Get(tags.PDOL))
	if err != nil {
		return apdu.Response{}, nil, err
	}
	r, err := a.Send(ctx, emv.StepInitiate, "GET PROCESSING OPTIONS", apdu.GetProcessingOptions(tlv.Append(nil, tags.CommandTemplate, data)))
	return r, data, err
}

// TakeOptions keeps what the answer to GET PROCESSING OPTIONS gives: AIP and AFL
// in format 1, whatever there is in format 2. Errors are *CardError.
func (d *Data) TakeOptions(b []byte) error {
	list, err := tlv.Parse(b)
	if err != nil || len(list) != 1 {
		return &emv.CardError{Step: emv.StepInitiate, Reason: "the answer is not one data object", Err: err}
	}
	switch o := list[0]; o.Tag {
	case tags.ResponseFormat1:
		if len(o.Value) < 6 || len(o.Value)%4 != 2 {
			return &emv.CardError{Step: emv.StepInitiate, Tag: o.Tag, Reason: "not an AIP and an AFL"}
		}
		if err := d.Put(emv.StepInitiate, tags.AIP, o.Value[:2]); err != nil {
			return err
		}
		return d.Put(emv.StepInitiate, tags.AFL, o.Value[2:])
	case tags.ResponseFormat2:
		return d.Collect(emv.StepInitiate, o.Value)
	default:
		return &emv.CardError{Step: emv.StepInitiate, Tag: o.Tag, Reason: "the answer is neither format 1 nor format 2"}
	}
}

// ReadRecords reads what the AFL names, keeping the data and the records under
// data authentication; without an AFL there is nothing to read. Errors:
// *CardError, *StatusError, those of the card.
func (d *Data) ReadRecords(ctx context.Context, a *Activation) error {
	files, err := emv.ParseAFL(d.Get(tags.AFL))
	if err != nil {
		return err
	}
	for _, f := range files {
		for n := range f.Count {
			if err := d.readRecord(ctx, a, f.SFI, f.First+byte(n), n < f.Signed); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Data) readRecord(ctx context.Context, a *Activation, sfi, record byte, signed bool) error {
	name := fmt.Sprintf("READ RECORD %d of file %d", record, sfi)
	r, err := a.Send(ctx, emv.StepRead, name, apdu.ReadRecord(sfi, record))
	if err != nil {
		return err
	}
	if !r.SW.OK() {
		return &emv.StatusError{Step: emv.StepRead, Command: name, SW: r.SW}
	}
	if signed {
		d.Records = append(d.Records, oda.Record{SFI: sfi, Data: bytes.Clone(r.Data)})
	}
	list, err := tlv.Parse(r.Data)
	if err != nil || len(list) != 1 || list[0].Tag != tags.RecordTemplate || list[0].HeaderLen+len(list[0].Value) != len(r.Data) {
		if sfi > 10 {
			// What is in these files is the scheme's or issuer's own (Book 3,
			// 5.3).
			return nil
		}
		return &emv.CardError{Step: emv.StepRead, Tag: tags.RecordTemplate, Reason: name + ": not one record template", Err: err}
	}
	return d.Collect(emv.StepRead, list[0].Value)
}
