package datapath

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Captured is a packet as it came and as it goes on, with ids instead of names.
type Captured struct {
	Time                 time.Time
	ID                   uint64 // the packet's own
	Program              string
	Interface            uint32 // at which it was
	Mark                 uint32 // as it came
	Segments             uint32 // that the kernel cuts it into on its way out (GSO); 0: it is one packet
	SegmentSize          uint32 // bytes of payload in each of these
	Network, Compartment uint32 // that it came from
	FromOutside          bool
	Ethernet             bool // its frames have an Ethernet header
	Verdict              model.Verdict
	Code                 int32 // the program's verdict as the kernel has it
	Reason               event.Reason
	Told                 bool // it was dropped, and what goes on is an answer to its sender
	Session, FarSession  *Session
	CameLength, Length   int    // bytes of the frame, as it came and as it goes on
	Came, Went           []byte // as much of these as was kept
}

// CaptureWish is what the data path leaves out of a capture by itself. It goes by the
// network's number instead of its name; 0: the network does not matter.
type CaptureWish struct {
	model.CaptureWish
	NetworkNumber uint32
}

// fates are what the programs call what becomes of a packet.
var fates = map[model.Verdict]kernel.Fate{
	model.VerdictDropped: kernel.FateDropped, model.VerdictSent: kernel.FateSent, model.VerdictLeft: kernel.FateLeft,
}

// captureHead is how much is kept of a packet as it came: CAPTURE_HEAD.
const captureHead = len(kernel.CaptureRecord{}.Came)

// Capture is the observed programs on the links, in place of the others.
type Capture struct {
	datapath *Datapath
	observed *kernel.Observed
	reader   *ringbuf.Reader
	telling  sync.Mutex // of what the programs are told, and of what it is asked for
	counted  uint64     // packets that there was no room for, as told
}

// OpenCapture puts them there: packets are sent from then on. It takes a second, in
// which they are loaded. One at a time.
func (d *Datapath) OpenCapture(want CaptureWish) (*Capture, error) {
	observed, err := kernel.OpenObserved(d.objects.Tables())
	if err != nil {
		return nil, err
	}
	c := &Capture{datapath: d, observed: observed}
	if c.reader, err = ringbuf.NewReader(observed.Captures); err != nil {
		err = fmt.Errorf("opening the ring of captured packets: %w", err)
	} else if err = c.Want(func() CaptureWish { return want }); err == nil {
		err = d.usePrograms(&observed.PacketPrograms)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// Close takes them off again.
func (c *Capture) Close() error {
	return errors.Join(c.datapath.usePrograms(nil), c.close())
}

func (c *Capture) close() error {
	err := c.observed.Close()
	if c.reader != nil {
		err = errors.Join(err, c.reader.Close())
	}
	return err
}

const (
	captureRefresh = 20 * time.Millisecond // how soon packets are handed on, and a change of what is wanted counts
	captureBatch   = 512                   // packets that are handed on together at most
)

// Run hands on packets as they come until ctx ends, and how many there was no room
// for since the last ones. sink is called without any too, so that it can hand on what
// it has kept. want has to call Want, and is called every now and then.
func (c *Capture) Run(ctx context.Context, want func() error, sink func(packets []Captured, lost uint64)) error {
	for ctx.Err() == nil {
		if err := want(); err != nil {
			return err
		}
		var batch []Captured
		clock, boot := c.datapath.readClock(), bootClock()
		err := readRing(ctx, c.reader, time.Now().Add(captureRefresh), func(sample []byte) {
			if packet, ok := toCaptured(sample, clock, boot); ok {
				batch = append(batch, packet)
			}
			if len(batch) == captureBatch {
				sink(batch, 0)
				batch = nil
			}
		})
		if err != nil {
			return err
		}
		lost, err := c.lost()
		if err != nil {
			return err
		}
		sink(batch, lost)
	}
	return nil
}

// Want tells the programs what to capture, for a while: should this process die, they
// stop by themselves. what is called under a lock, so of two calls at once the later one
// counts.
func (c *Capture) Want(what func() CaptureWish) error {
	c.telling.Lock()
	defer c.telling.Unlock()
	w := what()
	settings := kernel.CaptureSettings{
		Until:  uint64(c.datapath.readClock().monotonic + watchAhead.Nanoseconds()),
		Length: largestCapture, Protocol: uint8(w.Protocol), Port: kernel.PortOf(w.Port), Network: w.NetworkNumber,
	}
	for verdict, fate := range fates {
		if w.Verdicts != 0 && w.Verdicts.Has(verdict) {
			settings.Fates |= uint8(fate)
		}
	}
	if reason, known := event.ParseReason(w.Reason); known {
		settings.Reason = uint8(reason)
	}
	if w.Length > 0 {
		settings.Length = uint32(min(w.Length, largestCapture))
	}
	if w.Prefix.IsValid() && w.Prefix.Addr().Is4() {
		settings.Address, settings.Mask = kernel.AddressOf(w.Prefix.Masked().Addr()), maskOf(w.Prefix)
	}
	if err := c.observed.Wanted.Update(uint32(0), &settings, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("saying what to capture: %w", err)
	}
	return nil
}

// lost returns for how many packets there was no room in the ring since it was last asked.
func (c *Capture) lost() (uint64, error) {
	before := c.counted
	c.counted = 0
	for context := range c.observed.Arrivals.MaxEntries() {
		var perCPU []kernel.Arrival
		if err := c.observed.Arrivals.Lookup(context, &perCPU); err != nil {
			return 0, fmt.Errorf("reading how many captured packets were lost: %w", err)
		}
		for i := range perCPU {
			c.counted += perCPU[i].Lost
		}
	}
	return c.counted - before, nil
}

// ReadCaptured reads what observed programs have written to their ring, where its clocks
// do not matter. False: it is no packet.
func ReadCaptured(sample []byte) (Captured, bool) { return toCaptured(sample, clock{}, clock{}) }

// toCaptured reads what the ring carries: bpf/observe.h.
func toCaptured(sample []byte, clock, boot clock) (Captured, bool) {
	const size = int(unsafe.Sizeof(kernel.CaptureRecord{}))
	if len(sample) < size {
		return Captured{}, false
	}
	r := (*kernel.CaptureRecord)(unsafe.Pointer(&sample[0]))
	if int(r.Kept) > len(sample)-size {
		return Captured{}, false
	}
	c := Captured{
		Time: boot.time(r.Time), ID: r.Id, Program: kernel.Program(r.Program).String(), Interface: r.Ifindex,
		Network: r.Network, Compartment: r.Compartment, FromOutside: r.Compartment == contextless, Ethernet: r.L3 != 0,
		Mark: r.Mark, Segments: uint32(r.GsoSegs), SegmentSize: uint32(r.GsoSize),
		Code: r.Verdict, Reason: event.Reason(r.Reason), Told: r.Dropped != 0 && r.Verdict != tcxDrop,
		CameLength: int(r.CameLength), Length: int(r.Length),
	}
	switch {
	case r.Dropped != 0:
		c.Verdict = model.VerdictDropped
	case r.Verdict == tcxRedirect:
		c.Verdict = model.VerdictSent
	default:
		c.Verdict = model.VerdictLeft
	}
	head := min(captureHead, c.CameLength)
	bytes := make([]byte, head+int(r.Kept)) // one piece of memory for both
	copy(bytes, r.Came[:head])
	copy(bytes[head:], sample[size:size+int(r.Kept)])
	c.Came, c.Went = bytes[:head:head], bytes[head:]
	c.Session, c.FarSession = sessionsOf(r, clock)
	return c, true
}

func sessionsOf(r *kernel.CaptureRecord, clock clock) (near, far *Session) {
	if r.Key.Protocol == 0 || r.Nat == 0 {
		return nil, nil
	}
	k, v := kernel.SessionKey(r.Key), kernel.Session{
		Nat: r.Nat, Network: r.SessionNetwork, ExternalAddress: r.ExternalAddress, ExternalPort: r.ExternalPort, State: uint32(r.State),
	}
	s := toSession(&k, &v, clock)
	if r.FarKey.Protocol != 0 {
		k = kernel.SessionKey(r.FarKey)
		f := toSession(&k, &kernel.Session{}, clock)
		far = &f
	}
	return &s, far
}

const largestCapture = 65536 // CAPTURE_LARGE
