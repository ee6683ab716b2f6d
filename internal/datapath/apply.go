package datapath

import (
	"errors"
	"fmt"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// work is what is to be done to make a configuration, or part of one, true.
type work struct {
	was      *Config // what is in the tables; nil: whatever is found there
	is       Config
	mappings mappingChange
	had      bool // there were mappings; nothing where was is nil
}

// Apply makes the data path's configuration equal to c, whatever is in its tables:
// it reads them. Mappings, endpoints, networks and NATs that went or changed take
// their sessions along. It returns which programs have to move.
func (d *Datapath) Apply(c Config) (Moves, error) {
	if err := checkFamily(c); err != nil {
		return Moves{}, err
	}
	d.telling.Lock()
	defer d.telling.Unlock()
	a := newApplied(c)
	w := work{is: c, mappings: allMappings(a.mappings)}
	w.mappings.doubt = d.applied == nil
	return d.carryOut(a, w)
}

// Change makes a part of the configuration equal to p, as Apply would. What is in
// the tables is what was applied last, and is not read: it costs what p has,
// however much there is besides.
//
// Apply has to come first, and again after an error.
func (d *Datapath) Change(p Part) (Moves, error) {
	d.telling.Lock()
	defer d.telling.Unlock()
	if d.applied == nil {
		return Moves{}, errUnknown
	}
	if err := checkFamily(p); err != nil {
		return Moves{}, err
	}
	a := d.applied
	d.applied = nil // even if what follows does not return
	return d.carryOut(a, a.take(p))
}

// errUnknown is Change's answer where it does not know what it is to change.
var errUnknown = errors.New("what the data path has been told is not known")

// carryOut is the one executor. a is the configuration as it is afterwards.
func (d *Datapath) carryOut(a *applied, w work) (Moves, error) {
	d.applied = nil // until it has worked
	var e effects
	err := errors.Join(
		d.writeSettings(a, w),
		d.writeTables(w.was, w.is, &e),
		d.writeMappings(a, w.mappings),
		d.heed(e, a),
		d.stopLooking(a),
	)
	if err != nil {
		return Moves{}, err
	}
	moves, err := d.moves(a, w)
	if err != nil {
		return Moves{}, err
	}
	d.applied = a
	return moves, nil
}

// lookFlags are those of the settings that tell the data path to look for what there
// may be. They are set before it is there, and cleared after the last has gone: each
// packet pays for them.
const lookFlags = kernel.SettingRanges | kernel.SettingShadows | kernel.SettingAllowances | kernel.SettingMappings

// lookFor are those that are needed.
func (a *applied) lookFor() uint32 {
	flags := a.mappings.settings()
	for _, e := range a.endpoints {
		if e.hasAllowances() {
			return flags | kernel.SettingAllowances
		}
	}
	return flags
}

// stopLooking clears the others.
func (d *Datapath) stopLooking(a *applied) error {
	return d.changeSettings(func(s *kernel.Settings) { s.Flags &^= lookFlags &^ a.lookFor() })
}

// writeSettings writes the settings, and the IPsec policies, which these say where
// to find. Of a part, what it needs is added.
func (d *Datapath) writeSettings(a *applied, w work) error {
	if w.was != nil {
		return d.changeSettings(func(s *kernel.Settings) { s.Flags |= a.lookFor() })
	}
	if err := d.applyIPsec(w.is.IPsec); err != nil {
		return err
	}
	live, err := d.hasDependent()
	if err != nil {
		return err
	}
	return d.changeSettings(func(s *kernel.Settings) {
		setDependentPorts(s, w.is, live)
		s.AnchorIfindex = w.is.Anchor
		s.ReassemblyIfindex = w.is.Reassembly
		s.Flags = settingFlags(w.is) | a.lookFor() | s.Flags&lookFlags
		s.LocalPortLow, s.LocalPortHigh = w.is.LocalPorts.Low, w.is.LocalPorts.High
	})
}

func settingFlags(c Config) uint32 {
	return flagIf(c.Transparent, kernel.SettingTransparent) |
		flagIf(len(c.RouteMTUs) > 0, kernel.SettingRouteMTUs)
}

// changeSettings writes nothing if nothing changes.
func (d *Datapath) changeSettings(change func(*kernel.Settings)) error {
	d.settings.Lock()
	defer d.settings.Unlock()
	var s kernel.Settings
	if err := d.objects.Configuration.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("reading the data path's settings: %w", err)
	}
	before := s
	if change(&s); s == before {
		return nil
	}
	if err := kernel.Put(d.objects.Configuration, uint32(0), &s); err != nil {
		return fmt.Errorf("writing the data path's settings: %w", err)
	}
	return nil
}
