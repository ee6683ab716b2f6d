package dns

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

func TestResolvers(t *testing.T) {
	t.Parallel()
	const resolved = "nameserver 192.0.2.53\nnameserver fe80::1%eth0\n"
	tests := []struct{ name, conf, resolved, want string }{
		{"plain", "# a comment\nsearch lan\nnameserver 192.0.2.1\nnameserver\t192.0.2.2 # two\noptions edns0\n", resolved, "[192.0.2.1:53 192.0.2.2:53]"},
		{"IPv6", "nameserver 2001:db8::1\nnameserver ::ffff:192.0.2.1\n", "", "[[2001:db8::1]:53 192.0.2.1:53]"},
		{"stub", "nameserver 127.0.0.53\n", resolved, "[192.0.2.53:53 [fe80::1%eth0]:53]"},
		{"stub without a file", "nameserver 127.0.0.53\n", "", "[127.0.0.53:53]"},
		{"a local resolver", "nameserver 127.0.0.1\n", resolved, "[127.0.0.1:53]"},
		{"ours", "nameserver 172.16.1.1\nnameserver 192.0.2.1\n", "", "[192.0.2.1:53]"},
		{"ours behind the stub", "nameserver 127.0.0.53\n", "nameserver 172.16.1.1\n", "[]"},
		{"twice", "nameserver 192.0.2.1\nnameserver 192.0.2.1\n", "", "[192.0.2.1:53]"},
		{"nonsense", "nameserver\nnameserver x\nnameserver 1.2.3\nNAMESERVER 192.0.2.1\n", "", "[]"},
	}
	own := func(a netip.Addr) bool { return a == address("172.16.1.1") }
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := filesIn(t.TempDir())
			write(t, f.ResolvConf, test.conf)
			if test.resolved != "" {
				write(t, f.Resolved, test.resolved)
			}
			list, err := f.resolvers(own)
			if got := fmt.Sprint(list); err != nil || got != test.want {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
	if _, err := filesIn(t.TempDir()).resolvers(own); err == nil {
		t.Error("no error without a file")
	}
}

func filesIn(dir string) Files {
	return Files{ResolvConf: filepath.Join(dir, "resolv.conf"), Resolved: filepath.Join(dir, "resolved.conf")}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whatever way a program changes resolv.conf, it is noticed in a moment.
func TestFollow(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	f := filesIn(dir)
	target := filepath.Join(elsewhere, "real.conf")
	write(t, f.ResolvConf, "nameserver 192.0.2.1\n")
	replace := func(path, text string) {
		write(t, path+".new", text)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		name   string
		change func()
		want   string
	}{
		{"written", func() { write(t, f.ResolvConf, "nameserver 192.0.2.2\n") }, "[192.0.2.2:53]"},
		{"replaced", func() { replace(f.ResolvConf, "nameserver 192.0.2.3\n") }, "[192.0.2.3:53]"},
		{"removed", func() { _ = os.Remove(f.ResolvConf) }, "[]"},
		{"a link", func() {
			write(t, target, "nameserver 192.0.2.4\n")
			if err := os.Symlink(target, f.ResolvConf); err != nil {
				t.Fatal(err)
			}
		}, "[192.0.2.4:53]"},
		{"behind the link", func() { replace(target, "nameserver 127.0.0.53\n") }, "[127.0.0.53:53]"},
		{"systemd-resolved", func() { write(t, f.Resolved, "nameserver 192.0.2.5\n") }, "[192.0.2.5:53]"},
	}
	s := newTestServer(f)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	// Nobody can tell when the watch begins.
	waitFor(t, "the watch to begin", func() bool {
		write(t, f.ResolvConf, "nameserver 192.0.2.9\n")
		return resolversOf(s) == "[192.0.2.9:53]"
	})
	for _, step := range steps {
		step.change()
		start := time.Now()
		waitFor(t, step.name, func() bool { return resolversOf(s) == step.want })
		if took := time.Since(start); took > readAgain/2 {
			t.Errorf("%s: noticed after %v only", step.name, took)
		}
	}
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("ended with %v", err)
	}
}

func resolversOf(s *Server) string { return fmt.Sprint(*s.forward.resolvers.Load()) }

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := lab.WaitFor(ctx, cond); err != nil {
		t.Fatalf("waited a minute for: %s", what)
	}
}
