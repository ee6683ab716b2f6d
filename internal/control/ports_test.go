package control

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// crowded is a host of which one port of each kind is taken.
func crowded() *fakeKernel {
	return &fakeKernel{
		local: model.PortRange{Low: 2005, High: 2005},
		others: []model.Listener{
			{Program: "sshd", PID: 41, Protocol: model.TCP, Address: netip.MustParseAddrPort("[::]:22")},
			{Program: "sshd", PID: 41, Protocol: model.TCP, Address: netip.MustParseAddrPort("[::]:22")},
			{Program: "dnsmasq", Protocol: model.UDP, Address: netip.MustParseAddrPort("192.168.7.5:2001")},
		},
		bindings: []model.Binding{
			{NAT: "default", Protocol: model.UDP, External: netip.MustParseAddrPort("192.168.7.5:2002")},
			{NAT: "default", Protocol: model.UDP, External: netip.MustParseAddrPort("10.8.0.1:2003")},
			{NAT: "default", Protocol: model.TCP, External: netip.MustParseAddrPort("0.0.0.0:2000"), Configured: true},
		},
	}
}

// populated has a NAT with the ports 2000 to 2006, of which 2005 is the host's, a mapping that is
// served and one whose endpoint is gone.
func populated(t *testing.T) (*Control, *fakeKernel) {
	t.Helper()
	k := crowded()
	c, _ := start(t, t.TempDir(), k)
	ctx := t.Context()
	_, err := c.CreateNetwork(ctx, config.NetworkSpec{Name: "web", Subnet: "172.16.1.0/24"})
	for _, name := range []string{"c1", "c2"} {
		if err == nil {
			_, err = c.AttachEndpoint(ctx, config.EndpointSpec{Network: "web", Name: name, Netns: name})
		}
	}
	for _, spec := range []config.MappingSpec{
		{Protocol: "udp", External: "2000", Internal: "c1:53"}, {Protocol: "tcp", External: "192.168.7.5:2000", Internal: "c2:80"},
	} {
		if err == nil {
			_, err = c.AddMapping(ctx, spec)
		}
	}
	if err == nil {
		_, err = c.AddAddress(ctx, "default", "192.168.7.5:2000-2006")
	}
	if err == nil {
		err = c.DetachEndpoint(ctx, "c2")
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, k
}

func TestPorts(t *testing.T) {
	t.Parallel()
	c, k := populated(t)
	ports := func(protocol string) (text string) {
		views, err := c.Ports(t.Context(), PortFilter{Protocol: protocol})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			used := "-"
			if v.InUse != nil {
				used = fmt.Sprint(*v.InUse)
			}
			text += fmt.Sprintln(v.Protocol, v.Address, v.Ports, v.Kind, v.Owner, used, "of", v.Count)
		}
		return text
	}
	icmp := `icmp 10.8.0.1 1024-2004,2006-65535 dynamic NAT default 0 of 64511
icmp 192.168.7.5 2000-2004,2006-2006 dynamic NAT default 0 of 6
`
	tcp := `tcp :: 22 listener sshd (pid 41) 1 of 1
tcp 10.8.0.1 1024-2004,2006-65535 dynamic NAT default 0 of 64511
tcp 192.168.7.5 2000-2004,2006-2006 dynamic NAT default 0 of 6
tcp 192.168.7.5 2000 mapping c2:80 (mapping 2) 0 of 1
tcp 0.0.0.0 2005-2005 ephemeral the host - of 1
`
	udp := `udp 10.8.0.1 1024-2004,2006-65535 dynamic NAT default 1 of 64511
udp 0.0.0.0 2000 mapping c1:53 (mapping 1) 1 of 1
udp 192.168.7.5 2000-2004,2006-2006 dynamic NAT default 1 of 6
udp 192.168.7.5 2001 listener dnsmasq 1 of 1
udp 0.0.0.0 2005-2005 ephemeral the host - of 1
`
	for protocol, want := range map[string]string{"": icmp + tcp + udp, "icmp": icmp, "TCP": tcp, "udp": udp} {
		if diff := cmp.Diff(want, ports(protocol)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", protocol, diff)
		}
	}
	if _, err := c.Ports(t.Context(), PortFilter{Protocol: "sctp"}); model.CodeOf(err) != model.Invalid {
		t.Errorf("sctp: %v", err)
	}
	k.broken = errKernel
	if _, err := c.Ports(t.Context(), PortFilter{Protocol: ""}); err == nil {
		t.Error("no error")
	}
}

// Every port that is free is chosen once, and nothing else.
func TestMappingWithoutExternalPort(t *testing.T) {
	t.Parallel()
	for external, free := range map[string]string{
		// On every address: 2000 is mapped, 2001 dnsmasq's, 2002 and 2003 dynamic.
		"": "2004 2006", "0.0.0.0": "2004 2006",
		"192.168.7.5": "2003 2004 2006",
	} {
		t.Run(external, func(t *testing.T) {
			t.Parallel()
			c, k := populated(t)
			want := map[string]bool{}
			for _, p := range strings.Fields(free) {
				want[p] = true
			}
			spec := config.MappingSpec{Protocol: "udp", External: external, Internal: "c1:99"}
			for range len(want) {
				m, err := c.AddMapping(t.Context(), spec)
				if err != nil {
					t.Fatal(err)
				}
				port := fmt.Sprint(m.External.Ports.Low)
				if !want[port] || !m.Active || external != "" && m.External.Address.String() != external {
					t.Errorf("got %+v, want one of %v", m, want)
				}
				delete(want, port)
			}
			before, applied := c.config.Clone(), len(k.applied)
			_, err := c.AddMapping(t.Context(), spec)
			if model.CodeOf(err) != model.Exhausted || !strings.Contains(err.Error(), "no free udp port") ||
				!strings.Contains(err.Error(), "in 2000-2004,2006-2006; ") {
				t.Errorf("got %v", err)
			}
			if after, _ := c.snapshot(); !cmp.Equal(before, after, compareNetip) || len(k.applied) != applied {
				t.Error("a refused mapping changed something")
			}
		})
	}
}

// An address that the NAT does not have gives what any address would.
func TestMappingWithoutExternalPortOnAnotherAddress(t *testing.T) {
	t.Parallel()
	c, k := populated(t)
	m, err := c.AddMapping(t.Context(), config.MappingSpec{Protocol: "udp", External: "203.0.113.9", Internal: "c1:99"})
	if err != nil || m.External.Ports.Low < 1024 || k.local.Contains(m.External.Ports.Low) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestMappingByForce(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	k.listener = &model.Listener{Program: "nginx", PID: 41, Address: netip.MustParseAddrPort("0.0.0.0:80")}
	spec := config.MappingSpec{Protocol: "tcp", External: "80", Internal: "c1:80"}
	if _, err := c.AddMapping(t.Context(), spec); model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), "--force") {
		t.Errorf("got %v", err)
	}
	spec.Force = true
	if m, err := c.AddMapping(t.Context(), spec); err != nil || !m.Active {
		t.Errorf("got %+v, %v", m, err)
	}
	// Force is against programs, not against other mappings.
	spec.Internal = "c1:81"
	if _, err := c.AddMapping(t.Context(), spec); model.CodeOf(err) != model.Conflict {
		t.Errorf("got %v", err)
	}
	after, _ := c.snapshot()
	same(t, c, k, s, after)
}

func withNetworks(t *testing.T, c *Control, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := c.CreateNetwork(t.Context(), config.NetworkSpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeleteSessions(t *testing.T) {
	t.Parallel()
	k := &fakeKernel{sessions: []model.Session{
		{Network: "web", Protocol: model.TCP}, {Network: "web", Protocol: model.UDP}, {Network: "lab", Protocol: model.UDP},
	}}
	c, _ := start(t, t.TempDir(), k)
	withNetworks(t, c, "web", "lab")
	steps := []struct {
		filter model.Filter
		all    bool
		code   model.Code // "": done
		ended  int
	}{
		{model.Filter{}, false, model.Invalid, 0},
		{model.Filter{Network: "web"}, true, model.Invalid, 0},
		{model.Filter{Protocol: "sctp"}, false, model.Invalid, 0},
		{model.Filter{Network: "nope"}, false, model.NotFound, 0},
		{model.Filter{Endpoint: "nope"}, false, model.NotFound, 0},
		{model.Filter{NAT: "nope"}, false, model.NotFound, 0},
		{model.Filter{Network: "web", Protocol: "udp"}, false, "", 1},
		{model.Filter{}, true, "", 2},
	}
	for _, step := range steps { // in order
		got, err := c.DeleteSessions(t.Context(), step.filter, step.all)
		if got != step.ended || (err != nil) != (step.code != "") || err != nil && model.CodeOf(err) != step.code {
			t.Errorf("%+v: got %+v, %v", step, got, err)
		}
	}
}
