package test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/attack"
	"github.com/hostnat/hostnat/internal/model"
)

// HostileTime is how long machines attack their switch. A minute is what issue 12 asks for.
const HostileTime = "HOSTNAT_HOSTILE"

func hostileTime(t *testing.T) time.Duration {
	text, given := os.LookupEnv(HostileTime)
	if !given {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", HostileTime, err)
	}
	return d
}

// Five of twenty machines on a switch send all that hostile machines send, tagged and
// untagged, all at once. The others do not notice: they lose no packets, see no frame
// that is not theirs, and afterwards everybody is where he was.
func TestSwitchWithHostileMachines(t *testing.T) {
	t.Parallel()
	const honest, hostile = 15, 5
	l := newSwitchLab(t)
	var good, bad []*plugged
	truth := map[string]string{l.gateway.Address.String(): string(l.gateway.MAC), l.attached.Address.String(): string(l.attached.MAC)}
	for i := range byte(honest) {
		p := l.plug(fmt.Sprintf("good%d", i), hardware(0, i))
		if i%3 == 0 {
			l.settle(p, netip.Addr{})
		} else {
			l.settle(p, netip.AddrFrom4([4]byte{172, 16, 1, 20 + i}))
		}
		good = append(good, p)
		truth[p.address.String()] = p.mac.String()
	}
	for i := range byte(hostile) {
		p := l.plug(fmt.Sprintf("bad%d", i), hardware(1, i))
		l.settle(p, netip.AddrFrom4([4]byte{172, 16, 1, 200 + i}))
		bad = append(bad, p)
		truth[p.address.String()] = p.mac.String()
	}
	for _, p := range slices.Concat(good, bad) { // what a machine says before its port is checked is not learnt
		l.guarded(p)
	}
	flows := l.flows(good)
	watch := l.watchFrames(good, truth)

	before := l.refusedPackets()
	ctx, stop := context.WithTimeout(t.Context(), hostileTime(t))
	defer stop()
	var running, receiving sync.WaitGroup
	for _, f := range flows {
		receiving.Go(f.receive)
		running.Go(func() { f.send(ctx, 10*time.Millisecond) })
	}
	var attacks atomic.Int64
	for i, p := range bad {
		running.Go(func() { attacks.Add(l.attack(ctx, p, good, byte(i))) })
	}
	running.Wait()
	l.report(flows, attacks.Load())
	for _, f := range flows {
		f.conn.Close()
	}
	receiving.Wait()
	for p, wrong := range watch() {
		t.Errorf("%s saw %s", p, wrong)
	}
	if refused := l.refusedPackets() - before; refused < uint64(attacks.Load())/2 {
		t.Errorf("%d frames were refused of %d that attacked", refused, attacks.Load())
	}
	l.checkTables(good, truth)
	s, err := l.client().Status(t.Context())
	l.check(err)
	for _, p := range bad {
		if !slices.ContainsFunc(s.Problems, func(text string) bool { return strings.HasPrefix(text, "port "+p.port+" of hn-web: ") }) {
			t.Errorf("status does not name %s: %q", p.port, s.Problems)
		}
	}
	for _, p := range good {
		if i := slices.IndexFunc(s.Problems, func(text string) bool {
			return strings.HasPrefix(text, "port "+p.port+" ") && !strings.Contains(text, "bridge-protocol")
		}); i >= 0 { // but for what was sent to see whether it is checked
			t.Errorf("status accuses %s: %s", p.port, s.Problems[i])
		}
	}
}

// flows are from each machine to the next, to the attached endpoint and outside.
func (l *switchLab) flows(good []*plugged) (flows []*datagrams) {
	echo := func(n *lab.Namespace, a netip.Addr) string {
		s, err := lab.EchoServer(n, "udp", netip.AddrPortFrom(a, 7).String())
		l.check(err)
		l.servers = append(l.servers, s)
		return s.Addr().String()
	}
	outside, endpoint := echo(l.Remote, netip.MustParseAddr(lab.RemoteAddress)), echo(l.endpoint, l.attached.Address)
	next := make([]string, len(good))
	for i, p := range good {
		next[i] = echo(p.Namespace, p.address)
	}
	for i, p := range good {
		for what, to := range map[string]string{"outside": outside, "to c1": endpoint, "to its neighbour": next[(i+1)%len(good)]} {
			l.await(p.port+" "+what, func() bool {
				_, err := lab.Ask(l.moment(), p.Namespace, "udp", to)
				return err == nil
			})
			conn, err := p.Dial(l.t.Context(), "udp", to)
			l.check(err)
			flows = append(flows, &datagrams{what: p.port + " " + what, conn: conn})
		}
	}
	return flows
}

// report waits for the last answers, and holds what was lost against the bar.
func (l *switchLab) report(flows []*datagrams, attacks int64) {
	l.t.Helper()
	var sent, lost int64
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	total := func() int64 {
		sent, lost = 0, 0
		for _, f := range flows {
			sent, lost = sent+f.sent.Load(), lost+f.lost()
		}
		return lost
	}
	_ = lab.WaitFor(ctx, func() bool { return total() == 0 })
	l.t.Logf("%d datagrams of %d flows, %d without an answer; %d hostile frames", sent, len(flows), lost, attacks)
	if sent == 0 || attacks == 0 {
		l.t.Error("nothing was sent")
	}
	if lost*1000 >= sent {
		for _, f := range flows {
			if f.lost() > 0 {
				l.t.Errorf("%s: %d of %d lost", f.what, f.lost(), f.sent.Load())
			}
		}
	}
}

// watchFrames looks at each frame that comes to honest machines, until the function that it
// returns is called, which says who saw what is not for him.
func (l *switchLab) watchFrames(good []*plugged, truth map[string]string) func() map[string]string {
	known := make(map[string]bool)
	for _, mac := range truth {
		known[mac] = true
	}
	var mu sync.Mutex
	var watching sync.WaitGroup
	wrong := make(map[string]string)
	var taps []*lab.Tap
	for _, p := range good {
		tap, err := lab.Capture(p.Namespace, "eth0")
		l.check(err)
		taps = append(taps, tap)
		watching.Go(func() {
			for f := range tap.Packets() {
				to := net.HardwareAddr(f.Data[:6])
				what := ""
				switch {
				case f.Outgoing:
				case bytes.Contains(f.Data, []byte(attack.Mark)):
					what = fmt.Sprintf("a forged frame %x", f.Data[:min(len(f.Data), 60)])
				case to[0]&1 == 0 && !bytes.Equal(to, p.mac) && known[to.String()]:
					what = fmt.Sprintf("a frame for %s", to)
				}
				if what != "" {
					mu.Lock()
					wrong[p.port] = what
					mu.Unlock()
				}
			}
		})
	}
	return func() map[string]string {
		for i, tap := range taps {
			if lost, err := tap.Dropped(); err != nil || lost > 0 {
				l.t.Errorf("%s: %d frames were not looked at, %v", good[i].port, lost, err)
			}
			l.check(tap.Close())
		}
		watching.Wait()
		return wrong
	}
}

// attack sends everything that there is, again and again with a little pause, and returns how
// many frames that were. Some of it is no attack by its form: frames from invented MACs, and
// DHCP messages in somebody's name.
func (l *switchLab) attack(ctx context.Context, p *plugged, good []*plugged, seed byte) (sent int64) {
	random := rand.New(rand.NewPCG(uint64(seed), 12))
	for round := 0; ctx.Err() == nil; round++ {
		victim := good[random.IntN(len(good))]
		var frames [][]byte
		for _, e := range attack.Envelopes {
			for _, f := range attack.Frames(attack.Parties{Attacker: p.station(), Endpoint: l.attached, Neighbour: victim.station(), Gateway: l.gateway}) {
				frames = append(frames, e.Wrapped(f))
			}
		}
		for i := range 50 {
			made := net.HardwareAddr{2, 0x66, seed, byte(round), byte(i), 1}
			frames = append(frames, ethernet(made, net.HardwareAddr{2, 0x67, seed, byte(round), byte(i), 1}, 0x88b5, make([]byte, 46)))
		}
		for _, forged := range forgeries(victim, p, l.gateway.Address) {
			frames = append(frames, forged.frame)
		}
		if err := lab.SendFrames(p.Namespace, "eth0", frames...); err != nil {
			l.t.Errorf("%s: %v", p.port, err)
			return sent
		}
		sent += int64(len(frames))
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return sent
}

// refusedPackets counts what was dropped at ports.
func (l *switchLab) refusedPackets() (n uint64) {
	s, err := l.client().Status(l.t.Context())
	l.check(err)
	for _, reason := range []string{"spoofed-source", "address-elsewhere", "mac-elsewhere", "rogue-server", "rogue-router", "bridge-protocol", "encapsulated", "port-limit"} {
		n += s.Drops[reason]
	}
	return n
}

// checkTables compares what everybody believes with who is where.
func (l *switchLab) checkTables(good []*plugged, truth map[string]string) {
	l.t.Helper()
	believes := func(who string, n *lab.Namespace, link string) {
		out, err := n.Command(context.Background(), "ip", "-4", "neigh", "show", "dev", link).Output()
		l.check(err)
		for line := range strings.Lines(string(out)) {
			words := strings.Fields(line)
			i := slices.Index(words, "lladdr")
			if i < 0 {
				continue
			}
			if mac, known := truth[words[0]]; known && mac != words[i+1] {
				l.t.Errorf("%s believes that %s is at %s, and it is at %s", who, words[0], words[i+1], mac)
			}
		}
	}
	believes("the host", l.Host, "hn-web")
	believes("c1", l.endpoint, "eth0")
	for _, p := range good {
		believes(p.port, p.Namespace, "eth0")
	}
	fdb, err := l.output("bridge", "fdb", "show", "br", "hn-web")
	l.check(err)
	for _, p := range good {
		for line := range strings.Lines(fdb) {
			if strings.HasPrefix(line, p.mac.String()+" ") && !strings.Contains(line, " "+p.port+" ") {
				l.t.Errorf("the bridge has %s elsewhere: %s", p.port, line)
			}
		}
	}
	leases, err := l.client().Leases(l.t.Context(), "web")
	l.check(err)
	endpoints, err := l.client().Endpoints(l.t.Context(), "web")
	l.check(err)
	for _, p := range good {
		if p.leased {
			if !slices.ContainsFunc(leases, func(lease api.Lease) bool {
				return lease.Address == p.address && lease.MAC == p.mac.String() && lease.State == string(model.LeaseBound)
			}) {
				l.t.Errorf("the lease of %s (%s) is gone: %+v", p.port, p.address, leases)
			}
		}
		for _, e := range endpoints {
			if slices.Contains(e.Addresses, p.address) && e.MAC != p.mac.String() {
				l.t.Errorf("%s is listed with MAC %s", p.port, e.MAC)
			}
		}
	}
}

// What a machine says before its port is checked, while the daemon is away, say, nobody
// hears; and what the bridge has learnt from it, it forgets when the port is checked.
func TestLiesBeforeThePortIsChecked(t *testing.T) {
	t.Parallel()
	l := newSwitchLab(t)
	good := l.plug("good", hardware(6, 1))
	l.settle(good, netip.MustParseAddr("172.16.1.60"))
	l.guarded(good)
	outside, err := lab.EchoServer(l.Remote, "udp", lab.RemoteAddress+":7")
	l.check(err)
	l.servers = append(l.servers, outside)
	_, err = l.endDaemon(syscall.SIGKILL)
	l.check(err)
	bad := l.plug("bad", hardware(6, 2))
	gateway := l.gateway.Address.String()
	lies := [][]byte{
		attack.ARP(model.MAC(bad.mac.String()), 2, model.MAC(bad.mac.String()), l.gateway.Address, good.address),
		ethernet(good.mac, hardware(6, 9), 0x88b5, make([]byte, 46)),
	}
	believes := func() string {
		out, err := good.Command(context.Background(), "ip", "-4", "neigh", "show", gateway).Output()
		l.check(err)
		return string(out)
	}
	fdb := func() string {
		out, err := l.output("bridge", "fdb", "show", "br", "hn-web")
		l.check(err)
		return out
	}
	l.await("the bridge to believe the lies", func() bool {
		l.check(lab.SendFrames(bad.Namespace, "eth0", lies...))
		return strings.Contains(fdb(), good.mac.String()+" dev bad ")
	})
	if strings.Contains(believes(), bad.mac.String()) {
		t.Errorf("a neighbour believes: %s", believes())
	}
	announced := l.announcements(good)
	l.check(l.startDaemon())
	l.await("the gateway to be announced", func() bool { return announced.Load() > 0 })
	if table := fdb(); strings.Contains(table, good.mac.String()+" dev bad ") {
		t.Errorf("the bridge still believes that good is at bad:\n%s", table)
	}
	l.await("the truth about the gateway", func() bool { return strings.Contains(believes(), string(l.gateway.MAC)) })
	l.await("the outside", func() bool {
		_, err := lab.Ask(l.moment(), good.Namespace, "udp", lab.RemoteAddress+":7")
		return err == nil
	})
}

// announcements counts what a machine is told of where the gateway is without having asked.
func (l *switchLab) announcements(p *plugged) *atomic.Int64 {
	l.t.Helper()
	tap, err := lab.Capture(p.Namespace, "eth0")
	l.check(err)
	l.servers = append(l.servers, tap)
	var count atomic.Int64
	go func() {
		gateway := l.gateway.Address.AsSlice()
		for f := range tap.Packets() {
			const arp, sender, target = 12, 28, 38 // offsets
			if !f.Outgoing && len(f.Data) >= 42 && f.Data[arp] == 8 && f.Data[arp+1] == 6 && bytes.Equal(f.Data[sender:sender+4], gateway) && bytes.Equal(f.Data[target:target+4], gateway) {
				count.Add(1)
			}
		}
	}()
	return &count
}
