package datapath

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"

	"github.com/cilium/ebpf"
)

// Datapath is the loaded data path. Its methods may be used from several
// goroutines, but Apply, Attach and Detach from one at a time.
type Datapath struct {
	dir     string
	objects bpfObjects

	settings sync.Mutex // Apply and Watch both write to the one settings element

	applied    *applied // by Apply and ChangeMappings; nil: not known
	overflowed bool     // there may be endpoint-dependent sessions, which have no binding
}

// Option changes how Open works.
type Option func(*options)

type options struct{ discard bool }

// DiscardSessions lets Open take over from a version whose sessions it cannot
// carry over. They end then.
func DiscardSessions(o *options) { o.discard = true }

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
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded data path: %w", err)
	}
	var o options
	for _, set := range opts {
		set(&o)
	}
	return openSpec(dir, spec, o)
}

func openSpec(dir string, spec *ebpf.CollectionSpec, o options) (*Datapath, error) {
	if err := os.MkdirAll(linkDir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("making %s for the data path: %w", linkDir(dir), err)
	}
	if err := recoverMaps(dir); err != nil {
		return nil, err
	}
	u, err := planUpgrade(dir, spec)
	if err != nil {
		return nil, err
	}
	defer u.close()
	if err := u.refusal(); err != nil && !o.discard {
		return nil, err
	}
	d := &Datapath{dir: dir}
	maps, err := d.load(spec, u.kept)
	if err != nil {
		return nil, err
	}
	seen, err := d.takeOver(u, maps)
	if err == nil {
		err = d.finish(u.tables, seen)
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
func (d *Datapath) takeOver(u *upgrade, maps map[string]*ebpf.Map) (seen known, err error) {
	if seen, err = u.carry(d, maps); err != nil {
		return nil, err
	}
	if err := d.startWheel(); err != nil {
		return nil, err
	}
	if len(u.made) == 0 {
		return nil, d.updateLinks()
	}
	if err := u.stage(maps); err != nil {
		return nil, errors.Join(err, recoverMaps(d.dir))
	}
	if err := u.commit(); err != nil {
		return nil, err
	}
	if err := d.updateLinks(); err != nil {
		return nil, errors.Join(err, rollBack(d.dir))
	}
	return seen, nil
}

// Close lets go of the data path, which goes on working by its pins.
func (d *Datapath) Close() error {
	return d.objects.Close()
}

// MaxSessions is how many sessions the table holds at the most.
func (d *Datapath) MaxSessions() uint64 {
	return uint64(d.objects.Sessions.MaxEntries())
}
