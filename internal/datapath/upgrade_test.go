package datapath

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// version is a hostnat with other tables than this one: the spec of this one,
// changed.
type version func(*ebpf.CollectionSpec)

// otherSession has a field less and another in its place.
func otherSession(s *ebpf.CollectionSpec) { rename(s.Maps["sessions"], "half_open", "gone") }

// otherBinding has a binding whose field had another name, and meant another thing.
func otherBinding(s *ebpf.CollectionSpec) { rename(s.Maps["bindings"], "mapping", "gone") }

func otherNAT(s *ebpf.CollectionSpec) { rename(s.Maps["nats"], "exhaustion", "gone") }

func rename(m *ebpf.MapSpec, field, name string) {
	t := btf.Copy(m.Value).(*btf.Struct)
	for i := range t.Members {
		if t.Members[i].Name == field {
			t.Members[i].Name = name
		}
	}
	m.Value = t
}

// otherKey has sessions whose key says something else.
func otherKey(s *ebpf.CollectionSpec) {
	m := s.Maps["sessions"]
	t := btf.Copy(m.Key).(*btf.Struct)
	t.Members[0].Name = "tenant"
	m.Key = t
}

func smaller(table string) version {
	return func(s *ebpf.CollectionSpec) { s.Maps[table].MaxEntries /= 2 }
}

func all(changes ...version) version {
	return func(s *ebpf.CollectionSpec) {
		for _, change := range changes {
			change(s)
		}
	}
}

// openVersion loads another version's data path.
func (r *rig) openVersion(v version, o options) error {
	spec, err := loadBpf()
	if err != nil {
		return err
	}
	v(spec)
	return r.Host.Do(func() error {
		d, err := openSpec(r.dir, spec, o)
		if err == nil {
			r.dp = d
		}
		return err
	})
}

// become makes the rig one that another version runs, which has ended.
func (r *rig) become(t *testing.T, v version) {
	t.Helper()
	must(t, r.dp.Close())
	must(t, r.openVersion(v, options{}))
	r.apply(t)
}

// ids are the kernel's numbers of the pinned maps.
func (r *rig) ids(t *testing.T) map[string]ebpf.MapID {
	t.Helper()
	pinned, err := pinnedMaps(mapDir(r.dir))
	must(t, err)
	ids := make(map[string]ebpf.MapID)
	for name, m := range pinned {
		info, err := m.Info()
		must(t, err)
		ids[name], _ = info.ID()
		must(t, m.Close())
	}
	return ids
}

func changedIDs(a, b map[string]ebpf.MapID) []string {
	return slices.Sorted(maps.Keys(maps.Collect(func(yield func(string, bool) bool) {
		for name, id := range b {
			if a[name] != id && !yield(name, true) {
				return
			}
		}
	})))
}

func TestUpgradeCarriesSessionsOver(t *testing.T) {
	t.Parallel()
	together := slices.Concat(livingTables, clockTables)
	for name, test := range map[string]struct {
		before version
		anew   []string
	}{
		"the same": {func(*ebpf.CollectionSpec) {}, nil},
		"sessions": {otherSession, together},
		"timers":   {smaller("timers"), together},
		"configuration": {
			all(otherNAT, smaller("insides"), smaller("inside_prefixes"), func(s *ebpf.CollectionSpec) { s.Maps["drops"].MaxEntries-- }),
			[]string{"nats", "insides", "inside_prefixes", "drops"},
		},
		"everything": {
			all(otherSession, otherBinding, otherNAT, smaller("filter_entries"), smaller("host_addresses")),
			append([]string{"host_addresses", "nats"}, together...),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 2)
			r.become(t, test.before)
			s := r.startStream(t)
			s.runs(t)
			r.mute(t, 1)
			r.fromEndpoint(t, 1, segment{protocol: model.ICMP, from: inside(1, 77), to: stranger(7, 80)},
				segment{protocol: model.TCP, flags: syn, from: inside(1, 5001), to: stranger(7, 80)})
			eventually(t, "three sessions", func() bool { return len(r.living(t)) == 3 })
			before, ids, drops := r.living(t), r.ids(t), r.drops(t)

			old := r.dp
			r.open(t) // before Apply: what the programs know is carried over
			s.runs(t)
			must(t, old.Close())
			r.apply(t)
			s.runs(t)

			slices.Sort(test.anew)
			if diff := cmp.Diff(test.anew, changedIDs(ids, r.ids(t)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("tables made anew (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, r.living(t)); diff != "" {
				t.Errorf("sessions (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(drops, r.drops(t)); diff != "" {
				t.Errorf("drops (-before +after):\n%s", diff)
			}
			if _, err := os.Stat(oldDir(r.dir)); err == nil {
				t.Error("the tables of the version before are still there")
			}
			r.consistent(t)
			close(s.stop)
			if err := <-s.done; err != nil {
				t.Errorf("the stream lost something: %v", err)
			}
		})
	}
}

// living are the sessions with what a restart must not change of them, whatever
// version's table they are in.
func (r *rig) living(t *testing.T) []string {
	t.Helper()
	spec, err := loadBpf()
	must(t, err)
	u, err := planUpgrade(r.dir, spec)
	must(t, err)
	defer u.close()
	l, err := u.readLiving()
	must(t, err)
	var list []Session
	for key, s := range l.sessions {
		list = append(list, toSession(&key, &s, readClock()))
	}
	return identities(list)
}

// identities are what a restart must not change of sessions.
func identities(list []Session) []string {
	var ids []string
	for _, s := range list {
		ids = append(ids, strings.Join([]string{s.Protocol.String(), s.Internal.String(), s.External.String(),
			s.Remote.String(), s.State.String(), s.Created.Format("15:04:05.0")}, " "))
	}
	slices.Sort(ids)
	return ids
}

// Carried sessions get alarms anew, and rest, count and end as ever.
func TestCarriedSessionsExpire(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.become(t, smaller("sessions"))
	r.shortLived(t, 30) // the machine may be busy while another version is loaded
	r.fill(t)
	if n := len(r.sessions(t)); n != 16 {
		t.Fatalf("%d sessions, want 16", n)
	}
	before := r.living(t)
	must(t, r.dp.Close())
	r.open(t)
	if diff := cmp.Diff(before, r.living(t)); diff != "" {
		t.Fatalf("sessions (-before +after):\n%s", diff)
	}
	r.consistent(t)
	r.shortLived(t, 2)
	within(t, 10*patience, "empty tables", func() bool {
		return r.empty(t) && size(t, r.dp.objects.Timers) == 0 && size(t, r.dp.objects.Usages) == 0
	})
}

func TestUpgradeRefusesToLoseSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.startStream(t)
	s.runs(t)
	ids := r.ids(t)
	err := r.openVersion(otherKey, options{})
	const want = "would lose 1 sessions (its key has the field tenant now); nothing was changed"
	if model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if changed := changedIDs(ids, r.ids(t)); len(changed) > 0 {
		t.Errorf("tables changed: %v", changed)
	}
	s.runs(t)
	close(s.stop)
	if err := <-s.done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	old := r.dp
	must(t, r.openVersion(otherKey, options{discard: true}))
	must(t, old.Close())
	r.apply(t)
	if n := len(r.sessions(t)) + len(r.bindings(t)); n != 0 {
		t.Errorf("%d sessions and bindings after discarding", n)
	}
	if seen, err := lab.Ask(withTimeout(t), r.Endpoints[0], "udp", lab.RemoteAddress+":7000"); err != nil || seen.Addr() != hostAddress {
		t.Errorf("a new flow: %v, %v", seen, err)
	}
	r.consistent(t)
}

// Whatever fails at a start: what has run before runs on.
func TestFailedStartChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	s := r.startStream(t)
	r.mute(t, 1)
	r.fromEndpoint(t, 1, segment{protocol: model.UDP, from: inside(1, 4444), to: stranger(7, 80)}) // two sessions at least
	for name, broken := range map[string]version{
		"a program that the verifier refuses": func(s *ebpf.CollectionSpec) {
			s.Programs["outside_egress"].Instructions = s.Programs["outside_egress"].Instructions[:1]
		},
		"a map that cannot be made": func(s *ebpf.CollectionSpec) { s.Maps["timers"].Flags = 1 << 30 },
		"no room for the sessions": func(s *ebpf.CollectionSpec) {
			s.Maps["filter_entries"].MaxEntries = 1
			s.Maps["sessions"].MaxEntries = 1
		},
		"a program that does not fit its link": func(s *ebpf.CollectionSpec) {
			otherSession(s) // too: the tables have their new names by then
			p := s.Programs["outside_egress"]
			q := s.Programs["host_recvmsg4"].Copy()
			q.Name = p.Name
			s.Programs["outside_egress"] = q
		},
	} {
		s.runs(t)
		ids := r.ids(t)
		if err := r.openVersion(broken, options{}); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %.200s", name, err)
		}
		if diff := cmp.Diff(ids, r.ids(t)); diff != "" {
			t.Errorf("%s: maps (-before +after):\n%s", name, diff)
		}
		s.runs(t)
	}
	close(s.stop)
	if err := <-s.done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	must(t, r.dp.Close())
	r.open(t)
	r.consistent(t)
}

// halfWay is an upgrade as far as the tables: they are filled and pinned, and
// the links still lead to the version before.
type halfWay struct {
	*upgrade
	dp   *Datapath
	seen known
}

func (r *rig) startUpgrade(t *testing.T) halfWay {
	t.Helper()
	spec, err := loadBpf()
	must(t, err)
	u, err := planUpgrade(r.dir, spec)
	must(t, err)
	t.Cleanup(u.close)
	d := &Datapath{dir: r.dir}
	loaded, err := d.load(spec, u.kept)
	must(t, err)
	seen, err := u.carry(d, loaded)
	must(t, err)
	must(t, d.startWheel())
	must(t, u.stage(loaded))
	return halfWay{u, d, seen}
}

// Sessions that open, or change their state, between reading and the switch are
// not lost, whether the upgrade ends as it should or is killed just then.
func TestUpgradeCatchesUp(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"in one go": false, "killed after the switch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			r.become(t, otherSession)
			r.mute(t, 0)
			tcp := segment{protocol: model.TCP, flags: syn, from: inside(0, 5001), to: stranger(7, 80)}
			r.fromEndpoint(t, 0, tcp, segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(7, 80)})
			eventually(t, "two sessions", func() bool { return len(r.living(t)) == 2 })
			half := r.startUpgrade(t)
			r.follow(t, inside(0, 5001), stranger(7, 80), tcpPaths[model.StateEstablished][1:])
			r.fromEndpoint(t, 0,
				segment{protocol: model.UDP, from: inside(0, 4000), to: stranger(8, 80)}, // a known binding
				segment{protocol: model.UDP, from: inside(0, 4001), to: stranger(8, 80)}, // and two new ones
				segment{protocol: model.ICMP, from: inside(0, 77), to: stranger(8, 80)})
			want := 5
			eventually(t, "five sessions", func() bool { return len(r.living(t)) == want })
			before, old := r.living(t), r.dp
			must(t, half.commit())
			must(t, half.dp.updateLinks())
			if killed {
				must(t, half.dp.Close())
				r.open(t)
			} else {
				must(t, half.dp.finish(half.tables, half.seen))
				r.dp = half.dp
			}
			must(t, old.Close())
			after := r.living(t)
			if killed { // what a session had become in between is not known any more
				before, after = withoutStates(before), withoutStates(after)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("sessions (-before +after):\n%s", diff)
			}
			for _, b := range r.bindings(t) {
				if sessions := map[bool]uint32{true: 2, false: 1}[b.Protocol == model.UDP && b.Internal.Port() == 4000]; b.Sessions != sessions {
					t.Errorf("%+v, want %d sessions", b, sessions)
				}
			}
			r.shortLived(t, 2)
			within(t, 10*patience, "empty tables", func() bool { return r.empty(t) && size(t, r.dp.objects.Usages) == 0 })
		})
	}
}

func withoutStates(list []string) (short []string) {
	for _, line := range list {
		words := strings.Fields(line)
		short = append(short, strings.Join(words[:4], " "))
	}
	return short
}

func TestUpgradeKilledBeforeTheSwitch(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.startStream(t)
	s.runs(t)
	ids := r.ids(t)
	must(t, os.Mkdir(newDir(r.dir), 0o700)) // half made
	must(t, r.dp.Close())
	r.open(t)
	s.runs(t)
	must(t, os.Rename(mapDir(r.dir), oldDir(r.dir))) // put aside, and then killed
	must(t, os.Mkdir(newDir(r.dir), 0o700))
	must(t, r.dp.Close())
	r.open(t)
	s.runs(t)
	if diff := cmp.Diff(ids, r.ids(t)); diff != "" {
		t.Errorf("maps (-before +after):\n%s", diff)
	}
	close(s.stop)
	if err := <-s.done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	r.apply(t)
	r.consistent(t)
}
