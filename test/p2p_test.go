package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// What peers on the Internet need of a NAT, as they find it out: RFC 5780.

// TestNATBehaviourAsSTUNSeesIt: the mapping is endpoint-independent under each
// filtering, and stays so where ports clash (RFC 4787 REQ-1, REQ-8, REQ-11).
func TestNATBehaviourAsSTUNSeesIt(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	if err := h.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"); err != nil {
		t.Fatal(err)
	}
	server := startSTUN(t, h.Remote, [2]string{lab.RemoteAddress, "203.0.113.3"})
	second, err := lab.NewNamespace("p2p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Close() })
	if _, err := h.AttachEndpoint(t.Context(), api.EndpointSpec{Network: "web", Name: "c2", Netns: second.Name}); err != nil {
		t.Fatal(err)
	}
	port := 4000
	for _, filtering := range []model.Filtering{model.EndpointIndependent, model.AddressDependent, model.AddressAndPortDependent} {
		if _, err := h.SetNAT(t.Context(), "default", map[string]string{"filtering": string(filtering)}); err != nil {
			t.Fatal(err)
		}
		// Both endpoints use the same ports; the second ones find them taken if the NAT keeps ports.
		var seen []netip.AddrPort
		for range 2 {
			for _, n := range []*lab.Namespace{h.inside, second} {
				seen = append(seen, probe(t, server, n, port, string(filtering)))
			}
			port += 2
		}
		for i, a := range seen {
			for _, b := range seen[:i] {
				if a == b {
					t.Errorf("two sockets are %v outside", a)
				}
			}
		}
	}
}

// TestNATBehaviourWithFewPorts: without endpoint-dependent the class of the NAT does
// not change when its range is used up to the last port.
func TestNATBehaviourWithFewPorts(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	if err := h.Remote.AddAddress(lab.RemoteLink, "203.0.113.3/24"); err != nil {
		t.Fatal(err)
	}
	server := startSTUN(t, h.Remote, [2]string{lab.RemoteAddress, "203.0.113.3"})
	if _, err := h.SetNAT(t.Context(), "default", map[string]string{"endpoint-dependent": "off"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.AddAddress(t.Context(), "default", lab.HostAddress+":5000-5007"); err != nil {
		t.Fatal(err)
	}
	for port := 4000; port < 4008; port += 2 { // probe takes two ports
		probe(t, server, h.inside, port, string(model.AddressDependent))
	}
	conn := socketAt(t, h.inside, 4100)
	if _, err := ask(conn, server.at(0, 0), 0); err == nil {
		t.Error("a ninth socket got one of eight ports")
	}
}

// probe finds the NAT's behaviour out from two sockets of a namespace, and
// returns what the first one is outside.
func probe(t *testing.T, server *stunServer, n *lab.Namespace, port int, filtering string) netip.AddrPort {
	t.Helper()
	mapping, seen, err := server.mappingOf(socketAt(t, n, port))
	if err != nil || mapping != "endpoint-independent" {
		t.Errorf("mapping of port %d: %s, %v; want endpoint-independent", port, mapping, err)
	}
	if got, err := server.filteringOf(socketAt(t, n, port+1)); err != nil || got != filtering {
		t.Errorf("filtering: %s, %v; want %s", got, err, filtering)
	}
	if seen.Addr().String() != lab.HostAddress {
		t.Errorf("outside it is %v, want the host's address", seen)
	}
	return seen
}

func socketAt(t *testing.T, n *lab.Namespace, port int) net.PacketConn {
	t.Helper()
	conn, err := n.ListenPacket("udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Two peers with ICE (RFC 8445), as in two browsers, behind two hosts that both
// run hostnat, with the same inside address: they find each other directly,
// without a relay, under each filtering.
func TestPeersBehindTwoHostsConnectDirectly(t *testing.T) {
	t.Parallel()
	for _, filtering := range []model.Filtering{model.EndpointIndependent, model.AddressDependent, model.AddressAndPortDependent} {
		t.Run(string(filtering), func(t *testing.T) {
			t.Parallel()
			internet := newInternet(t)
			server := startSTUN(t, internet, [2]string{"203.0.113.101", "203.0.113.102"})
			var peers [2]*peerProcess
			for i := range peers {
				h := internetHost(t, internet, i)
				if _, err := h.SetNAT(t.Context(), "default", map[string]string{"filtering": string(filtering)}); err != nil {
					t.Fatal(err)
				}
				peers[i] = startPeer(t, h.inside, server.at(0, 0), i == 0)
			}
			for i, p := range peers {
				peers[1-i].tell(t, p.introduce(t))
			}
			for i, p := range peers {
				got := p.result(t)
				want := fmt.Sprintf("203.0.113.%d", 2-i) // the other one's host
				if got.Error != "" || got.Heard != "hello from the other side" || got.RemoteAddress != want {
					t.Errorf("peer %d: %+v, want a greeting from %s", i, got, want)
				}
				t.Logf("peer %d talks to a %s candidate at %s", i, got.RemoteType, got.RemoteAddress)
			}
		})
	}
}

// newInternet is a switch with the STUN server's two addresses.
func newInternet(t *testing.T) *lab.Namespace {
	t.Helper()
	lab.RequireRoot(t)
	n, err := lab.NewNamespace("p2p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.AddBridge("net0"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"203.0.113.101/24", "203.0.113.102/24"} {
		if err := n.AddAddress("net0", a); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// internetHost is a host 203.0.113.1 or .2 with a daemon and one endpoint.
func internetHost(t *testing.T, internet *lab.Namespace, i int) *host {
	t.Helper()
	top := &lab.Topology{}
	for _, n := range []**lab.Namespace{&top.Remote, &top.Host} {
		made, err := lab.NewNamespace("p2p")
		if err != nil {
			t.Fatal(err)
		}
		*n = made
		t.Cleanup(func() {
			if err := made.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	top.Endpoints = []*lab.Namespace{top.Remote} // nothing else is needed of it
	port := fmt.Sprintf("h%d", i)
	for _, err := range []error{
		lab.Veth(top.Host, lab.HostLink, internet, port), internet.Enslave(port, "net0"),
		top.Host.AddAddress(lab.HostLink, fmt.Sprintf("203.0.113.%d/24", i+1)), top.Host.Sysctl("net/ipv4/ip_forward", "0"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return startOn(t, top)
}

// peerProcess is a process of this program in an endpoint's namespace that runs
// an ICE agent; see peer_role_test.go.
type peerProcess struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

func startPeer(t *testing.T, n *lab.Namespace, server netip.AddrPort, controlling bool) *peerProcess {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := n.Command(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), peerVariable+"="+server.String(), fmt.Sprintf("%s_CONTROLLING=%v", peerVariable, controlling))
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("peer: %v: %s", err, errs.String())
		}
		cancel()
	})
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	return &peerProcess{in, scanner}
}

func (p *peerProcess) line(t *testing.T) []byte {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("the peer says nothing: %v", p.out.Err())
	}
	return p.out.Bytes()
}

// introduce returns what the peer wants the other one to know.
func (p *peerProcess) introduce(t *testing.T) string {
	t.Helper()
	return string(p.line(t))
}

func (p *peerProcess) tell(t *testing.T, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		t.Fatal(err)
	}
}

func (p *peerProcess) result(t *testing.T) (r peerResult) {
	t.Helper()
	if err := json.Unmarshal(p.line(t), &r); err != nil {
		t.Fatal(err)
	}
	return r
}
