package test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/hostnat/hostnat/dev/lab"
)

// cniExec runs plugins on a machine of namespaces, for the library that runtimes have.
type cniExec struct {
	version.PluginDecoder
	m *machine
}

func (e *cniExec) FindInPath(string, []string) (string, error) { return e.m.cniProgram() }

func (e *cniExec) ExecPlugin(ctx context.Context, _ string, conf []byte, environment []string) ([]byte, error) {
	out, errs, err := e.m.cni(ctx, environment, conf)
	if err == nil {
		return out, nil
	}
	var refusal types.Error
	if json.Unmarshal(out, &refusal) == nil && refusal.Code != 0 {
		return nil, &refusal
	}
	return nil, fmt.Errorf("%w: %s%s", err, out, errs)
}

// TestCNIAtOnce has containerd's library connect 100 containers at once, and take them
// away at once, in each version of the specification that there is.
func TestCNIAtOnce(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	m, err := newMachine(build(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.startDaemon(); err != nil {
		t.Fatal(err)
	}
	runtime := libcni.NewCNIConfigWithCacheDir([]string{filepath.Join(m.dir, "cni")}, filepath.Join(m.dir, "cache"), &cniExec{m: m})
	const each = 25
	var all []*cniContainer
	for _, v := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		name := "net" + strings.ReplaceAll(v, ".", "")
		list, err := libcni.NetworkConfFromBytes(fmt.Appendf(nil, `{"cniVersion": %q, "name": %q, "plugins": [{"type": "hostnat", "capabilities": {"portMappings": true}}]}`, v, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := runtime.ValidateNetworkList(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for range each {
			i := len(all)
			ns, err := lab.NewNamespace(fmt.Sprintf("cni%d", i))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ns.Close() })
			all = append(all, &cniContainer{list: list, ns: ns, conf: &libcni.RuntimeConf{
				ContainerID: fmt.Sprintf("%s-%d", name, i), NetNS: "/run/netns/" + ns.Name, IfName: "eth0",
				CapabilityArgs: map[string]any{"portMappings": []map[string]any{{"hostPort": 8000 + i, "containerPort": 80, "protocol": "tcp"}}},
			}})
		}
	}

	atOnce(t, all, func(c *cniContainer) error { return c.add(t.Context(), runtime) })
	addresses := make(map[string]bool)
	for _, c := range all {
		addresses[c.list.Name+c.address] = true
	}
	if len(addresses) != len(all) {
		t.Errorf("%d containers have %d addresses", len(all), len(addresses))
	}
	for i, c := range all {
		server, err := lab.EchoServer(c.ns, "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if _, err := lab.Ask(t.Context(), m.Remote, "tcp", fmt.Sprintf("%s:%d", lab.HostAddress, 8000+i)); err != nil {
			t.Errorf("%s: %v", c.conf.ContainerID, err)
		}
	}
	atOnce(t, all, func(c *cniContainer) error {
		if c.list.CNIVersion == "0.3.1" {
			return nil // it has no CHECK
		}
		return runtime.CheckNetworkList(t.Context(), c.list, c.conf)
	})

	// The last ones are lost: the runtime knows of five.
	last := all[len(all)-each:]
	var valid []types.GCAttachment
	for _, c := range last[:5] {
		valid = append(valid, types.GCAttachment{ContainerID: c.conf.ContainerID, IfName: "eth0"})
	}
	if err := runtime.GCNetworkList(t.Context(), last[0].list, &libcni.GCArgs{ValidAttachments: valid}); err != nil {
		t.Error(err)
	}
	if err := runtime.GetStatusNetworkList(t.Context(), last[0].list); err != nil {
		t.Error(err)
	}
	if got, err := m.client().Endpoints(t.Context(), "net110"); err != nil || len(got) != 5 {
		t.Errorf("GC left %d endpoints (%v), want 5", len(got), err)
	}

	atOnce(t, all, func(c *cniContainer) error { return runtime.DelNetworkList(t.Context(), c.list, c.conf) })
	endpoints, err := m.client().Endpoints(t.Context(), "")
	if err != nil || len(endpoints) > 0 {
		t.Errorf("left: endpoints %v (%v)", endpoints, err)
	}
	mappings, err := m.client().Mappings(t.Context())
	if err != nil || len(mappings) > 0 {
		t.Errorf("left: mappings %v (%v)", mappings, err)
	}
	links, err := m.Host.Links()
	if err != nil || slices.ContainsFunc(links, func(name string) bool { return strings.HasPrefix(name, "hv-") }) {
		t.Errorf("left: links %v (%v)", links, err)
	}
}

// cniContainer is one that a runtime connects.
type cniContainer struct {
	list    *libcni.NetworkConfigList
	conf    *libcni.RuntimeConf
	ns      *lab.Namespace
	address string
}

func (c *cniContainer) add(ctx context.Context, runtime libcni.CNI) error {
	answer, err := runtime.AddNetworkList(ctx, c.list, c.conf)
	if err != nil {
		return err
	}
	if answer.Version() != c.list.CNIVersion {
		return fmt.Errorf("the answer has version %s, not %s", answer.Version(), c.list.CNIVersion)
	}
	result, err := types100.GetResult(answer)
	if err != nil {
		return err
	}
	if len(result.IPs) != 1 {
		return fmt.Errorf("addresses %v", result.IPs)
	}
	c.address = result.IPs[0].Address.String()
	return nil
}

func atOnce(t *testing.T, all []*cniContainer, do func(*cniContainer) error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			if err := do(c); err != nil {
				t.Errorf("%s: %v", c.conf.ContainerID, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
