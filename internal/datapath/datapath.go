package datapath

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/datapath/upgrade"
)

// Datapath is the loaded data path. Its methods may be used from several
// goroutines, but Apply, Attach and Detach from one at a time.
type Datapath struct {
	dir     string
	objects kernel.Objects
	tables  map[string]*ebpf.Map // those that are pinned, by name
	held    pins

	clockAhead time.Duration // of the programs' clock before the kernel's: 0 but in tests

	settings sync.Mutex // Apply and Watch both write to the one settings element

	secret [2]uint64 // of the settings: what is drawn by it is drawn alike in every version

	links    sync.Mutex             // over observed and what is attached: Capture changes these too
	observed *kernel.PacketPrograms // those that are on the links; nil: the objects' own

	telling sync.Mutex // over applied
	applied *applied   // by Apply and Change; nil: not known
}

// Option changes how Open works.
type Option func(*options)

type options struct {
	discard          bool
	memory           uint64 // bytes, 0: as the object has it
	clockAhead       time.Duration
	filled, switched func() error
}

// DiscardSessions lets Open take over from a version whose sessions it cannot
// carry over. They end then.
func DiscardSessions(o *options) { o.discard = true }

// Steps calls filled when another version's tables are filled and no packet has met
// them yet, and switched when the links lead to the new programs and the tables
// before are still there. An error leaves Open there, as a kill would: for tests.
func Steps(filled, switched func() error) Option {
	return func(o *options) { o.filled, o.switched = filled, switched }
}

// ClockAhead says that the programs' clock is ahead of the kernel's: for tests.
func ClockAhead(by time.Duration) Option {
	return func(o *options) { o.clockAhead = by }
}

// Open loads the programs and the pinned maps in dir, a directory of a BPF
// filesystem, and makes those that are missing. Links that are pinned there
// already are switched to these programs without a gap in the traffic. Maps of
// another layout are made anew, and what the old ones hold is carried over; if
// that cannot be done, a *model.Error says what would be lost. If Open fails,
// whatever has run before runs on.
func Open(dir string, opts ...Option) (*Datapath, error) {
	if err := CheckKernel(); err != nil {
		return nil, err
	}
	spec, err := kernel.LoadSpec()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded data path: %w", err)
	}
	return OpenSpec(dir, spec, opts...)
}

// OpenSpec is Open with other programs and tables than the embedded ones, for
// tests.
func OpenSpec(dir string, spec *ebpf.CollectionSpec, opts ...Option) (*Datapath, error) {
	none := func() error { return nil }
	o := options{filled: none, switched: none}
	for _, set := range opts {
		set(&o)
	}
	if err := os.MkdirAll(linkDir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("making %s for the data path: %w", linkDir(dir), err)
	}
	if err := upgrade.Recover(dir); err != nil {
		return nil, err
	}
	if err := fit(spec, dir, o.memory); err != nil {
		return nil, err
	}
	u, err := upgrade.NewPlan(dir, spec)
	if err != nil {
		return nil, err
	}
	defer u.Close()
	if err := u.Refusal(); err != nil && !o.discard {
		return nil, err
	}
	d := &Datapath{dir: dir, clockAhead: o.clockAhead}
	maps, err := d.load(spec, u.Kept)
	if err != nil {
		return nil, err
	}
	d.tables = make(map[string]*ebpf.Map, len(u.Tables))
	for name := range u.Tables {
		d.tables[name] = maps[name]
	}
	seen, err := d.takeOver(u, maps, o)
	if err == nil {
		err = upgrade.Finish(dir, &d.objects, u.Tables, seen)
	}
	if err == nil {
		err = d.removeFormerHostHooks()
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// load returns the maps of the objects by name.
func (d *Datapath) load(spec *ebpf.CollectionSpec, kept map[string]*ebpf.Map) (map[string]*ebpf.Map, error) {
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: kept})
	if err != nil {
		return nil, fmt.Errorf("loading the data path: %w", err)
	}
	defer c.Close() // of what is not assigned
	all := maps.Clone(c.Maps)
	if err := c.Assign(&d.objects); err != nil {
		return nil, fmt.Errorf("loading the data path: %w", err)
	}
	return all, nil
}

// takeOver puts the programs onto the links, with their tables filled.
func (d *Datapath) takeOver(u *upgrade.Plan, maps map[string]*ebpf.Map, o options) (seen upgrade.Known, err error) {
	if seen, err = u.Carry(&d.objects, maps); err != nil {
		return nil, err
	}
	if err := d.keepSecret(); err != nil {
		return nil, err
	}
	if err := kernel.StartWheel(&d.objects); err != nil {
		return nil, err
	}
	if len(u.Made) == 0 {
		return nil, d.updateLinks()
	}
	if err := u.Stage(maps); err != nil {
		return nil, errors.Join(err, upgrade.Recover(d.dir))
	}
	if err := o.filled(); err != nil {
		return nil, err
	}
	if err := u.Commit(); err != nil {
		return nil, err
	}
	if err := d.updateLinks(); err != nil {
		return nil, errors.Join(err, upgrade.RollBack(d.dir))
	}
	return seen, o.switched()
}

// Close lets go of the data path, which goes on working by its pins.
func (d *Datapath) Close() error {
	d.held.close()
	return d.objects.Close()
}

// Objects are the programs and tables themselves, for tests that look into them.
// They belong to the data path: Close closes them.
func (d *Datapath) Objects() *kernel.Objects { return &d.objects }

// MaxSessions is how many sessions the table holds at the most.
func (d *Datapath) MaxSessions() uint64 {
	return uint64(d.objects.Sessions.MaxEntries())
}
