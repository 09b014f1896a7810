package payment

import (
	"fmt"
	"sync"
	"time"
)

// BusyError is an ErrBusy that names what runs.
type BusyError struct {
	// Doing is "pay", "recover" or "close a batch".
	Doing string
	// Order and State are those of the payment that runs.
	Order string
	State State
	// Since is when it began.
	Since time.Time
}

// Error says what runs.
func (e *BusyError) Error() string {
	s := ErrBusy.Error() + ": " + e.Doing
	if e.Order != "" {
		s += fmt.Sprintf(" of order %s, which is %s,", e.Order, e.State)
	}
	return s + " runs since " + e.Since.UTC().Format("15:04:05 UTC")
}

// Unwrap returns ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// occupied is the one thing that a unit does.
type occupied struct {
	mu  sync.Mutex
	now *BusyError
}

// take begins something; the error is a *BusyError when something runs.
func (o *occupied) take(b BusyError) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now != nil {
		was := *o.now
		return &was
	}
	o.now = &b
	return nil
}

func (o *occupied) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = nil
}

// at notes the state of the payment that runs.
func (o *occupied) at(s State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now != nil {
		o.now.State = s
	}
}
