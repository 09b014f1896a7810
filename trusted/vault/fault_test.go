package vault

import (
	"errors"
	"syscall"
)

// faultFile fails the n-th changing call and, like a dead process or a broken
// disk, every one after it unless once is set. A failing write leaves half of
// its bytes.
type faultFile struct {
	file
	left  *int
	err   error
	once  bool
	fired *bool
}

func (f *faultFile) fail() bool {
	*f.left--
	hit := *f.left == 0 || *f.left < 0 && !f.once
	if hit {
		*f.fired = true
	}
	return hit
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if f.fail() {
		n, err := f.file.WriteAt(b[:len(b)/2], off)
		return n, errors.Join(f.err, err)
	}
	return f.file.WriteAt(b, off)
}

func (f *faultFile) Sync() error {
	if f.fail() {
		return f.err
	}
	return f.file.Sync()
}

func (f *faultFile) Truncate(size int64) error {
	if f.fail() {
		return f.err
	}
	return f.file.Truncate(size)
}

var errDead = errors.New("the process died here")

// breakAt puts a fault behind an open vault's file, and behind the ones that it
// makes later.
func breakAt(v *Vault, n int, err error, once bool) *bool {
	left, fired := n, false
	wrap := func(f file) file { return &faultFile{file: f, left: &left, err: err, once: once, fired: &fired} }
	v.f = wrap(v.f)
	create := v.create
	v.create = func(path string) (file, error) {
		f, cerr := create(path)
		if cerr != nil {
			return nil, cerr
		}
		return wrap(f), nil
	}
	return &fired
}

var errNoRoom error = syscall.ENOSPC
