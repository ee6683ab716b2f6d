package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"

	"github.com/hostnat/hostnat/dev/lab"
	"golang.org/x/sys/unix"
)

// guestTAP is the TAP of a virtual machine on the host.
const guestTAP = "tap-c1"

// guestMAC is the card's address. The TAP on the host has another, as with QEMU.
var guestMAC = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}

var (
	guestBars    = []Bar{{Against: NFTables, Limit: 1.2}}
	guestBulkOut = Row{Name: "TCP bulk, a VM's TAP, outbound", Unit: "Gbit/s", Bars: guestBars}
	guestBulkIn  = Row{Name: "TCP bulk, a VM's TAP, published", Unit: "Gbit/s", Bars: guestBars}
	guestCostOut = Row{Name: "TCP bulk, a VM's TAP, outbound, CPU", Unit: "s/Gbit", Lower: true}
	guestCostIn  = Row{Name: "TCP bulk, a VM's TAP, published, CPU", Unit: "s/Gbit", Lower: true}
)

// What a virtual machine has of each: its card takes and hands over large segments
// with their checksums left out, by the virtio header before each frame.
var virtualMachine = section{
	title:   "a virtual machine",
	rows:    []Row{guestBulkOut, guestCostOut, guestBulkIn, guestCostIn},
	missing: func() string { return "" },
	setups: func(o Options) ([]setup, error) {
		program, err := o.program()
		if err != nil {
			return nil, err
		}
		all := []setup{
			withGuest(setup{name: Hostnat, nat: true, build: hostnatOfGuest(program)}),
			withGuest(setup{name: NFTables, nat: true, build: func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
				return running{}, errors.Join(bridgeEndpoint(t, guestTAP), loadRules(ctx, t, ports))
			}}),
			withGuest(setup{name: Routing, build: func(_ context.Context, t *lab.Topology, _ string) (running, error) {
				return running{}, errors.Join(bridgeEndpoint(t, guestTAP), t.Remote.AddRoute(subnet, lab.HostAddress))
			}}),
		}
		if o.Against != "" {
			all = append(all, withGuest(setup{name: Before, nat: true, build: hostnatOfGuest(o.Against)}))
		}
		return all, nil
	},
	measurements: func(b *Bench) []measurement {
		return []measurement{
			inLaps(bulkLaps, both("TCP bulk, a VM's TAP", "outbound", outboundPath, bulkUnits, guestBars, b.bulk)),
			inLaps(bulkLaps, both("TCP bulk, a VM's TAP", "published", inboundPath, bulkUnits, guestBars, b.bulk)),
		}
	},
}

func hostnatOfGuest(program string) func(context.Context, *lab.Topology, string) (running, error) {
	return func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		d, err := startDaemon(ctx, program, t.Host)
		if err != nil {
			return running{}, err
		}
		err = d.configureWith(ctx, []string{"--tap", guestTAP, "--mac", guestMAC.String()}, ports)
		if err == nil {
			err = addressEndpoint(t)
		}
		if err != nil {
			return running{}, errors.Join(err, d.close())
		}
		return running{close: d.close, explain: d.status, daemon: d}, nil
	}
}

// withGuest is a setup whose endpoint is a virtual machine as the host sees one: a
// program that has the TAP open. The guest's own stack is the endpoint's namespace,
// with a TAP for its card.
func withGuest(s setup) setup {
	build := s.build
	s.build = func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		g, err := startGuest(t.Host, t.Endpoints[0])
		if err != nil {
			return running{}, fmt.Errorf("start the virtual machine: %w", err)
		}
		r, err := build(ctx, t, ports)
		if err != nil {
			return running{}, errors.Join(err, g.close())
		}
		end := r.close
		r.close = func() error {
			if end == nil {
				return g.close()
			}
			return errors.Join(end(), g.close())
		}
		return r, nil
	}
	return s
}

// guest hands frames to and fro between a machine's card and its TAP on the host.
type guest struct {
	host, machine *lab.Namespace
	files         [2]int
	running       sync.WaitGroup
}

func startGuest(host, machine *lab.Namespace) (*guest, error) {
	g := &guest{host: host, machine: machine}
	var err error
	if g.files[0], err = openTAP(host, guestTAP); err != nil {
		return nil, err
	}
	if g.files[1], err = openTAP(machine, endpointLink); err != nil {
		return nil, errors.Join(err, unix.Close(g.files[0]))
	}
	if err := errors.Join(machine.SetMAC(endpointLink, guestMAC), machine.SetUp(endpointLink), host.SetUp(guestTAP)); err != nil {
		return nil, errors.Join(err, unix.Close(g.files[0]), unix.Close(g.files[1]))
	}
	g.running.Go(func() { relayFrames(g.files[1], g.files[0]) })
	g.running.Go(func() { relayFrames(g.files[0], g.files[1]) })
	return g, nil
}

// close ends both directions: those who read a TAP that is deleted wake up.
func (g *guest) close() error {
	err := errors.Join(g.host.DeleteLink(guestTAP), g.machine.DeleteLink(endpointLink))
	if err == nil {
		g.running.Wait()
	}
	return errors.Join(err, unix.Close(g.files[0]), unix.Close(g.files[1]))
}

// relayFrames moves frames with their virtio headers, each as it is, until a TAP is gone.
func relayFrames(from, to int) {
	runtime.LockOSThread()
	buffer := make([]byte, 1<<18)
	for {
		n, err := unix.Read(from, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		// What does not go out, as while a link is down, is lost like on a wire.
		if _, err := unix.Write(to, buffer[:n]); err == unix.EBADFD {
			return
		}
	}
}

// openTAP makes a TAP in n whose frames have virtio headers, for a guest that takes
// everything that a card can take from it.
func openTAP(n *lab.Namespace, name string) (fd int, err error) {
	err = n.Do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err == nil {
			request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err == nil {
			err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("make TAP %s: %w", name, err), unix.Close(fd))
		}
		return nil
	})
	return fd, err
}
