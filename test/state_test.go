package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/store"
)

// stateFiles are all that the daemon keeps, below the host's directory.
var stateFiles = []string{
	"state/" + store.FileName, "state/" + store.CopyName, "state/" + store.LeasesFileName, "run/" + store.RunningName,
}

// damagedSets are which of them are damaged together, in turn.
var damagedSets = [][]int{{0, 1, 3}, {0}, {0, 1}, {1}, {0, 1, 2, 3}, {2, 3}, {0, 3}, {1, 2}, {1, 3}, {0, 2}}

// stateDamages is how many random damages are tried: HOSTNAT_DAMAGES=200 for
// issue 12's bar.
func stateDamages() int {
	if n, err := strconv.Atoi(os.Getenv("HOSTNAT_DAMAGES")); err == nil {
		return n
	}
	return 6
}

// damage flips bits of a file, cuts it, takes something out, or empties it.
func damage(random *rand.Rand, data []byte) []byte {
	bad := bytes.Clone(data)
	at := random.IntN(len(bad))
	switch random.IntN(4) {
	case 0:
		bad[at] ^= 1 << random.IntN(8)
	case 1:
		for range 20 {
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		}
	case 2:
		return bad[:at]
	case 3:
		return slices.Delete(bad, at, min(at+200, len(bad)))
	}
	return bad
}

// Whatever is damaged while the daemon is away: no connection breaks, and either
// everything that was configured is there, or the daemon says that somebody has
// to decide, and does as it is told.
func TestDamagedStateLeavesConnectionsAlone(t *testing.T) {
	h := startHost(t)
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.inside, "tcp", ":80")
	k := newTalkers(t)
	h.must(k.open(t.Context(), h.inside, outside, 20), k.open(t.Context(), h.Remote, published, 20))
	k.talk()
	random := rand.New(rand.NewPCG(10, uint64(stateDamages())))
	decided := 0
	for round := range stateDamages() {
		k.waitRound(h)
		backup, err := os.ReadFile(filepath.Join(h.dir, "state", store.FileName))
		h.must(err)
		h.end(syscall.SIGKILL)
		for _, i := range damagedSets[round%len(damagedSets)] {
			path := filepath.Join(h.dir, stateFiles[i])
			data, err := os.ReadFile(path)
			h.must(err, os.WriteFile(path, damage(random, data), 0o600))
		}
		h.start()
		k.waitRound(h)
		networks, err := h.Networks(t.Context())
		if err != nil {
			decided++
			h.decide(err, backup)
			networks, err = h.Networks(t.Context())
		}
		mappings, mapErr := h.Mappings(t.Context())
		if err != nil || mapErr != nil || len(networks) != 1 || len(mappings) != 1 || !mappings[0].Active {
			t.Fatalf("round %d: networks %+v, %v, mappings %+v, %v", round, networks, err, mappings, mapErr)
		}
		for _, aside := range h.asideFiles() {
			h.must(os.Remove(aside))
		}
	}
	k.waitRound(h)
	k.hangUp(t)
	t.Logf("%d damages, %d of them decided by somebody; %d exchanges, the slowest took %v", stateDamages(), decided, k.exchanges.Load(), time.Duration(k.slowest.Load()))
	if slowest := time.Duration(k.slowest.Load()); slowest > 3*time.Second {
		t.Errorf("traffic paused: an exchange took %v", slowest)
	}
}

func (h *host) asideFiles() []string {
	h.t.Helper()
	found, err := filepath.Glob(filepath.Join(h.dir, "state", "*.damaged-*"))
	h.must(err)
	return found
}

// decide checks that the daemon leaves everything alone and shows the choices,
// and then has it go on with a backup.
func (h *host) decide(refusal error, backup []byte) {
	h.t.Helper()
	if api.CodeOf(refusal) != api.Unavailable || strings.Contains(refusal.Error(), "\n") {
		h.t.Fatalf("networks: %v", refusal)
	}
	if _, err := h.CreateNetwork(h.t.Context(), api.NetworkSpec{Name: "more"}); api.CodeOf(err) != api.Unavailable {
		h.t.Errorf("a change before anybody has decided: %v", err)
	}
	if problems := strings.Join(h.status().Problems, "\n"); !strings.Contains(problems, "hostnat restore") {
		h.t.Errorf("status does not speak of it: %s", problems)
	}
	found, err := h.Doctor(h.t.Context(), false)
	h.must(err)
	if !slices.ContainsFunc(found, func(f api.Finding) bool { return f.Command == "hostnat restore --empty" }) {
		h.t.Errorf("doctor shows no choices: %+v", found)
	}
	_, err = h.Restore(h.t.Context(), api.Restoration{File: string(backup)})
	h.must(err)
	h.waitFor(20*time.Second, "the daemon to go on with the backup", func() bool {
		_, err := h.Networks(h.t.Context())
		return err == nil
	})
}

// Who decides for nothing gets nothing: what runs is taken down.
func TestRestoreEmpty(t *testing.T) {
	h := startHost(t)
	h.end(syscall.SIGKILL)
	for _, name := range stateFiles {
		h.must(os.Remove(filepath.Join(h.dir, name)))
	}
	h.start()
	if link := h.ip("link", "show", h.linkNamed("c1")); link == "" {
		t.Error("the endpoint's link is gone before anybody has decided")
	}
	_, err := h.Restore(t.Context(), api.Restoration{Empty: true})
	h.must(err)
	h.waitFor(20*time.Second, "the daemon to go on with nothing", func() bool {
		networks, err := h.Networks(t.Context())
		return err == nil && len(networks) == 0
	})
	if _, err := h.Restore(t.Context(), api.Restoration{Empty: true}); api.CodeOf(err) != api.Conflict {
		t.Errorf("once more: %v", err)
	}
}

func (h *host) linkNamed(endpoint string) string { return "hv-" + endpoint }

// Somebody empties the run directory, and its BPF filesystem, while connections
// are open. None of them notices; socket and pins come back; the log stays short;
// and it all is there for the next daemon.
func TestEmptiedRunDirectory(t *testing.T) {
	h := startHost(t)
	h.echo(h.Remote, "tcp", outside)
	h.echo(h.inside, "tcp", ":80")
	k := newTalkers(t)
	h.must(k.open(t.Context(), h.inside, outside, 20), k.open(t.Context(), h.Remote, published, 20))
	k.talk()
	k.waitRound(h)
	before := h.flows()
	run := filepath.Join(h.dir, "run")
	pinned := func() string { return fmt.Sprint(h.pins("links"), h.pins("maps")) }
	want := pinned()
	log, err := os.ReadFile(h.logPath())
	h.must(err)
	for range 3 {
		entries, err := os.ReadDir(run)
		h.must(err)
		for _, e := range entries {
			_ = os.RemoveAll(filepath.Join(run, e.Name())) // the mount point stays
		}
		if now := pinned(); now == want {
			t.Fatal("nothing was removed")
		}
		h.waitFor(20*time.Second, "socket and pins to come back", func() bool {
			_, err := h.Status(t.Context())
			return err == nil && pinned() == want
		})
		k.waitRound(h)
	}
	after, err := os.ReadFile(h.logPath())
	h.must(err)
	if lines := bytes.Count(after[len(log):], []byte("\n")); lines > 60 {
		t.Errorf("%d lines in the log", lines)
	}
	h.checkNewFlows()
	h.end(syscall.SIGKILL)
	k.waitRound(h)
	h.start()
	k.waitRound(h)
	if now := h.flowsIn(before); len(now) != len(before) {
		t.Errorf("%d of %d sessions are left", len(now), len(before))
	}
	k.hangUp(t)
}

// pins are the names of what is pinned.
func (h *host) pins(dir string) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(h.dir, "run", "bpf", dir))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The state directory goes while the daemon runs: the next change makes it again.
func TestRemovedStateDirectory(t *testing.T) {
	h := startHost(t)
	h.must(os.RemoveAll(filepath.Join(h.dir, "state")))
	if problems := strings.Join(h.status().Problems, "\n"); !strings.Contains(problems, "was removed") {
		t.Errorf("problems: %s", problems)
	}
	_, err := h.CreateNetwork(t.Context(), api.NetworkSpec{Name: "more"})
	h.must(err)
	h.end(syscall.SIGKILL)
	h.start()
	if networks, err := h.Networks(t.Context()); err != nil || len(networks) != 2 {
		t.Errorf("networks %+v, %v", networks, err)
	}
	if endpoint, err := h.Endpoint(t.Context(), "c1"); err != nil || endpoint.State != "up" {
		t.Errorf("endpoint %+v, %v", endpoint, err)
	}
}
