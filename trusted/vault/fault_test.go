package vault

import (
	"errors"
	"syscall"
)

// faults fails the n-th changing call and, like a dead process or a broken disk,
// every one after it unless once is set. A failing write leaves half of its
// bytes.
type faults struct {
	left  int
	err   error
	once  bool
	fired bool
}

func (f *faults) fail() error {
	f.left--
	if f.left == 0 || f.left < 0 && !f.once {
		f.fired = true
		return f.err
	}
	return nil
}

type faultDisk struct {
	disk
	faults *faults
}

func (d faultDisk) wrap(f file, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return &faultFile{f, d.faults}, nil
}

func (d faultDisk) open(path string) (file, error) { return d.wrap(d.disk.open(path)) }

func (d faultDisk) create(path string) (file, error) {
	if err := d.faults.fail(); err != nil {
		return nil, err
	}
	return d.wrap(d.disk.create(path))
}

func (d faultDisk) rename(from, to string) error {
	if err := d.faults.fail(); err != nil {
		return err
	}
	return d.disk.rename(from, to)
}

func (d faultDisk) remove(path string) error {
	if err := d.faults.fail(); err != nil {
		return err
	}
	return d.disk.remove(path)
}

func (d faultDisk) syncDir(dir string) error {
	if err := d.faults.fail(); err != nil {
		return err
	}
	return d.disk.syncDir(dir)
}

type faultFile struct {
	file
	faults *faults
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if ferr := f.faults.fail(); ferr != nil {
		n, err := f.file.WriteAt(b[:len(b)/2], off)
		return n, errors.Join(ferr, err)
	}
	return f.file.WriteAt(b, off)
}

func (f *faultFile) Sync() error {
	if err := f.faults.fail(); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.faults.fail(); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

var errDead = errors.New("the process died here")

// breakAt puts a fault behind an open vault's disk.
func breakAt(v *Vault, n int, err error, once bool) *faults {
	f := &faults{left: n, err: err, once: once}
	v.f = &faultFile{v.f, f}
	v.disk = faultDisk{v.disk, f}
	return f
}

var errNoRoom error = syscall.ENOSPC
