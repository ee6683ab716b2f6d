package test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/daemon"
)

// roleVariable makes this test program a daemon with its files below the
// directory that it names.
const roleVariable = "HOSTNAT_TEST_DAEMON"

// collectorVariable is where that daemon sends events by IPFIX; empty: nowhere.
const collectorVariable = roleVariable + "_IPFIX"

func TestMain(m *testing.M) {
	if dir := os.Getenv(roleVariable); dir != "" {
		os.Exit(runDaemon(dir))
	}
	if order := os.Getenv(greedVariable); order != "" {
		os.Exit(runGreed(order))
	}
	if server := os.Getenv(peerVariable); server != "" {
		os.Exit(runPeer(server, os.Getenv(peerVariable+"_CONTROLLING") == "true"))
	}
	flag.Parse()
	// Scripts wait for the kernel and the daemon more than they compute: more of them at once than there are CPUs.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("4")
	}
	os.Exit(m.Run())
}

func runDaemon(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	o := daemon.Options{
		StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), Version: "test",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if collector := os.Getenv(collectorVariable); collector != "" {
		o.Export.IPFIX = []string{collector}
	}
	err := daemon.Run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// host is a machine with a daemon on it that can be killed and started again.
// It has the network "web" and one endpoint "c1", whose port 80 is published as
// 8080.
type host struct {
	*lab.Topology
	*api.Client
	t      *testing.T
	dir    string
	inside *lab.Namespace
	daemon *exec.Cmd
	many   []*lab.Namespace // of TestScale
	group  *controlGroup    // that the daemon is in; nil: the test's
}

func startHost(t *testing.T) *host {
	t.Helper()
	return startOn(t, lab.StartTopology(t, 1))
}

// startOn is startHost on a topology with one endpoint.
func startOn(t *testing.T, top *lab.Topology) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{Topology: top, t: t, dir: dir, inside: top.Endpoints[0],
		Client: api.NewClient(filepath.Join(dir, "run", "hostnat.sock"))}
	h.start()
	t.Cleanup(func() {
		if err := h.Down(context.Background()); err != nil {
			t.Errorf("down: %v", err)
		}
		h.end(syscall.SIGTERM)
		if t.Failed() {
			h.showLog()
		}
	})
	h.configure()
	return h
}

func (h *host) configure() {
	h.t.Helper()
	if _, err := h.CreateNetwork(h.t.Context(), api.NetworkSpec{Name: "web", Subnets: []string{"172.16.1.0/24"}}); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.AttachEndpoint(h.t.Context(), api.EndpointSpec{Network: "web", Name: "c1", Netns: h.inside.Name}); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.AddMapping(h.t.Context(), api.MappingSpec{Protocol: "tcp", External: "8080", Internal: "c1:80"}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) logPath() string { return filepath.Join(h.dir, "daemon.log") }

// start runs the daemon and waits until it answers.
func (h *host) start() {
	h.t.Helper()
	log, err := os.OpenFile(h.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	h.daemon = h.Host.Command(context.Background(), os.Args[0])
	if h.group != nil {
		h.daemon = h.Host.Command(context.Background(), "sh", "-c", `echo $$ >"$0"/cgroup.procs && exec "$1"`, h.group.dir, os.Args[0])
	}
	h.daemon.Env = append(os.Environ(), roleVariable+"="+h.dir)
	h.daemon.Stdout, h.daemon.Stderr = log, log
	if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.waitFor(20*time.Second, "the daemon to answer", func() bool {
		_, err := h.Status(h.t.Context())
		return err == nil
	})
}

// end sends the daemon a signal and waits until it is gone.
func (h *host) end(signal syscall.Signal) {
	h.t.Helper()
	if err := h.daemon.Process.Signal(signal); err != nil {
		h.t.Errorf("end the daemon: %v", err)
	}
	late := time.AfterFunc(2*patienceWithDaemon, func() { _ = h.daemon.Process.Kill() })
	_ = h.daemon.Wait() // tells of the signal
	if !late.Stop() {
		h.t.Errorf("the daemon did not end within %v after signal %v", 2*patienceWithDaemon, signal)
	}
}

func (h *host) showLog() {
	log, err := os.ReadFile(h.logPath())
	h.t.Logf("the daemon's log (%v):\n%s", err, log)
}

func (h *host) waitFor(limit time.Duration, what string, cond func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	if err := lab.WaitFor(ctx, cond); err != nil {
		h.showLog()
		h.t.Fatalf("waited %v for %s", limit, what)
	}
}

func (h *host) echo(n *lab.Namespace, network, addr string) {
	h.t.Helper()
	server, err := lab.EchoServer(n, network, addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { server.Close() })
}
