package pcsc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// watchTime is how long one wait at the service takes at most: after it, readers
// are listed anew, for services that do not tell of them.
const watchTime = time.Second

// retryTime is how long to wait before a service that failed is asked again.
const retryTime = 100 * time.Millisecond

// watcher asks the service what happens at all readers, in one goroutine for
// everybody who waits: calls that overlap on one reader spoil each other. It runs
// as long as somebody waits.
type watcher struct {
	service service

	mu      sync.Mutex
	waiters int
	running bool
	// now is what is known of each reader; err why nothing is.
	now map[string]readerState
	err error
	// told is closed and replaced with each change.
	told chan struct{}
	// session is the one that waits, nil when none does; cancels are under way
	// in it.
	session session
	cancels sync.WaitGroup
}

func newWatcher(s service) *watcher {
	return &watcher{service: s, told: make(chan struct{})}
}

// wait returns when done says so of the readers' states, with their names in
// order. It returns at once when ctx ends.
func (w *watcher) wait(ctx context.Context, done func(map[string]readerState) bool) error {
	w.mu.Lock()
	w.waiters++
	if !w.running {
		w.running = true
		// What was known may be stale by now.
		w.now, w.err = nil, nil
		go w.run()
	}
	// An error that others were told of may be over: the next look tells.
	w.err = nil
	defer w.leave()
	for {
		now, err, told := w.now, w.err, w.told
		w.mu.Unlock()
		if err != nil {
			return err
		}
		if now != nil && done(now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pcsc: waiting: %w", ctx.Err())
		case <-told:
		}
		w.mu.Lock()
	}
}

// leave ends a wait. The last one ends the service's, without waiting for it: a
// service that hangs hangs in this too.
func (w *watcher) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters--
	if w.waiters == 0 && w.session != nil {
		s := w.session
		w.cancels.Go(func() {
			// Lost when the wait has not begun yet; it ends by itself then.
			_ = s.cancel()
		})
	}
}

// run watches until nobody waits.
func (w *watcher) run() {
	var s session
	release := func() {
		if s != nil {
			w.cancels.Wait()
			_ = s.release()
			s = nil
		}
	}
	defer release()
	var states []readerState
	for {
		var err error
		if s == nil {
			states = nil
			s, err = w.service.establish()
		}
		if err == nil {
			states, err = w.look(s, states)
		}
		if err != nil {
			release()
		}
		if !w.publish(states, err) {
			return
		}
		if err != nil {
			time.Sleep(retryTime)
		}
	}
}

// publish makes known what was seen; false when nobody waits any more, and the
// watcher ends.
func (w *watcher) publish(states []readerState, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = nil
	if err != nil {
		w.err, w.now = failed("watching the readers", err), nil
	} else {
		w.now = map[string]readerState{}
		for _, s := range states {
			if s.reader != pnp {
				w.now[s.reader] = s
			}
		}
	}
	close(w.told)
	w.told = make(chan struct{})
	if w.waiters == 0 {
		w.running = false
		return false
	}
	return true
}

// look waits for the next change. Readers that it sees for the first time it
// tells of at once.
func (w *watcher) look(s session, known []readerState) ([]readerState, error) {
	names, err := s.listReaders()
	if err != nil {
		return nil, err
	}
	next := make([]readerState, 0, len(names)+1)
	fresh := len(known) == 0
	for _, n := range append(slices.Clone(names), pnp) {
		st := readerState{reader: n, current: stateUnaware}
		if i := slices.IndexFunc(known, func(k readerState) bool { return k.reader == n }); i >= 0 {
			st = known[i]
			st.current = st.event &^ stateChanged
		} else if n != pnp {
			fresh = true
		} else {
			// Some services want the number of readers here.
			st.current = uint32(len(names)) << 16
		}
		next = append(next, st)
	}
	timeout := watchTime
	if fresh {
		timeout = 0
	}
	w.mu.Lock()
	if w.waiters == 0 {
		timeout = 0
	}
	w.session = s
	w.mu.Unlock()
	err = s.statusChange(next, timeout)
	w.mu.Lock()
	w.session = nil
	w.mu.Unlock()
	switch codeOf(err) {
	case codeTimeout, codeCancelled:
		return next, nil
	case codeUnknownReader, codeReaderUnavailable:
		// A reader left between the list and the wait: the next list lacks it.
		return known, nil
	}
	return next, err
}

// names are the readers' names in order.
func names(now map[string]readerState) []string { return slices.Sorted(maps.Keys(now)) }
