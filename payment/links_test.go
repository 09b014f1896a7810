package payment_test

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/payunit/payunit/trusted"
)

// switchable is an app whose connection comes and goes.
type switchable struct {
	under trusted.Link
	mu    sync.Mutex
	down  bool
}

var errDown = errors.New("no connection")

func (s *switchable) set(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = !up
}

func (s *switchable) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errDown
	}
	return s.under.Open(ctx)
}
