// Package documents reads the commands that documents show, with what they print, so
// that tests can run them as a reader would. A block between ``` without a language is
// commands; one that is something else says so: ```text, ```yaml.
package documents

import (
	"os"
	"regexp"
	"strings"
)

// Block is a block of commands in a document.
type Block struct {
	Line     int // of its first line, counted from 1
	Commands []Command
}

// First is the first command's first line, by which tests name a block.
func (b Block) First() string {
	first, _, _ := strings.Cut(b.Commands[0].Text, "\n")
	return first
}

// Command is one that a document shows.
type Command struct {
	Prompt string   // what is before the '#' or '$': the machine; a block without prompts is one command
	Text   string   // without the prompt
	Output []string // lines that are shown under it
	Shown  bool     // there were prompts, so nothing under it means that it prints nothing
}

// Refused reports whether the document shows that the command fails.
func (c Command) Refused() bool {
	return len(c.Output) > 0 && strings.HasPrefix(c.Output[0], "hostnat: ")
}

var prompt = regexp.MustCompile(`^([a-z0-9]*)[#$] (.*)$`)

// Read returns the blocks of commands of a document.
func Read(path string) ([]Block, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var block []string
	inside, commands := false, false
	for i, line := range strings.Split(string(text), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !inside:
			inside, commands, block = true, fence == "", nil
		case isFence:
			inside = false
			if commands && len(block) > 0 {
				blocks = append(blocks, Block{Line: i + 1 - len(block), Commands: parse(block)})
			}
		case inside:
			block = append(block, line)
		}
	}
	return blocks, nil
}

func parse(lines []string) []Command {
	if !prompt.MatchString(lines[0]) {
		return []Command{{Text: strings.Join(lines, "\n")}}
	}
	var all []Command
	for _, line := range lines {
		if m := prompt.FindStringSubmatch(line); m != nil {
			all = append(all, Command{Prompt: m[1], Text: m[2], Shown: true})
			continue
		}
		last := &all[len(all)-1]
		last.Output = append(last.Output, line)
	}
	return all
}

// varies is what differs from one run to the next, and what stands for it.
var varies = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b`), "MAC"},
	{regexp.MustCompile(`"(lifetimeSeconds|packetsOut|bytesOut|packetsIn|bytesIn|endpointMicroseconds|outsideMicroseconds)": \d+`), `"$1": N`},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "DATE"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?\b`), "TIME"},
	{regexp.MustCompile(`\bpid \d+`), "pid N"},
	{regexp.MustCompile(`:\d{5}\b`), ":PORT"},
	{regexp.MustCompile(`\b\d+(h\d+m|m\d+s|h|m|s)\b`), "DURATION"},
	{regexp.MustCompile(`\b\d+/\d+ +[\d.]+ (B|KiB|MiB) +[\d.]+ (B|KiB|MiB)`), "COUNTERS"},
}

// Plain returns a line without what varies, and with one space where there are several.
func Plain(line string) string {
	for _, v := range varies {
		line = v.pattern.ReplaceAllString(line, v.with)
	}
	return strings.Join(strings.Fields(line), " ")
}
