//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/dev/documents"
	"github.com/hostnat/hostnat/dev/lab"
)

// document is what the commands of one need, and which of them stay out.
type document struct {
	daemonApart bool              // it starts the daemon itself
	prepare     string            // shell, on the machine, after the daemon's start
	before      map[string]string // by command: what happens on the machine just before
	varies      []string          // regular expressions for what no two runs have the same
	unordered   bool              // lines may come in another order
	apart       map[string]string // by a block's first line: why it is not run here
}

// TestDocuments runs the commands of every document as they stand there, on a machine
// that has what they name, and compares what they print with what is shown. What is
// not run has a reason. A block without a language is commands (package documents).
func TestDocuments(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	var paths []string
	for _, pattern := range []string{"../README.md", "../docs/*.md", "../docs/recipes/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	all := documented()
	for _, path := range paths {
		name := strings.TrimPrefix(path, "../")
		blocks, err := documents.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		d := all[name]
		delete(all, name)
		var run []documents.Block
		for _, b := range blocks {
			if _, apart := d.apart[b.First()]; !apart {
				run = append(run, b)
			}
		}
		for first := range d.apart {
			if !slices.ContainsFunc(blocks, func(b documents.Block) bool { return b.First() == first }) {
				t.Errorf("%s has no block any more that begins with %q", name, first)
			}
		}
		if len(run) > 0 {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				newReader(t, d).read(name, run)
			})
		}
	}
	for name := range all {
		t.Errorf("there is no document %s", name)
	}
}

// reader is somebody who types what a document shows, on a machine of its own.
type reader struct {
	*podman
	document
	top    *lab.Topology
	varied []*regexp.Regexp
	quiet  string // folder with settings that have curl show no progress, as on a terminal
}

func newReader(t *testing.T, d document) *reader {
	t.Helper()
	need(t, "curl")
	r := &reader{document: d, top: lab.StartTopology(t, 0)}
	for _, pattern := range d.varies {
		r.varied = append(r.varied, regexp.MustCompile(pattern))
	}
	output(t, r.top.Remote.Command(t.Context(), "ip", "address", "add", "198.51.100.7/32", "dev", "lo"))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("hello from outside\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.quiet = t.TempDir()
	if err := os.WriteFile(filepath.Join(r.quiet, ".curlrc"), []byte("silent\nshow-error\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, r.top.Remote, "outside", "busybox", "httpd", "-f", "-p", "198.51.100.7:80", "-h", dir)
	for _, network := range []string{"tcp", "udp"} {
		echo, err := lab.EchoServer(r.top.Remote, network, ":7")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { echo.Close() })
	}
	r.podman = startRoot(t, r.top.Host, "/")
	if !d.daemonApart {
		r.startDaemon()
	}
	r.ready("printf 'silent\nshow-error\n' >/root/.curlrc\n" + d.prepare)
	return r
}

// ready does what a document takes for granted.
func (r *reader) ready(line string) {
	r.t.Helper()
	if got, err := r.typed(documents.Command{Text: line}); err != nil {
		r.t.Fatalf("%s: %v\n%s", line, err, got)
	}
}

// read runs blocks of a document in their order.
func (r *reader) read(name string, blocks []documents.Block) {
	for _, b := range blocks {
		for _, c := range b.Commands {
			if before, ok := r.before[c.Text]; ok {
				r.ready(before)
			}
			got, err := r.typed(c)
			where := fmt.Sprintf("%s:%d: %s", name, b.Line, c.Text)
			if (err != nil) != c.Refused() {
				r.t.Errorf("%s: %v\n%s", where, err, got)
			}
			if !c.Shown {
				continue
			}
			if diff := cmp.Diff(r.plain(c.Output), r.plain(strings.Split(got, "\n"))); diff != "" {
				r.t.Errorf("%s (-shown +printed):\n%s", where, diff)
			}
		}
	}
}

// typed runs a command on the machine that the prompt says, and returns what it prints.
// A file takes that, since what goes on in the background would keep a pipe open.
func (r *reader) typed(c documents.Command) (string, error) {
	file, err := os.CreateTemp(r.t.TempDir(), "printed")
	if err != nil {
		return "", err
	}
	defer file.Close()
	cmd := r.command("timeout", "30", "bash", "-ec", c.Text)
	if c.Prompt == "other" {
		cmd = r.top.Remote.Command(r.t.Context(), "timeout", "30", "bash", "-ec", c.Text)
		cmd.Env = append(os.Environ(), "CURL_HOME="+r.quiet)
	}
	cmd.Stdout, cmd.Stderr = file, file
	err = cmd.Run()
	printed, readErr := os.ReadFile(file.Name())
	return string(printed), errors.Join(err, readErr)
}

// plain are lines without what varies, and without empty ones.
func (r *reader) plain(lines []string) (list []string) {
	for _, line := range lines {
		for _, pattern := range r.varied {
			line = pattern.ReplaceAllString(line, "VARIES")
		}
		if line = documents.Plain(line); line != "" {
			list = append(list, line)
		}
	}
	if r.unordered {
		slices.Sort(list)
	}
	return list
}
