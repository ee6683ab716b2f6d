package reconcile

import (
	"context"
	"sync"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// captureBuffer is how many batches a slow reader may be behind; then it misses some
// rather than hold up the others.
const captureBuffer = 64

// captures gives the one ring of captured packets to any number of readers. The
// programs that fill it are on the links only while there is one.
type captures struct {
	opening sync.Mutex // one reader joins at a time: the first has to wait until the programs are there

	mu      sync.Mutex
	readers map[*captureReader]bool
	stop    context.CancelFunc // nil: the programs are not there
	retell  func() error       // has the programs go by what is wished for now
	done    chan struct{}      // closed when they are off the links again
}

type captureReader struct {
	wish    model.CaptureWish
	batches chan model.CaptureBatch
	lost    uint64 // packets that it was not told of yet
	behind  uint64 // of these, those that it was too slow for
}

// Capture sends packets from now on until ctx ends; then the channel is closed. More
// may come than is wished for.
func (k *Kernel) Capture(ctx context.Context, wish model.CaptureWish) (<-chan model.CaptureBatch, error) {
	r := &captureReader{wish: wish, batches: make(chan model.CaptureBatch, captureBuffer)}
	if err := k.captures.join(r, k.openCapture); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { k.captures.leave(r) })
	if err := k.captures.tell(); err != nil { // another reader may wish for less
		return nil, err
	}
	return r.batches, nil
}

// openCapture returns what reads packets until its context ends.
func (k *Kernel) openCapture(wish model.CaptureWish) (func(context.Context), error) {
	c, err := k.datapath.OpenCapture(k.numbered(wish))
	if err != nil {
		return nil, err
	}
	want := func() error { return c.Want(func() datapath.CaptureWish { return k.numbered(k.captures.wish()) }) }
	k.captures.tellBy(want)
	return func(ctx context.Context) {
		if err := c.Run(ctx, want, k.captureSender(ctx)); err != nil {
			k.log.Error("reading captured packets", "error", err)
		}
		if err := c.Close(); err != nil {
			k.log.Error("ending a capture", "error", err)
		}
	}, nil
}

// numbered is a wish with the number that its network has now, if it has one.
func (k *Kernel) numbered(wish model.CaptureWish) datapath.CaptureWish {
	return datapath.CaptureWish{CaptureWish: wish, NetworkNumber: k.lastNames().networkNumber(wish.Network)}
}

// networkNumber is the number of the network of that name; 0: it has none, or several since
// each of its endpoints has a link of its own.
func (n names) networkNumber(name string) (number uint32) {
	for id, other := range n.networks {
		if other != name || name == "" {
			continue
		}
		if number != 0 {
			return 0
		}
		number = id
	}
	return number
}

// captureSender returns what sends captured packets to all readers, with names. It is
// called by one goroutine.
func (k *Kernel) captureSender(ctx context.Context) func([]datapath.Captured, uint64) {
	recent := recentLinks{links: k.links}
	return func(packets []datapath.Captured, lost uint64) {
		if len(packets) == 0 {
			k.captures.send(model.CaptureBatch{Lost: lost})
			return
		}
		names, byIndex, batch := k.lastNames(), recent.look(ctx), model.CaptureBatch{Packets: make([]model.CapturedPacket, len(packets)), Lost: lost}
		for i := range packets {
			batch.Packets[i] = names.captured(&packets[i], byIndex)
		}
		k.captures.send(batch)
	}
}

func (n names) captured(c *datapath.Captured, links map[uint32]string) model.CapturedPacket {
	out := model.CapturedPacket{
		Time: c.Time, ID: c.ID, Program: c.Program, Link: linkName(links, c.Interface), FromOutside: c.FromOutside,
		Ethernet: c.Ethernet, Verdict: c.Verdict, Code: c.Code, Told: c.Told,
		Interface: c.Interface, Mark: c.Mark, Segments: c.Segments, SegmentSize: c.SegmentSize,
		CameLength: c.CameLength, Length: c.Length, Came: c.Came, Went: c.Went,
	}
	if c.Verdict == model.VerdictDropped {
		out.Reason = c.Reason.String()
	}
	if c.Session != nil {
		s := n.session(*c.Session)
		out.Session = &s
	}
	if c.FarSession != nil {
		out.Target = n.endpoint(c.FarSession.Compartment, c.FarSession.Internal.Addr())
	}
	if !c.FromOutside {
		out.Network = n.networks[c.Network]
		if e, is := n.attached[out.Link]; is { // whatever address the packet bears
			out.Endpoint = e.Name
		} else if out.Session != nil {
			out.Endpoint = out.Session.Endpoint
		}
	}
	return out
}

// join adds a reader. For the first one, open puts the programs onto the links.
func (c *captures) join(r *captureReader, open func(model.CaptureWish) (func(context.Context), error)) error {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.add(r, nil, nil) {
		return nil
	}
	if c.done != nil { // written with opening held alone
		<-c.done
	}
	run, err := open(r.wish)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.add(r, stop, done)
	go func() {
		defer close(done)
		run(ctx)
		c.end()
	}()
	return nil
}

// add adds a reader to what runs already, or to what begins to: with stop.
func (c *captures) add(r *captureReader, stop context.CancelFunc, done chan struct{}) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stop != nil {
		c.stop, c.done = stop, done
	}
	if c.stop == nil {
		return false
	}
	if c.readers == nil {
		c.readers = make(map[*captureReader]bool)
	}
	c.readers[r] = true
	return true
}

func (c *captures) leave(r *captureReader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readers[r] {
		return
	}
	delete(c.readers, r)
	close(r.batches)
	if len(c.readers) == 0 && c.stop != nil {
		c.stop()
		c.stop = nil
	}
}

// end closes what is left: the ring cannot be read any more.
func (c *captures) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.readers {
		close(r.batches)
	}
	clear(c.readers)
	c.stop = nil
}

func (c *captures) tellBy(retell func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retell = retell
}

// tell has the programs go by what all readers wish for now.
func (c *captures) tell() error {
	c.mu.Lock()
	retell := c.retell
	c.mu.Unlock()
	return retell()
}

// wish is what all readers wish for together.
func (c *captures) wish() model.CaptureWish {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all model.CaptureWish
	first := true
	for r := range c.readers {
		if first {
			all, first = r.wish, false
		} else {
			all = all.Or(r.wish)
		}
	}
	return all
}

func (c *captures) send(batch model.CaptureBatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.readers {
		b := batch
		b.Lost, b.Behind = batch.Lost+r.lost, r.behind
		if len(b.Packets) == 0 && b.Lost == 0 {
			continue
		}
		select {
		case r.batches <- b:
			r.lost, r.behind = 0, 0
		default:
			missed := uint64(len(batch.Packets))
			r.lost, r.behind = b.Lost+missed, b.Behind+missed
		}
	}
}
