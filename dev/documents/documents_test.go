package documents

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.md")
	text := "# Title\n\n```\n# one\nprinted\n\nmore\nother$ two | x\n# three\n```\n\n```yaml\n# no command\n```\n```\na \\\n  b\nc # and this\n```\n```text\na picture\n```\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Line: 4, Commands: []Command{
			{Text: "one", Output: []string{"printed", "", "more"}, Shown: true}, {Prompt: "other", Text: "two | x", Shown: true}, {Text: "three", Shown: true},
		}},
		{Line: 16, Commands: []Command{{Text: "a \\\n  b\nc # and this"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"tcp   c1   172.16.1.2:32900   203.0.113.1:19526   198.51.100.7:80   both-fin   4m   6/6   396 B   1.5 KiB": "tcp c1 172.16.1.2:PORT 203.0.113.1:PORT 198.51.100.7:80 both-fin DURATION COUNTERS",
		"03:14:27.511  dropped, at hv-c1":                            "TIME dropped, at hv-c1",
		"Since 2026-11-30 02:14:40; 31 sessions ended":               "Since DATE; 31 sessions ended",
		`"bytesOut": 396, "createdAt": "2026-11-21T20:42:58.92Z",`:   `"bytesOut": N, "createdAt": "DATE",`,
		"MAC 02:68:90:7e:f2:60, busybox (pid 9215) on tcp [::]:9000": "MAC MAC, busybox (pid N) on tcp [::]:9000",
	} {
		if got := Plain(line); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}
