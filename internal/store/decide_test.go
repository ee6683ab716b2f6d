package store

import (
	"strings"
	"testing"
)

func file(c condition, at Revision) contents {
	out := contents{condition: c, revision: at, beyond: at, head: head{id: "a"}}
	if c == absent || c == alien {
		out = contents{condition: c, why: "is a FIFO"}
	}
	return out
}

func (c contents) upTo(beyond Revision) contents { c.beyond = beyond; return c }

func (c contents) of(id string) contents { c.head.id = id; return c }

// unreadable is a file of which nothing is left.
var unreadable = contents{condition: damaged, why: "is empty"}

func TestDecide(t *testing.T) {
	t.Parallel()
	const none, fresh = copyName(-1), copyName(-2)
	tests := map[string]struct {
		main, second, run contents
		running           bool
		want              copyName
		told              bool
	}{
		"first start":                     {want: fresh},
		"nothing, but something runs":     {running: true, want: none},
		"both removed":                    {run: file(whole, 7), running: true, want: runFile, told: true},
		"all is well":                     {file(whole, 7), file(whole, 7), file(whole, 7), true, mainFile, false},
		"after a reboot":                  {file(whole, 7), file(whole, 7), contents{}, false, mainFile, false},
		"killed before the copy":          {file(whole, 8), file(whole, 7), file(whole, 7), true, mainFile, false},
		"killed in the file":              {file(torn, 7), file(whole, 7), file(whole, 7), true, secondFile, false},
		"killed in the copy":              {file(whole, 8), file(torn, 7), file(whole, 7), true, mainFile, false},
		"killed before the run directory": {file(whole, 8), file(whole, 8), file(whole, 7), true, mainFile, false},

		"file damaged":                               {file(damaged, 3).upTo(7), file(whole, 7), contents{}, true, secondFile, false},
		"file damaged, had one change more":          {file(damaged, 3).upTo(8), file(whole, 7), contents{}, true, secondFile, false},
		"file damaged, copy too old":                 {file(damaged, 3).upTo(9), file(whole, 7), contents{}, true, none, false},
		"the same, but what runs is known":           {file(damaged, 3).upTo(9), file(whole, 7), file(whole, 9), true, runFile, true},
		"copy damaged":                               {file(whole, 7), file(damaged, 3).upTo(7), contents{}, true, mainFile, false},
		"copy damaged, file too old":                 {file(whole, 7), file(damaged, 3).upTo(8), contents{}, true, none, false},
		"file emptied":                               {unreadable, file(whole, 7), contents{}, true, secondFile, false},
		"file removed":                               {contents{}, file(whole, 7), contents{}, true, secondFile, false},
		"copy is a FIFO":                             {file(whole, 7), file(alien, 0), contents{}, true, mainFile, false},
		"file cut at a change":                       {file(whole, 3), file(whole, 7), contents{}, true, secondFile, false},
		"both damaged":                               {file(damaged, 3).upTo(7), file(damaged, 5).upTo(7), contents{}, true, none, false},
		"both damaged, what runs is known":           {file(damaged, 3).upTo(7), file(damaged, 5).upTo(7), file(whole, 7), true, runFile, true},
		"both emptied, after a reboot":               {unreadable, unreadable, contents{}, false, none, false},
		"both FIFOs":                                 {file(alien, 0), file(alien, 0), file(whole, 7), true, runFile, true},
		"what runs is damaged too":                   {unreadable, unreadable, file(damaged, 3).upTo(7), true, none, false},
		"what runs is of another store":              {unreadable, file(damaged, 3).upTo(7), file(whole, 9).of("b"), true, none, false},
		"both cut, what runs is newer":               {file(whole, 3), file(whole, 3), file(whole, 7), true, runFile, true},
		"both cut in a change, it runs":              {file(torn, 3), file(torn, 3), contents{}, true, none, false},
		"both damaged, what runs is cut at a change": {file(damaged, 5).upTo(7), file(damaged, 2).upTo(7), file(whole, 4), true, none, false},
		"file cut at a change, copy unreadable, what runs damaged later": {file(whole, 3), unreadable, file(damaged, 5).upTo(7), true, none, false},
		"copy's head lost, it spoke of more":                             {file(whole, 3), contents{condition: damaged, beyond: 7}, contents{}, true, none, false},
		"a power cut":                                                    {file(torn, 3), file(torn, 3), contents{}, false, mainFile, true},
		"cut at two places":                                              {file(torn, 3), file(torn, 4), contents{}, false, none, false},

		"a copy of another store":     {file(whole, 3), file(whole, 9).of("b"), contents{}, true, mainFile, false},
		"another store was wanted":    {file(whole, 3).of("b"), file(whole, 3).of("b"), file(whole, 9), true, mainFile, false},
		"layout 1":                    {contents{condition: whole, layout1: true, revision: 1, beyond: 1}, contents{}, contents{}, true, mainFile, false},
		"layout 1 after a way back":   {contents{condition: whole, layout1: true, revision: 1, beyond: 1}, file(whole, 9), file(whole, 9), true, mainFile, false},
		"layout 1 with half a header": {contents{condition: damaged, layout1: true, revision: 1, beyond: 2}, contents{}, contents{}, true, none, false},
	}
	for name, test := range tests {
		d := decide(found{test.main, test.second, test.run}, test.running)
		got := d.use
		switch {
		case d.undecided != "":
			got = none
		case d.fresh:
			got = fresh
		}
		if got != test.want || (len(d.notes) > 0) != test.told {
			t.Errorf("%s: uses %d, want %d; notes %q, undecided %q", name, got, test.want, d.notes, d.undecided)
		}
		if strings.Contains(d.undecided, "\n") {
			t.Errorf("%s: %q", name, d.undecided)
		}
	}
}
