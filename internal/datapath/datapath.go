package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/nat"
)

// Datapath is the loaded data path. Its methods may be used from several
// goroutines, but Apply, Attach and Detach from one at a time.
type Datapath struct {
	dir     string
	objects bpfObjects

	settings sync.Mutex // Apply and Watch both write to the one settings element
}

// Open loads the programs and the pinned maps in dir, a directory of a BPF
// filesystem, and makes those that are missing. Links that are pinned there
// already are switched to these programs without a gap in the traffic. Maps of
// another layout are refused with a *nat.Error; nothing is touched then.
func Open(dir string) (*Datapath, error) {
	if err := CheckKernel(); err != nil {
		return nil, err
	}
	maps := filepath.Join(dir, "maps")
	for _, d := range []string{maps, linkDir(dir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("making %s for the data path: %w", d, err)
		}
	}
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded data path: %w", err)
	}
	for name, m := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			m.Pinning = ebpf.PinByName
		}
	}
	d := &Datapath{dir: dir}
	err = spec.LoadAndAssign(&d.objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: maps}})
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, nat.Errorf(nat.Conflict, "the data path in %s was made by another version of hostnat with other tables (%v)", dir, err).
			WithHint("run `hostnat down` first; open sessions end, the configuration stays")
	}
	if err != nil {
		return nil, fmt.Errorf("loading the data path: %w", err)
	}
	if err := errors.Join(d.startWheel(), d.updateLinks()); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close lets go of the data path, which goes on working by its pins.
func (d *Datapath) Close() error {
	return d.objects.Close()
}

// MaxSessions is how many sessions the table holds at the most.
func (d *Datapath) MaxSessions() uint64 {
	return uint64(d.objects.Sessions.MaxEntries())
}
