package apple

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// MemoryKeys keeps keys in this process, for tests and for a first server: what
// is attested is forgotten when it ends. Its zero value is ready.
type MemoryKeys struct {
	mu   sync.Mutex
	held map[string]memoryKey
}

type memoryKey struct {
	point   []byte
	counter uint32
}

var _ Keys = (*MemoryKeys)(nil)

// Enrol implements Keys.
func (m *MemoryKeys) Enrol(_ context.Context, device string, point []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, known := m.held[device]; known {
		if !bytes.Equal(k.point, point) {
			return fmt.Errorf("apple: device %s has another key", device)
		}
		return nil
	}
	if m.held == nil {
		m.held = map[string]memoryKey{}
	}
	m.held[device] = memoryKey{point: bytes.Clone(point)}
	return nil
}

// Key implements Keys.
func (m *MemoryKeys) Key(_ context.Context, device string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.held[device].point), nil
}

// Advance implements Keys.
func (m *MemoryKeys) Advance(_ context.Context, device string, counter uint32) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, known := m.held[device]
	if !known || counter <= k.counter {
		return false, nil
	}
	k.counter = counter
	m.held[device] = k
	return true, nil
}
