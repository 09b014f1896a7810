package comm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/trade"
)

// fake is a channel whose peer says what the test wants.
type fake struct {
	channel.Conn
	replies  [][]byte
	sent     []trade.Envelope
	writeErr error
	closed   int
}

func (f *fake) WriteMessage(_ context.Context, b []byte) error {
	e, err := trade.Parse(append([]byte(nil), b...))
	if err != nil {
		return err
	}
	f.sent = append(f.sent, e)
	return f.writeErr
}

func (f *fake) ReadMessage(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(f.replies) == 0 {
		return nil, io.EOF
	}
	b := f.replies[0]
	f.replies = f.replies[1:]
	return b, nil
}

func (f *fake) Close() error { f.closed++; return nil }

func wire(kind trade.Kind, request uint32, body string) []byte {
	return trade.Envelope{Kind: kind, Request: request, Body: []byte(body)}.Append(nil)
}

func TestCall(t *testing.T) {
	errWire := errors.New("wire")
	for _, c := range []struct {
		name     string
		replies  [][]byte
		writeErr error
		want     error
		dead     bool
	}{
		{name: "answered", replies: [][]byte{wire(trade.KindTrade, 1, "{}")}},
		{name: "peer is gone", want: io.EOF, dead: true},
		{name: "sending fails", writeErr: errWire, want: errWire, dead: true},
		{name: "channel at its end", writeErr: fmt.Errorf("x: %w", channel.ErrExpired), want: ErrUnsent, dead: true},
		{name: "another request's reply", replies: [][]byte{wire(trade.KindTrade, 2, "{}")}, want: ErrProtocol, dead: true},
		{name: "no envelope", replies: [][]byte{{1, 2, 3}}, want: ErrProtocol, dead: true},
		{name: "an error that is none", replies: [][]byte{wire(trade.KindError, 1, "{")}, want: ErrProtocol, dead: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{replies: c.replies, writeErr: c.writeErr}
			s := &Session{conn: f}
			_, err := s.Call(t.Context(), trade.KindTradeRequest, []byte("{}"))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if closed := f.closed > 0; closed != c.dead {
				t.Errorf("closed %v, want %v", closed, c.dead)
			}
			if !c.dead {
				return
			}
			if _, err := s.Call(t.Context(), trade.KindTradeRequest, nil); !errors.Is(err, ErrClosed) {
				t.Errorf("a call on a dead session: %v", err)
			}
			if err := s.Close(); err != nil || f.closed != 1 {
				t.Errorf("Close: %v, closed %d times", err, f.closed)
			}
		})
	}
}

// TestRefusalKeepsSession: what the server refuses is an answer, and the next
// request has the next number.
func TestRefusalKeepsSession(t *testing.T) {
	refused, err := trade.Encode(trade.KindError, 1, trade.Error{Code: "busy"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{replies: [][]byte{refused.Append(nil), wire(trade.KindTrade, 2, "{}")}}
	s := &Session{conn: f}
	var said *trade.Error
	if _, err := s.Call(t.Context(), trade.KindTradeRequest, nil); !errors.As(err, &said) || said.Code != "busy" {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Call(t.Context(), trade.KindTradeRequest, nil); err != nil {
		t.Fatal(err)
	}
	want := []uint32{1, 2}
	if d := cmp.Diff(want, []uint32{f.sent[0].Request, f.sent[1].Request}); d != "" {
		t.Errorf("request numbers (-want +got):\n%s", d)
	}
}

// handler answers by a function.
type handler func(e trade.Envelope) (trade.Envelope, error)

func (h handler) Handle(_ context.Context, _ channel.Conn, e trade.Envelope) (trade.Envelope, error) {
	return h(e)
}

func TestServe(t *testing.T) {
	errOwn := errors.New("own")
	for _, c := range []struct {
		name string
		in   []byte
		say  error
		want error
		sent []trade.Kind
	}{
		{name: "answered", in: wire(trade.KindTradeRequest, 7, ""), sent: []trade.Kind{trade.KindTrade}},
		{name: "refused", in: wire(trade.KindTradeRequest, 7, ""), say: &trade.Error{Code: "busy"}, sent: []trade.Kind{trade.KindError}},
		{name: "broken handler tells the peer nothing", in: wire(trade.KindTradeRequest, 7, ""), say: errOwn, want: errOwn},
		{name: "no envelope", in: []byte{9}, want: ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{replies: [][]byte{c.in}}
			err := Serve(t.Context(), f, handler(func(trade.Envelope) (trade.Envelope, error) {
				return trade.Envelope{Kind: trade.KindTrade}, c.say
			}))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			var kinds []trade.Kind
			for _, e := range f.sent {
				kinds = append(kinds, e.Kind)
				if e.Request != 7 {
					t.Errorf("reply to request %d, want 7", e.Request)
				}
			}
			if d := cmp.Diff(c.sent, kinds); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
			if f.closed != 1 {
				t.Errorf("closed %d times", f.closed)
			}
		})
	}
}

// attempts is a handshaker that fails in ways, one after the other, and a link
// that counts.
type attempts struct {
	channel.Handshaker
	fail  []error
	links int
}

func (a *attempts) Open(context.Context) (io.ReadWriteCloser, error) {
	a.links++
	return nil, nil
}

func (a *attempts) Client(context.Context, io.ReadWriteCloser) (channel.Conn, error) {
	if a.links > len(a.fail) {
		return &fake{}, nil
	}
	return nil, a.fail[a.links-1]
}

// again is a failure after which another attempt takes another way.
type again bool

func (a again) Error() string { return "resumption failed" }
func (a again) Again() bool   { return bool(a) }

// TestOpenAgain: a resumption that failed is followed by one whole handshake over
// a new stream, and nothing else is tried again.
func TestOpenAgain(t *testing.T) {
	errOther := errors.New("other")
	for _, c := range []struct {
		name  string
		fail  []error
		links int
		want  []error
	}{
		{"at once", nil, 1, nil},
		{"resumption failed", []error{again(true)}, 2, nil},
		{"not another way", []error{again(false)}, 1, []error{again(false)}},
		{"another failure", []error{errOther}, 1, []error{errOther}},
		{"twice", []error{again(true), again(true)}, 2, []error{again(true)}},
		{"and then another", []error{again(true), errOther}, 2, []error{errOther, again(true)}},
	} {
		a := &attempts{fail: c.fail}
		s, err := (&Client{Link: a, Handshaker: a}).Open(t.Context())
		if a.links != c.links || (s == nil) != (len(c.want) > 0) {
			t.Errorf("%s: %d connections, %v", c.name, a.links, err)
		}
		for _, want := range c.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", c.name, err, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &attempts{fail: []error{again(true)}}
	if _, err := (&Client{Link: a, Handshaker: a}).Open(ctx); err == nil || a.links != 1 {
		t.Errorf("cancelled: %d connections, %v", a.links, err)
	}
}
