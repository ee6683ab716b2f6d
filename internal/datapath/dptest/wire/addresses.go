package wire

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

const SecondMAC = model.MAC("02:00:00:00:00:02")

var Published = netip.MustParseAddrPort("203.0.113.1:8080")

const (
	RigNAT, RigNetwork, RigCompartment = 1, 2, 3
	GatewayMAC                         = model.MAC("02:00:00:00:00:01")
	Patience                           = 5 * time.Second
)

var (
	HostAddress   = netip.MustParseAddr(lab.HostAddress)
	RemoteAddress = netip.MustParseAddr(lab.RemoteAddress)
	RigPorts      = []model.PortRange{{Low: 1024, High: 32767}, {Low: 61000, High: 65535}}
)

func EndpointAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 1, byte(i + 2)}) }

func Ifindex(t *testing.T, n *lab.Namespace, link string) uint32 {
	t.Helper()
	attrs, err := n.Link(link)
	Must(t, err)
	return uint32(attrs.Index)
}

func Hardware(m model.MAC) net.HardwareAddr {
	mac, _ := net.ParseMAC(string(m))
	return mac
}
