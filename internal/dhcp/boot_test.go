package dhcp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/model"
)

// What a machine is told that boots from the network.
func TestBoot(t *testing.T) {
	t.Parallel()
	type told struct{ Next, Server, Sname, Boot, File string }
	long := "http://boot.example/" + strings.Repeat("x", 150)
	tests := []struct {
		name string
		pxe  model.PXE
		want told
	}{
		{"nothing", model.PXE{}, told{Next: "172.16.1.1"}},
		{"a file on the gateway", model.PXE{BootFile: "pxelinux.0"}, told{Next: "172.16.1.1", Boot: "pxelinux.0", File: "pxelinux.0"}},
		{"a server", model.PXE{NextServer: addr("172.16.1.9"), BootFile: "ipxe.efi"}, told{"172.16.1.9", "172.16.1.9", "172.16.1.9", "ipxe.efi", "ipxe.efi"}},
		{"a server by name", model.PXE{NextServer: addr("172.16.1.9"), ServerName: "tftp.example"}, told{Next: "172.16.1.9", Server: "tftp.example", Sname: "tftp.example"}},
		{"what no field holds", model.PXE{ServerName: strings.Repeat("n", 64), BootFile: long}, told{Next: "172.16.1.1", Server: strings.Repeat("n", 64), Boot: long}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := webConfig()
			c.Networks[0].PXE = tt.pxe
			raw := Answer(scopeOf(c, model.HostFacts{MTU: 1500}), newTable(), card(0x70).message(dhcpv4.MessageTypeDiscover), Sender{Port: 1}, start).Reply.ToBytes()
			m, err := dhcpv4.FromBytes(raw)
			if err != nil {
				t.Fatal(err)
			}
			got := told{m.ServerIPAddr.String(), m.TFTPServerName(), m.ServerHostName, m.BootFileNameOption(), m.BootFileName}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
