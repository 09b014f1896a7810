package storagetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/trusted"
)

// recordCount is how many records the loop writes, in turn.
const recordCount = 3

func recordName(i int) string { return fmt.Sprintf("crash/%d", i%recordCount) }

// recordValue is what round i writes: long enough now and then for a backend to
// clean up, and never the same length twice in a row.
func recordValue(i int) []byte {
	return append(fmt.Appendf(nil, "%d ", i), bytes.Repeat([]byte{byte(i)}, i%7*331)...)
}

// keyState is a record as a DUKPT device's store.
type keyState struct{ s trusted.Storage }

func (k keyState) Load(ctx context.Context) ([]byte, error) { return k.s.Get(ctx, "crash/dukpt") }
func (k keyState) Save(ctx context.Context, b []byte) error { return k.s.Put(ctx, "crash/dukpt", b) }

// Loop is the process that Kill kills: it writes on w what the store holds, and
// then changes the store without end, puts, counters and DUKPT keys in turn, and
// tells each change before it is tried and once it is acknowledged. It returns
// an error and never nil.
func Loop(ctx context.Context, s Store, w io.Writer) error {
	last := 0
	for i := range recordCount {
		n, err := recordRound(ctx, s, i)
		if err != nil {
			return err
		}
		last = max(last, n)
		if _, err := fmt.Fprintf(w, "has %d %d\n", i, n); err != nil {
			return err
		}
	}
	d, err := dukpt.OpenDevice(ctx, keyState{s})
	if errors.Is(err, trusted.ErrNotFound) {
		d, err = dukpt.NewDevice(ctx, dukpt.AES128, secret.NewBytes(make([]byte, 16)), make([]byte, 8), keyState{s})
	}
	if err != nil {
		return err
	}
	for i := last + 1; ; i++ {
		if _, err := fmt.Fprintf(w, "try %d\n", i); err != nil {
			return err
		}
		if err := s.Put(ctx, recordName(i), recordValue(i)); err != nil {
			return err
		}
		n, err := s.Next(ctx, "crash")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "put %d\ncount %d\n", i, n); err != nil {
			return err
		}
		k, err := d.Next(ctx)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "key %X\n", k.KSN()); err != nil {
			return err
		}
		k.Wipe()
	}
}

// recordRound is the round in which a record was last written, 0 for never.
func recordRound(ctx context.Context, s Store, i int) (int, error) {
	b, err := s.Get(ctx, recordName(i))
	if errors.Is(err, trusted.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	head, _, _ := bytes.Cut(b, []byte(" "))
	n, err := strconv.Atoi(string(head))
	if err != nil || !bytes.Equal(b, recordValue(n)) {
		return 0, fmt.Errorf("storagetest: record %d is a mixture of %d bytes", i, len(b))
	}
	return n, nil
}

// Tally is what Kill saw.
type Tally struct {
	Kills, Puts, Counts, Keys int
}

// String returns the tally in words.
func (c Tally) String() string {
	return fmt.Sprintf("%d processes killed, %d puts acknowledged and none lost, %d counter values and %d KSNs and none twice", c.Kills, c.Puts, c.Counts, c.Keys)
}

// Kill runs a program n times and kills it (SIGKILL) at a moment between its
// start and span later, at random. The program opens a store, the same each
// time, and calls Loop with its standard output. Nothing acknowledged may be
// missing in the next process, and no counter value and no KSN may come twice.
func Kill(t *testing.T, n int, span time.Duration, program func() *exec.Cmd) Tally {
	t.Helper()
	seed := rand.Uint64()
	k := &killer{t: t, span: span, random: rand.New(rand.NewPCG(seed, 1)), keys: map[string]bool{}}
	for k.Kills < n && !t.Failed() {
		k.run(program())
	}
	if t.Failed() {
		t.Logf("after %d kills with seed %d", k.Kills, seed)
	}
	if k.Puts == 0 || k.Counts == 0 || k.Keys == 0 {
		t.Errorf("no process lived long enough to do its work: %v; give it a longer span", k.Tally)
	}
	return k.Tally
}

type killer struct {
	Tally
	t      *testing.T
	span   time.Duration
	random *rand.Rand
	acked  [recordCount]int
	tried  int
	count  uint64
	keys   map[string]bool
}

// run lives through one process.
func (k *killer) run(c *exec.Cmd) {
	out, err := c.StdoutPipe()
	var said bytes.Buffer
	c.Stderr = &said
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		k.t.Fatalf("starting the program: %v", err)
	}
	alarm := time.AfterFunc(time.Duration(k.random.Int64N(int64(k.span))), func() {
		// It may have ended: Wait says so.
		_ = c.Process.Kill()
	})
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // what has no end was not said
		}
		k.hear(strings.TrimSuffix(line, "\n"))
	}
	err = c.Wait()
	if alarm.Stop() {
		k.t.Fatalf("the program ended by itself: %v: %s", err, said.Bytes())
	}
	k.Kills++
}

func (k *killer) hear(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "has":
		var i, n int
		if _, err := fmt.Sscan(rest, &i, &n); err != nil || i < 0 || i >= recordCount {
			k.t.Fatalf("the program says %q", line)
		}
		if n != k.acked[i] && (n != k.tried || n%recordCount != i) {
			k.t.Errorf("record %d is of round %d; acknowledged was %d, tried %d", i, n, k.acked[i], k.tried)
		}
		k.acked[i] = n
	case "try":
		k.tried = k.number(line, rest)
	case "put":
		n := k.number(line, rest)
		k.acked[n%recordCount] = n
		k.Puts++
	case "count":
		n := uint64(k.number(line, rest))
		if n <= k.count {
			k.t.Errorf("the counter gave %d after %d", n, k.count)
		}
		k.count = n
		k.Counts++
	case "key":
		if b, err := hex.DecodeString(rest); err != nil || len(b) != 12 {
			k.t.Fatalf("the program says %q", line)
		}
		if k.keys[rest] {
			k.t.Errorf("the key of KSN %s was used twice", rest)
		}
		k.keys[rest] = true
		k.Keys++
	default:
		k.t.Fatalf("the program says %q", line)
	}
}

func (k *killer) number(line, rest string) int {
	n, err := strconv.Atoi(rest)
	if err != nil {
		k.t.Fatalf("the program says %q", line)
	}
	return n
}
