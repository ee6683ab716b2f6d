package top

import (
	"fmt"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/cmd/hostnat/text"
)

// Render is the screen: as many lines as it is high, none wider than it is.
func Render(s State) string {
	if s.Width <= 0 || s.Height <= 0 {
		return ""
	}
	var lines []string
	if s.Help || s.Explained != nil {
		lines = s.text()
	} else {
		lines = s.list()
	}
	for len(lines) < s.Height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:s.Height-1], s.footer())
	return strings.Join(lines, "\n")
}

// How lines are set off, on terminals that may have colours.
const (
	bold     = "1"
	inverted = "7"
	red      = "31"
)

// styled is a line cut to the screen.
func (s State) styled(how, line string) string {
	line = cut(line, s.Width)
	if !s.Colour || how == "" {
		return line
	}
	return "\x1b[" + how + "m" + line + "\x1b[0m"
}

// list is the screen with a list, but for the footer.
func (s State) list() []string {
	dropping := ""
	for _, d := range s.Traffic.Drops {
		if d.Latest > 0 {
			dropping = red
		}
	}
	lines := []string{s.styled(bold, s.summary()), s.styled(dropping, s.totals()), s.styled("", s.choices())}
	first := max(0, s.Cursor-s.page()+1)
	last := min(s.length(), first+s.page())
	var columns []column
	switch s.View {
	case Endpoints:
		columns = endpointColumns(s.Traffic, s.Traffic.Endpoints[first:last])
	case Sessions:
		columns = sessionColumns(s.Traffic, s.Traffic.Active[first:last])
	default:
		columns = dropColumns(s.Traffic, s.Traffic.Drops[first:last])
	}
	for i, line := range table(columns, s.Width-2) { // the cursor is in front
		switch {
		case i == 0:
			lines = append(lines, s.styled(bold, "  "+line))
		case first+i-1 == s.Cursor:
			lines = append(lines, s.styled(inverted, "> "+line))
		default:
			lines = append(lines, s.styled("", "  "+line))
		}
	}
	if s.length() == 0 {
		lines = append(lines, s.styled("", "  "+s.nothing()))
	}
	return lines
}

func (s State) nothing() string {
	switch {
	case s.Traffic.At.IsZero():
		return "the daemon is asked"
	case s.View == Drops:
		return "nothing was dropped"
	case s.Match != "" || s.Endpoint != "":
		return "nothing that is selected has sent lately; esc shows all"
	}
	return "nothing has sent lately"
}

func (s State) summary() string {
	t := s.Traffic
	line := "hostnat top"
	if !t.At.IsZero() {
		line += fmt.Sprintf("  %s  %d sessions", t.At.Local().Format("15:04:05"), t.Sessions)
	}
	if t.Unmeasured > 0 {
		line += fmt.Sprintf(" (%d not measured)", t.Unmeasured)
	}
	if t.Milliseconds > 0 {
		line += fmt.Sprintf(", %s new/s", perSecond(t, t.Opened))
		if over := t.Milliseconds; over > uint64(2*s.Interval.Milliseconds()) {
			line += fmt.Sprintf("  read each %d s", (over+500)/1000)
		}
	}
	if s.Paused {
		line += "  PAUSED"
	}
	return line
}

func (s State) totals() string {
	t := s.Traffic
	if t.Milliseconds == 0 {
		return "rates are known after the second reading"
	}
	line := fmt.Sprintf("out %s/s, %s packets  in %s/s, %s packets", text.Bytes(t.Total.BytesOut), short(t.Total.PacketsOut),
		text.Bytes(t.Total.BytesIn), short(t.Total.PacketsIn))
	var dropped uint64
	for _, d := range t.Drops {
		dropped += d.Latest
	}
	return line + fmt.Sprintf("  dropped %s/s", perSecond(t, dropped))
}

// choices says which list is shown, and what of it.
func (s State) choices() string {
	var line strings.Builder
	for i, name := range []string{"endpoints", "sessions", "drops"} {
		if View(i) == s.View {
			fmt.Fprintf(&line, "[%s] ", name)
		} else {
			fmt.Fprintf(&line, " %s  ", name)
		}
	}
	if s.View != Drops {
		fmt.Fprintf(&line, " by %s", s.Order)
	}
	if s.Endpoint != "" {
		fmt.Fprintf(&line, "  endpoint %s", s.Endpoint)
	}
	if s.Match != "" {
		fmt.Fprintf(&line, "  with %q", s.Match)
	}
	matching := map[View]int{Endpoints: s.Traffic.MatchingEndpoints, Sessions: s.Traffic.MatchingSessions}[s.View]
	if matching > s.length() {
		fmt.Fprintf(&line, "  the first %d of %d", s.length(), matching)
	}
	return line.String()
}

func (s State) footer() string {
	switch {
	case s.Ending != nil:
		return s.styled(bold, fmt.Sprintf("end %s? y: yes, any other key: no", sessionText(*s.Ending)))
	case s.Typing:
		return s.styled(bold, "filter: "+s.Typed+"_   enter: use it, esc: leave it")
	case s.Note != "":
		return s.styled(bold, s.Note)
	case s.Help || s.Explained != nil:
		return s.styled("", "esc back  up/down scroll")
	}
	return s.styled("", "q quit  tab list  s sort  / filter  f follow  e explain  x end  p pause  ? help")
}

func sessionText(v api.Session) string {
	line := fmt.Sprintf("%s %s → %s", v.Protocol, text.HostPort(v.Internal), text.HostPort(v.Remote))
	if v.Endpoint != "" {
		line += " of " + v.Endpoint
	}
	return line
}
