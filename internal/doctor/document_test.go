package doctor

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocument: docs/doctor.md has a row for each check, in order, and no other.
func TestDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| [^|]+ \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, m[1])
	}
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	if diff := cmp.Diff(names, rows); diff != "" {
		t.Errorf("(-checks +rows):\n%s", diff)
	}
}
