package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

const (
	sharedAddress = "172.16.1.200"
	sharedPort    = "8085"
)

// groupMAC is that of virtual router 51 (RFC 5798 section 7.3).
var groupMAC = net.HardwareAddr{0, 0, 0x5e, 0, 1, 51}

// TestVirtualRouter: two endpoints share an address as keepalived has them do, with
// the MACs that they have (its default) and with a virtual router's MAC (use_vmac).
// Who has the address is reached at it by a neighbour, by the host and by way of a
// published port, and reaches the outside under it; after a failover it is the other. Who is not allowed the
// address gets nothing by claiming it.
func TestVirtualRouter(t *testing.T) {
	for _, c := range []struct {
		name    string
		virtual bool
		routers int // that may have the address
	}{{"own MACs", false, 2}, {"virtual MAC", true, 2}, {"virtual MAC, one alone", true, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := startOn(t, lab.StartTopology(t, 3))
			for i, n := range h.Topology.Endpoints[1:] {
				_, err := h.AttachEndpoint(t.Context(), api.EndpointSpec{Network: "web", Name: fmt.Sprintf("c%d", i+2), Netns: n.Name})
				h.must(err)
			}
			for _, name := range []string{"c1", "c2"}[:c.routers] {
				_, err := h.SetEndpoint(t.Context(), name, map[string]string{"allow": sharedAddress})
				h.must(err)
			}
			_, err := h.AddMapping(t.Context(), api.MappingSpec{Protocol: "tcp", External: sharedPort, Internal: sharedAddress + ":80", Network: "web"})
			h.must(err)
			h.echo(h.Remote, "tcp", ":9000")
			for round := range 4 {
				master, backup := h.Topology.Endpoints[round%c.routers], h.Topology.Endpoints[1-round%c.routers]
				h.becomeMaster(master, c.virtual)
				h.must(lab.SendFrames(h.Topology.Endpoints[2], "eth0", gratuitousARP(groupMAC, netip.MustParseAddr(sharedAddress)))) // who may not claims it too
				h.sharedIsAt(master, backup)
				h.resign(master, c.virtual)
			}
		})
	}
}

// becomeMaster does what keepalived does: the address on a link, and ARP that says so.
func (h *host) becomeMaster(n *lab.Namespace, virtual bool) {
	h.t.Helper()
	link := "eth0"
	if virtual {
		link = "vrrp.51"
		h.must(n.AddMacvlan(link, "eth0"), n.SetMAC(link, groupMAC))
	}
	h.must(n.AddAddress(link, sharedAddress+"/32"))
	attrs, err := n.Link(link)
	h.must(err)
	h.must(lab.SendFrames(n, link, gratuitousARP(attrs.HardwareAddr, netip.MustParseAddr(sharedAddress))))
}

func (h *host) resign(n *lab.Namespace, virtual bool) {
	h.t.Helper()
	if virtual {
		h.must(n.DeleteLink("vrrp.51"))
		return
	}
	h.must(n.DeleteAddress("eth0", sharedAddress+"/32"))
}

func gratuitousARP(mac net.HardwareAddr, address netip.Addr) []byte {
	frame := append(net.HardwareAddr{255, 255, 255, 255, 255, 255}, mac...)
	frame = binary.BigEndian.AppendUint16(frame, 0x0806)
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, 1)
	for range 2 {
		frame = append(append(frame, mac...), address.AsSlice()...)
	}
	return append(frame, make([]byte, 18)...)
}

// sharedIsAt wants the master, and not the backup, at the shared address, whoever asks.
func (h *host) sharedIsAt(master, backup *lab.Namespace) {
	h.t.Helper()
	server, err := lab.EchoServer(master, "tcp", sharedAddress+":80")
	h.must(err)
	defer server.Close()
	for _, ask := range []struct {
		who  string
		from *lab.Namespace
		to   string
	}{
		{"a neighbour", h.Topology.Endpoints[2], sharedAddress + ":80"},
		{"the host", h.Host, sharedAddress + ":80"},
		{"a client of the published port", h.Remote, lab.HostAddress + ":" + sharedPort},
		{"a neighbour by the published port", h.Topology.Endpoints[2], lab.HostAddress + ":" + sharedPort},
		{"the host by the published port", h.Host, "127.0.0.1:" + sharedPort},
		{"the backup", backup, sharedAddress + ":80"},
	} {
		began := time.Now()
		h.eventually(ask.who+" to reach "+master.Name+" at "+ask.to, func(ctx context.Context) bool {
			_, err := lab.Ask(ctx, ask.from, "tcp", ask.to)
			return err == nil
		})
		h.t.Logf("%s reaches %s after %v", ask.who, master.Name, time.Since(began).Round(time.Millisecond))
	}
	h.eventually("the master to reach the outside under the shared address", func(ctx context.Context) bool {
		conn, err := master.DialFrom(ctx, "tcp", sharedAddress+":0", lab.RemoteAddress+":9000")
		if err != nil {
			return false
		}
		defer conn.Close()
		seen, err := lab.AskConn(ctx, conn)
		return err == nil && seen.Addr().String() == lab.HostAddress
	})
}
