package control

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func TestOneToOneMappingIsHeldAgainstTheHost(t *testing.T) {
	t.Parallel()
	ssh := model.Listener{Program: "sshd", PID: 22, Protocol: model.TCP, Address: netip.MustParseAddrPort("[::]:22")}
	dns := model.Listener{Program: "dnsmasq", PID: 53, Protocol: model.UDP, Address: netip.MustParseAddrPort("192.0.2.9:53")}
	for _, tt := range []struct {
		name      string
		give      []string // addresses to the NAT
		listeners []model.Listener
		external  string
		force     bool
		refused   string // empty: it is not
	}{
		{name: "of nobody", external: "192.0.2.9", refused: `external address 192.0.2.9 is neither the host's nor NAT "default"'s`},
		{name: "of nobody, by force", external: "192.0.2.9", force: true, refused: "neither"},
		{name: "its only one", external: "192.168.7.5", refused: `192.168.7.5 is the only external address of NAT "default"`},
		{name: "its only one, by force", external: "192.168.7.5", force: true},
		{name: "added", give: []string{"192.168.7.5", "192.0.2.9"}, external: "192.0.2.9"},
		{name: "added, its only one", give: []string{"192.0.2.9"}, external: "192.0.2.9", refused: "only external address"},
		{name: "added, a listener everywhere", give: []string{"192.168.7.5", "192.0.2.9"}, listeners: []model.Listener{ssh}, external: "192.0.2.9"},
		{name: "added, a listener there", give: []string{"192.168.7.5", "192.0.2.9"}, listeners: []model.Listener{ssh, dns}, external: "192.0.2.9", refused: "dnsmasq (pid 53) listens on udp 192.0.2.9:53"},
		{name: "added, a listener there, by force", give: []string{"192.168.7.5", "192.0.2.9"}, listeners: []model.Listener{dns}, external: "192.0.2.9", force: true},
		{name: "the host's, a listener everywhere", give: []string{"192.168.7.5", "192.0.2.9"}, listeners: []model.Listener{ssh}, external: "192.168.7.5", refused: "sshd (pid 22) listens on tcp [::]:22"},
		{name: "the host's, a listener elsewhere", give: []string{"192.168.7.5", "192.0.2.9"}, listeners: []model.Listener{dns}, external: "192.168.7.5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, k, s := withWeb(t)
			ctx := t.Context()
			for _, a := range tt.give {
				if _, err := c.AddAddress(ctx, "default", a); err != nil {
					t.Fatal(err)
				}
			}
			k.others = tt.listeners
			before, _ := c.snapshot()
			m, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "any", External: tt.external, Internal: "c1", Force: tt.force})
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want %q", err, tt.refused)
				}
				same(t, c, k, s, before)
				return
			}
			if err != nil || m.External.String() != tt.external || m.Internal != "172.16.1.2" || !m.Active {
				t.Errorf("got %+v, %v", m, err)
			}
			again, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "any", External: tt.external, Internal: "c1"})
			if err != nil || again.ID != m.ID {
				t.Errorf("again: %+v, %v", again, err)
			}
			rows := 0
			ports, err := c.Ports(ctx, PortFilter{Protocol: ""})
			for _, p := range ports {
				if p.Kind == MappedPort && p.Address.String() == tt.external && p.Ports == "1-65535" && p.Owner == fmt.Sprintf("c1 (mapping %d)", m.ID) {
					rows++
				}
			}
			if err != nil || rows != 2 {
				t.Errorf("port list has it %d times, want for tcp and udp: %+v, %v", rows, ports, err)
			}
		})
	}
}
