package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

const (
	shortClients = 4   // endpoints
	shortRate    = 500 // connections a second, of all together
	shortAtOnce  = 32  // of an endpoint, until both ends have closed: fewer than there are ports, however busy the machine is
	shortServer  = lab.RemoteAddress + ":9000"
)

// TestPortsAreNeverShort: four endpoints make 500 short connections a second to one
// remote address and port, and none is refused, though closed connections keep their
// ports for 240 seconds and the NAT has a few hundred. HOSTNAT_SHORT_CONNECTIONS=10m
// does it for ten minutes with all ports, beside an nftables masquerade that does the
// same.
func TestPortsAreNeverShort(t *testing.T) {
	const few = 400
	h := startOn(t, lab.StartTopology(t, shortClients))
	for i, n := range h.Topology.Endpoints[1:] {
		_, err := h.AttachEndpoint(t.Context(), api.EndpointSpec{Network: "web", Name: fmt.Sprintf("c%d", i+2), Netns: n.Name})
		h.must(err)
	}
	long, err := time.ParseDuration(os.Getenv("HOSTNAT_SHORT_CONNECTIONS"))
	if err != nil {
		_, err := h.AddAddress(t.Context(), "default", fmt.Sprintf("%s:20000-%d", lab.HostAddress, 20000+few-1))
		h.must(err)
		h.echo(h.Remote, "tcp", ":9001")
		h.eventually("the NAT to have few ports", func(ctx context.Context) bool {
			seen, err := lab.Ask(ctx, h.inside, "tcp", lab.RemoteAddress+":9001")
			return err == nil && seen.Port() >= 20000 && seen.Port() < 20000+few
		})
		runShort(t, "hostnat", h.Topology, func(r *shortRun) bool { return r.done() < 10*few })
		return
	}
	masquerade := masqueradeFour(t)
	var both sync.WaitGroup
	for name, top := range map[string]*lab.Topology{"hostnat": h.Topology, "nftables": masquerade} {
		end := time.Now().Add(long)
		both.Go(func() { runShort(t, name, top, func(*shortRun) bool { return time.Now().Before(end) }) })
	}
	both.Wait()
}

// shortRun counts short connections.
type shortRun struct {
	mu     sync.Mutex
	took   []time.Duration
	failed []string
}

func (r *shortRun) done() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.took) + len(r.failed)
}

func (r *shortRun) note(took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed = append(r.failed, err.Error())
		return
	}
	r.took = append(r.took, took)
}

// runShort makes connections while it shall go on, and fails for each that was refused.
func runShort(t *testing.T, name string, top *lab.Topology, goOn func(*shortRun) bool) {
	server, err := lab.EchoServer(top.Remote, "tcp", shortServer)
	if err != nil {
		t.Error(err)
		return
	}
	defer server.Close()
	r, began := &shortRun{}, time.Now()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	for _, n := range top.Endpoints {
		due := make(chan struct{})
		clients.Go(func() {
			defer close(due)
			for i := 0; goOn(r) && ctx.Err() == nil; i++ { // what is late is made up for
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second * shortClients / shortRate)))
				due <- struct{}{}
			}
		})
		for range shortAtOnce {
			clients.Go(func() {
				err := n.Do(func() error {
					for range due {
						r.note(shortConnection(ctx))
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	clients.Wait()
	took := time.Since(began)
	if len(r.failed) > 0 {
		t.Errorf("%s: %d of %d connections failed, the first: %s", name, len(r.failed), r.done(), r.failed[0])
	}
	if len(r.took) == 0 {
		t.Errorf("%s: no connection was made", name)
		return
	}
	t.Logf("%s: %d connections in %v, %.0f a second, %d failed; median %v, 99th percentile %v, the longest %v", name, r.done(),
		took.Round(time.Second), float64(r.done())/took.Seconds(), len(r.failed), within(r.took, 50), within(r.took, 99), within(r.took, 100))
}

// shortConnection is one from the thread's namespace: connect, read a line, close, and wait for the other end to close.
func shortConnection(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	began := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", shortServer)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := lab.AskConn(ctx, conn); err != nil {
		return 0, err
	}
	took := time.Since(began)
	deadline, _ := ctx.Deadline()
	if err := errors.Join(conn.SetReadDeadline(deadline), conn.(*net.TCPConn).CloseWrite()); err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, conn)
	return took, err
}

// masqueradeFour is four endpoints on a bridge behind nftables, as Docker has them.
func masqueradeFour(t *testing.T) *lab.Topology {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatal("the comparison needs nft (Debian's package nftables)")
	}
	top := lab.StartTopology(t, shortClients)
	check := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	check(top.Host.AddBridge("br0"), top.Host.AddAddress("br0", "172.16.1.1/24"), top.Host.Sysctl("net/ipv4/ip_forward", "1"))
	for i, n := range top.Endpoints {
		port := fmt.Sprintf("veth%d", i)
		check(lab.Veth(top.Host, port, n, "eth0"), top.Host.Enslave(port, "br0"),
			n.AddAddress("eth0", fmt.Sprintf("172.16.1.%d/24", i+2)), n.AddRoute("0.0.0.0/0", "172.16.1.1"))
	}
	nft := top.Host.Command(t.Context(), "nft", "-f", "-")
	nft.Stdin = strings.NewReader("table ip t { chain postrouting { type nat hook postrouting priority srcnat; ip saddr 172.16.1.0/24 oifname \"" + lab.HostLink + "\" masquerade; }; }")
	if out, err := nft.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	return top
}

// within is how long the given percentage took at most.
func within(times []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[max(len(sorted)*percent/100-1, 0)].Round(10 * time.Microsecond)
}
