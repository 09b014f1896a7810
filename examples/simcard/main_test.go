package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// call runs the command on a line of arguments.
func call(t *testing.T, in string, args ...string) (code int, out, diag string) {
	t.Helper()
	var o, d bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(in), &o, &d)
	return code, o.String(), d.String()
}

const (
	selectPSE  = "00A404000E315041592E5359532E444446303100"
	selectAID  = "00A4040007A000000003101000"
	getOptions = "80A8000002830000"
)

func TestLines(t *testing.T) {
	in := "# the directory, then the application\n" + selectPSE + "\n\n 00 B2 01 0C 00 \n" + selectAID + "\n" + getOptions + "\n00\nzz\nreset\n" + getOptions + "\n"
	code, out, diag := call(t, in, "-line")
	if code != exitDone || diag != "" {
		t.Errorf("exit %d, %q", code, diag)
	}
	got := strings.Split(strings.TrimSpace(out), "\n")
	want := []string{"6F1E840E", "701C611A", "6F29", "800E3C00", "error: simcard: transmitting: cardreader: transmission protocol",
		"error: not hex", "3BE7", "6985"}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), out)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("line %d: %s, want %s...", i+1, got[i], want[i])
		}
	}
}

func TestLinesContactless(t *testing.T) {
	code, out, diag := call(t, "reset\n00A404000E325041592E5359532E444446303100\n"+selectPSE+"\n", "-line", "-interface", "contactless")
	if code != exitDone || diag != "" {
		t.Errorf("exit %d, %q", code, diag)
	}
	if got := strings.Split(strings.TrimSpace(out), "\n"); len(got) != 3 || got[0] != "3B80800101" || !strings.HasPrefix(got[1], "6F35840E3250") || got[2] != "6A82" {
		t.Errorf("answers %q", got)
	}
	if code, _, diag := call(t, "", "-line", "-interface", "air"); code != exitUsage || !strings.Contains(diag, "contactless") {
		t.Errorf("exit %d, %q", code, diag)
	}
}

func TestLinesWithFaultAndState(t *testing.T) {
	state := filepath.Join(t.TempDir(), "card.json")
	code, out, _ := call(t, selectAID+"\n"+getOptions+"\n"+selectAID+"\nreset\n"+selectAID+"\n", "-line", "-fault", "remove@gpo", "-state", state)
	if code != exitDone {
		t.Errorf("exit %d", code)
	}
	if n := strings.Count(out, "card removed"); n != 2 {
		t.Errorf("%d commands met no card, want 2:\n%s", n, out)
	}
	if !strings.HasSuffix(strings.TrimSpace(out), "9000") {
		t.Errorf("the card put in again does not answer:\n%s", out)
	}
	atc := func() string {
		_, out, _ := call(t, selectAID+"\n"+getOptions+"\n80CA9F3600\n", "-line", "-state", state)
		return out[strings.LastIndex(out, "9F3602"):]
	}
	if a, b := atc(), atc(); a == b {
		t.Errorf("the counter stands still over runs: %s", a)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-nonsense"}, {"-line", "extra"}, {"-line", "-vpcd", "127.0.0.1:1"}, {"-line", "-profile", "golden"},
		{"-line", "-fault", "explode@gpo"}, {"-line", "-currency", "XXQ"}, {"-line", "-delay", "soon"},
	} {
		if code, _, diag := call(t, "", args...); code != exitUsage || diag == "" {
			t.Errorf("%v: exit %d, %q; want %d and a word", args, code, diag, exitUsage)
		}
	}
	code, out, _ := call(t, "", "-help")
	if code != exitDone {
		t.Errorf("-help: exit %d", code)
	}
	for _, want := range []string{"offline-pin-enciphered", "decline-second", "remove-after@PLACE", "-vpcd HOST:PORT", "Exit:"} {
		if !strings.Contains(out, want) {
			t.Errorf("-help does not tell of %s", want)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte("no state"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-line", "-state", bad},
		{"-capk-out", filepath.Join(dir, "no", "such", "place")},
		{"-vpcd", "127.0.0.1:1"},
	} {
		if code, _, diag := call(t, "", args...); code != exitError || diag == "" {
			t.Errorf("%v: exit %d, %q; want %d and a word", args, code, diag, exitError)
		}
	}
}

func TestExport(t *testing.T) {
	dir := t.TempDir()
	capk, cards := filepath.Join(dir, "capk.json"), filepath.Join(dir, "cards.json")
	code, _, diag := call(t, "", "-capk-out", capk, "-cards-out", cards, "-balance", "4200", "-currency", "USD")
	if code != exitDone || diag != "" {
		t.Fatalf("exit %d, %q", code, diag)
	}
	var c struct {
		Cards []struct {
			PAN, Currency string
			Balance       int64
		}
	}
	b, err := os.ReadFile(cards)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Cards) == 0 || c.Cards[0].Balance != 4200 || c.Cards[0].Currency != "USD" {
		t.Errorf("%+v", c.Cards[:1])
	}
	if code, out, _ := call(t, "", "-capk-out", "-"); code != exitDone || !strings.Contains(out, `"rid": "A000000003"`) {
		t.Errorf("CAPK on stdout: exit %d\n%s", code, out)
	}
}

// reader is the other end of the virtual reader's protocol.
type reader struct {
	t *testing.T
	c net.Conn
}

func (r *reader) send(h string) {
	r.t.Helper()
	b, err := hex.DecodeString(h)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := writeFrame(r.c, b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reader) ask(h string) string {
	r.t.Helper()
	r.send(h)
	b, err := readFrame(r.c)
	if err != nil {
		r.t.Fatalf("after %s: %v", h, err)
	}
	return hexText(b)
}

// listen starts the command and returns the reader's end of its connection.
func listen(t *testing.T, ctx context.Context, args ...string) (*reader, <-chan int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	code := make(chan int, 1)
	go func() {
		var o, d bytes.Buffer
		code <- run(ctx, append(args, "-vpcd", l.Addr().String()), strings.NewReader(""), &o, &d)
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &reader{t, c}, code
}

func exit(t *testing.T, code <-chan int) int {
	t.Helper()
	select {
	case c := <-code:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("the command does not end")
		return -1
	}
}

func TestVirtualReader(t *testing.T) {
	r, code := listen(t, t.Context())
	r.send("01") // power on
	if got := r.ask("04"); !strings.HasPrefix(got, "3BE7") {
		t.Errorf("ATR %s", got)
	}
	if got := r.ask(selectAID); !strings.HasSuffix(got, "9000") {
		t.Errorf("SELECT: %s", got)
	}
	if got := r.ask(getOptions); !strings.HasSuffix(got, "9000") {
		t.Errorf("GET PROCESSING OPTIONS: %s", got)
	}
	if got := r.ask("0000"); got != "6700" {
		t.Errorf("two bytes: %s", got)
	}
	if got := r.ask(""); got != "6700" {
		t.Errorf("nothing: %s", got)
	}
	r.send("02") // reset: nothing is selected any more
	if got := r.ask(getOptions); got != "6985" {
		t.Errorf("after a reset: %s", got)
	}
	r.send("00")
	r.send("07") // a control byte that means nothing here
	if got := r.ask(selectAID); !strings.HasSuffix(got, "9000") {
		t.Errorf("SELECT: %s", got)
	}
	_ = r.c.Close()
	if c := exit(t, code); c != exitDone {
		t.Errorf("exit %d after the reader hung up", c)
	}
}

func TestVirtualReaderFaults(t *testing.T) {
	r, code := listen(t, t.Context(), "-fault", "remove@gpo")
	r.ask(selectAID)
	r.send(getOptions)
	if _, err := readFrame(r.c); err == nil {
		t.Error("an answer from a card that was taken out")
	}
	if c := exit(t, code); c != exitDone {
		t.Errorf("exit %d", c)
	}
	// A frame that is cut off is an error, not an end.
	r, code = listen(t, t.Context())
	if _, err := r.c.Write([]byte{0x00, 0x05, 0x00}); err != nil {
		t.Fatal(err)
	}
	_ = r.c.Close()
	if c := exit(t, code); c != exitError {
		t.Errorf("exit %d after half a frame", c)
	}
}

func TestVirtualReaderStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, code := listen(t, ctx)
	r.ask(selectAID)
	cancel()
	if c := exit(t, code); c != exitDone {
		t.Errorf("exit %d", c)
	}
}
