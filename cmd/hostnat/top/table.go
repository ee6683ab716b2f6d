package top

import (
	"strings"
	"unicode/utf8"
)

// column is one of a list's.
type column struct {
	title string
	rank  int // where there is no room for all, those of the highest rank go
	right bool
	cells []string
}

// gap is between columns.
const gap = 2

func (c *column) width() int {
	w := utf8.RuneCountInString(c.title)
	for _, cell := range c.cells {
		w = max(w, utf8.RuneCountInString(cell))
	}
	return w
}

// fitting leaves out columns until the rest fits.
func fitting(list []column, width int) []column {
	for {
		total, worst := -gap, 0
		for i := range list {
			total += list[i].width() + gap
			if list[i].rank > list[worst].rank {
				worst = i
			}
		}
		if total <= width || len(list) <= 1 || list[worst].rank == 0 {
			return list
		}
		rest := append([]column{}, list[:worst]...)
		list = append(rest, list[worst+1:]...)
	}
}

// table makes lines of columns: the titles', and one for each row.
func table(list []column, width int) []string {
	list = fitting(list, width)
	if len(list) == 0 {
		return nil
	}
	lines := make([]strings.Builder, len(list[0].cells)+1)
	for i := range list {
		c := &list[i]
		w := c.width()
		for row := range lines {
			cell := c.title
			if row > 0 {
				cell = c.cells[row-1]
			}
			fill := strings.Repeat(" ", w-utf8.RuneCountInString(cell))
			if i > 0 {
				lines[row].WriteString(strings.Repeat(" ", gap))
			}
			if c.right {
				lines[row].WriteString(fill + cell)
			} else {
				lines[row].WriteString(cell + fill)
			}
		}
	}
	out := make([]string, len(lines))
	for i := range lines {
		out[i] = strings.TrimRight(lines[i].String(), " ")
	}
	return out
}

// cut makes a line no wider than the screen.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:max(0, width)])
}

// wrap breaks a text between words. Following lines are indented as the first.
func wrap(indent, text string, width int) (lines []string) {
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
