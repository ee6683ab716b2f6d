package archtest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	quoted     = regexp.MustCompile("`([^`\n]+)`")
	filePath   = regexp.MustCompile(`^\.?(?:[a-z][a-z0-9_.-]*/)+[A-Za-z0-9_.-]*$`)
	makeTarget = regexp.MustCompile(`^make ([a-z0-9-]+)`)
	cFunction  = regexp.MustCompile(`^([a-z0-9_]+)\(\)$`)
	cFile      = regexp.MustCompile(`^bpf/[a-z0-9_]+\.[ch]$`)
)

// topFolders begin a path of the repository; other words with slashes are not ours.
var topFolders = []string{"bpf", "cmd", "dev", "docs", "e2e", "internal", "scripts", "test", ".ci"}

func documents(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, ".md"), func(name string) bool { return strings.Contains(name, "testdata") })
}

// TestDocumentsNameFiles checks links, paths and make targets of every document.
func TestDocumentsNameFiles(t *testing.T) {
	t.Parallel()
	makefile := read(t, "Makefile")
	for _, name := range documents(t) {
		text := read(t, name)
		for _, match := range linkTarget.FindAllStringSubmatch(text, -1) {
			if target := path.Join(path.Dir(name), match[1]); !exists(target) {
				t.Errorf("%s links to %s, which does not exist", name, target)
			}
		}
		for _, match := range quoted.FindAllStringSubmatch(text, -1) {
			word := match[1]
			first, _, _ := strings.Cut(word, "/")
			if filePath.MatchString(word) && slices.Contains(topFolders, first) && !exists(path.Clean(word)) {
				t.Errorf("%s names %s, which does not exist", name, word)
			}
			if m := makeTarget.FindStringSubmatch(word); m != nil && !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names `%s`, which the Makefile does not have", name, word)
			}
		}
	}
}

// TestDocumentsNameTests: a test that a document refers to is there.
func TestDocumentsNameTests(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, name := range files(t, "_test.go") {
		tests.WriteString(read(t, name))
	}
	testName := regexp.MustCompile(`^Test[A-Z][A-Za-z0-9]*$`)
	for _, name := range documents(t) {
		for _, match := range quoted.FindAllStringSubmatch(read(t, name), -1) {
			if testName.MatchString(match[1]) && !strings.Contains(tests.String(), "func "+match[1]+"(") {
				t.Errorf("%s names %s, which does not exist", name, match[1])
			}
		}
	}
}

const packetFlow = "docs/packet-flow.md"

// bpfSource returns the data path's source by file.
func bpfSource(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, suffix := range []string{".c", ".h"} {
		for _, name := range files(t, suffix) {
			if strings.HasPrefix(name, "bpf/") {
				all[name] = read(t, name)
			}
		}
	}
	return all
}

// defines reports whether a C source has the function, not only a call of it.
func defines(text, function string) bool {
	return regexp.MustCompile(`(?m)^[a-zA-Z_][^;={}\n]*\b` + function + `\([^;]*\)\n\{`).MatchString(text)
}

// TestPacketFlowNamesFunctions checks that each function of the page exists,
// and, where its line names files, in one of these.
func TestPacketFlowNamesFunctions(t *testing.T) {
	t.Parallel()
	source := bpfSource(t)
	for i, line := range strings.Split(read(t, packetFlow), "\n") {
		var functions, named []string
		for _, match := range quoted.FindAllStringSubmatch(line, -1) {
			if m := cFunction.FindStringSubmatch(match[1]); m != nil {
				functions = append(functions, m[1])
			}
			if cFile.MatchString(match[1]) {
				named = append(named, match[1])
			}
		}
		for _, function := range functions {
			if problem := find(source, function, named); problem != "" {
				t.Errorf("%s:%d: %s", packetFlow, i+1, problem)
			}
		}
	}
}

func find(source map[string]string, function string, named []string) string {
	var where []string
	for file, text := range source {
		if defines(text, function) {
			where = append(where, file)
		}
	}
	if len(where) == 0 {
		return function + "() is not in bpf/"
	}
	// A line that names files names all that its functions are in.
	if len(named) > 0 && !slices.ContainsFunc(where, func(f string) bool { return slices.Contains(named, f) }) {
		return fmt.Sprintf("%s() is in %v, not in %v", function, where, named)
	}
	return ""
}

// TestReasonsAreDocumented checks three lists against each other: the reasons
// with which the data path drops, their names in package event, and the page.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	source := bpfSource(t)
	numbers := make(map[string]event.Reason)
	for _, m := range regexp.MustCompile(`\b(REASON_[A-Z_]+) = (0x[0-9a-f]+)`).FindAllStringSubmatch(source["bpf/reason.h"], -1) {
		n, err := strconv.ParseUint(m[2], 0, 8)
		if err != nil {
			t.Fatal(err)
		}
		numbers[m[1]] = event.Reason(n)
	}
	rows := make(map[string]bool) // of the page's table
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z-]+) \| (0x[0-9a-f]{2}) \|`).FindAllStringSubmatch(read(t, packetFlow), -1) {
		rows[m[1]+" "+m[2]] = true
	}
	used := make(map[string]bool)
	for file, text := range source {
		if file == "bpf/reason.h" {
			continue
		}
		for _, name := range regexp.MustCompile(`\bREASON_[A-Z_]+\b`).FindAllString(text, -1) {
			used[name] = true
		}
	}
	for name := range used {
		if name == "REASON_NONE" || name == "REASON_COUNT" {
			continue
		}
		row := fmt.Sprintf("%s 0x%02x", numbers[name], uint8(numbers[name]))
		if !rows[row] {
			t.Errorf("%s has no row for %s (%s)", packetFlow, row, name)
		}
		delete(rows, row)
	}
	for row := range rows {
		t.Errorf("%s has a row for %s, with which nothing is dropped", packetFlow, row)
	}
}

// TestMarkIsTheHosts: the host's routing rule looks for the mark that the data
// path sets, though neither package knows the other.
func TestMarkIsTheHosts(t *testing.T) {
	t.Parallel()
	number := func(file, name string) string {
		m := regexp.MustCompile(`\b` + name + ` = (0x[0-9a-f]+)`).FindStringSubmatch(read(t, file))
		if m == nil {
			t.Fatalf("%s has no %s", file, name)
		}
		return m[1]
	}
	c, host := number("bpf/types.h", "MARK_TRANSPARENT"), number("internal/host/transparent_route.go", "TransparentMark")
	if c != host {
		t.Errorf("bpf/types.h marks with %s, internal/host looks for %s", c, host)
	}
}

// TestPiecesHaveRoutes: the data path asks for a packet to be cut to sizes for
// which internal/host has made routes.
func TestPiecesHaveRoutes(t *testing.T) {
	t.Parallel()
	number := func(file, pattern string) int {
		m := regexp.MustCompile(pattern).FindStringSubmatch(read(t, file))
		if m == nil {
			t.Fatalf("%s has no %s", file, pattern)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	exact, step := number("bpf/ip4_reassembly.h", `PIECE_EXACT = (\d+)`), number("bpf/ip4_reassembly.h", `PIECE_STEP = (\d+)`)
	const routes = "internal/host/reassembly.go"
	if n := number(routes, `n <= (\d+); n\+\+`); n != exact {
		t.Errorf("bpf/ wants all sizes up to %d, %s has them up to %d", exact, routes, n)
	}
	if first, by := number(routes, `for n := (\d+); n <= \(reassemblyMTU`), number(routes, `n \+= (\d+)`); first != exact+step || by != step {
		t.Errorf("bpf/ wants sizes from %d on in steps of %d, %s has them from %d in steps of %d", exact+step, step, routes, first, by)
	}
}

// TestTablesAreDocumented checks that docs/tables.md lists every map.
func TestTablesAreDocumented(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/tables.md")
	for file, text := range bpfSource(t) {
		names := regexp.MustCompile(`(?m)^(?:\} (\w+) SEC\("\.maps"\)|HASH_MAP\((\w+),)`)
		for _, m := range names.FindAllStringSubmatch(text, -1) {
			if name := m[1] + m[2]; !regexp.MustCompile("(?m)^\\| [^|]*`" + name + "`").MatchString(page) {
				t.Errorf("docs/tables.md has no row for the map %s (%s)", name, file)
			}
		}
	}
}

// TestNetworkTypesAreNamed: where users choose a type, each is named.
func TestNetworkTypesAreNamed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"api/network.go", "internal/server/openapi.json", "internal/config/wanted/wanted.go", "cmd/hostnat/network.go", "docs/networks.md"} {
		text := read(t, file)
		for _, name := range model.NetworkTypes() {
			if !strings.Contains(text, string(name)) {
				t.Errorf("%s does not name network type %s", file, name)
			}
		}
	}
}
