package channeltest

import "os"

// offsets are the bytes of a direction that a test disturbs one at a time: all of
// them where CI is set; else, of each write, the first ones, which hold the
// frame's header, the last ones, which hold the tag, and some between. Under the
// race detector, which looks for other things and makes a dialogue ten times as
// slow, they are few.
func offsets(writes [][]byte) []int {
	head, tail, stride := 8, 17, 97
	switch {
	case raced:
		head, tail, stride = 4, 1, 499
	case os.Getenv("CI") != "":
		head, tail, stride = 0, 0, 1
	}
	var out []int
	at := 0
	for _, w := range writes {
		for i := range w {
			if i < head || i >= len(w)-tail || i%stride == 0 {
				out = append(out, at+i)
			}
		}
		at += len(w)
	}
	return out
}
