package acquirer

import (
	"errors"
	"fmt"

	"github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"
)

// workspace is what one message at a time is taken apart or put together in: a
// specification for the library whose elements come out of one slab, in the
// order in which the library makes them. A dialect keeps workspaces for the next
// message, so that a message costs no allocation an element.
type workspace struct {
	d    *Dialect
	t    *Table
	spec *iso8583.MessageSpec
	msg  *iso8583.Message // for unpacking, again and again
	slab [129]element
	used int
}

// space returns a workspace, which release gives back.
func (d *Dialect) space() *workspace {
	if w, ok := d.spaces.Get().(*workspace); ok {
		return w
	}
	w := &workspace{d: d, t: &d.t}
	bits := &field.Spec{Length: 8, Description: "bitmap", Enc: bitmapCoder(d.t.Bitmap), Pref: prefix.Binary.Fixed}
	if d.t.BothBitmaps {
		bits.Length, bits.DisableAutoExpand = 16, true
	}
	w.spec = &iso8583.MessageSpec{Name: d.t.Name, Fields: map[int]field.Field{1: field.NewBitmap(bits)}}
	for n, e := range d.elements {
		if e == nil {
			continue
		}
		f := &element{def: e, w: w}
		f.SetSpec(&field.Spec{Length: e.Length, Description: e.Name})
		w.spec.Fields[n] = f
	}
	w.msg = iso8583.NewMessage(w.spec)
	return w
}

// element returns the next element of the slab.
func (w *workspace) element(like *element) *element {
	if w.used == len(w.slab) {
		// The library made one twice; it has made each once so far.
		return &element{def: like.def, w: w}
	}
	n := &w.slab[w.used]
	w.used++
	n.def, n.w = like.def, w
	return n
}

// release wipes the elements' own copies of their values and gives the
// workspace back. Nobody may hold an element any longer.
func (w *workspace) release() {
	for i := range w.slab[:w.used] {
		e := &w.slab[i]
		if e.decoded && e.owned() {
			clear(e.Value())
		}
		e.SetValue(nil)
		e.size, e.rest, e.reason, e.decoded = 0, 0, "", false
	}
	w.used = 0
	w.d.spaces.Put(w)
}

// split takes a message apart: the message type and the elements in order. With
// an error it returns what came before. The elements are the workspace's.
func (w *workspace) split(b []byte) ([]*element, error) {
	d := w.d
	uerr := w.msg.Unpack(b)
	bits := w.msg.Bitmap()
	var bad *element
	if uerr != nil {
		errors.As(uerr, &bad)
	}
	els := make([]*element, 0, w.used)
	end := 0
	for i := range w.slab[:w.used] {
		e := &w.slab[i]
		if e == bad || !e.decoded {
			continue
		}
		els = append(els, e)
		end = len(b) - e.rest + e.size
		if i > 0 || bad != nil && bad.def.Number == 0 {
			continue
		}
		// Behind the message type comes the bitmap.
		var berr bitmapError
		if errors.As(uerr, &berr) {
			return els, d.fail(1, end, berr.Error(), ErrMalformed)
		}
		if reason := d.bitmap(bits); reason != "" {
			return els, d.fail(1, end, reason, ErrMalformed)
		}
		end += d.bitmapSize(bits.Len())
	}
	switch {
	case bad != nil:
		return els, d.fail(bad.def.Number, len(b)-bad.rest, bad.reason, ErrMalformed)
	case uerr != nil:
		return els, d.unknown(uerr, end)
	case end != len(b):
		return els, d.fail(-1, end, fmt.Sprintf("%d bytes after the last field", len(b)-end), ErrMalformed)
	}
	return els, nil
}
