package text

import (
	"unicode/utf8"
)

const (
	gap      = 3  // columns between two of a table, as NewTable has them
	narrowed = 12 // a cell is not cut below that
)

// Fit has a table's rows, the first one with the headers, fit a terminal: the widest cells
// are cut, and, if that does not do, the last columns left out.
func Fit(rows [][]string, columns int) [][]string {
	if columns <= 0 || len(rows) == 0 {
		return rows
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	least := make([]int, len(widths))
	for i, header := range rows[0] {
		least[i] = max(narrowed, utf8.RuneCountInString(header))
	}
	for total(leastOf(widths, least)) > columns && len(widths) > 1 {
		widths = widths[:len(widths)-1]
	}
	for total(widths) > columns {
		widest := -1
		for i, w := range widths {
			if w > least[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	fitted := make([][]string, len(rows))
	for i, row := range rows {
		for j, w := range widths {
			fitted[i] = append(fitted[i], cut(row[j], w))
		}
	}
	return fitted
}

// leastOf are the widths to which columns can be cut.
func leastOf(widths, least []int) []int {
	out := make([]int, len(widths))
	for i, w := range widths {
		out[i] = min(w, least[i])
	}
	return out
}

func total(widths []int) int {
	sum := gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

func cut(cell string, width int) string {
	if utf8.RuneCountInString(cell) <= width {
		return cell
	}
	return string([]rune(cell)[:width-1]) + "…"
}
