package demo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line, indent string
		width        int
		want         []string
	}{
		{"", "", 10, []string{""}},
		{"short", "", 10, []string{"short"}},
		{"exactly 10", "", 10, []string{"exactly 10"}},
		{"one two three four", "", 10, []string{"one two", "three four"}},
		{"one two three four", "  ", 10, []string{"one two", "  three", "  four"}},
		{"a   b stays", "", 6, []string{"a   b", "stays"}},
		{"→→→→→ →→→→→", "", 5, []string{"→→→→→", "→→→→→"}},
		{"endless-word", "  ", 5, []string{"endle", "  ss-", "  wor", "  d"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, wrap(tt.line, tt.width, tt.indent)); diff != "" {
			t.Errorf("wrap(%q, %d, %q): -want +got\n%s", tt.line, tt.width, tt.indent, diff)
		}
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	const table = "ID   PACKETS OUT/IN   TARGET      FROM\n" +
		"1    20/3             c1 → x:80   -\n" +
		"12   5/5              c2 → y:81   a\n"
	const want = "PACKETS OUT/IN   FROM\n20/3             -\n5/5              a\n"
	if diff := cmp.Diff(want, pick(table, "PACKETS OUT/IN", "FROM")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff("TARGET\nc1 → x:80\nc2 → y:81\n", pick(table, "TARGET")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := pick("", "ID"); got != "\n" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"20:56:09.976  1001 SessionCreate          TCP session created. Internal source 10.0.0.1:1, TCP state Closed/NA.": "20:56:09.976  1001 SessionCreate          ... TCP state Closed/NA.",
		"20:56:09.976  1006 BindingCreate          TCP binding created. Internal, session count 0, configured false.":     "20:56:09.976  1006 BindingCreate          ... session count 0, configured false.",
		"no event": "no event",
	}
	for line, want := range tests {
		if diff := cmp.Diff(want, shorten(line)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

func TestPageIsPlainUnlessStyled(t *testing.T) {
	t.Parallel()
	for _, styled := range []bool{false, true} {
		var out bytes.Buffer
		p := &page{w: &out, styled: styled}
		p.intro()
		p.heading(1, "title")
		p.command("hostnat status")
		kept, broken := p.promise(true, "%d is two", 2), p.promise(false, "%d is three", 2)
		p.end("end")
		if got := strings.ContainsAny(out.String(), "\x1b✓✗"); got != styled {
			t.Errorf("styled %t: escape codes or marks: %t", styled, got)
		}
		if kept != nil || broken == nil || broken.Error() != "not as promised: 2 is three" || p.kept != 1 {
			t.Errorf("promises: %v, %v, %d kept", kept, broken, p.kept)
		}
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	before := map[string]string{"lo": "1", "eth0": "2", "eth1": "3"}
	now := map[string]string{"lo": "1", "eth0": "4", "hn-web": "5"}
	want := []string{"link eth0 was 2 and is 4", "link eth1 went", "link hn-web came"}
	if diff := cmp.Diff(want, differences("link", before, now)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
