package demo

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// width is the longest line in characters, for what the demo writes and for
// the output of commands.
const width = 98

// page prints the demo: explanations, commands with their output, and
// promises.
type page struct {
	w      io.Writer
	styled bool  // escape codes and check marks
	kept   int   // promises kept so far
	err    error // of the first write that failed
}

// The styles: SGR parameters.
const (
	bold  = "1"
	faint = "2"
	red   = "1;31"
	green = "32"
	blue  = "1;34"
)

func (p *page) style(sgr, text string) string {
	if !p.styled || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

func (p *page) line(text string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, text)
	}
}

// intro says what is going to happen.
func (p *page) intro() {
	p.line(p.style(bold, "hostnat demo"))
	p.say("A server outside, a host and two containers, each a network namespace made for this demo. " +
		"Nothing of this machine's own network is used or changed.")
	p.line("")
	for _, row := range []string{
		"server ----------- host -------+---- c1   network web, 172.16.1.0/24",
		"203.0.113.2        203.0.113.1 +---- c2   network lab",
		"outside            hostnat               inside",
	} {
		p.line("     " + row)
	}
}

func (p *page) heading(number int, title string) {
	p.line("")
	p.line(p.style(blue, fmt.Sprintf("%d. %s", number, title)))
}

// say explains something in plain words.
func (p *page) say(text string) {
	for _, l := range wrap(text, width-3, "") {
		p.line("   " + l)
	}
}

// command shows what a user would type.
func (p *page) command(text string) {
	p.line(p.style(faint, "   $ ") + p.style(bold, text))
}

// output shows what a command printed.
func (p *page) output(text string) {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return
	}
	for l := range strings.SplitSeq(text, "\n") {
		for _, part := range wrap(l, width-5, "    ") {
			p.line("     " + part)
		}
	}
}

// promise says that something is true, or returns an error that says it is
// not. The text must tell what was seen either way.
func (p *page) promise(kept bool, format string, args ...any) error {
	text, mark, colour := fmt.Sprintf(format, args...), "ok", green
	switch {
	case p.styled && kept:
		mark = "✓ "
	case p.styled:
		mark, colour = "✗ ", red
	case !kept:
		mark = "NO"
	}
	for i, l := range wrap(text, width-6, "") {
		if i > 0 {
			mark = "  "
		}
		p.line("   " + p.style(colour, mark) + " " + l)
	}
	if !kept {
		return errors.New("not as promised: " + text)
	}
	p.kept++
	return p.err
}

func (p *page) end(format string, args ...any) {
	p.line("")
	p.line(p.style(bold, fmt.Sprintf(format, args...)))
}
