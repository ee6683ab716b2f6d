package demo

import (
	"regexp"
	"slices"
	"strings"
)

// wrap cuts a line at spaces so that no part is longer than width characters;
// all parts but the first begin with indent. Spaces inside a part stay.
func wrap(line string, width int, indent string) []string {
	var parts []string
	rest := []rune(line)
	for len(rest) > width {
		cut := width
		for cut > len(indent) && rest[cut] != ' ' {
			cut--
		}
		if cut <= len(indent) { // a word without end
			cut = width
		}
		parts = append(parts, strings.TrimRight(string(rest[:cut]), " "))
		rest = []rune(indent + strings.TrimLeft(string(rest[cut:]), " "))
	}
	return append(parts, string(rest))
}

// header finds the column names of a table: words with one space between them
// belong together.
var header = regexp.MustCompile(`\S+( \S+)*`)

// pick returns some columns of a table that a command printed.
func pick(table string, columns ...string) string {
	lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
	starts := header.FindAllStringIndex(lines[0], -1)
	var out strings.Builder
	for _, l := range lines {
		row, cells := []rune(l), ""
		for j, at := range starts {
			if !slices.Contains(columns, lines[0][at[0]:at[1]]) {
				continue
			}
			end := len(row)
			if j+1 < len(starts) {
				end = min(end, starts[j+1][0])
			}
			cells += string(row[min(at[0], end):end])
		}
		out.WriteString(strings.TrimRight(cells, " ") + "\n")
	}
	return out.String()
}

// grep returns the lines of text that contain one of the words.
func grep(text string, words ...string) string {
	var out strings.Builder
	for l := range strings.Lines(text) {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(l, w) }) {
			out.WriteString(l)
		}
	}
	return out.String()
}
