package main

import (
	"io"
	"os"
	"regexp"
	"strings"
)

// Colours of a terminal.
const (
	bold   = "\x1b[1m"
	cyan   = "\x1b[36m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

// coloured marks what a reader of a report looks for: commands, tags, status
// words, what failed. Every line keeps its characters.
func coloured(text string) string {
	tagLine := regexp.MustCompile(`^( *)([0-9A-F]{2,8})( +)([A-Z(].*)$`)
	statusLine := regexp.MustCompile(`^(    )?[0-9A-F]{4} [a-z]`)
	stepLine := regexp.MustCompile(`^\d+\. |^== |^application |^what |^answer to reset`)
	lines := strings.SplitAfter(text, "\n")
	for i, l := range lines {
		body := strings.TrimSuffix(l, "\n")
		mark := func(c string) { lines[i] = c + body + plain + l[len(body):] }
		switch {
		case stepLine.MatchString(body), strings.Contains(body, "in the end: "):
			mark(bold)
		case strings.HasPrefix(body, "  failed "), strings.Contains(body, "  <- "), strings.HasPrefix(body, "    malformed: "):
			mark(red)
		case strings.HasPrefix(body, "  skipped "):
			mark(yellow)
		case strings.HasPrefix(body, "  verified "), strings.HasPrefix(body, "    9000 "), strings.HasPrefix(body, "9000 "):
			mark(green)
		case !statusLine.MatchString(body):
			if m := tagLine.FindStringSubmatch(body); m != nil {
				lines[i] = m[1] + cyan + m[2] + plain + m[3] + m[4] + l[len(body):]
			}
		default:
			mark(yellow)
		}
	}
	return strings.Join(lines, "")
}

// terminal reports whether a person sees what is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	i, err := f.Stat()
	return err == nil && i.Mode()&os.ModeCharDevice != 0
}
