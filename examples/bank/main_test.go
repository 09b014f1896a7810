package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// build compiles the programs as a user's go run would.
func build(t *testing.T) (bankPath, payPath, minimalPath string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bank", "pay", "minimal"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "../"+name)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
	}
	return filepath.Join(dir, "bank"), filepath.Join(dir, "pay"), filepath.Join(dir, "minimal")
}

// process is a running bank.
type process struct {
	cmd     *exec.Cmd
	address string
	rest    chan string
	// said is what it said until it was killed.
	said string
}

// start starts a bank and waits until it says where it serves.
func start(t *testing.T, path, store, listen string, more ...string) *process {
	t.Helper()
	cmd := exec.Command(path, append([]string{"-listen", listen, "-store", store}, more...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	address, _, ok := strings.Cut(strings.TrimPrefix(line, "bank: serving "), ",")
	if err != nil || !ok {
		t.Fatalf("the bank says %q, %v", line, err)
	}
	p := &process{cmd: cmd, address: address, rest: make(chan string, 1)}
	go func() {
		b, _ := io.ReadAll(r)
		p.rest <- string(b)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return p
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.said = <-p.rest
	_ = p.cmd.Wait()
}

// audit asks the bank what its ledger says.
func audit(t *testing.T, address string) (entries, pending int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/audit", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+demo.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Entries, Pending int
		Problems         []string
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("audit: %s, %v", resp.Status, err)
	}
	for _, p := range a.Problems {
		t.Errorf("ledger: %s", p)
	}
	return a.Entries, a.Pending
}

// fetch gets a page of the bank.
func fetch(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(url, "/health") {
		req.Header.Set("Authorization", "Bearer "+demo.Token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b)
}

// paid runs pay and returns its exit code and result.
func paid(t *testing.T, ctx context.Context, path string, args ...string) (int, map[string]any) {
	t.Helper()
	cmd := exec.CommandContext(ctx, path, append(args, "-json")...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var got map[string]any
	if jerr := json.Unmarshal(out.Bytes(), &got); jerr != nil && ctx.Err() == nil {
		t.Errorf("pay %v: %v: %s%s", args, err, out.String(), errs.String())
	}
	return cmd.ProcessState.ExitCode(), got
}

func TestTwoProcesses(t *testing.T) {
	bankPath, payPath, _ := build(t)
	store := filepath.Join(t.TempDir(), "bank.db")
	p := start(t, bankPath, store, "127.0.0.1:0")
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two, one} {
		if code, got := paid(t, t.Context(), payPath, "-server", p.address, "-state", dir, "-pin", "1234"); code != 0 {
			t.Errorf("exit %d: %v", code, got)
		}
	}
	if code, got := paid(t, t.Context(), payPath, "-server", p.address, "-state", one, "-pin", "9999"); code != 3 || got["response_code"] != "55" {
		t.Errorf("wrong PIN: exit %d: %v", code, got)
	}
	if code, got := paid(t, t.Context(), payPath, "-server", p.address, "-state", t.TempDir(), "-pin", "1234", "-pin-format", "0"); code != 0 {
		t.Errorf("TDES: exit %d: %v", code, got)
	}
	if _, pending := audit(t, p.address); pending != 0 {
		t.Errorf("%d pending", pending)
	}
	for path, want := range map[string]string{
		"/health": "ok\n", "/metrics": "payunit_messages_total{mti=\"0200\",code=\"00\"} 4\n",
	} {
		if got := fetch(t, "http://"+p.address+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	// SIGINT: the bank stops by itself and says so.
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if rest := <-p.rest; !strings.Contains(rest, "bank: stopped") || strings.Contains(rest, "4761739001010010") {
		t.Errorf("the bank said %q", rest)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the bank's end: %v", err)
	}
}

// TestKilled kills the one or the other process at many moments of a payment.
// After a restart and a recovery nothing is pending, no order is charged twice,
// and an order that the app was told is paid is paid.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds; run without -short")
	}
	killed(t, filepath.Join(t.TempDir(), "bank.db"), 24)
}

func killed(t *testing.T, store string, rounds int) {
	bankPath, payPath, _ := build(t)
	state := t.TempDir()
	p := start(t, bankPath, store, "127.0.0.1:0")
	args := []string{"-server", p.address, "-state", state, "-pin", "1234", "-reply-timeout", "300ms"}
	if code, got := paid(t, t.Context(), payPath, args...); code != 0 {
		t.Fatalf("before any kill: exit %d: %v", code, got)
	}
	ends := map[string]int{}
	for n := range rounds {
		order := fmt.Sprint("order-", n)
		// A payment takes some 20 ms from the program's start.
		after := time.Duration(n/2+1) * 2 * time.Millisecond
		killBank := n%2 == 0
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var kill *time.Timer
		gone := make(chan struct{})
		if killBank {
			kill = time.AfterFunc(after, func() { defer close(gone); _ = p.cmd.Process.Kill() })
		} else {
			// CommandContext kills the program when its context ends.
			kill = time.AfterFunc(after, func() { defer close(gone); cancel() })
		}
		code, got := paid(t, ctx, payPath, append(args, "-order", order)...)
		if kill.Stop() {
			close(gone)
		}
		<-gone
		cancel()
		if killBank {
			p.kill(t)
			p = start(t, bankPath, store, p.address)
		}
		ends[fmt.Sprint(killBank, " ", code)]++
		if code, got := paid(t, t.Context(), payPath, append(args, "-recover")...); code != 0 {
			t.Fatalf("kill %d: recovery: exit %d: %v", n, code, got)
		}
		if _, pending := audit(t, p.address); pending != 0 {
			t.Fatalf("kill %d: %d pending", n, pending)
		}
		// Paying the order once more gives the first result or makes it.
		again, result := paid(t, t.Context(), payPath, append(args, "-order", order)...)
		if again != 0 || code == 0 && result["rrn"] != got["rrn"] {
			t.Fatalf("kill %d (exit %d): paying again: exit %d: %v", n, code, again, result)
		}
	}
	entries, _ := audit(t, p.address)
	t.Logf("endings by whether the bank was killed and exit code: %v; %d entries", ends, entries)
}

// TestThreeProcesses makes payments through the whole chain: pay, a bank without
// an issuer, and the bank above. Each of the two banks is killed once, and the
// ledgers of both agree in the end.
func TestThreeProcesses(t *testing.T) {
	bankPath, payPath, _ := build(t)
	dir := t.TempDir()
	lower, upper := filepath.Join(dir, "lower.db"), filepath.Join(dir, "upper.db")
	above := start(t, bankPath, upper, "127.0.0.1:0")
	below := start(t, bankPath, lower, "127.0.0.1:0", "-upstream", above.address)
	args := []string{"-server", below.address, "-state", filepath.Join(dir, "unit"), "-pin", "1234"}
	if code, got := paid(t, t.Context(), payPath, append(args, "-order", "o1")...); code != 0 {
		t.Fatalf("exit %d: %v", code, got)
	}
	if code, got := paid(t, t.Context(), payPath, append(args, "-order", "o2", "-pin", "9999")...); code != 3 || got["response_code"] != "55" {
		t.Errorf("wrong PIN: exit %d: %v", code, got)
	}
	above.kill(t)
	if code, got := paid(t, t.Context(), payPath, append(args, "-order", "o3")...); code != 3 || got["response_code"] != "91" {
		t.Errorf("with no bank above: exit %d: %v", code, got)
	}
	above = start(t, bankPath, upper, above.address)
	below.kill(t)
	below = start(t, bankPath, lower, below.address, "-upstream", above.address)
	if code, got := paid(t, t.Context(), payPath, append(args, "-order", "o3")...); code != 0 {
		t.Errorf("with all banks again: exit %d: %v", code, got)
	}
	_, got := paid(t, t.Context(), payPath, append(args, "-order", "o1")...)
	if got["repeated"] != true {
		t.Errorf("the first order again: %v", got)
	}
	for n := 0; ; n++ {
		_, pendingBelow := audit(t, below.address)
		_, pendingAbove := audit(t, above.address)
		if pendingBelow == 0 && pendingAbove == 0 {
			break
		}
		if n > 2000 {
			below.kill(t)
			t.Fatalf("%d pending below, %d above: %s", pendingBelow, pendingAbove, below.said)
		}
	}
	// The reports of both, read while they serve.
	var sums [2]string
	for i, store := range []string{lower, upper} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"audit", "-store", store}, &out, &errs); code != 0 || !strings.Contains(out.String(), "everything holds") {
			t.Errorf("audit: exit %d: %s%s", code, out.String(), errs.String())
		}
		out.Reset()
		if code := run(t.Context(), []string{"report", "-json", "-store", store}, &out, &errs); code != 0 {
			t.Errorf("report: exit %d: %s", code, errs.String())
		}
		var r struct {
			Balances []struct {
				Account string
				Minor   int64
			}
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Balances {
			if strings.HasPrefix(b.Account, "merchant/") {
				sums[i] = fmt.Sprint(b)
			}
		}
	}
	if sums[0] != sums[1] || !strings.Contains(sums[0], "2468") {
		t.Errorf("merchants' accounts: %q below, %q above", sums[0], sums[1])
	}
}

// What was changed behind a ledger's back, bank audit names.
func TestAudit(t *testing.T) {
	store := filepath.Join(t.TempDir(), "bank.db")
	db, l, err := bank.OpenStore(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ledgertest.Sample(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	// A back-up is a ledger; what was booked since is missing in it.
	old, mark := filepath.Join(t.TempDir(), "old.db"), filepath.Join(t.TempDir(), "mark")
	if code := run(t.Context(), []string{"backup", "-store", store, "-to", old}, &out, &errs); code != 0 {
		t.Errorf("backup: exit %d: %s%s", code, out.String(), errs.String())
	}
	for range 2 {
		if code := run(t.Context(), []string{"audit", "-mark", mark, "-store", store}, &out, &errs); code != 0 {
			t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
		}
	}
	if _, err := db.Exec("DELETE FROM postings WHERE entry = 6; DELETE FROM entries WHERE number = 6"); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := run(t.Context(), []string{"audit", "-mark", mark, "-store", store}, &out, &errs); code != 1 || !strings.Contains(out.String(), "it was set back") {
		t.Errorf("set back: exit %d: %s%s", code, out.String(), errs.String())
	}
	store = old
	if db, err = sql.Open("sqlite", store); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	out.Reset()
	if code := run(t.Context(), []string{"audit", "-store", store}, &out, &errs); code != 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
	if _, err := db.Exec("UPDATE entries SET cause = 'other' WHERE number = 3"); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := run(t.Context(), []string{"audit", "-store", store}, &out, &errs); code != 1 || !strings.Contains(out.String(), "WRONG: entry 3 ") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}

// TestMinimal runs the README's program, whose text is that of the file.
func TestMinimal(t *testing.T) {
	source, err := os.ReadFile("../minimal/main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(source)+"```") {
		t.Error("the README's program is not examples/minimal/main.go")
	}
	if n := strings.Count(string(source), "\n"); n > 40 {
		t.Errorf("the program has %d lines", n)
	}
	bankPath, _, minimalPath := build(t)
	p := start(t, bankPath, filepath.Join(t.TempDir(), "bank.db"), "127.0.0.1:0")
	m := bank.Merchant{Address: p.address, Token: demo.Token}
	code, err := m.Activate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.CreateOrder(t.Context(), host.Order{ID: "A-1", Type: trade.Sale, Amount: money.New(999, eur)}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var capk bytes.Buffer
	if err := simcard.WriteCAPK(&capk, testkeys.PKI(), simcard.AllProfiles()); err != nil {
		t.Fatal(err)
	}
	terminal, err := os.ReadFile("../pay/terminal.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"capk.json": capk.Bytes(), "terminal.json": terminal} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), minimalPath, p.address, code, "A-1")
	cmd.Dir = dir
	// The keypad's digits are shuffled: without a terminal nobody can read
	// them, so the cardholder skips to cancel, and agrees first.
	cmd.Stdin = strings.NewReader("y\n!\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "SALE EUR\u00a09.99") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]int{
		"-help": 0, "-no-such-flag": 2, "stray": 2, "-currency XYZ": 2, "-fault none": 2, "-log none": 2, "audit -store no-such-file": 1, "report -day x": 2, "audit stray": 2, "backup": 2, "audit -to x": 2, "-store postgres://u:p@127.0.0.1:1/y?connect_timeout=1": 1,
		"-keys no-such-file": 1, "-cards no-such-file -store " + filepath.Join(t.TempDir(), "x.db"): 1,
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != want || errs.Len() == 0 {
			t.Errorf("%s: exit %d, want %d: %s", args, code, want, errs.String())
		}
	}
}
