package test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/attack"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// A machine that sends forged frames from before it is plugged in reaches nobody with one
// of them, however often: neither an attached endpoint, nor a neighbour, nor the host, each
// of which hears the others meanwhile.
func TestHostileFromTheFirstFrame(t *testing.T) {
	t.Parallel()
	const times = 50
	l := newSwitchLab(t)
	good := l.plug("good", hardware(7, 1))
	l.settle(good, netip.MustParseAddr("172.16.1.70"))
	l.guarded(good)

	heard := map[string]*overheard{"the neighbour": l.overhear(good.Namespace, "eth0", unix.ETH_P_ALL), "the endpoint": l.overhear(l.endpoint, "eth0", unix.ETH_P_ALL)}
	for name, protocol := range map[string]uint16{"ARP": wire.EtherARP, "IPv4": wire.EtherIPv4, "IPv6": wire.EtherIPv6} {
		heard["the host's "+name] = l.overhear(l.Host, "hn-web", protocol)
	}
	var unheard uint64
	for i := range byte(times) {
		unheard += l.plugInHostile(good, i)
	}
	ping, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, to := range []netip.Addr{l.attached.Address, l.gateway.Address} {
		if _, err := lab.Ping(ping, good.Namespace, to.String()); err != nil {
			t.Error(err)
		}
	}
	for name, h := range heard {
		if name != "the host's IPv6" { // which nobody here speaks
			l.await(name+" to hear anything at all", func() bool { return h.frames.Load() > 0 })
		}
		if forged := h.stop(); len(forged) > 0 {
			t.Errorf("%s heard %d forged frames, the first %x", name, len(forged), forged[0])
		}
	}
	t.Logf("%d frames of %d machines came before their ports were checked", unheard, times)
	if unheard == 0 {
		t.Error("no frame came before a port was checked: nothing has been tried")
	}
}

// plugInHostile plugs in a machine that has been sending, waits until its port is checked,
// and takes it away. It returns how many frames came before that.
func (l *switchLab) plugInHostile(good *plugged, i byte) (unchecked uint64) {
	port, mac := fmt.Sprintf("bad%d", i), hardware(8, i)
	n, err := lab.NewNamespace("switch-" + port)
	l.check(err)
	defer func() { l.check(n.Close()) }()
	l.check(lab.Veth(l.Host, port, n, "eth0"))
	l.check(n.SetMAC("eth0", mac))
	var frames [][]byte
	for _, f := range attack.Frames(attack.Parties{
		Attacker: attack.Station{MAC: model.MAC(mac.String()), Address: netip.AddrFrom4([4]byte{172, 16, 1, 210})},
		Endpoint: l.attached, Neighbour: good.station(), Gateway: l.gateway,
	}) {
		if f.Reason != "bridge-protocol" { // the bridge keeps it, checked or not
			frames = append(frames, append(slices.Clone(f.Data), attack.Mark...))
		}
	}
	before := l.dropped("unchecked-port")
	ctx, stop := context.WithCancel(l.t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		for ctx.Err() == nil {
			if err := lab.SendFrames(n, "eth0", frames...); err != nil {
				l.t.Error(err)
				return
			}
		}
	})
	checked := l.dropped("rogue-router")
	l.check(l.Host.Enslave(port, "hn-web"))
	l.await(port+" to be checked", func() bool { return l.dropped("rogue-router") > checked })
	stop()
	sending.Wait()
	return l.dropped("unchecked-port") - before
}

// dropped is how many frames have been dropped for a reason.
func (l *switchLab) dropped(reason string) uint64 {
	s, err := l.client().Status(context.Background())
	l.check(err)
	return s.Drops[reason]
}

// overheard is what comes in on a link.
type overheard struct {
	tap    *lab.Tap
	done   chan struct{}
	forged [][]byte
	frames atomic.Int64
}

func (l *switchLab) overhear(n *lab.Namespace, link string, protocol uint16) *overheard {
	tap, err := lab.CaptureProtocol(n, link, protocol)
	l.check(err)
	h := &overheard{tap: tap, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		for f := range tap.Packets() {
			if f.Outgoing {
				continue
			}
			h.frames.Add(1)
			if bytes.Contains(f.Data, []byte(attack.Mark)) {
				h.forged = append(h.forged, f.Data)
			}
		}
	}()
	return h
}

func (h *overheard) stop() [][]byte {
	h.tap.Close()
	<-h.done
	return h.forged
}

// A machine that asks for its address as soon as it is plugged in gets it, though its
// first question comes before its port is checked, and it does not ask again. Of 20 a
// few may: until the kernel has seen that a link is up, the bridge has no such port,
// which on a busy machine takes it up to a second.
func TestNewcomerAsksOnce(t *testing.T) {
	t.Parallel()
	l := newSwitchLab(t)
	const again = 4 * time.Second // RFC 2131 section 4.1
	before, twice := l.dropped("unchecked-port"), 0
	for i := range byte(20) {
		p := l.plug(fmt.Sprintf("vm%d", i), hardware(9, i))
		began := time.Now()
		l.check(p.Do(func() error {
			c, err := nclient4.New("eth0", nclient4.WithTimeout(again), nclient4.WithRetry(5))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Request(t.Context())
			return err
		}))
		if took := time.Since(began); took >= again {
			t.Logf("%s has its address after %v", p.port, took)
			twice++
		}
	}
	if twice > 5 {
		t.Errorf("%d of 20 had to ask again", twice)
	}
	if l.dropped("unchecked-port") == before {
		t.Error("no frame came before a port was checked: nothing has been tried")
	}
}
