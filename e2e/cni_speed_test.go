//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// cniPlugins is where Debian has those of containernetworking.
const cniPlugins = "/usr/lib/cni"

// cniExec runs plugins for the library that containerd has: hostnat's on its host, the
// others on another, where they leave a bridge and ip_forward behind.
type cniExec struct {
	version.PluginDecoder
	h     *host
	other *lab.Namespace
}

func (e *cniExec) FindInPath(name string, _ []string) (string, error) {
	if name == "hostnat" {
		return hostnat, nil
	}
	return filepath.Join(cniPlugins, name), nil
}

func (e *cniExec) ExecPlugin(ctx context.Context, plugin string, conf []byte, environment []string) ([]byte, error) {
	on := e.other
	if plugin == hostnat {
		on = e.h.Host
	}
	cmd := on.Command(ctx, plugin)
	cmd.Env = append(slices.Clone(environment), "HOSTNAT_SOCKET="+filepath.Join(e.h.run, "hostnat.sock"))
	cmd.Stdin = bytes.NewReader(conf)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", plugin, err, out)
	}
	return out, nil
}

// TestCNIAddAgainstBridge has the same containers connected by hostnat and by the three
// plugins that do the same elsewhere, in turns, and compares the time of an ADD.
func TestCNIAddAgainstBridge(t *testing.T) {
	lab.RequireRoot(t)
	need(t, "iptables")
	if _, err := os.Stat(filepath.Join(cniPlugins, "portmap")); err != nil {
		missing(t, "%v; scripts/e2e-install.sh installs it", err)
	}
	h := startHost(t, 0)
	dir := t.TempDir()
	runtime := libcni.NewCNIConfigWithCacheDir([]string{cniPlugins}, dir, &cniExec{h: h, other: lab.StartTopology(t, 0).Host})
	configurations := []string{
		`{"cniVersion": "1.0.0", "name": "hn", "plugins": [{"type": "hostnat", "capabilities": {"portMappings": true}}]}`,
		fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "br", "plugins": [
			{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
			 "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
			{"type": "portmap", "capabilities": {"portMappings": true}}, {"type": "firewall"}]}`, dir),
	}
	const rounds = 12
	var times [2][]time.Duration
	for i := range rounds {
		for which, text := range configurations {
			list, err := libcni.NetworkConfFromBytes([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			ns, err := lab.NewNamespace(fmt.Sprintf("cni%d", i))
			if err != nil {
				t.Fatal(err)
			}
			defer ns.Close()
			c := &libcni.RuntimeConf{
				ContainerID: fmt.Sprintf("%s-%d", list.Name, i), NetNS: "/run/netns/" + ns.Name, IfName: "eth0",
				CapabilityArgs: map[string]any{"portMappings": []map[string]any{{"hostPort": 8000 + 100*which + i, "containerPort": 80, "protocol": "tcp"}}},
			}
			begin := time.Now()
			if _, err := runtime.AddNetworkList(t.Context(), list, c); err != nil {
				t.Fatal(err)
			}
			times[which] = append(times[which], time.Since(begin))
			defer func() {
				if err := runtime.DelNetworkList(context.Background(), list, c); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	var endpoints []api.Endpoint
	h.read(&endpoints, "endpoint", "list")
	if len(endpoints) != rounds {
		t.Errorf("%d endpoints, want %d", len(endpoints), rounds)
	}
	ours, theirs := middle(times[0]), middle(times[1])
	t.Logf("ADD, median of %d: hostnat %v, bridge, portmap and firewall %v: %.2f", rounds, ours, theirs, float64(ours)/float64(theirs))
	if ours > theirs { // the bar is 0.7, on a quiet machine
		t.Errorf("hostnat's ADD takes %v, theirs %v", ours, theirs)
	}
}

func middle(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
