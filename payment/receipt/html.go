package receipt

import (
	"html"
	"slices"
	"strings"
)

// HTML lays a receipt out as one page that needs nothing else: no script, no
// font, no picture. What comes from outside is escaped.
func HTML(d Data, c Copy) string {
	language, direction := "en", "ltr"
	if slices.Contains(languages[:], d.Language) {
		language = d.Language
	}
	if rightToLeft(language) {
		direction = "rtl"
	}
	var b strings.Builder
	b.WriteString(`<!doctype html>
<html lang="` + language + `" dir="` + direction + `">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>` + html.EscapeString(d.Merchant) + `</title>
<style>
body{max-width:24em;margin:1em auto;padding:0 .5em;font:1em/1.4 sans-serif;color:#000;background:#fff}
table{width:100%;border-collapse:collapse}
td{padding:.1em 0;vertical-align:top}
td+td{text-align:end;overflow-wrap:anywhere}
p{margin:.4em 0;text-align:center}
hr{border:0;border-top:1px dashed #000}
.sign{margin-top:3em;border-top:1px solid #000;text-align:start}
</style>
</head>
<body>
`)
	table := false
	for _, r := range rows(d, c) {
		if table != (r.kind == pair) {
			table = !table
			if table {
				b.WriteString("<table>\n")
			} else {
				b.WriteString("</table>\n")
			}
		}
		name := html.EscapeString(r.name)
		switch r.kind {
		case pair:
			b.WriteString("<tr><td>" + name + `</td><td><bdi>` + html.EscapeString(r.value) + "</bdi></td></tr>\n")
		case centre:
			b.WriteString("<p>" + name + "</p>\n")
		case strong:
			b.WriteString("<p><strong>" + name + "</strong></p>\n")
		case rule:
			b.WriteString("<hr>\n")
		case sign:
			b.WriteString(`<p class="sign">` + name + "</p>\n")
		}
	}
	if table {
		b.WriteString("</table>\n")
	}
	b.WriteString("</body>\n</html>\n")
	return b.String()
}
