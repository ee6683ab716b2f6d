package rerun

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// Rerun is a data path that is attached to nothing. Packets are handed to its programs
// one by one (BPF_PROG_TEST_RUN). It belongs to the thread that opened it, whose network
// namespace is the packets' host.
type Rerun struct {
	spec     *ebpf.CollectionSpec
	objects  kernel.Objects
	clock    *kernel.Clock
	chance   *kernel.Chance
	captures *ebpf.Map
	reader   *ringbuf.Reader
	pools    []kernel.Pool
	looked   uint64 // the tick in which sessions that are over were ended last
	rounds   uint32 // of chance
}

// Outcome is what became of a packet.
type Outcome struct {
	datapath.Captured
	Frame     []byte // that was run
	Shortened bool   // the packet was too long to be run whole: the headers are its own, the rest is not there
	WentMark  uint32 // the mark with which it went on
}

// NotFollowed says why a packet cannot be run.
type NotFollowed string

func (n NotFollowed) Error() string { return string(n) }

func otherTables(table, hostnat string) error {
	return model.Errorf(model.Invalid, "the recording is of hostnat %s, whose table %s is another one", hostnat, table).
		WithHint("replay it with that version of hostnat")
}

// Open loads the programs with tables of their own that have room for the recorded rows; no
// recorded table has more room than a new one, and one that says so is not believed.
func Open(rows []recording.Rows) (_ *Rerun, err error) {
	spec, err := kernel.LoadObservedSpec()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded data path: %w", err)
	}
	for _, part := range rows {
		if s := spec.Maps[part.Table]; s != nil && isRecorded(part.Table, s.Type) && s.Type != ebpf.Array && part.Room > 0 && part.Room <= s.MaxEntries {
			s.MaxEntries = part.Room
		}
	}
	spec.Maps["captures"].MaxEntries = 1 << 18 // it is read after each packet
	r := &Rerun{}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.clock, err = kernel.NewClock(0); err != nil {
		return nil, err
	}
	if r.chance, err = kernel.NewChance(); err != nil {
		return nil, err
	}
	own := r.clock.Rule(spec, make(map[string]*ebpf.Map))
	r.chance.Rule(spec, own)
	if err := r.load(spec, own); err != nil {
		return nil, err
	}
	r.spec = spec
	return r, nil
}

// Reset has the tables hold the recorded rows and nothing else, and the clock show at.
// hostnat is the version that recorded them.
func (r *Rerun) Reset(rows []recording.Rows, hostnat string, at time.Duration) error {
	r.looked, r.pools = 0, nil
	if err := r.clock.Set(at); err != nil {
		return err
	}
	for name, m := range r.objects.Tables() {
		if s := r.spec.Maps[name]; s != nil && isRecorded(name, s.Type) && s.Type != ebpf.Array {
			if err := empty(&r.objects, name, m); err != nil {
				return fmt.Errorf("emptying the table %s: %w", name, err)
			}
		}
	}
	if err := fill(r.spec, &r.objects, rows, hostnat); err != nil {
		return err
	}
	err := kernel.Each(r.objects.Pools, func(_ *kernel.PoolKey, p *kernel.Pool) error {
		r.pools = append(r.pools, *p)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the recorded pools: %w", err)
	}
	return nil
}

func (r *Rerun) load(spec *ebpf.CollectionSpec, own map[string]*ebpf.Map) error {
	all, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: own})
	if err != nil {
		return fmt.Errorf("loading the data path once more: %w", err)
	}
	defer all.Close() // of what is not assigned
	wanted := kernel.CaptureSettings{Until: ^uint64(0), Length: recording.Kept}
	if err := all.Maps["wanted_captures"].Put(uint32(0), &wanted); err != nil {
		return fmt.Errorf("asking for captured packets: %w", err)
	}
	r.captures = all.DetachMap("captures")
	if r.reader, err = ringbuf.NewReader(r.captures); err != nil {
		return fmt.Errorf("opening the ring of captured packets: %w", err)
	}
	r.reader.SetDeadline(time.Now().Add(-time.Second)) // it never waits
	if err := all.Assign(&r.objects); err != nil {
		return fmt.Errorf("loading the data path once more: %w", err)
	}
	return nil
}

// Close lets go of it.
func (r *Rerun) Close() {
	if r.reader != nil {
		_ = r.reader.Close()
	}
	if r.captures != nil {
		_ = r.captures.Close()
	}
	if r.clock != nil {
		_ = r.clock.Close()
	}
	if r.chance != nil {
		_ = r.chance.Close()
	}
	_ = r.objects.Close()
}

// Tables are its programs and tables. They belong to it.
func (r *Rerun) Tables() *kernel.Objects { return &r.objects }

// skbuff is the beginning of struct __sk_buff.
type skbuff struct {
	Len, PacketType, Mark, QueueMapping, Protocol uint32
	VLAN                                          [3]uint32
	Priority, IngressIfindex, Ifindex, TCIndex    uint32
	CB                                            [5]uint32
	Rest                                          [19]uint32 // hash to data_meta
	FlowKeys, Timestamp                           uint64
	WireLen, GSOSegments                          uint32
	Socket                                        uint64
	GSOSize, TimestampType                        uint32
	HardwareTimestamp                             uint64
}

// Step runs a packet at a time of the data path's clock. What the data path may choose,
// it chooses as recorded, if it may.
func (r *Rerun) Step(p *recording.Packet, at time.Duration) (Outcome, error) {
	program, err := r.program(p)
	if err != nil {
		return Outcome{}, err
	}
	frame, shortened, err := frameOf(p)
	if err != nil {
		return Outcome{}, err
	}
	if err := errors.Join(r.clock.Set(at), r.draw(p)); err != nil {
		return Outcome{}, err
	}
	in, out := skbuff{Mark: p.Mark, Ifindex: p.Interface, GSOSegments: p.Segments, GSOSize: p.SegmentSize}, skbuff{}
	run := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+512), Context: &in, ContextOut: &out}
	code, err := program.Run(&run)
	if err != nil {
		return Outcome{}, fmt.Errorf("running %s with a packet of %d bytes at interface %d: %w", p.Program, len(frame), p.Interface, err)
	}
	o := Outcome{Frame: frame, Shortened: shortened, WentMark: out.Mark}
	if o.Captured, err = r.captured(); err != nil {
		return Outcome{}, err
	}
	if o.Program == "" { // one that the program lets through before it looks
		o.Captured = datapath.Captured{Program: p.Program, Interface: p.Interface, Code: int32(code), Verdict: model.VerdictLeft, Ethernet: true,
			CameLength: len(frame), Length: len(run.DataOut), Came: frame, Went: run.DataOut}
	}
	return o, nil
}

func (r *Rerun) captured() (c datapath.Captured, err error) {
	var record ringbuf.Record
	for r.reader.AvailableBytes() > 0 {
		err := r.reader.ReadInto(&record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return c, fmt.Errorf("reading what became of a packet: %w", err)
		}
		if one, ok := datapath.ReadCaptured(record.RawSample); ok {
			c = one
		}
	}
	return c, nil
}

func (r *Rerun) program(p *recording.Packet) (*ebpf.Program, error) {
	if p.NoEthernet {
		return nil, NotFollowed("links without Ethernet")
	}
	if p.Program == "port_egress" || p.Reason == event.UncheckedPort.String() {
		return nil, NotFollowed("what comes by ports that are not checked yet") // a test run knows no stamps
	}
	programs := r.objects.PacketPrograms()
	switch p.Program {
	case "inside_ingress":
		return programs.InsideIngress, nil
	case "bridge_ingress":
		return programs.BridgeIngress, nil
	case "port_ingress":
		return programs.PortIngress, nil
	case "outside_ingress":
		return programs.OutsideIngress, nil
	case "outside_egress":
		return programs.OutsideEgress, nil
	case "loopback_egress":
		return programs.LoopbackEgress, nil
	}
	return nil, NotFollowed("the way through the reassembly namespace")
}

// draw has the programs draw the numbers that lead to the recorded external port.
func (r *Rerun) draw(p *recording.Packet) error {
	r.rounds++
	if p.Session == nil {
		return r.chance.Set(rand.Uint32(), rand.Uint32()|1)
	}
	first, of := r.placeOf(p.Session.External)
	// Others draw too, ids of which no two may be the same: so each packet has others.
	return r.chance.Set(first+of*(r.rounds*64%(1<<31/of)), of)
}

// placeOf is where a port stands among those of its address, and how many these are.
func (r *Rerun) placeOf(external netip.AddrPort) (place, of uint32) {
	for i := range r.pools {
		for _, a := range r.pools[i].Address[:min(int(r.pools[i].Count), len(r.pools[i].Address))] {
			if kernel.ToAddress(a.Address) != external.Addr() {
				continue
			}
			before := uint32(0)
			for _, ports := range a.Range {
				if ports.High != 0 && external.Port() >= ports.Low && external.Port() <= ports.High {
					return before + uint32(external.Port()-ports.Low), max(1, a.Ports)
				}
				before += uint32(ports.High) - uint32(ports.Low) + 1
			}
			if low, high := a.Dependent.Low, a.Dependent.High; high != 0 && external.Port() >= low && external.Port() <= high {
				return uint32(external.Port() - low), uint32(high-low) + 1
			}
		}
	}
	return rand.Uint32N(1 << 16), 1
}

const (
	tick   = uint64(time.Second) / 16 // TICK of bpf/wheel.h
	behind = 2                        // ticks that a timer is behind its time: slot_for
)

// EndDue ends what is over by then, as the wheel does that turns beside a real data path.
func (r *Rerun) EndDue(at time.Duration) error {
	now := uint64(at)
	if now/tick == r.looked {
		return nil
	}
	r.looked = now / tick
	if err := r.clock.Set(at); err != nil {
		return err
	}
	over := func(_ *kernel.SessionKey, s *kernel.Session) bool {
		due := s.LastRefreshed() + uint64(s.Lifetime)*uint64(time.Second)
		return due <= now && max(due/tick, uint64(s.TimerTick))+behind <= now/tick
	}
	return kernel.EachSession(&r.objects, over, func(o *kernel.Objects, key *kernel.SessionKey) error {
		return kernel.EndSession(o, key, kernel.EndTimeout)
	})
}
