package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/payunit/payunit/trusted"
)

// powerDisk is a disk in memory whose power can go before any of its changing
// calls. What was not synced may then be there, in part, or not: images lists
// every state that can be found when the power comes back. It moves no file
// that is open and none over an open one, as Windows does not.
type powerDisk struct {
	durable map[string]*node // entries of the folder as a power cut leaves them
	current map[string]*node
	moves   []map[string]*node // states of the folder since it was synced
	left    int                // changing calls until the power goes; 0 never
	calls   int
	images  []image
	locked  bool
}

type node struct {
	durable []byte
	pending []change
	opened  int
}

// change is a write, or with nil data a truncation.
type change struct {
	off  int64
	data []byte
}

func (c change) on(b []byte) []byte {
	b = bytes.Clone(b)
	end := int(c.off) + len(c.data)
	if len(b) < end {
		b = append(b, make([]byte, end-len(b))...)
	}
	if c.data == nil {
		return b[:end]
	}
	copy(b[c.off:], c.data)
	return b
}

func (n *node) content() []byte {
	b := n.durable
	for _, c := range n.pending {
		b = c.on(b)
	}
	return b
}

// states are all contents that a power cut may leave: each pending change whole,
// torn in the middle, or dropped, whatever becomes of the others.
func (n *node) states() [][]byte {
	all := [][]byte{n.durable}
	for _, c := range n.pending {
		for _, b := range all[:len(all):len(all)] {
			all = append(all, c.on(b))
			if len(c.data) > 1 {
				all = append(all, change{c.off, c.data[:len(c.data)/2]}.on(b))
			}
		}
	}
	return all
}

// image is what a folder holds.
type image map[string][]byte

func newPowerDisk(i image, left int) *powerDisk {
	d := &powerDisk{durable: map[string]*node{}, left: left}
	for name, b := range i {
		d.durable[name] = &node{durable: b}
	}
	d.current = maps.Clone(d.durable)
	return d
}

var errPower = errors.New("power is gone")

func (d *powerDisk) step() error {
	if d.images != nil {
		return errPower
	}
	d.calls++
	if d.calls != d.left {
		return nil
	}
	for _, folder := range append([]map[string]*node{d.durable}, d.moves...) {
		images := []image{{}}
		for name, n := range folder {
			var more []image
			for _, b := range n.states() {
				for _, i := range images {
					i = maps.Clone(i)
					i[name] = b
					more = append(more, i)
				}
			}
			images = more
		}
		d.images = append(d.images, images...)
	}
	return errPower
}

func (d *powerDisk) changed() { d.moves = append(d.moves, maps.Clone(d.current)) }

func (d *powerDisk) mkdir(string) error { return nil }

func (d *powerDisk) lock(string) (io.Closer, error) {
	if d.locked {
		return nil, trusted.ErrInUse
	}
	d.locked = true
	return d, nil
}

func (d *powerDisk) Close() error {
	d.locked = false
	return nil
}

func (d *powerDisk) open(path string) (file, error) {
	n, ok := d.current[path]
	if !ok {
		return nil, os.ErrNotExist
	}
	n.opened++
	return &powerFile{d, n}, nil
}

func (d *powerDisk) create(path string) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	n, ok := d.current[path]
	if !ok {
		n = &node{}
		d.current[path] = n
		d.changed()
	}
	n.pending = append(n.pending, change{})
	n.opened++
	return &powerFile{d, n}, nil
}

func (d *powerDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	n, old := d.current[from], d.current[to]
	if n == nil || n.opened > 0 || old != nil && old.opened > 0 {
		return errors.New("sharing violation")
	}
	d.current[to] = n
	delete(d.current, from)
	d.changed()
	return nil
}

func (d *powerDisk) remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	delete(d.current, path)
	d.changed()
	return nil
}

func (d *powerDisk) syncDir(string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.durable, d.moves = maps.Clone(d.current), nil
	return nil
}

type powerFile struct {
	d *powerDisk
	n *node
}

func (f *powerFile) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(f.n.content()).ReadAt(b, off)
}

func (f *powerFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.d.step(); err != nil {
		return 0, err
	}
	f.n.pending = append(f.n.pending, change{off, bytes.Clone(b)})
	return len(b), nil
}

func (f *powerFile) Truncate(size int64) error {
	if err := f.d.step(); err != nil {
		return err
	}
	f.n.pending = append(f.n.pending, change{off: size})
	return nil
}

func (f *powerFile) Sync() error {
	if err := f.d.step(); err != nil {
		return err
	}
	f.n.durable, f.n.pending = f.n.content(), nil
	return nil
}

func (f *powerFile) Size() (int64, error) { return int64(len(f.n.content())), nil }

func (f *powerFile) Close() error {
	f.n.opened--
	return nil
}

// chip is an Anchor that loses nothing, and can lose its power before or after
// it has counted.
type chip struct {
	n    uint64
	disk *powerDisk
}

func (c *chip) Value(context.Context) (uint64, error) { return c.n, nil }

func (c *chip) Advance(context.Context) (uint64, error) {
	if err := c.disk.step(); err != nil {
		return 0, err
	}
	c.n++
	return c.n, c.disk.step()
}

// deed is one acknowledged or attempted change.
type deed func(v *Vault, want map[string]string) error

func put(name, value string) deed {
	return func(v *Vault, want map[string]string) error {
		want[name] = value
		return v.Put(context.Background(), name, []byte(value))
	}
}

func remove(name string) deed {
	return func(v *Vault, want map[string]string) error {
		delete(want, name)
		return v.Delete(context.Background(), name)
	}
}

// count takes a number; the state holds the last one that was given.
func count(v *Vault, want map[string]string) error {
	n, err := v.Next(context.Background(), "c")
	if err != nil {
		var was int
		if _, serr := fmt.Sscan(want["#"], &was); serr != nil {
			was = 0
		}
		n = uint64(was + 1)
	}
	want["#"] = fmt.Sprint(n)
	return err
}

// deeds make a log that is rewritten on the way.
var deeds = []deed{
	put("a", "1"), count, put("b", "2"), put("a", "a longer value than before"), count, remove("b"), put("c", "3"), count, put("a", "4"),
}

// peek is all that a vault holds, the counter's last number as "#".
func peek(t *testing.T, v *Vault) map[string]string {
	t.Helper()
	s := state(t, v)
	b, err := v.getLocked(counterPrefix + "c")
	switch {
	case err == nil:
		s["#"] = fmt.Sprint(b[7])
	case !errors.Is(err, trusted.ErrNotFound):
		t.Fatal(err)
	}
	return s
}

const powerSlack = 200

// cut runs deeds on a disk until its power goes and returns the state that was
// acknowledged and the one that was being made; they are the same when it was
// opening that was cut.
func cut(d *powerDisk, c Config, before map[string]string, do []deed) (acked, tried map[string]string, opened bool) {
	acked = before
	v, err := openOn(context.Background(), d, "unit", c, powerSlack)
	if err != nil {
		return acked, acked, false
	}
	for _, f := range do {
		tried = maps.Clone(acked)
		if err := f(v, tried); err != nil {
			return acked, tried, true
		}
		acked = tried
	}
	return acked, acked, true
}

// TestPowerCutAtEveryStep cuts the power before every call that changes the
// disk or the anchor, and opens every state that the disk may be in when it
// comes back; then it cuts the power at every step of that opening and of a
// further put, and opens again.
func TestPowerCutAtEveryStep(t *testing.T) {
	for _, anchored := range []bool{false, true} {
		t.Run(fmt.Sprint("anchored ", anchored), func(t *testing.T) {
			r := powerRun{t: t, anchored: anchored}
			cuts := 0
			for n := 1; ; n++ {
				d := newPowerDisk(nil, n)
				k := &chip{disk: d}
				c := r.config(k)
				acked, tried, _ := cut(d, c, map[string]string{}, deeds)
				if d.images == nil {
					break
				}
				cuts++
				for _, i := range d.images {
					r.again(i, k.n, acked, tried, 1)
				}
			}
			if cuts < 4*len(deeds) || r.states < 3*cuts {
				t.Errorf("%d cuts and %d states: the deeds were not cut everywhere", cuts, r.states)
			}
			t.Logf("%d cuts, %d states of the disk opened", cuts, r.states)
		})
	}
}

type powerRun struct {
	t        *testing.T
	anchored bool
	states   int
}

func (r *powerRun) config(k *chip) Config {
	c := testConfig()
	if r.anchored {
		c.Anchor = k
	}
	return c
}

// again opens an image that a power cut left, at an anchor's value.
func (r *powerRun) again(i image, count uint64, acked, tried map[string]string, depth int) {
	r.states++
	t := r.t
	d := newPowerDisk(i, 0)
	k := &chip{n: count, disk: d}
	v, err := openOn(t.Context(), d, "unit", r.config(k), powerSlack)
	if err != nil {
		// The first open of all may have spent the anchor's first number
		// before there was a file: it says so, and nothing is lost.
		if _, ok := i[filepath.Join("unit", "vault")]; r.anchored && !ok && errors.Is(err, trusted.ErrRollback) && len(acked) == 0 {
			return
		}
		t.Fatalf("after a power cut: %v", err)
	}
	got := peek(t, v)
	if !maps.Equal(got, acked) && !maps.Equal(got, tried) {
		t.Fatalf("after a power cut %v, acknowledged %v, tried %v", got, acked, tried)
	}
	if depth == 0 {
		return
	}
	for n := 1; ; n++ {
		d := newPowerDisk(i, n)
		k := &chip{n: count, disk: d}
		after, trying, opened := cut(d, r.config(k), got, []deed{put("again", "5")})
		if d.images == nil {
			return
		}
		if !opened {
			after, trying = acked, tried
		}
		for _, j := range d.images {
			r.again(j, k.n, after, trying, 0)
		}
	}
}
