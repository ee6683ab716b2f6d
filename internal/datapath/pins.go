package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/internal/datapath/upgrade"
)

// A pin is all that keeps a link once the daemon is gone. While the daemon runs it
// holds the links open besides: so that they stay attached if somebody empties
// the BPF filesystem, and can be pinned again.

// pins are the links that are held open, by their file in the BPF filesystem.
type pins map[string]link.Link

// maxHeld is how many links are held open: an eighth of the files that the
// process may open. The others are attached again if their pins are removed.
func maxHeld() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur/8, 1<<16))
}

// hold keeps a pinned link open, which is the callee's from now on.
func (d *Datapath) hold(path string, l link.Link) {
	if before := d.held[path]; before != nil {
		before.Close()
		delete(d.held, path)
	}
	if len(d.held) >= maxHeld() {
		l.Close()
		return
	}
	if d.held == nil {
		d.held = make(pins)
	}
	d.held[path] = l
}

// unpin takes a link's program off and removes the link. To remove it alone would not
// do: the kernel lets go of a pinned link in the background, and of one that somebody
// else has open not at all. The program would stay until then, and could not be
// attached there again.
func (p pins) unpin(path string) error {
	l := p[path]
	if l == nil {
		l, _ = link.LoadPinnedLink(path, nil) // what is no link has nothing to detach
	}
	delete(p, path)
	var err error
	if l != nil {
		err = l.Detach()
		l.Close()
	}
	if err != nil && !errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Errorf("detaching %s: %w", filepath.Base(path), err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// TakeOff takes all programs off that are pinned in dir, whoever has their links open.
func TakeOff(dir string) error {
	entries, err := os.ReadDir(linkDir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the attached programs: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, pins(nil).unpin(filepath.Join(linkDir(dir), e.Name())))
	}
	return errors.Join(errs...)
}

// KeepPins pins again what is gone from the BPF filesystem, which has to be
// mounted, and holds open what is pinned there.
func (d *Datapath) KeepPins() error {
	for _, dir := range []string{linkDir(d.dir), upgrade.MapDir(d.dir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making %s for the data path: %w", dir, err)
		}
	}
	for name, m := range d.tables {
		if err := pinTable(m, filepath.Join(upgrade.MapDir(d.dir), name)); err != nil {
			return fmt.Errorf("pinning the table %s again: %w", name, err)
		}
	}
	for path, l := range d.held {
		if err := pinAgain(l, path); err != nil {
			return fmt.Errorf("pinning %s again: %w", filepath.Base(path), err)
		}
	}
	return d.holdPinned()
}

// holdPinned holds what an earlier daemon has pinned.
func (d *Datapath) holdPinned() error {
	entries, err := os.ReadDir(linkDir(d.dir))
	if err != nil {
		return fmt.Errorf("listing the attached programs: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(linkDir(d.dir), e.Name())
		if d.held[path] != nil || len(d.held) >= maxHeld() {
			continue
		}
		if l, err := link.LoadPinnedLink(path, nil); err == nil { // else it is looked at when it is attached
			d.hold(path, l)
		}
	}
	return nil
}

func pinTable(m *ebpf.Map, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	same, err := m.Clone() // which does not know of the pin that is gone
	if err != nil {
		return err
	}
	defer same.Close()
	return same.Pin(path)
}

func pinAgain(l link.Link, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	info, err := l.Info()
	if err != nil {
		return err
	}
	same, err := link.NewFromID(info.ID)
	if err != nil {
		return err
	}
	defer same.Close()
	return same.Pin(path)
}

func (p pins) close() {
	for _, l := range p {
		l.Close()
	}
}

// IsPinned reports whether a data path is pinned in dir, without looking at each
// program.
func IsPinned(dir string) bool {
	for _, d := range []string{linkDir(dir), upgrade.MapDir(dir)} {
		entries, err := os.ReadDir(d)
		if err != nil || len(entries) == 0 {
			return false
		}
	}
	return true
}
