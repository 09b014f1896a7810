package channeltest

import "os"

// offsets are the bytes of a direction that a test disturbs one at a time: all
// of them where CI is set and the race detector is not at work, which makes a
// dialogue ten times as slow; else, of each write, the first ones, which hold the
// frame's header and what names a party, the last ones, which hold the tag, and
// every 97th between.
func offsets(writes [][]byte) []int {
	const head, tail, stride = 8, 17, 97
	all := os.Getenv("CI") != "" && !raced
	var out []int
	at := 0
	for _, w := range writes {
		for i := range w {
			if all || i < head || i >= len(w)-tail || i%stride == 0 {
				out = append(out, at+i)
			}
		}
		at += len(w)
	}
	return out
}
