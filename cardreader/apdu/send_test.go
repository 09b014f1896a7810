package apdu_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
)

// scripted answers from a list of "COMMAND RESPONSE" pairs, and fails the test
// when it is asked anything else.
type scripted struct {
	t     *testing.T
	pairs []string
	at    int
	err   error
}

func (s *scripted) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if s.at == len(s.pairs) {
		if s.err != nil {
			return nil, s.err
		}
		s.t.Fatalf("command %s after the last step", hexOf(command))
	}
	want, resp, _ := strings.Cut(s.pairs[s.at], " ")
	s.at++
	if got := hexOf(command); got != want {
		s.t.Fatalf("step %d: command %s, want %s", s.at, got, want)
	}
	return unhex(s.t, resp), nil
}

func TestSend(t *testing.T) {
	read := apdu.ReadRecord(1, 1)
	sel := apdu.Select([]byte{0xA0, 0}, false)
	gac := apdu.Command{CLA: 0x80, INS: 0xAE, P1: 0x80, Data: []byte{1, 2}, Ne: 256}
	for _, tt := range []struct {
		name  string
		c     apdu.Command
		pairs []string
		want  string
	}{
		{"at once", read, []string{"00B2010C00 70009000"}, "70009000"},
		{"61xx", gac, []string{"80AE800002010200 6103", "00C0000003 0102039000"}, "0102039000"},
		{"6Cxx", read, []string{"00B2010C00 6C02", "00B2010C02 70009000"}, "70009000"},
		{"6C00 is 256", read, []string{"00B2010C00 6C00", "00B2010C00 70009000"}, "70009000"},
		{"61xx with data in two parts", read, []string{"00B2010C00 01026102", "00C0000002 03046101", "00C0000001 059000"}, "01020304059000"},
		{"6100 is 256", read, []string{"00B2010C00 6100", "00C0000000 AA9000"}, "AA9000"},
		{"6Cxx then 61xx", read, []string{"00B2010C00 6C02", "00B2010C02 6102", "00C0000002 70009000"}, "70009000"},
		{"61xx then 6Cxx", read, []string{"00B2010C00 6110", "00C0000010 6C02", "00C0000002 70009000"}, "70009000"},
		{"channel is kept, class 8x is not", apdu.Command{CLA: 0x81, INS: 0xAE, Ne: 256}, []string{"81AE000000 6101", "01C0000001 AA9000"}, "AA9000"},
		{"warning after 61xx", read, []string{"00B2010C00 6102", "00C0000002 70006282"}, "70006282"},
		{"a status word is data", read, []string{"00B2010C00 6A83"}, "6A83"},
		{"6Cxx with data is the card's last word", read, []string{"00B2010C00 AA6C01"}, "AA6C01"},
		{"data behind a warning", sel, []string{"00A4040002A00000 6283", "00C0000000 6C03", "00C0000003 6F01009000"}, "6F01006283"},
		{"data behind a warning in parts", sel, []string{"00A4040002A00000 6310", "00C0000000 6F6102", "00C0000002 01009000"}, "6F01006310"},
		{"nothing behind a warning", sel, []string{"00A4040002A00000 6283", "00C0000000 6985"}, "6283"},
		{"a warning with its data", sel, []string{"00A4040002A00000 6F006283"}, "6F006283"},
		{"a warning to case 2", read, []string{"00B2010C00 6282"}, "6282"},
		{"a warning to case 3", apdu.Verify(0x80, []byte{1}), []string{"002000800101 63C2"}, "63C2"},
		{"error at GET RESPONSE", read, []string{"00B2010C00 6102", "00C0000002 6F00"}, "6F00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &scripted{t: t, pairs: tt.pairs}
			r, err := apdu.Send(t.Context(), s, tt.c)
			if err != nil {
				t.Fatal(err)
			}
			if got := hexOf(r.Append(nil)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if s.at != len(s.pairs) {
				t.Errorf("%d of %d steps", s.at, len(s.pairs))
			}
		})
	}
}

// spoken is a card that says which protocol it speaks.
type spoken struct {
	*scripted
	p cardreader.Protocol
}

func (s spoken) Protocol() cardreader.Protocol { return s.p }

func TestSendWarningByProtocol(t *testing.T) {
	for p, more := range map[cardreader.Protocol]bool{cardreader.T0: true, cardreader.ProtocolUnknown: true, cardreader.T1: false, cardreader.TCL: false} {
		s := &scripted{t: t, pairs: []string{"00A4040001A000 6283"}}
		want := "6283"
		if more {
			s.pairs = append(s.pairs, "00C0000000 AA9000")
			want = "AA6283"
		}
		r, err := apdu.Send(t.Context(), spoken{s, p}, apdu.Select([]byte{0xA0}, false))
		if err != nil || hexOf(r.Append(nil)) != want || s.at != len(s.pairs) {
			t.Errorf("%v: %s, %v after %d steps, want %s", p, hexOf(r.Append(nil)), err, s.at, want)
		}
	}
}

// endless has always more to give.
type endless struct{ resp []byte }

func (e endless) Transmit(context.Context, []byte) ([]byte, error) { return e.resp, nil }

func TestSendEnds(t *testing.T) {
	for name, resp := range map[string][]byte{
		"61xx without data":  {0x61, 0x10},
		"61xx with data":     append(make([]byte, 256), 0x61, 0x00),
		"one byte at a time": {0xAA, 0x61, 0x01},
		"6Cxx for ever":      {0x6C, 0x10},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := apdu.Send(t.Context(), endless{resp}, apdu.ReadRecord(1, 1)); !errors.Is(err, apdu.ErrMalformed) {
				t.Errorf("%v, want ErrMalformed", err)
			}
		})
	}
}

func TestSendErrors(t *testing.T) {
	gone := errors.New("gone")
	for name, pairs := range map[string][]string{
		"at once":         {},
		"at 6Cxx":         {"00B2010C00 6C02"},
		"at GET RESPONSE": {"00B2010C00 6102"},
		"after both":      {"00B2010C00 6102", "00C0000002 6C01"},
	} {
		if _, err := apdu.Send(t.Context(), &scripted{t: t, pairs: pairs, err: gone}, apdu.ReadRecord(1, 1)); !errors.Is(err, gone) {
			t.Errorf("%s: %v, want the transmitter's error", name, err)
		}
	}
	if _, err := apdu.Send(t.Context(), &scripted{t: t, pairs: []string{"00B2010C00 90"}}, apdu.ReadRecord(1, 1)); !errors.Is(err, apdu.ErrMalformed) {
		t.Errorf("half a status word: %v, want ErrMalformed", err)
	}
	if _, err := apdu.Send(t.Context(), &scripted{t: t}, apdu.Command{Ne: -1}); !errors.Is(err, apdu.ErrMalformed) {
		t.Errorf("unsendable command: %v, want ErrMalformed", err)
	}
}

// keeper keeps the slice that it was given, against the contract, to see
// whether the PIN block is still in it.
type keeper struct{ kept []byte }

func (k *keeper) Transmit(_ context.Context, command []byte) ([]byte, error) {
	k.kept = command
	return []byte{0x90, 0x00}, nil
}

func TestSendWipesItsBuffer(t *testing.T) {
	k := &keeper{}
	if _, err := apdu.Send(t.Context(), k, apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF"))); err != nil {
		t.Fatal(err)
	}
	for _, b := range k.kept {
		if b != 0 {
			t.Fatalf("the command is still in memory: %s", hexOf(k.kept))
		}
	}
}
