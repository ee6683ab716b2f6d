package datapath

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Who is where: which MAC is at which plugged-in port of a network's switch, and
// which MAC has which address. The data path learns it and keeps it
// (bpf/ip4_station.h).

// Claim says that a frame was refused, because its MAC, or the address it spoke
// for, is at another port or another MAC's.
type Claim struct {
	Network, Compartment uint32
	Port, HolderPort     uint32     // interfaces: who claims, who has it
	Address              netip.Addr `address:"or none"` // not valid: the MAC itself is claimed
	MAC, HolderMAC       model.MAC  // the same if the MAC itself is claimed
	Time                 uint64     // the kernel's monotonic clock, ns
}

// Place is an address that somebody at a plugged-in port has.
type Place struct {
	Compartment, Port uint32
	Address           netip.Addr
	MAC               model.MAC
	Seen              time.Time
}

// Refusal counts the frames of a plugged-in port that were refused for one reason.
type Refusal struct {
	Port    uint32
	Reason  event.Reason
	Count   uint64
	Last    time.Time
	MAC     model.MAC  // of the last one
	Address netip.Addr // that the last one spoke for; not valid: none
}

// WatchClaims calls sink for each claim until ctx ends.
func (d *Datapath) WatchClaims(ctx context.Context, sink func(Claim)) error {
	reader, err := ringbuf.NewReader(d.objects.Claims)
	if err != nil {
		return fmt.Errorf("opening the ring of claims: %w", err)
	}
	defer reader.Close()
	stop := context.AfterFunc(ctx, func() { _ = reader.Flush() })
	defer stop()
	var record ringbuf.Record
	for ctx.Err() == nil {
		err := reader.ReadInto(&record)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the ring of claims: %w", err)
		}
		if c, ok := toClaim(record.RawSample); ok {
			sink(c)
		}
	}
	return ctx.Err()
}

func toClaim(sample []byte) (Claim, bool) {
	var raw kernel.Claim
	if len(sample) < int(unsafe.Sizeof(raw)) {
		return Claim{}, false
	}
	if _, err := binary.Decode(sample, binary.NativeEndian, &raw); err != nil {
		return Claim{}, false
	}
	return Claim{
		Network: raw.Network, Compartment: raw.Compartment, Port: raw.Port, HolderPort: raw.HolderPort,
		Address: toHeldAddress(raw.Address), MAC: toMAC(raw.Mac), HolderMAC: toMAC(raw.HolderMac), Time: raw.Time,
	}, true
}

func (c Claim) raw() kernel.Claim {
	raw := kernel.Claim{
		Time: c.Time, Network: c.Network, Compartment: c.Compartment, Port: c.Port, HolderPort: c.HolderPort,
		Mac: kernel.MACOf(c.MAC), HolderMac: kernel.MACOf(c.HolderMAC),
	}
	if c.Address.IsValid() {
		raw.Address = kernel.AddressOf(c.Address)
	}
	return raw
}

// Concede takes away what a claim is about, unless its holder has been heard of
// since: the next frame of whoever claims it is then taken for its own. It
// reports whether the row is gone.
func (d *Datapath) Concede(c Claim) (bool, error) {
	if err := checkFamily(c); err != nil {
		return false, err
	}
	raw := c.raw()
	result, err := d.objects.ForgetPlace.Run(&ebpf.RunOptions{Data: kernel.FrameOf(&raw)})
	if err != nil {
		return false, fmt.Errorf("forgetting where %s is: %w", c.HolderMAC, err)
	}
	const tcxNext = -1
	return int32(result) == tcxNext, nil
}

// LastSeen returns how long ago the holder of what is claimed was heard of, by the
// clock of Claim.Time; false: the row is not there any more.
func (d *Datapath) LastSeen(c Claim) (time.Duration, bool) {
	seen, found := uint64(0), false
	if c.Address.IsValid() {
		var row kernel.Holder
		key := kernel.EndpointKey{Compartment: c.Compartment, Address: kernel.AddressOf(c.Address)}
		found = d.objects.Holders.Lookup(&key, &row) == nil
		seen = row.Seen
	} else {
		var row kernel.Station
		key := kernel.StationKey{Network: c.Network, Mac: kernel.MACOf(c.HolderMAC)}
		found = d.objects.Stations.Lookup(&key, &row) == nil
		seen = row.Seen
	}
	return time.Duration(d.readClock().monotonic) - time.Duration(seen), found
}

// PortOf returns the port of a network's switch that a MAC is at; 0 if that is not known: it
// has not been heard of, or the network's ports are not checked.
func (d *Datapath) PortOf(network uint32, mac model.MAC) uint32 {
	key := kernel.StationKey{Network: network, Mac: kernel.MACOf(mac)}
	var endpoint uint32
	if d.objects.ManagedMacs.Lookup(&key, &endpoint) == nil {
		return endpoint
	}
	var row kernel.Station
	if d.objects.Stations.Lookup(&key, &row) != nil {
		return 0
	}
	return row.Port
}

// Places returns all addresses of whom the data path has heard at plugged-in ports.
func (d *Datapath) Places() ([]Place, error) {
	clock := d.readClock()
	var list []Place
	err := kernel.Each(d.objects.Holders, func(k *kernel.EndpointKey, v *kernel.Holder) error {
		list = append(list, Place{
			Compartment: k.Compartment, Port: v.Port, Address: kernel.ToAddress(k.Address), MAC: toMAC(v.Mac), Seen: clock.time(v.Seen),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading who has which address: %w", err)
	}
	return list, nil
}

// Refusals returns what was refused at plugged-in ports.
func (d *Datapath) Refusals() ([]Refusal, error) {
	clock := d.readClock()
	var list []Refusal
	err := kernel.Each(d.objects.Refusals, func(k *kernel.RefusalKey, v *kernel.Refusal) error {
		list = append(list, Refusal{
			Port: k.Port, Reason: event.Reason(k.Reason), Count: v.Count, Last: clock.time(v.Last),
			MAC: toMAC(v.Mac), Address: toHeldAddress(v.Address),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was refused at ports: %w", err)
	}
	return list, nil
}

// crowded is how many rows of a kind a port has room for to spare: half of what it may have.
const crowded = 32

// ForgetSilent takes away all rows of ports that are gone: those for which there says no.
// Rows of the others that have not been heard of for that long go where the port has
// many, so that it has room for new ones; else who sleeps keeps its place.
func (d *Datapath) ForgetSilent(silence time.Duration, there func(port uint32) bool) error {
	now := uint64(d.readClock().monotonic)
	var claims []Claim
	stations, holders := make(map[uint32]int), make(map[uint32]int) // rows by port
	row := func(rows map[uint32]int, port uint32, seen uint64, c Claim) {
		rows[port]++
		if !there(port) {
			c.Time = ^uint64(0)
		} else if c.Time = now - min(now, uint64(silence)); seen > c.Time {
			return
		}
		c.HolderPort = port
		claims = append(claims, c)
	}
	err := errors.Join(
		kernel.Each(d.objects.Stations, func(k *kernel.StationKey, v *kernel.Station) error {
			row(stations, v.Port, v.Seen, Claim{Network: k.Network, HolderMAC: toMAC(k.Mac)})
			return nil
		}),
		kernel.Each(d.objects.Holders, func(k *kernel.EndpointKey, v *kernel.Holder) error {
			row(holders, v.Port, v.Seen, Claim{Compartment: k.Compartment, Address: kernel.ToAddress(k.Address), HolderMAC: toMAC(v.Mac)})
			return nil
		}))
	if err != nil {
		return fmt.Errorf("reading who is where: %w", err)
	}
	for _, c := range claims {
		rows := stations
		if c.Address.IsValid() {
			rows = holders
		}
		if c.Time != ^uint64(0) && rows[c.HolderPort] <= crowded {
			continue
		}
		if _, err := d.Concede(c); err != nil {
			return err
		}
	}
	return d.forgetLoads(there)
}

// forgetLoads drops the counts and the refusals of ports that are gone: another
// link may have the number one day.
func (d *Datapath) forgetLoads(there func(port uint32) bool) error {
	var ports []uint32
	var refusals []kernel.RefusalKey
	err := errors.Join(
		kernel.Each(d.objects.PortLoads, func(port *uint32, _ *kernel.PortLoad) error {
			if !there(*port) {
				ports = append(ports, *port)
			}
			return nil
		}),
		kernel.Each(d.objects.Refusals, func(k *kernel.RefusalKey, _ *kernel.Refusal) error {
			if !there(k.Port) {
				refusals = append(refusals, *k)
			}
			return nil
		}))
	for _, port := range ports {
		err = errors.Join(err, ignoreAbsent(kernel.Delete(d.objects.PortLoads, &port)))
	}
	for _, key := range refusals {
		err = errors.Join(err, ignoreAbsent(kernel.Delete(d.objects.Refusals, &key)))
	}
	return err
}

func ignoreAbsent(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// managedMACs are those of attached endpoints: no plugged-in port may have them.
func managedMACs(c Config) map[kernel.StationKey]uint32 {
	values := make(map[kernel.StationKey]uint32, len(c.Endpoints))
	for _, e := range c.Endpoints {
		values[kernel.StationKey{Network: e.Network, Mac: kernel.MACOf(e.MAC)}] = e.Interface
	}
	return values
}

func toMAC(b [6]byte) model.MAC { return model.MAC(net.HardwareAddr(b[:]).String()) }

// toHeldAddress is not valid for 0.0.0.0, which nobody has.
func toHeldAddress(v uint32) netip.Addr {
	if v == 0 {
		return netip.Addr{}
	}
	return kernel.ToAddress(v)
}

// WatchEarlyQuestions calls sink for each frame for a network's DHCP server that has come by a
// port of its bridge before that was checked, and went no further, until ctx ends.
func (d *Datapath) WatchEarlyQuestions(ctx context.Context, sink func(network uint32, frame []byte, asked time.Time)) error {
	reader, err := ringbuf.NewReader(d.objects.EarlyQuestions)
	if err != nil {
		return fmt.Errorf("opening the ring of early questions: %w", err)
	}
	defer reader.Close()
	for ctx.Err() == nil {
		clock := d.readClock()
		err := readRing(ctx, reader, time.Now().Add(watchRefresh), func(sample []byte) {
			var raw kernel.EarlyQuestion
			if _, err := binary.Decode(sample, binary.NativeEndian, &raw); err == nil && int(raw.Length) <= len(raw.Frame) {
				sink(raw.Network, raw.Frame[:raw.Length], clock.time(raw.Time))
			}
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// IsChecked reports whether what comes by a port of a network's switch is looked at.
func (d *Datapath) IsChecked(network, port uint32) bool {
	var row kernel.Inside
	return d.objects.Insides.Lookup(port, &row) == nil && row.Network == network && d.IsAttached(Attachment{Interface: port, Hook: PortIngress})
}
