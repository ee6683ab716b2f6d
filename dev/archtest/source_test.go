package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
)

// module is the prefix of our own import paths.
const module = "github.com/hostnat/hostnat/"

// root is the repository, seen from this package.
var root = os.DirFS("../..")

// source is a Go file and what it imports, whatever its build tags.
type source struct {
	Path    string // from the repository's root
	Imports []string
}

func (s source) pkg() string  { return path.Dir(s.Path) }
func (s source) isTest() bool { return strings.HasSuffix(s.Path, "_test.go") }

// files returns the repository's files whose names end so.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var list []string
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(name, suffix) {
			list = append(list, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := fs.ReadFile(root, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(name string) bool {
	_, err := fs.Stat(root, name)
	return err == nil
}

func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	for _, name := range files(t, ".go") {
		parsed, err := parser.ParseFile(token.NewFileSet(), name, read(t, name), parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		s := source{Path: name}
		for _, i := range parsed.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s.Imports = append(s.Imports, imported)
		}
		list = append(list, s)
	}
	return list
}

// mostFiles is how many files a package may have without its tests: more are not
// seen at a glance, and have more than one reason.
const mostFiles = 40

func TestPackagesAreSmall(t *testing.T) {
	t.Parallel()
	count := make(map[string]int)
	for _, s := range sources(t) {
		if !s.isTest() {
			count[s.pkg()]++
		}
	}
	for pkg, n := range count {
		if n > mostFiles {
			t.Errorf("package %s has %d files; more than %d have more than one reason: cut it where the fewest names cross", pkg, n, mostFiles)
		}
	}
}
