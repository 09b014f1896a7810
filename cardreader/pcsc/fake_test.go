package pcsc

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"time"
)

// fake is a service with readers that a test puts cards into.
type fake struct {
	mu      sync.Mutex
	changed chan struct{}
	readers map[string]*slot
	// down makes every call fail with a code.
	down returnCode
	// contexts and handles are the open ones.
	contexts, handles int
	waits             int
	// frozen, when set, holds up what cancels.
	frozen chan struct{}
}

// slot is a reader. count grows with each card put in or taken out.
type slot struct {
	card  *plastic
	count uint32
	held  int
}

// plastic is a card.
type plastic struct {
	atr      []byte
	protocol uint32
	// refuse are codes that connecting answers with, one a time.
	refuse []returnCode
	// bounces says that the card leaves and comes again with each of them.
	bounces bool
	// answer makes a response; nil echoes 9000.
	answer func(command []byte) ([]byte, error)
	seen   [][]byte
	resets int
	// resetting is called by a reset that was asked for.
	resetting func()
	// controls are the answers of the reader's driver by control code.
	controls map[uint32][]byte
	asked    int
}

func newFake(readers ...string) *fake {
	f := &fake{changed: make(chan struct{}), readers: map[string]*slot{}}
	for _, r := range readers {
		f.readers[r] = &slot{}
	}
	return f
}

func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) insert(reader string, p *plastic) {
	f.change(func() { s := f.readers[reader]; s.card = p; s.count++ })
}

func (f *fake) remove(reader string) {
	f.change(func() { s := f.readers[reader]; s.card = nil; s.count++ })
}

func (f *fake) plug(reader string)   { f.change(func() { f.readers[reader] = &slot{} }) }
func (f *fake) unplug(reader string) { f.change(func() { delete(f.readers, reader) }) }

func (f *fake) set(down returnCode) { f.change(func() { f.down = down }) }

func (f *fake) open() (contexts, handles int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.contexts, f.handles
}

func (f *fake) waited() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waits
}

func (f *fake) failing() error {
	if f.down != 0 {
		return f.down
	}
	return nil
}

func (f *fake) establish() (session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.failing(); err != nil {
		return nil, err
	}
	f.contexts++
	return &fakeSession{f: f, cancelled: make(chan struct{})}, nil
}

type fakeSession struct {
	f         *fake
	mu        sync.Mutex
	waiting   bool
	cancelled chan struct{}
}

func (s *fakeSession) listReaders() ([]string, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return slices.Sorted(maps.Keys(s.f.readers)), s.f.failing()
}

// state is what the service says of a reader now.
func (f *fake) state(name string) (uint32, []byte, bool) {
	if name == pnp {
		return uint32(len(f.readers)) << 16, nil, true
	}
	s, ok := f.readers[name]
	if !ok {
		return stateUnknown, nil, false
	}
	if s.card == nil {
		return s.count<<16 | stateEmpty, nil, true
	}
	return s.count<<16 | statePresent, s.card.atr, true
}

func (s *fakeSession) statusChange(states []readerState, timeout time.Duration) error {
	if len(states) == 0 {
		panic("empty state list")
	}
	s.mu.Lock()
	s.waiting, s.cancelled = true, make(chan struct{})
	cancelled := s.cancelled
	s.mu.Unlock()
	s.f.mu.Lock()
	s.f.waits++
	s.f.mu.Unlock()
	deadline := time.After(timeout)
	for {
		s.f.mu.Lock()
		err, changed := s.f.failing(), s.f.changed
		differs := false
		next := slices.Clone(states)
		for i := range next {
			now, atr, ok := s.f.state(next[i].reader)
			if !ok {
				err = codeUnknownReader
			}
			next[i].event, next[i].atr = now, atr
			if now != next[i].current&^stateChanged {
				next[i].event |= stateChanged
				differs = true
			}
		}
		s.f.mu.Unlock()
		if err != nil {
			return err
		}
		if differs {
			copy(states, next)
			return nil
		}
		select {
		case <-deadline:
			return codeTimeout
		case <-cancelled:
			return codeCancelled
		case <-changed:
		}
	}
}

// cancel is lost when nothing waits, as the real one is.
func (s *fakeSession) cancel() error {
	if s.f.frozen != nil {
		<-s.f.frozen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting {
		s.waiting = false
		close(s.cancelled)
	}
	return nil
}

func (s *fakeSession) release() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.contexts--
	return nil
}

func (s *fakeSession) connect(reader string, share, _ uint32) (handle, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if err := s.f.failing(); err != nil {
		return nil, err
	}
	r, ok := s.f.readers[reader]
	switch {
	case !ok:
		return nil, codeUnknownReader
	case r.card == nil:
		return nil, codeNoSmartcard
	case len(r.card.refuse) > 0:
		code := r.card.refuse[0]
		r.card.refuse = r.card.refuse[1:]
		if r.card.bounces {
			r.count += 2
			close(s.f.changed)
			s.f.changed = make(chan struct{})
		}
		return nil, code
	case share == shareExclusive && r.held > 0:
		return nil, codeSharingViolation
	}
	r.held++
	s.f.handles++
	return &fakeHandle{f: s.f, s: r, card: r.card, count: r.count}, nil
}

type fakeHandle struct {
	f     *fake
	s     *slot
	card  *plastic
	count uint32
}

func (h *fakeHandle) there() error {
	if err := h.f.failing(); err != nil {
		return err
	}
	if h.s.card != h.card || h.s.count != h.count {
		return codeRemovedCard
	}
	return nil
}

func (h *fakeHandle) protocol() uint32 { return h.card.protocol }

func (h *fakeHandle) atr() ([]byte, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return h.card.atr, h.there()
}

func (h *fakeHandle) transmit(command []byte) ([]byte, error) {
	h.f.mu.Lock()
	err := h.there()
	h.card.seen = append(h.card.seen, bytes.Clone(command))
	answer := h.card.answer
	h.f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if answer != nil {
		return answer(command)
	}
	return []byte{0x90, 0x00}, nil
}

func (h *fakeHandle) reconnect(_, _, _ uint32) error {
	if h.card.resetting != nil {
		h.card.resetting()
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	h.card.resets++
	return h.there()
}

func (h *fakeHandle) begin() error { return nil }

func (h *fakeHandle) control(c uint32, _ []byte) ([]byte, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	h.card.asked++
	b, ok := h.card.controls[c]
	if !ok {
		return nil, returnCode(0x80100016)
	}
	return b, nil
}

func (h *fakeHandle) disconnect(d uint32) error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	h.s.held--
	h.f.handles--
	if d == resetCard {
		h.card.resets++
	}
	return nil
}
