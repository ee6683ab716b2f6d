//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// TestGuestsByName has systemd-nspawn plug a container into a network's bridge, which tells
// systemd-machined: the container is known by its machine's name, though it calls
// itself otherwise when it asks by DHCP.
func TestGuestsByName(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "busybox")
	container, err := os.ReadFile("../.tools/systemd-container.deb")
	if err != nil {
		missing(t, "%v; scripts/e2e-install.sh downloads it", err)
	}
	deb, err := os.ReadFile(buildPackage(t))
	if err != nil {
		t.Fatal(err)
	}
	topology := lab.StartTopology(t, 0)
	m := startMachine(t, topology.Host, "/")
	for name, content := range map[string][]byte{"hostnat": deb, "container": container} {
		upload := m.command("sh", "-c", "cat >/tmp/"+name+".deb")
		upload.Stdin = strings.NewReader(string(content))
		output(t, upload)
	}
	m.sh("dpkg -i --force-depends /tmp/container.deb /tmp/hostnat.deb")
	m.sh("hostnat network create web --subnet 172.16.1.0/24")
	m.sh("systemctl is-active hostnat")
	m.sh(`mkdir -p /box/bin /box/etc /box/usr; cp /bin/busybox /box/bin/; for a in sh ip sleep udhcpc httpd; do ln -s busybox /box/bin/$a; done
		echo ID=box >/box/etc/os-release
		printf '#!/bin/sh\nip addr add $ip/$mask dev $interface; ip route add default via $router\n' >/box/etc/bound; chmod 755 /box/etc/bound`)
	m.sh(`systemd-run --unit box-guest systemd-nspawn --quiet --directory /box --machine my-box --network-bridge hn-web --as-pid2 \
		/bin/sh -c 'ip link set host0 up; udhcpc -i host0 -q -f -s /etc/bound -x hostname:calls-itself; sleep 1000'`)
	guest := func() (found api.Endpoint) {
		var list []api.Endpoint
		if err := json.Unmarshal([]byte(m.sh("hostnat endpoint list -o json")), &list); err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 {
			found = list[0]
		}
		return found
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.command("sh", "-c", "journalctl --no-pager -u box-guest -u systemd-machined | tail -20; machinectl list; hostnat endpoint list").CombinedOutput()
			t.Logf("%s", out)
		}
	})
	waitFor(t, time.Minute, "the container to be known by its name", func() bool { return guest().Name == "my-box" })
	e := guest()
	if e.Kind != "lease" || e.Network != "web" || e.Managed {
		t.Errorf("%+v", e)
	}
	m.sh("hostnat publish 8080:my-box:80")
	// The name goes with the container; what has its lease yet has the one that it gave itself.
	m.sh("systemctl stop box-guest")
	waitFor(t, time.Minute, "the name to go", func() bool { return guest().Name == "calls-itself" })
}
