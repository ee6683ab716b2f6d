package archtest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dependencies = "docs/dependencies.md"

// TestDependenciesAreDocumented checks that the page lists exactly the modules
// that we import or run as tools, in the versions of go.mod.
func TestDependenciesAreDocumented(t *testing.T) {
	t.Parallel()
	gomod := read(t, "go.mod")
	required := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) (v\S+)`).FindAllStringSubmatch(gomod, -1) {
		required[m[1]] = m[2]
	}
	direct := make(map[string]string)
	note := func(imported string) {
		if m := moduleOf(required, imported); m != "" {
			direct[m] = required[m]
		}
	}
	for _, s := range sources(t) {
		for _, imported := range s.Imports {
			note(imported)
		}
	}
	for m, version := range direct {
		if strings.Contains(gomod, "\t"+m+" "+version+" // indirect") {
			t.Errorf("go.mod calls %s indirect, but we import it", m)
		}
	}
	_, tools, _ := strings.Cut(gomod, "\ntool ")
	for _, tool := range strings.Fields(strings.Trim(tools, "()\n")) {
		note(tool)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (v[^ ]+) \\|").FindAllStringSubmatch(read(t, dependencies), -1) {
		documented[m[1]] = m[2]
	}
	if diff := cmp.Diff(direct, documented); diff != "" {
		t.Errorf("modules and versions in %s (-used +documented):\n%s", dependencies, diff)
	}
}

// moduleOf returns the module that an imported package is in, "" for Go's own.
func moduleOf(required map[string]string, imported string) string {
	for _, m := range slices.Sorted(maps.Keys(required)) {
		if imported == m || strings.HasPrefix(imported, m+"/") {
			return m
		}
	}
	return ""
}
