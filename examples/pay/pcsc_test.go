//go:build pcsc && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/pcsc"
	"github.com/payunit/payunit/cardreader/pcsc/pcsctest"
	"github.com/payunit/payunit/payment"
)

// TestPCSC pays with cards behind a real pcscd.
func TestPCSC(t *testing.T) {
	service := pcsctest.Start(t)
	t.Run("both protocols", func(t *testing.T) {
		for reader, profile := range []string{"t0", "default"} {
			empty(t, reader)
			service.Insert(t, reader, profile)
			for range 5 {
				approved(t, "pcsc:"+pcsctest.Readers[reader])
			}
		}
	})
	t.Run("tapped", func(t *testing.T) {
		for _, profile := range []string{"default", "mchip", "phone-unlocked"} {
			empty(t, 0)
			c := service.Insert(t, 0, profile, "-interface", "contactless")
			tappedOver(t, "pcsc:"+pcsctest.Readers[0])
			c.Remove()
		}
	})
	t.Run("put in while it waits", func(t *testing.T) { putInWhileWaiting(t, service) })
	t.Run("recorded whole", func(t *testing.T) { recordedWhole(t, service) })
	t.Run("taken out after each command", func(t *testing.T) { takenOut(t, service) })
	t.Run("service killed in the middle", func(t *testing.T) { serviceKilled(t, service) })
	t.Run("a thousand in a row", func(t *testing.T) { thousand(t, service) })
}

// outcome is what the tests look at in a result.
type outcome struct {
	Outcome, ODA, CVM string
	CryptogramType    string `json:"cryptogram_type"`
	ResponseCode      string `json:"response_code"`
	Reversed          bool
}

func approved(t *testing.T, reader string, args ...string) {
	t.Helper()
	code, out, errs := pay(t, append(args, "-json", "-pin", "1234", "-reader", reader)...)
	var got outcome
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if got.Outcome != "approved" || got.ODA != "DDA ok" || !strings.Contains(got.CVM, "online") {
		t.Errorf("%+v", got)
	}
}

// tappedOver pays by tapping, below the limit and over it: the side that the card
// is at is found where it is not named.
func tappedOver(t *testing.T, reader string) {
	t.Helper()
	for amount, side := range map[string]string{"12.34": "-interface=contactless", "60.00": "-interface=both", "61.00": "-interface="} {
		code, out, errs := pay(t, "-json", "-pin", "1234", side, "-amount", amount, "-reader", reader)
		var got struct{ Outcome, Entry string }
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone || got.Outcome != "approved" || got.Entry != "contactless" {
			t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
		}
	}
}

// empty waits until the service has seen that a reader is empty: it looks a few
// times a second.
func empty(t *testing.T, reader int) {
	t.Helper()
	s, err := pcsc.New(pcsc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := s.Watch(ctx, func(list []pcsc.Status) bool { return len(list) <= reader || list[reader].Present }); err != nil {
		t.Fatal(err)
	}
}

// watched is an output that calls once for the first line with a text.
type watched struct {
	mu   sync.Mutex
	all  bytes.Buffer
	text string
	call func()
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(b)
	if w.call != nil && strings.Contains(w.all.String(), w.text) {
		w.call()
		w.call = nil
	}
	return len(b), nil
}

// putInWhileWaiting puts the card in when the unit says that it waits for one.
func putInWhileWaiting(t *testing.T, service *pcsctest.Service) {
	empty(t, 0)
	out := &watched{text: "wait for a card", call: func() { service.Insert(t, 0, "default") }}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"-pin", "1234", "-reader", "pcsc"}, nil, out, &errs); code != exitDone {
		t.Errorf("exit %d\n%s%s", code, out.all.String(), errs.String())
	}
}

// recordedWhole records a payment over pcscd under a passphrase, and one that is
// cancelled while it waits for the card, and makes both again without.
func recordedWhole(t *testing.T, service *pcsctest.Service) {
	empty(t, 0)
	empty(t, 1)
	pass := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(pass, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	record := func(ctx context.Context, out io.Writer, args ...string) (file string, code int) {
		t.Helper()
		file = filepath.Join(t.TempDir(), "payment.age")
		var errs bytes.Buffer
		args = append(args, "-pin", "1234", "-reader", "pcsc", "-trace", file, "-cassette", "-passphrase-file", pass)
		code = run(ctx, args, nil, out, &errs)
		return file, code
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cancelled, code := record(ctx, &watched{text: "wait for a card", call: cancel})
	if code != exitError {
		t.Errorf("cancelled: exit %d", code)
	}
	if code, out, errs := pay(t, "-reader", "replay:"+cancelled, "-passphrase-file", pass); code != exitError || !strings.Contains(out, "the same result") {
		t.Errorf("cancelled, made again: exit %d\n%s%s", code, out, errs)
	}
	service.Insert(t, 0, "t0")
	var want bytes.Buffer
	file, code := record(t.Context(), &want, "-json")
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, want.String())
	}
	if code, got, errs := pay(t, "-json", "-reader", "replay:"+file, "-passphrase-file", pass); code != exitDone || got != want.String() {
		t.Errorf("exit %d\n%s\n%s%s", code, want.String(), got, errs)
	}
}

// takenOut takes the card out after each command of a payment, its answer lost:
// nothing is charged, or what was booked is taken back.
func takenOut(t *testing.T, service *pcsctest.Service) {
	ends := map[string]int{}
	for n := 1; ; n++ {
		empty(t, 0)
		card := service.Insert(t, 0, "default", "-fault", fmt.Sprintf("remove-after@command:%d", n))
		code, out, errs := pay(t, "-json", "-pin", "1234", "-reader", "pcsc:"+pcsctest.Readers[0])
		card.Remove()
		var got outcome
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("command %d: %v\n%s%s", n, err, out, errs)
		}
		switch {
		case code == exitDone:
			// The payment has no command of that number.
			if n < 15 {
				t.Errorf("approved with %d commands", n-1)
			}
			t.Logf("%d commands: %v", n-1, ends)
			if ends["error"] == 0 || ends["reversed"] == 0 {
				t.Error("neither side of the request was met", ends)
			}
			return
		case code == exitError && got.Outcome == "error":
			if !strings.Contains(out, "removed") {
				t.Errorf("command %d: %s", n, out)
			}
			ends["error"]++
		case code == exitDeclined && got.Reversed:
			ends["reversed"]++
		default:
			t.Errorf("command %d: exit %d\n%s%s", n, code, out, errs)
		}
		if n > 60 {
			t.Fatal("no payment came to its end")
		}
	}
}

// serviceKilled kills pcscd after the first cryptogram: the payment is taken
// back, and with the service back the next one is made.
func serviceKilled(t *testing.T, service *pcsctest.Service) {
	empty(t, 0)
	dir := t.TempDir()
	service.Insert(t, 0, "default")
	out := &watched{text: "the card answers with ARQC", call: service.Kill}
	var errs bytes.Buffer
	code := run(t.Context(), []string{"-pin", "1234", "-reader", "pcsc", "-state", dir}, nil, out, &errs)
	if code != exitDeclined || !strings.Contains(out.all.String(), "REVERSED") {
		t.Errorf("exit %d\n%s%s", code, out.all.String(), errs.String())
	}
	service.Restart()
	service.Insert(t, 1, "default")
	approved(t, "pcsc:"+pcsctest.Readers[1], "-state", dir)
}

// thousand makes a thousand payments with one unit and one card: no handle, no
// goroutine and no memory stays.
func thousand(t *testing.T, service *pcsctest.Service) {
	empty(t, 0)
	service.Insert(t, 0, "default")
	o, err := parse([]string{"-pin", "1234", "-reader", "pcsc:" + pcsctest.Readers[0], "-amount", "0.01"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	// More than a unit is granted in the long run.
	o.limits.Rate, o.limits.Burst = 1e6, 1e6
	s := newScreen(nil)
	defer s.close()
	d, err := compose(t.Context(), o, s, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	once := func() {
		t.Helper()
		r, _, err := d.carryOut(t.Context())
		if err != nil || r.Outcome != payment.Approved {
			t.Fatalf("%v, %v", r, err)
		}
	}
	usage := func() (files, goroutines int, heap uint64) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return len(list), runtime.NumGoroutine(), m.HeapAlloc
	}
	for range 20 {
		once()
	}
	files, goroutines, heap := usage()
	began := time.Now()
	for range 1000 {
		once()
	}
	t.Logf("1000 payments in %v", time.Since(began).Round(time.Millisecond))
	nowFiles, nowGoroutines, nowHeap := usage()
	// What a payment leaves ends a moment later on a busy machine; a leak is a
	// thousand.
	if nowFiles > files+50 || nowGoroutines > goroutines+100 {
		t.Errorf("%d files and %d goroutines, before %d and %d", nowFiles, nowGoroutines, files, goroutines)
	}
	// The bank remembers each payment, the unit its results: some 3 KiB each.
	if nowHeap > heap+16<<20 {
		t.Errorf("%d KiB of memory, before %d", nowHeap>>10, heap>>10)
	}
	if err := d.close(payment.Result{}, nil); err != nil {
		t.Error(err)
	}
}
