package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/lab"
	"github.com/hostnat/hostnat/internal/nat"
)

// scaleVariable is how many networks and endpoints TestScale makes: its figures
// mean something on a quiet machine only.
const scaleVariable = "HOSTNAT_SCALE"

// TestScale holds the daemon against issue 5's bars: with 1,000 endpoints, one is
// attached within 50 ms (median), all within 60 s, a daemon that takes over is
// ready within 5 s, and has 150 MB.
func TestScale(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv(scaleVariable))
	if err != nil {
		t.Skipf("%s says how many endpoints and networks: 1000 take a minute each", scaleVariable)
	}
	lab.RequireRoot(t)
	for _, kind := range []string{"endpoints", "networks"} {
		t.Run(kind, func(t *testing.T) {
			h := startHost(t)
			h.addNamespaces(count)
			add := h.addEndpoint
			if kind == "networks" {
				add = h.addNetwork
			}
			if _, err := h.CreateNetwork(t.Context(), nat.NetworkSpec{Name: "large", Subnet: "172.20.0.0/20"}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			times := make([]time.Duration, 0, count)
			for i := range count {
				start := time.Now()
				if err := add(i); err != nil {
					t.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			whole := time.Since(began)
			t.Logf("%d %s: %v; the daemon has %d MB", count, kind, whole.Round(time.Millisecond), h.memory())
			t.Logf("one: first %v, last %v, median %v", times[0], times[count-1], median(times))
			h.end(syscall.SIGKILL)
			began = time.Now()
			h.start()
			start := time.Since(began)
			t.Logf("a daemon that takes over is ready after %v and has %d MB", start.Round(time.Millisecond), h.memory())
			if kind == "endpoints" && (median(times) > 50*time.Millisecond || whole > time.Minute || start > 5*time.Second || h.memory() > 150) {
				t.Error("a bar is missed")
			}
		})
	}
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// perNamespace is how many endpoints share a namespace: making one takes longer
// than attaching an endpoint.
const perNamespace = 20

// addEndpoint attaches endpoint i; the namespaces are there.
func (h *host) addEndpoint(i int) error {
	inside := h.many[i/perNamespace]
	name := fmt.Sprintf("n%d", i)
	_, err := h.AttachEndpoint(h.t.Context(), nat.EndpointSpec{Network: "large", Name: name, Netns: inside.Name, IfName: name})
	return err
}

// addNamespaces makes those for so many endpoints.
func (h *host) addNamespaces(endpoints int) {
	h.t.Helper()
	for range (endpoints + perNamespace - 1) / perNamespace {
		n, err := lab.NewNamespace("many")
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { n.Close() })
		h.many = append(h.many, n)
	}
}

func (h *host) addNetwork(i int) error {
	_, err := h.CreateNetwork(h.t.Context(), nat.NetworkSpec{
		Name: fmt.Sprintf("n%d", i), Subnet: fmt.Sprintf("10.%d.%d.0/24", 100+i/256, i%256), Compartment: fmt.Sprintf("c%d", i%2),
	})
	return err
}

// memory is the daemon's resident set in megabytes.
func (h *host) memory() int {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(h.daemon.Process.Pid), "status"))
	if err != nil {
		h.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		h.t.Fatal(err)
	}
	return kilobytes / 1000
}
