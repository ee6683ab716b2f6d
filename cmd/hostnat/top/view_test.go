package top

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
)

var update = flag.Bool("update", false, "write testdata anew")

// screens are all kinds of screens, as states of one that is not sized yet.
func screens() map[string]func(State) State {
	return map[string]func(State) State{
		"endpoints": func(s State) State { return s },
		"sessions":  func(s State) State { s.View, s.Cursor = Sessions, 1; return s },
		"drops":     func(s State) State { s.View = Drops; return s },
		"bottom":    func(s State) State { s.Cursor = 31; return s },
		"filtered": func(s State) State {
			s.View, s.Endpoint, s.Match, s.Order, s.Paused = Sessions, "c1", "443", "opened", true
			s.Traffic.Active, s.Traffic.MatchingSessions = s.Traffic.Active[:1], 1
			return s
		},
		"typing":    func(s State) State { s.Typing, s.Typed = true, "work"; return s },
		"ending":    func(s State) State { s.View, s.Ending = Sessions, &s.Traffic.Active[0].Session; return s },
		"explained": func(s State) State { s.Explained = failed(); return s },
		"help":      func(s State) State { s.Help = true; return s },
		"first":     func(s State) State { s.Traffic.Milliseconds, s.Traffic.Unmeasured = 0, 0; return s },
		"asking":    func(s State) State { s.Traffic = api.Traffic{}; return s },
		"large":     func(s State) State { s.Traffic.Milliseconds = 14_200; return s },
	}
}

// TestScreens compares each screen with a file, at the size of the smallest terminal and of a
// large one. Whatever is shown fits.
func TestScreens(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{80, 24}, {200, 50}} {
		for name, of := range screens() {
			got := Render(of(shown(size[0], size[1])))
			checkFits(t, name, got, size[0], size[1])
			file := filepath.Join("testdata", fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1]))
			if *update {
				if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got+"\n"); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		}
	}
}

func checkFits(t *testing.T, name, screen string, width, height int) {
	t.Helper()
	lines := strings.Split(screen, "\n")
	if len(lines) != height {
		t.Errorf("%s at %dx%d: %d lines", name, width, height, len(lines))
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > width {
			t.Errorf("%s at %dx%d: too wide: %q", name, width, height, line)
		}
	}
}

// A terminal may have any size, and change it.
func TestScreensOfAnySize(t *testing.T) {
	t.Parallel()
	for name, of := range screens() {
		for _, size := range [][2]int{{1, 1}, {3, 2}, {20, 5}, {40, 10}, {79, 6}, {500, 200}} {
			checkFits(t, name, Render(of(shown(size[0], size[1]))), size[0], size[1])
		}
		if got := Render(of(shown(0, 0))); got != "" {
			t.Errorf("%s without a size: %q", name, got)
		}
	}
}

// Colours are there where they are wanted, and without them the screen is the same.
func TestColours(t *testing.T) {
	t.Parallel()
	for name, of := range screens() {
		s := of(shown(80, 24))
		plain := Render(s)
		s.Colour = true
		coloured := Render(s)
		if strings.Contains(plain, "\x1b") || !strings.Contains(coloured, "\x1b[1m") {
			t.Errorf("%s: without colours %q, with them %q", name, plain, coloured)
		}
		for _, code := range []string{"0", bold, inverted, red} {
			coloured = strings.ReplaceAll(coloured, "\x1b["+code+"m", "")
		}
		if coloured != plain {
			t.Errorf("%s differs by more than colours:\n%s\n%s", name, coloured, plain)
		}
	}
	s := shown(80, 24)
	s.Colour = true
	if !strings.Contains(Render(s), "\x1b[7m> c1") || !strings.Contains(Render(s), "\x1b[31mout") {
		t.Errorf("the cursor is not inverted, or drops of now are not red:\n%q", Render(s))
	}
}
