package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/server/servertest"
)

// FuzzArguments: whatever is typed (words, a line each), the program ends with
// one of its exit codes, and where it refuses it says so in one line.
func FuzzArguments(f *testing.F) {
	for _, line := range []string{
		"", "--help", "status", "status -o json", "nat create x --profile winnat", "nat set default hold-down=60 tcp-established=7440",
		"network create x --subnet 10.1.0.0/24 --gateway 10.1.0.1", "network delete web --force", "endpoint list --network web",
		"endpoint attach web c9 --tap tap9 --address 172.16.1.9 --mac 02:00:00:00:00:09",
		"mapping add --protocol tcp --external 8080-8090 --internal c1:80-90 --from 10.0.0.0/8", "mapping delete 1",
		"session list --protocol tcp --state established --remote 192.0.2.0/24", "session delete --all", "binding list --internal 172.16.1.2",
		"address add default 203.0.113.9:1000-2000", "port list", "proxy add v4tov6 0.0.0.0:80 [2001:db8::1]:80",
		"proxy add name 0.0.0.0:443 a.example=c1:443 *.b.example=c2:443", "event list -o json", "version", "completion bash", "help network",
	} {
		f.Add(strings.ReplaceAll(line, " ", "\n"))
	}
	dir, err := os.MkdirTemp("", "hostnat")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	stop, err := serve(servertest.Example(), socket)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(stop)
	f.Fuzz(func(t *testing.T, words string) {
		var args []string
		if words != "" {
			args = strings.Split(words, "\n")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // what watches goes on until then
		defer cancel()
		var out, errs bytes.Buffer
		e := testEnv(&out, &errs, args...)
		e.Getenv = func(name string) string { return map[string]string{"HOSTNAT_SOCKET": socket}[name] }
		code := run(ctx, e)
		said := errs.String()
		switch {
		case code != exitDone && code != exitRefused && code != exitUsage:
			t.Errorf("exit code %d: %q", code, said)
		case code == exitUsage && (!strings.HasPrefix(said, "hostnat: ") || strings.Count(said, "\n") != 1):
			t.Errorf("refused with %q", said)
		case code == exitRefused && said == "" && out.Len() == 0:
			t.Error("refused without a word")
		}
	})
}
