//go:build pcsc && (cgo || windows)

package pcsc

import (
	"errors"
	"sync"
	"time"

	"github.com/ebfe/scard"
)

// system is the machine's service, and the one watcher of the process.
func system() (service, *watcher, error) { return scardService{}, process(), nil }

// process is global because what it guards is: libpcsclite keeps one table of
// readers a process, which two waits at once overwrite for each other, and a
// change is lost.
var process = sync.OnceValue(func() *watcher { return newWatcher(scardService{}) })

type scardService struct{}

func (scardService) establish() (session, error) {
	c, err := scard.EstablishContext()
	if err != nil {
		return nil, code(err)
	}
	return scardSession{c}, nil
}

// code keeps scard's type inside this file.
func code(err error) error {
	var e scard.Error
	if errors.As(err, &e) {
		return returnCode(e)
	}
	return err
}

type scardSession struct{ c *scard.Context }

func (s scardSession) listReaders() ([]string, error) {
	names, err := s.c.ListReaders()
	if codeOf(code(err)) == codeNoReaders {
		return nil, nil
	}
	return names, code(err)
}

func (s scardSession) statusChange(states []readerState, timeout time.Duration) error {
	if len(states) == 0 {
		return nil
	}
	list := make([]scard.ReaderState, len(states))
	for i, st := range states {
		list[i] = scard.ReaderState{Reader: st.reader, CurrentState: scard.StateFlag(st.current)}
	}
	if err := s.c.GetStatusChange(list, timeout); err != nil {
		return code(err)
	}
	for i := range states {
		states[i].event, states[i].atr = uint32(list[i].EventState), list[i].Atr
	}
	return nil
}

func (s scardSession) connect(reader string, share, protocols uint32) (handle, error) {
	c, err := s.c.Connect(reader, scard.ShareMode(share), scard.Protocol(protocols))
	if err != nil {
		return nil, code(err)
	}
	return scardHandle{c}, nil
}

func (s scardSession) cancel() error  { return code(s.c.Cancel()) }
func (s scardSession) release() error { return code(s.c.Release()) }

type scardHandle struct{ c *scard.Card }

func (h scardHandle) protocol() uint32 { return uint32(h.c.ActiveProtocol()) }

func (h scardHandle) atr() ([]byte, error) {
	s, err := h.c.Status()
	if err != nil {
		return nil, code(err)
	}
	return s.Atr, nil
}

func (h scardHandle) transmit(command []byte) ([]byte, error) {
	r, err := h.c.Transmit(command)
	return r, code(err)
}

func (h scardHandle) reconnect(share, protocols, disposition uint32) error {
	return code(h.c.Reconnect(scard.ShareMode(share), scard.Protocol(protocols), scard.Disposition(disposition)))
}

func (h scardHandle) begin() error { return code(h.c.BeginTransaction()) }

func (h scardHandle) control(c uint32, in []byte) ([]byte, error) {
	b, err := h.c.Control(c, in)
	return b, code(err)
}

func (h scardHandle) disconnect(disposition uint32) error {
	return code(h.c.Disconnect(scard.Disposition(disposition)))
}
