package top

import (
	"fmt"
	"strings"

	"github.com/hostnat/hostnat/api"
)

const help = `tab, 1 2 3     endpoints, sessions, drops
up, down       also k and j, page up and down, home and end
s              sort by bytes, packets, sessions, new ones, name
/              only rows with a text: a name, an address, :443, udp, established
f, enter       follow the row's endpoint: its sessions alone; f again: all
esc            all again
e              explain: what failed for the endpoint, why packets were dropped
x              end the session, after a question
p              pause, go on
q              quit

Rates are of the time between two readings of the kernel's tables. Packets are
out/in. Sessions that have not sent for a minute are counted, and not listed. Of
more than 16,384 others those are measured that have sent most. A large table is
read less often, for a fiftieth of the time at most: the first line then has
"read each 14 s".`

// textLines are those of the text that is shown instead of a list.
func (s State) textLines() []string {
	if s.Help {
		return strings.Split(help, "\n")
	}
	if len(s.Explained.Failures) == 0 {
		return []string{"The flight recorder has nothing of it of the last hour.", "", "hostnat explain --since TIME asks for more."}
	}
	var lines []string
	for _, f := range s.Explained.Failures {
		lines = append(lines, failureLines(f, s.Width)...)
	}
	return lines
}

func failureLines(f api.Failure, width int) []string {
	what := f.Outcome
	if f.Reason != "" {
		what += ", " + f.Reason
	}
	lines := []string{fmt.Sprintf("%d × %s, the last at %s", f.Count, what, f.Last.Local().Format("15:04:05"))}
	lines = append(lines, wrap("  ", f.What, width)...)
	if f.Meaning != "" {
		lines = append(lines, wrap("  ", f.Meaning, width)...)
	}
	for _, r := range f.Remedies {
		lines = append(lines, wrap("  ", r.Object+":", width)...)
		lines = append(lines, "    "+r.Command) // in one piece, to be copied
	}
	return append(lines, "")
}

// text is the screen with a text, but for the footer.
func (s State) text() []string {
	title := "hostnat top: keys"
	if s.Explained != nil {
		title = s.Explained.Title
	}
	all := s.textLines()
	first := min(s.Cursor, max(0, len(all)-1))
	lines := []string{s.styled(bold, title)}
	for _, line := range all[first:min(len(all), first+s.page())] {
		lines = append(lines, s.styled("", line))
	}
	return lines
}
