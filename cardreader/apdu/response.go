package apdu

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader"
)

// Response is a response APDU.
type Response struct {
	Data []byte
	SW   Status
}

// ParseResponse reads data and status word; Data points into b. Errors wrap
// ErrMalformed.
func ParseResponse(b []byte) (Response, error) {
	n := len(b) - 2
	if n < 0 {
		return Response{}, fmt.Errorf("%w: response of %d bytes has no status word", ErrMalformed, len(b))
	}
	return Response{Data: b[:n:n], SW: Status(b[n])<<8 | Status(b[n+1])}, nil
}

// Append appends data and status word to dst.
func (r Response) Append(dst []byte) []byte {
	return append(append(dst, r.Data...), r.SW.SW1(), r.SW.SW2())
}

// Transmitter sends one command APDU and returns the response APDU;
// cardreader.Card has it.
type Transmitter interface {
	Transmit(ctx context.Context, command []byte) ([]byte, error)
}

// maxResponse bounds what a card may give in pieces to one command: more than
// any EMV response, and an end to a card that always has more.
const maxResponse = 4096

// Send sends a command and gathers its response: it asks for the rest after
// 61xx, repeats with the right Le after 6Cxx, and looks for data behind a
// warning, on every protocol but the last only where T=0 may be in use, because
// readers hide the protocol more or less well. A status word is data; errors
// are those of the transmitter, and ErrMalformed for a response without a
// status word or a card that never ends.
func Send(ctx context.Context, t Transmitter, c Command) (Response, error) {
	r, err := exchange(ctx, t, c)
	if err != nil {
		return Response{}, err
	}
	if r.SW.SW1() == 0x6C && len(r.Data) == 0 {
		c.Ne = upTo(int(r.SW.SW2()), 0x100)
		if r, err = exchange(ctx, t, c); err != nil {
			return Response{}, err
		}
		if r.SW.SW1() == 0x6C {
			return Response{}, fmt.Errorf("%w: 6Cxx answered with 6Cxx", ErrMalformed)
		}
	}
	if warned(t, c, r) {
		return afterWarning(ctx, t, c.CLA, r)
	}
	if r.SW.SW1() != 0x61 {
		return r, nil
	}
	return gather(ctx, t, c.CLA, r)
}

// warned reports whether a T=0 card may hold data back behind a warning: it
// can't answer a case 4 command with both at once (EMV 4.4 Book 1, 9.3.1.2).
func warned(t Transmitter, c Command, r Response) bool {
	if sw1 := r.SW.SW1(); sw1 != 0x62 && sw1 != 0x63 || len(r.Data) > 0 || len(c.Data) == 0 || c.Ne == 0 {
		return false
	}
	p, ok := t.(cardreader.Protocoler)
	return !ok || p.Protocol() == cardreader.T0 || p.Protocol() == cardreader.ProtocolUnknown
}

// afterWarning asks for the data behind a warning. The warning stays the
// response's status; a card that holds nothing back has said all with it.
func afterWarning(ctx context.Context, t Transmitter, cla byte, r Response) (Response, error) {
	more, err := gather(ctx, t, cla, Response{SW: 0x6100})
	if err != nil {
		return Response{}, err
	}
	if more.SW.OK() {
		r.Data = more.Data
	}
	return r, nil
}

func gather(ctx context.Context, t Transmitter, cla byte, r Response) (Response, error) {
	data := append(make([]byte, 0, 512), r.Data...)
	for r.SW.SW1() == 0x61 {
		// GET RESPONSE is an interindustry command: the class of EMV's own
		// commands (8x) is not repeated, its channel is.
		get := Command{CLA: cla & 0x03, INS: 0xC0, Ne: upTo(int(r.SW.SW2()), 0x100)}
		next, err := exchange(ctx, t, get)
		if err != nil {
			return Response{}, err
		}
		if next.SW.SW1() == 0x6C && len(next.Data) == 0 {
			get.Ne = upTo(int(next.SW.SW2()), 0x100)
			if next, err = exchange(ctx, t, get); err != nil {
				return Response{}, err
			}
		}
		if next.SW.SW1() == 0x61 && len(next.Data) == 0 || len(data)+len(next.Data) > maxResponse {
			return Response{}, fmt.Errorf("%w: the card never ends its response", ErrMalformed)
		}
		data = append(data, next.Data...)
		r = next
	}
	return Response{Data: data, SW: r.SW}, nil
}

func exchange(ctx context.Context, t Transmitter, c Command) (Response, error) {
	b, err := c.Append(make([]byte, 0, 6+len(c.Data)))
	if err != nil {
		return Response{}, err
	}
	defer clear(b)
	raw, err := t.Transmit(ctx, b)
	if err != nil {
		return Response{}, err
	}
	return ParseResponse(raw)
}
