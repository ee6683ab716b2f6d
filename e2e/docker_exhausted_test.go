//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestDockerDriverRunsOut: with no subnet or no address left Docker gets an error and asks
// no more, also where it takes none of those that it is given.
func TestDockerDriverRunsOut(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	h := startHost(t, 0)
	d := driverDocker(t, h)
	h.hostnat("pool", "add", "10.66.0.0/23", "--size", "24")
	d.create("one")
	d.create("two")
	another := []string{"network", "create", "-d", "hostnat", "--ipam-driver", "hostnat", "-o", "name=three", "three"}
	if got := d.refused(another...); !strings.Contains(got, "no subnet is free in the pools 10.66.0.0/23") {
		t.Errorf("a third network of two subnets: %s", got)
	}
	d.docker("network", "rm", "two")
	d.docker(another...)

	d.create("tiny", "--subnet", "10.67.0.0/30")
	d.serve("c1", "--network", "tiny")
	full := []string{"run", "--detach", "--name", "c2", "--network", "tiny", "e2e", "/bin/busybox", "true"}
	if got := d.refused(full...); !strings.Contains(got, "network tiny has no free address in 10.67.0.0/30") {
		t.Errorf("a second container of one address: %s", got)
	}
	d.docker("rm", "--force", "c1", "c2")
	d.docker(full...)
	d.docker("rm", "--force", "c2")
	d.docker("network", "rm", "one", "three", "tiny")

	// Docker takes no subnet that has a name server of the host: it holds on to it and asks
	// for another one.
	resolvers := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolvers, []byte("nameserver 10.66.0.53\nnameserver 10.66.1.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.daemon.stop(t)
	d.argv = append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolvers}, d.argv...)
	d.start()
	if got := d.refused(another...); !strings.Contains(got, "no subnet is free in the pools 10.66.0.0/23") {
		t.Errorf("a network of subnets that Docker does not take: %s", got)
	}
	if got := h.hostnat("network", "list", "-q"); strings.TrimSpace(got) != "web" {
		t.Errorf("networks are left:\n%s", got)
	}
}
