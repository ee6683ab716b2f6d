package text

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFit(t *testing.T) {
	t.Parallel()
	rows := [][]string{
		{"NAME", "ADDRESS", "REMOTE NAME", "STATE"},
		{"c1", "172.16.1.2:40000", "a-very-long-name.example.com", "established"},
		{"c2", "172.16.1.3:40000", "b.example.com", "new"},
	}
	for _, tt := range []struct {
		columns int
		want    string // the second row
	}{
		{0, "c1|172.16.1.2:40000|a-very-long-name.example.com|established"}, // not known
		{68, "c1|172.16.1.2:40000|a-very-long-name.example.com|established"},
		{60, "c1|172.16.1.2:40000|a-very-long-name.ex…|established"},
		{48, "c1|172.16.1.2:…|a-very-long…|established"},
		{40, "c1|172.16.1.2:400…|a-very-long-na…"},
		{4, "c1"},
	} {
		got := Fit(rows, tt.columns)
		if diff := cmp.Diff(tt.want, strings.Join(got[1], "|")); diff != "" {
			t.Errorf("%d columns (-want +got):\n%s", tt.columns, diff)
		}
		var b strings.Builder
		table := NewTable(&b)
		for _, row := range got {
			table.Row(row...)
		}
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); tt.columns >= 20 && n > tt.columns {
				t.Errorf("on %d columns there is a line of %d: %q", tt.columns, n, line)
			}
		}
	}
	if rows[1][2] != "a-very-long-name.example.com" {
		t.Error("the rows themselves are cut")
	}
}
