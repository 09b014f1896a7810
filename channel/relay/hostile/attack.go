package hostile

import (
	"fmt"
	"time"
)

// Trial is one thing that a hostile app does at one frame.
type Trial struct {
	// Attack names what is done, Frame the frame by its number in the link
	// (Frame.Order).
	Attack string
	Frame  int
	// Benign: a network may do the same, and a payment has to succeed.
	Benign bool
	start  func() func(Frame) Verdict
}

// String names the trial.
func (t Trial) String() string { return fmt.Sprintf("%s at frame %d", t.Attack, t.Frame) }

// Judge returns a judge for one link: the trial at its frame, Pass at every
// other.
func (t Trial) Judge() func(Frame) Verdict { return t.start() }

// attack is an entry of the catalogue. at makes what happens to the frame, from
// what a calm run of the same dialogue showed; nil when it makes no sense there.
type attack struct {
	name   string
	benign bool
	at     func(target Frame, calm []Frame) func(Frame) Verdict
}

// late is longer than anybody waits for an answer, soon shorter.
const (
	late = 10 * time.Minute
	soon = time.Second
)

// frameTypes, as far as an app can make some up without a key: what ends a
// connection, in clear and as if sealed.
func refusal() []byte { return []byte{4, 0, 0, 0} }

func forged(kind byte) []byte { return append([]byte{kind, 1, 1, 16}, make([]byte, 256+16)...) }

// always is an attack that does not look at what it is done to.
func always(v func(Frame) Verdict) func(Frame, []Frame) func(Frame) Verdict {
	return func(Frame, []Frame) func(Frame) Verdict { return v }
}

// altered is a copy of a frame, changed.
func altered(change func(b []byte) []byte) func(Frame, []Frame) func(Frame) Verdict {
	return always(func(f Frame) Verdict {
		return Verdict{Out: [][]byte{change(append([]byte(nil), f.Bytes...))}}
	})
}

func flipped(at func(n int) int, mask byte) func(Frame, []Frame) func(Frame) Verdict {
	return altered(func(b []byte) []byte {
		b[at(len(b))] ^= mask
		return b
	})
}

func fixed(i int) func(int) int { return func(n int) int { return min(i, n-1) } }

// setLength writes a frame's length anew.
func setLength(b []byte) []byte {
	h := headerLen(b)
	n := len(b) - h
	b[h-2], b[h-1] = byte(n>>8), byte(n)
	return b
}

// catalogue is what an app can do to a frame.
func catalogue() []attack {
	return append(append(losses(), alterations()...), forgeries()...)
}

// losses are what a bad network does, too.
func losses() []attack {
	return []attack{
		{"delay", true, always(func(f Frame) Verdict { return Verdict{Delay: soon, Out: [][]byte{f.Bytes}} })},
		{"byte by byte", true, always(func(f Frame) Verdict {
			var v Verdict
			for i := range f.Bytes {
				v.Out = append(v.Out, f.Bytes[i:i+1])
			}
			return v
		})},
		{"drop", false, always(Drop)},
		{"delay for too long", false, always(func(f Frame) Verdict { return Verdict{Delay: late, Out: [][]byte{f.Bytes}} })},
		{"cut before", false, always(Cut)},
		{"cut after", false, always(func(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes}, Cut: true} })},
		{"cut in the header", false, always(func(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes[:2]}, Cut: true} })},
		{"cut in the middle", false, always(func(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes[:len(f.Bytes)/2]}, Cut: true} })},
		{"cut before the last byte", false, always(func(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes[:len(f.Bytes)-1]}, Cut: true} })},
	}
}

// alterations change a frame's bytes.
func alterations() []attack {
	return []attack{
		{"alter the type", false, flipped(fixed(0), 0x03)},
		{"alter the flags", false, flipped(fixed(1), 0x01)},
		{"alter the length", false, altered(func(b []byte) []byte {
			b[headerLen(b)-1] ^= 0x10
			return b
		})},
		{"alter the first byte", false, altered(func(b []byte) []byte {
			b[min(headerLen(b), len(b)-1)] ^= 0x80
			return b
		})},
		{"alter the middle", false, flipped(func(n int) int { return n / 2 }, 0x10)},
		{"alter the last byte", false, flipped(func(n int) int { return n - 1 }, 0x01)},
		{"truncate", false, altered(func(b []byte) []byte { return b[:len(b)-1] })},
		{"truncate and correct the length", false, altered(func(b []byte) []byte {
			if len(b) > headerLen(b) {
				b = b[:len(b)-1]
			}
			return setLength(b)
		})},
		{"lengthen", false, altered(func(b []byte) []byte { return setLength(append(b, 0)) })},
		{"empty", false, altered(func(b []byte) []byte { return setLength(b[:headerLen(b)]) })},
		{"zeros", false, altered(func(b []byte) []byte { clear(b[headerLen(b):]); return b })},
		{"downgrade", false, downgrade},
	}
}

// downgrade puts another suite before the one that a hello of channel/noise
// offers.
func downgrade(target Frame, _ []Frame) func(Frame) Verdict {
	const handshake, count, first = 1, 6, 7
	if !target.Up || target.Index != 0 {
		return nil
	}
	return func(f Frame) Verdict {
		b := append([]byte(nil), f.Bytes...)
		if len(b) <= first || b[0] != handshake {
			return Pass(f)
		}
		out := append([]byte(nil), b[:first]...)
		out[count]++
		out = append(out, b[first]^3)
		return Verdict{Out: [][]byte{setLength(append(out, b[first:]...))}}
	}
}

// forgeries send what was not sent now, or not here.
func forgeries() []attack {
	instead := func(pick func(target Frame, calm []Frame) []byte) func(Frame, []Frame) func(Frame) Verdict {
		return func(target Frame, calm []Frame) func(Frame) Verdict {
			b := pick(target, calm)
			if b == nil {
				return nil
			}
			return func(Frame) Verdict { return Verdict{Out: [][]byte{b}} }
		}
	}
	before := func(b []byte) func(Frame, []Frame) func(Frame) Verdict {
		return always(func(f Frame) Verdict { return Verdict{Out: [][]byte{b, f.Bytes}} })
	}
	return []attack{
		{"repeat", false, always(func(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes, f.Bytes}} })},
		{"repeat 100 times", false, always(func(f Frame) Verdict {
			v := Verdict{}
			for range 100 {
				v.Out = append(v.Out, f.Bytes)
			}
			return v
		})},
		{"reflect", false, always(func(f Frame) Verdict { return Verdict{Back: [][]byte{f.Bytes}} })},
		{"pass and reflect", false, always(func(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes}, Back: [][]byte{f.Bytes}} })},
		{"refuse in the other's name", false, always(func(f Frame) Verdict { return Verdict{Out: [][]byte{refusal()}, Back: [][]byte{refusal()}, Cut: true} })},
		{"forge a close", false, before(forged(3))},
		{"forge data", false, before(forged(2))},
		{"forge the word that the client is taken", false, before(forged(5))},
		{"flood", false, before(make([]byte, 1<<18))},
		{"splice: the frame of another session", false, instead(func(target Frame, calm []Frame) []byte {
			for _, f := range calm {
				if f.Up == target.Up && f.Connection == target.Connection && f.Index == target.Index {
					return f.Bytes
				}
			}
			return nil
		})},
		{"splice: the last frame of another session", false, instead(func(target Frame, calm []Frame) []byte {
			var last []byte
			for _, f := range calm {
				if f.Up == target.Up {
					last = f.Bytes
				}
			}
			return last
		})},
	}
}

// Trials are every attack of the catalogue at every frame of a dialogue, as a
// calm run of it showed them, and, in the same session, every swap of a frame with
// its successor and every replay of the one before it.
func Trials(calm []Frame) []Trial {
	var out []Trial
	for _, target := range calm {
		for _, a := range catalogue() {
			do := a.at(target, calm)
			if do == nil {
				continue
			}
			out = append(out, Trial{a.name, target.Order, a.benign, func() func(Frame) Verdict {
				return func(f Frame) Verdict {
					if f.Order == target.Order {
						return do(f)
					}
					return Pass(f)
				}
			}})
		}
		out = append(out,
			Trial{"swap with the next of its direction", target.Order, false, func() func(Frame) Verdict { return swap(target) }},
			Trial{"replay the one before", target.Order, false, func() func(Frame) Verdict { return replayed(target) }},
			Trial{"nothing passes any more", target.Order, false, func() func(Frame) Verdict {
				return func(f Frame) Verdict {
					if f.Order >= target.Order {
						return Drop(f)
					}
					return Pass(f)
				}
			}},
		)
	}
	return out
}

// swap holds a frame until its successor has passed.
func swap(target Frame) func(Frame) Verdict {
	var held []byte
	return func(f Frame) Verdict {
		switch {
		case f.Order == target.Order:
			held = f.Bytes
			return Verdict{}
		case held != nil && f.Up == target.Up && f.Connection == target.Connection:
			v := Verdict{Out: [][]byte{f.Bytes, held}}
			held = nil
			return v
		}
		return Pass(f)
	}
}

// replayed puts the frame of the same direction that came before in the target's
// place.
func replayed(target Frame) func(Frame) Verdict {
	var before []byte
	return func(f Frame) Verdict {
		v := Pass(f)
		if f.Order == target.Order && before != nil {
			v.Out = [][]byte{before}
		}
		if f.Up == target.Up {
			before = f.Bytes
		}
		return v
	}
}

// Bytes are trials that flip one bit of each step-th byte of every frame of a
// dialogue, from the first on.
func Bytes(calm []Frame, step int) []Trial {
	var out []Trial
	for _, target := range calm {
		for at := 0; at < len(target.Bytes); at += max(step, 1) {
			out = append(out, Trial{fmt.Sprintf("alter byte %d", at), target.Order, false, func() func(Frame) Verdict {
				return func(f Frame) Verdict {
					if f.Order == target.Order && at < len(f.Bytes) {
						f.Bytes[at] ^= 1 << (at % 8)
					}
					return Pass(f)
				}
			}})
		}
	}
	return out
}

// RollBack is a judge that gives the unit an older session: what the server said
// there, frame for frame, in the place of what it says now.
func RollBack(old []Frame) func(Frame) Verdict {
	var down [][]byte
	for _, f := range old {
		if !f.Up {
			down = append(down, f.Bytes)
		}
	}
	return func(f Frame) Verdict {
		switch {
		case f.Up:
			return Pass(f)
		case len(down) == 0:
			return Cut(f)
		}
		v := Verdict{Out: [][]byte{down[0]}}
		down = down[1:]
		return v
	}
}
