package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hostnat/hostnat/internal/model"
)

// LeasesFileName is the name of the DHCP leases' file inside the state
// directory. It is apart from the configuration, since it is written hundreds
// of times a second and not waited for.
const LeasesFileName = "leases.db"

const whatLeases = "leases"

// leaseFile has the DHCP leases. What is written there is in the kernel's hands
// when save returns, so that it survives the daemon's death; to wait for the disk
// would make it survive the host's, which no client does: they are this host's
// VMs. Clients must keep their addresses whatever happens to the disk: so what
// cannot be stored is served all the same, and told.
type leaseFile struct {
	mu       sync.Mutex
	journal  journal
	revision Revision
	objects  objects
	notes    []string
	stuck    string // why the last ones could not be stored; empty: they could
}

func leaseKey(r leaseRecord) string { return "lease " + r.Network + "/" + r.Address.String() }

// openLeases reads the leases' file, as far as it can be read.
func openLeases(path string) *leaseFile {
	c := readFile(path, whatLeases, readLeases1)
	f := &leaseFile{journal: journal{path: path, head: head{whatLeases, version, newID()}}, revision: max(c.revision, 1), objects: c.objects}
	if f.objects == nil {
		f.objects = make(objects)
	}
	if c.condition == whole && !c.layout1 && f.journal.open(c) == nil {
		return f
	}
	if c.condition != absent && c.condition != whole && c.condition != torn {
		f.notes = append(f.notes, fmt.Sprintf("%s %s: %d leases could be read; other clients get new ones when they ask", path, c.why, len(f.objects)))
	}
	if c.condition == alien {
		if _, err := moveAside(path); err != nil {
			f.stuck = err.Error()
		}
	}
	if err := f.journal.rewrite(f.revision, f.objects); err != nil {
		f.stuck = err.Error()
	}
	return f
}

func (f *leaseFile) close() { f.journal.close() }

func (f *leaseFile) problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.Clone(f.notes)
	if f.stuck != "" {
		list = append(list, "DHCP leases are not stored: "+f.stuck+"; after a restart clients may get other addresses")
	}
	return list
}

// save stores leases and takes others (nil) out, all or none.
func (f *leaseFile) save(changed objects) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, object := range changed {
		if object == nil {
			delete(f.objects, key)
		} else {
			f.objects[key] = object
		}
	}
	f.revision++
	err := f.journal.intact()
	if err == nil {
		err = f.journal.append(f.revision, changed)
	}
	if err != nil || f.journal.isLong() {
		err = f.journal.rewrite(f.revision, f.objects)
	}
	f.stuck = ""
	if err != nil {
		f.stuck = err.Error()
	}
}

// Leases returns the stored leases, ordered by network and address. One that
// cannot be read is left out: its client asks again, and at worst gets another
// address.
func (s *Store) Leases() ([]model.Lease, error) {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	var list []model.Lease
	for _, object := range slices.Collect(maps.Values(s.leases.objects)) {
		var r leaseRecord
		if json.Unmarshal(object, &r) == nil {
			list = append(list, r.value())
		}
	}
	slices.SortFunc(list, model.Lease.Compare)
	return list, nil
}

// SaveLeases stores some leases and takes others out, all or none. After it
// returns, the daemon may be killed. What the disk does not take is told by
// Problems, and is no error: the clients use their addresses.
func (s *Store) SaveLeases(save, drop []model.Lease) error {
	changed := make(objects)
	for _, l := range drop {
		changed[leaseKey(leaseToRecord(l))] = nil
	}
	for _, l := range save {
		r := leaseToRecord(l)
		if err := changed.put(leaseKey(r), r); err != nil {
			return err
		}
	}
	s.leases.save(changed)
	return nil
}
