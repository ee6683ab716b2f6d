package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// winNATMicroseconds is what the seeds of the project measured for a published
// port of WinNAT with PortProxy, on other hardware: an order of magnitude.
const winNATMicroseconds = 678

// WriteTable prints the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	head := append([]string{"", ""}, r.Contenders...)
	for _, other := range r.others() {
		head = append(head, Hostnat+" / "+other)
	}
	rows := [][]string{head}
	for _, line := range r.Lines {
		rows = append(rows, r.cells(line))
	}
	var b strings.Builder
	if r.Title != "" {
		fmt.Fprintf(&b, "\n%s\n", r.Title)
	}
	fmt.Fprintf(&b, "%s, %d CPUs, Linux %s\n", r.Processor, r.CPUs, r.Kernel)
	fmt.Fprintf(&b, "%d rounds, contenders in turns: median (least–most); ratios are taken within each round\n\n", r.Rounds)
	align(&b, rows)
	if r.Title == "" {
		r.writeNotes(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// others are the contenders that hostnat is compared with.
func (r *Report) others() (names []string) {
	if !slices.Contains(r.Contenders, Hostnat) {
		return nil
	}
	for _, name := range r.Contenders {
		if name != Hostnat {
			names = append(names, name)
		}
	}
	return names
}

func (r *Report) cells(line *Line) []string {
	cells := []string{line.Name, line.Unit}
	for _, name := range r.Contenders {
		cells = append(cells, spreadCell(line.Figures, name, figure))
	}
	for _, other := range r.others() {
		cells = append(cells, spreadCell(line.Ratios, other, ratio))
	}
	return cells
}

func spreadCell(of map[string]Spread, name string, format func(float64) string) string {
	s, ok := of[name]
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", format(s.Median), format(s.Min), format(s.Max))
}

// figure prints three digits at least, and no more after the point than tell.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func ratio(v float64) string { return fmt.Sprintf("%.2f", v) }

// align prints cells in columns, the first two to the left, the others to the
// right.
func align(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i == 0:
				b.WriteString(cell + pad)
			case i == 1:
				b.WriteString("  " + cell + pad)
			default:
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteString("\n")
	}
}

func (r *Report) writeNotes(b *strings.Builder) {
	b.WriteString("\n64-byte frames count the check sequence of 4 bytes. Frames are sent and counted by one CPU.\n")
	b.WriteString("A ratio above 1 is better for hostnat in rows of rates, below 1 in rows of times (µs).\n")
	for _, line := range r.Lines {
		if strings.HasPrefix(line.Name, "arrival") {
			fmt.Fprintf(b, "arrival to arrival: the seeds measured %d µs for WinNAT with PortProxy (other hardware).\n", winNATMicroseconds)
			return
		}
	}
}

// WriteBars prints what was to be reached and what was.
func (r *Report) WriteBars(w io.Writer) error {
	rows := [][]string{{"bar", "", "got", ""}}
	for _, v := range r.Bars {
		met := "not met"
		if v.Met {
			met = "met"
		}
		rows = append(rows, []string{v.Row, v.Want, ratio(v.Got), met})
	}
	var b strings.Builder
	b.WriteString("\n")
	align(&b, rows)
	_, err := io.WriteString(w, b.String())
	return err
}
