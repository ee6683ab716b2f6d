package top

import (
	"fmt"
	"io"
	"strings"

	"github.com/hostnat/hostnat/api"
)

// printed is wide enough that no column is left out.
const printed = 1 << 16

// Print writes one picture as text: endpoints, sessions and drops.
func Print(w io.Writer, s State) error {
	lines := []string{s.summary(), s.totals()}
	lines = append(lines, part("endpoints", endpointColumns(s.Traffic, s.Traffic.Endpoints), s.Traffic.MatchingEndpoints)...)
	lines = append(lines, part("sessions", sessionColumns(s.Traffic, s.Traffic.Active), s.Traffic.MatchingSessions)...)
	lines = append(lines, part("dropped packets", dropColumns(s.Traffic, s.Traffic.Drops), len(s.Traffic.Drops))...)
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// part is a list with a title; one without rows is left out.
func part(title string, columns []column, matching int) []string {
	shown := len(columns[0].cells)
	if shown == 0 {
		return nil
	}
	if matching > shown {
		title = fmt.Sprintf("%s, the first %d of %d", title, shown, matching)
	}
	lines := []string{"", title}
	for _, line := range table(columns, printed) {
		lines = append(lines, "  "+line)
	}
	return lines
}

// Talkers writes the first endpoints of traffic, for a page that has other things too.
func Talkers(w io.Writer, t api.Traffic) error {
	lines := append([]string{State{Traffic: t}.totals()}, part("talkers", endpointColumns(t, t.Endpoints), t.MatchingEndpoints)...)
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(lines, "\n"))
	return err
}
