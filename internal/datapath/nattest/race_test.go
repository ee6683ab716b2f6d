package nattest

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

// race runs two functions at once, each on a CPU of its own.
func race(t *testing.T, first, second func() error) {
	t.Helper()
	var group sync.WaitGroup
	var gate sync.WaitGroup
	gate.Add(2)
	errs := make([]error, 2)
	for i, fn := range []func() error{first, second} {
		group.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread, bound to a CPU, is thrown away
			var cpus unix.CPUSet
			cpus.Set(i)
			err := unix.SchedSetaffinity(0, &cpus)
			gate.Done()
			gate.Wait()
			if err == nil {
				err = fn()
			}
			errs[i] = err
		})
	}
	group.Wait()
	for _, err := range errs {
		wire.Must(t, err)
	}
}

// Design, rule 3: two CPUs that see a flow's first packets make one binding and
// one session of them.
func TestFirstPacketsOnTwoCPUsMakeOneFlow(t *testing.T) {
	t.Parallel()
	if lab.AvailableCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	r := dptest.NewRig(t, 1)
	r.Mute(t, 0)
	sockets := [2]int{wire.PacketSocket(t, r.Endpoints[0], "eth0"), wire.PacketSocket(t, r.Endpoints[0], "eth0")}
	defer unix.Close(sockets[0])
	defer unix.Close(sockets[1])
	const rounds = 1000
	send := func(sender int, remote netip.AddrPort) error {
		for i := range rounds {
			s := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, uint16(4000+i)), To: remote}
			if _, err := unix.Write(sockets[sender], wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, s.IP())); err != nil {
				return fmt.Errorf("sender %d: %w", sender, err)
			}
		}
		return nil
	}
	// The same flow from both: one session. Then one more flow of each binding.
	race(t, func() error { return send(0, wire.Unanswered(7, 80)) }, func() error { return send(1, wire.Unanswered(7, 80)) })
	raced(t, r, rounds, 1, 2)
	race(t, func() error { return send(0, wire.Unanswered(8, 80)) }, func() error { return send(1, wire.Unanswered(9, 80)) })
	raced(t, r, rounds, 3, 4)
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	if !r.Empty(t) {
		t.Errorf("left: %d sessions, %d bindings", len(r.Sessions(t)), len(r.Bindings(t)))
	}
	// New bindings for two remotes at once: one of the two is given up.
	race(t, func() error { return send(0, wire.Unanswered(10, 80)) }, func() error { return send(1, wire.Unanswered(11, 80)) })
	raced(t, r, rounds, 2, 2)
}

// raced checks that each of the bindings has so many sessions, with so many
// packets together.
func raced(t *testing.T, r *dptest.Rig, bindings, sessions, packets int) {
	t.Helper()
	wire.Eventually(t, "all packets counted", func() bool {
		var sum uint64
		for _, s := range r.Sessions(t) {
			sum += s.PacketsOut
		}
		return sum == uint64(bindings*packets)
	})
	if got := len(r.Bindings(t)); got != bindings {
		t.Errorf("%d bindings, want %d", got, bindings)
	}
	if got := len(r.Sessions(t)); got != bindings*sessions {
		t.Errorf("%d sessions, want %d", got, bindings*sessions)
	}
	if drops := r.Drops(t); len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
	r.Consistent(t)
}

// Sessions end on one CPU while others of the same binding begin on the other.
func TestBindingsStayConsistentWhileSessionsComeAndGo(t *testing.T) {
	t.Parallel()
	if lab.AvailableCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	r := newTinyRig(t, 8)
	r.Mute(t, 0)
	socket := wire.PacketSocket(t, r.Endpoints[0], "eth0")
	defer unix.Close(socket)
	const rounds = 3000
	stop := make(chan struct{})
	race(t, func() error {
		defer close(stop)
		for i := range rounds {
			s := wire.Segment{Protocol: model.UDP, From: wire.Inside(0, uint16(4000+i%8)), To: wire.Unanswered(byte(i%3), 80)}
			if _, err := unix.Write(socket, wire.Ethernet(dptest.EndpointMAC(0), wire.GatewayMAC, wire.EtherIPv4, s.IP())); err != nil {
				return err
			}
		}
		return nil
	}, func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
				if err := r.Datapath.EndSessions(func(datapath.Session) bool { return true }); err != nil {
					return err
				}
			}
		}
	})
	wire.Eventually(t, "bindings and sessions that agree", func() bool {
		counted := 0
		for _, b := range r.Bindings(t) {
			counted += int(b.Sessions)
		}
		return counted == len(r.Sessions(t))
	})
	r.Consistent(t)
	wire.Must(t, r.Datapath.EndSessions(func(datapath.Session) bool { return true }))
	if !r.Empty(t) {
		t.Errorf("left: sessions %+v, bindings %+v, %d in the index, %d contacts", r.Sessions(t), r.Bindings(t),
			dptest.Size(t, r.Datapath.Objects().BindingIndex), dptest.Size(t, r.Datapath.Objects().FilterEntries))
	}
}
