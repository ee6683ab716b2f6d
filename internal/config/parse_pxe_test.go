package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

func TestPXESettings(t *testing.T) {
	t.Parallel()
	set := func(key, value string) (model.PXE, error) {
		c := NewConfig()
		c.Networks = []model.Network{{Name: "web", Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.1.1")}}}
		n, err := c.SetNetwork("web", map[string]string{key: value})
		return n.PXE, err
	}
	for _, tt := range []struct {
		key, value string
		want       model.PXE
		refused    bool
	}{
		{key: "pxe-next-server", value: "172.16.1.9", want: model.PXE{NextServer: netip.MustParseAddr("172.16.1.9")}},
		{key: "pxe-next-server", value: "none"},
		{key: "pxe-next-server", value: "0.0.0.0", refused: true},
		{key: "pxe-next-server", value: "224.0.0.1", refused: true},
		{key: "pxe-next-server", value: "tftp.example", refused: true},
		{key: "pxe-server-name", value: "tftp.example", want: model.PXE{ServerName: "tftp.example"}},
		{key: "pxe-server-name", value: "tftp example", refused: true},
		{key: "pxe-boot-file", value: "efi/ipxe.efi", want: model.PXE{BootFile: "efi/ipxe.efi"}},
		{key: "pxe-boot-file", value: strings.Repeat("x", 256), refused: true},
		{key: "pxe-boot-file", value: "a\x00b", refused: true},
		{key: "pxe-boot-file", value: "none"},
	} {
		got, err := set(tt.key, tt.value)
		if (err != nil) != tt.refused || err == nil && got != tt.want {
			t.Errorf("%s=%q: %+v, %v", tt.key, tt.value, got, err)
		}
	}
}
