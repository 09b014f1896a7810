package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/trade"
)

// chained is a rig whose server has no issuer, and asks the server of another
// rig, which has.
type chained struct {
	*rig
	up *rig
	// fate says what becomes of a message to the server above.
	fate func(m *acquirer.Message) fate
	// zones has the line go under working keys; refusedAbove is why the other end
	// did not take the last message.
	zones        bool
	refusedAbove error
	// acquire is the end of the line above; nil is the server's without a name.
	acquire func(context.Context, *acquirer.Message) *acquirer.Message
	// refusal is the response code of what is refused.
	refusal string
}

// fate is what becomes of a message on its way.
type fate uint8

const (
	arrives fate = iota
	notSent
	lost
	answerLost
	refused // it is answered with the code of refusal
)

var errLine = errors.New("test: the line is cut")

// Exchange is the line to the server above. What goes over it is packed, as on
// any line.
func (c *chained) Exchange(ctx context.Context, m *acquirer.Message) (*acquirer.Message, error) {
	f := arrives
	if c.fate != nil {
		f = c.fate(m)
	}
	switch f {
	case notSent:
		return nil, fmt.Errorf("%w: %w", link.ErrNotSent, errLine)
	case lost:
		return nil, fmt.Errorf("%w: %w", link.ErrNoAnswer, errLine)
	}
	if f == refused {
		return m.Response(c.refusal)
	}
	if c.zones {
		return c.zoned(ctx, m, f)
	}
	b, err := c.s.c.Dialect.Pack(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrNotSent, err)
	}
	there, err := c.s.c.Dialect.Unpack(b)
	if err != nil {
		return nil, err
	}
	acquire := c.up.s.Acquire
	if c.acquire != nil {
		acquire = c.acquire
	}
	answer := acquire(ctx, there)
	if f == answerLost || answer == nil {
		return nil, fmt.Errorf("%w: %w", link.ErrNoAnswer, errLine)
	}
	return answer, nil
}

func newChain(t *testing.T) *chained {
	c := &chained{rig: newRig(t), up: newRig(t)}
	c.s.c.Issuer, c.s.c.Upstream = nil, c
	return c
}

// settled sends what is owed until nothing is, and checks both ledgers.
func (c *chained) settled(what string, spent, pending, merchant int64) {
	c.t.Helper()
	c.fate = nil
	for n := 0; ; n++ {
		owed, err := c.s.ForwardDue(context.Background())
		if err != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
		if owed == 0 {
			break
		}
		if n > 20 {
			c.t.Fatalf("%s: %d messages are owed for ever", what, owed)
		}
		c.mu.Lock()
		c.now = c.now.Add(time.Hour)
		c.mu.Unlock()
	}
	c.up.booked(what+", above", spent, pending, merchant)
	if got := c.balance("pending/M1"); got != pending {
		c.t.Errorf("%s: pending %d, want %d", what, got, pending)
	}
	if got := c.balance("merchant/M1"); got != merchant {
		c.t.Errorf("%s: merchant %d, want %d", what, got, merchant)
	}
	if got := c.balance(upstreamAccount) + c.balance(standInAccount); got != -spent {
		c.t.Errorf("%s: the acquirer above owes %d, want %d", what, -got, spent)
	}
	if r := ledgertest.Clean(c.t, c.l); r.Asked != 0 {
		c.t.Errorf("%s: %d requests without a known answer", what, r.Asked)
	}
	ledgertest.Clean(c.t, c.up.l)
}

func (c *chained) balance(account string) (minor int64) {
	c.t.Helper()
	err := c.l.View(context.Background(), func(tx ledger.Tx) (err error) {
		minor, err = tx.Balance(account, "EUR")
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return minor
}

func TestUpstream(t *testing.T) {
	c := newChain(t)
	u := c.enrol(1, 4)
	c.order("o1", 1234)
	c.order("o2", 100)
	c.order("o3", 200)
	m := u.sale("o1", 1234, testPIN)
	resp := u.want("sale", m, codeApproved)
	if resp.AuthCode == "" || len(resp.ICC) == 0 {
		t.Errorf("the answer has authorisation code %q and %d bytes for the card", resp.AuthCode, len(resp.ICC))
	}
	again := u.want("repeat", u.repeat(m), codeApproved)
	if again.AuthCode != resp.AuthCode || !bytes.Equal(again.ICC, resp.ICC) || bytes.Count(resp.ICC, []byte{0}) > 5 {
		t.Errorf("authorisation code %s, then %s; for the card %X, then %X", resp.AuthCode, again.AuthCode, resp.ICC, again.ICC)
	}
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	u.want("completion again", u.repeat(u.completion(m, resp.AuthCode)), codeApproved)
	u.want("wrong PIN", u.sale("o2", 100, "0000"), issuer55)
	c.state("a declined order", "o2", trade.Open)
	n := u.sale("o2", 100, testPIN)
	u.want("another sale", n, codeApproved)
	u.want("its reversal", u.reversal(n), codeApproved)
	c.settled("in the end", 1234, 0, 1234)

	// A void, told above as one.
	if err := c.voidOrder("v1", "o1", 1234); err != nil {
		t.Fatal(err)
	}
	u.want("void", u.void("v1", m), codeApproved)
	c.settled("after a void", 0, 0, 0)
}

// A pre-authorisation and its completion go through the acquirer above.
func TestUpstreamPreauth(t *testing.T) {
	c := newChain(t)
	u := c.enrol(1, 4)
	m := u.held("p1", 1000)
	c.settled("held", 1000, 1000, 0)
	if err := c.s.CreateOrder(t.Context(), Order{ID: "c1", Type: trade.Completion, Original: "p1", Amount: c.eur(600), Merchant: "M1"}); err != nil {
		t.Fatal(err)
	}
	u.want("completion", u.capture("c1", m, 600), codeApproved)
	c.settled("completed", 600, 0, 600)
}

// An increment is decided by the acquirer above: asked until there is an answer,
// it is held once here and there, and what it refuses is not held here either.
func TestUpstreamIncremental(t *testing.T) {
	c := newChain(t)
	u := c.enrol(1, 4)
	m := u.held("p1", 1000)
	for _, o := range []Order{{ID: "i1", Amount: c.eur(500)}, {ID: "i2", Amount: c.eur(500)}, {ID: "i3", Amount: c.eur(99_999_999)}} {
		o.Type, o.Original, o.Merchant = trade.Incremental, "p1", "M1"
		if err := c.s.CreateOrder(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	c.settled("held", 1000, 1000, 0)
	for _, f := range []fate{notSent, lost, answerLost} {
		c.fate = func(*acquirer.Message) fate { return f }
		var busy *trade.Error
		if _, err := u.send(u.increment("i1", m, 500)); !errors.As(err, &busy) || busy.Code != trade.CodeBusy {
			t.Errorf("fate %d: %v", f, err)
		}
		c.state("not answered", "i1", trade.Open)
	}
	c.fate = nil
	u.want("asked again", u.repeat(u.increment("i1", m, 500)), codeApproved)
	u.want("asked once more", u.repeat(u.increment("i1", m, 500)), codeApproved)
	c.settled("raised once", 1500, 1500, 0)
	u.want("another of the same amount", u.increment("i2", m, 500), codeApproved)
	u.want("more than there is", u.increment("i3", m, 99_999_999), issuer.CodeFunds)
	c.settled("raised twice", 2000, 2000, 0)
	if err := c.s.CreateOrder(t.Context(), Order{ID: "c1", Type: trade.Completion, Original: "p1", Amount: c.eur(1900), Merchant: "M1"}); err != nil {
		t.Fatal(err)
	}
	u.want("completion", u.capture("c1", m, 1900), codeApproved)
	c.settled("completed", 1900, 0, 1900)
}

// Whatever becomes of any message on the line, and of the server at any of its
// steps, both ledgers agree in the end.
func TestUpstreamFaults(t *testing.T) {
	for _, f := range []fate{notSent, lost, answerLost} {
		for _, mti := range []string{"0200", "0220", "0420"} {
			t.Run(fmt.Sprintf("%s %d", mti, f), func(t *testing.T) {
				c := newChain(t)
				u := c.enrol(1, 4)
				c.order("o1", 1234)
				hit := false
				c.fate = func(m *acquirer.Message) fate {
					if m.MTI == mti && !hit {
						hit = true
						return f
					}
					return arrives
				}
				m := u.sale("o1", 1234, testPIN)
				resp, err := u.send(m)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case mti == "0200":
					if resp.ResponseCode != codeUnavailable {
						t.Errorf("answered %s, want %s", resp.ResponseCode, codeUnavailable)
					}
					c.settled("nothing", 0, 0, 0)
					c.state("nothing", "o1", trade.Open)
				case mti == "0420":
					u.want("reversal", u.reversal(m), codeApproved)
					if _, err := c.s.ForwardDue(t.Context()); err != nil {
						t.Fatal(err)
					}
					c.settled("reversed", 0, 0, 0)
				default:
					u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
					if _, err := c.s.ForwardDue(t.Context()); err != nil {
						t.Fatal(err)
					}
					c.settled("completed", 1234, 0, 1234)
				}
				if !hit {
					t.Error("no message met its fate")
				}
			})
		}
	}
}

// The server dies with a request under way above: after it was written down,
// after it was carried out there. The terminal reverses it, or nobody does.
func TestUpstreamCrash(t *testing.T) {
	for _, stage := range []Stage{StageAsked, StageCommitted} {
		for _, reversed := range []bool{true, false} {
			t.Run(fmt.Sprint(stage, reversed), func(t *testing.T) {
				c := newChain(t)
				u := c.enrol(1, 4)
				c.order("o1", 1234)
				m := u.sale("o1", 1234, testPIN)
				c.cut = func(p Point) error {
					if p.Stage == stage {
						return errLine
					}
					return nil
				}
				if _, err := u.send(m); err == nil {
					t.Fatal("there is an answer")
				}
				c.cut = nil
				if stage == StageAsked {
					// Another server takes over: the request is under way.
					if _, err := u.send(u.repeat(m)); code(err) != trade.CodeBusy {
						t.Errorf("repeat: %v, want busy", err)
					}
					c.state("under way", "o1", trade.Pending)
				}
				if !reversed && stage == StageAsked {
					if owed, err := c.s.ForwardDue(t.Context()); owed != 1 || err != nil {
						t.Errorf("before its time: %d owed, %v", owed, err)
					}
					c.settled("nobody reversed it", 0, 0, 0)
					c.state("nobody reversed it", "o1", trade.Open)
					u.want("late reversal", u.reversal(m), codeApproved)
				} else {
					u.want("reversal", u.reversal(m), codeApproved)
				}
				c.settled("reversed", 0, 0, 0)
				c.state("reversed", "o1", trade.Open)
				u.want("late repeat", u.repeat(m), codeInvalid)
				c.settled("after a late repeat", 0, 0, 0)
			})
		}
	}
}

// The line itself: frames over TCP, with the server above behind a link.Host.
func TestUpstreamLine(t *testing.T) {
	c := newChain(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	h := &link.Host{Handle: c.up.s.Acquire}
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = h.ServeConn(context.Background(), conn)
		}
	}()
	client, err := link.NewClient(link.Config{Dial: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	c.s.c.Upstream = client
	u := c.enrol(1, 4)
	c.order("o1", 1234)
	m := u.sale("o1", 1234, testPIN)
	resp := u.want("sale", m, codeApproved)
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	c.settled("over TCP", 1234, 0, 1234)
}
