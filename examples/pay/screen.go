package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/payunit/payunit/payment"
)

// screen prints what happens, line by line, and says that it goes on where one
// step takes longer than patience.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	last  time.Time
	doing string
	stop  chan struct{}
	done  chan struct{}
}

// patience is how long a person is left without a line.
const patience = 500 * time.Millisecond

// newScreen starts a screen; a nil out prints nothing.
func newScreen(out io.Writer) *screen {
	s := &screen{out: out, stop: make(chan struct{}), done: make(chan struct{}), last: time.Now()}
	go s.watch()
	return s
}

func (s *screen) watch() {
	defer close(s.done)
	t := time.NewTicker(patience)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-t.C:
			s.mu.Lock()
			if d := now.Sub(s.last); d >= patience && s.doing != "" && s.out != nil {
				fmt.Fprintf(s.out, "%-11s ... %.1f s: %s\n", "", d.Seconds(), s.doing)
			}
			s.mu.Unlock()
		}
	}
}

// close ends the progress lines.
func (s *screen) close() {
	close(s.stop)
	<-s.done
}

// line prints who did what, wrapped, with the time that it took.
func (s *screen) line(who, text string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.doing = time.Now(), text
	if s.out == nil {
		return
	}
	const width = 84
	var lines []string
	for _, w := range strings.Fields(text) {
		if n := len(lines) - 1; n >= 0 && len(lines[n])+1+len(w) <= width {
			lines[n] += " " + w
		} else {
			lines = append(lines, w)
		}
	}
	for i, l := range lines {
		t := ""
		if i == 0 && took > 0 {
			t = short(took)
		}
		fmt.Fprintln(s.out, strings.TrimRight(fmt.Sprintf("%-11s %-*s %9s", who, width, l, t), " "))
		who = ""
	}
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f us", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// event prints an event of the unit.
func (s *screen) event(e payment.Event) {
	if e.State != "" && !e.Final {
		return // the steps below it say the same
	}
	if e.Final {
		s.line("result", e.Text, e.Took)
		return
	}
	text := e.Text
	if e.Step != "" && !strings.HasPrefix(strings.ToLower(text), strings.ToLower(e.Step)) {
		text = e.Step + ": " + text
	}
	s.line(string(e.Phase), text, e.Took)
}
