package upgrade_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/datapath/upgrade"
	"github.com/hostnat/hostnat/internal/model"
)

// version is a hostnat with other tables than this one: the spec of this one,
// changed.
type version func(*ebpf.CollectionSpec)

// otherSession knows nothing of handshakes, and has other fields in their place.
func otherSession(s *ebpf.CollectionSpec) {
	for _, field := range []string{"half_open", "endpoint_rtt", "outside_rtt", "repeated_syns"} {
		rename(s.Maps["sessions"], field, "gone_"+field)
	}
}

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

// thisVersion is the one that is embedded.
func thisVersion(*ebpf.CollectionSpec) {}

// openVersion loads another version's data path.
func openVersion(r *dptest.Rig, v version, o ...datapath.Option) error {
	spec, err := kernel.LoadSpec()
	if err != nil {
		return err
	}
	v(spec)
	o = append(o, datapath.ClockAhead(wire.Uptime(spec)))
	return r.Host.Do(func() error {
		d, err := datapath.OpenSpec(r.Dir, spec, o...)
		if err == nil {
			r.Datapath = d
		}
		return err
	})
}

// become makes the rig one that another version runs, which has ended.
func become(t *testing.T, r *dptest.Rig, v version) {
	t.Helper()
	wire.Must(t, r.Datapath.Close())
	wire.Must(t, openVersion(r, v))
	r.Apply(t)
}

// mapIDs are the kernel's numbers of the pinned maps.
func mapIDs(t *testing.T, r *dptest.Rig) map[string]ebpf.MapID {
	t.Helper()
	pinned, err := upgrade.PinnedMaps(upgrade.MapDir(r.Dir))
	wire.Must(t, err)
	ids := make(map[string]ebpf.MapID)
	for name, m := range pinned {
		info, err := m.Info()
		wire.Must(t, err)
		ids[name], _ = info.ID()
		wire.Must(t, m.Close())
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
	together := slices.Concat(upgrade.LivingTables, upgrade.ClockTables)
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
			r := dptest.NewRig(t, 2)
			become(t, r, test.before)
			s := r.StartStream(t)
			s.Runs(t)
			r.Mute(t, 1)
			r.FromEndpoint(t, 1, wire.Segment{Protocol: model.ICMP, From: wire.Inside(1, 77), To: wire.Unanswered(7, 80)},
				wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(1, 5001), To: wire.Unanswered(7, 80)})
			wire.Eventually(t, "three sessions", func() bool { return len(living(t, r)) == 3 })
			before, ids, drops := living(t, r), mapIDs(t, r), r.Drops(t)

			old := r.Datapath
			r.Open(t) // before Apply: what the programs know is carried over
			s.Runs(t)
			wire.Must(t, old.Close())
			r.Apply(t)
			s.Runs(t)

			slices.Sort(test.anew)
			if diff := cmp.Diff(test.anew, changedIDs(ids, mapIDs(t, r)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("tables made anew (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, living(t, r)); diff != "" {
				t.Errorf("sessions (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(drops, r.Drops(t)); diff != "" {
				t.Errorf("drops (-before +after):\n%s", diff)
			}
			if _, err := os.Stat(upgrade.OldDir(r.Dir)); err == nil {
				t.Error("the tables of the version before are still there")
			}
			r.Consistent(t)
			close(s.Stop)
			if err := <-s.Done; err != nil {
				t.Errorf("the stream lost something: %v", err)
			}
		})
	}
}

// living are the sessions with what a restart must not change of them, whatever
// version's table they are in.
func living(t *testing.T, r *dptest.Rig) []string {
	t.Helper()
	sessions, err := upgrade.SessionsIn(r.Dir)
	wire.Must(t, err)
	return identities(sessions)
}

// identities are what a restart must not change of sessions.
func identities(sessions map[kernel.SessionKey]kernel.Session) []string {
	var ids []string
	for k, s := range sessions {
		ids = append(ids, strings.Join([]string{model.Protocol(k.Protocol).String(), kernel.ToAddrPort(k.InternalAddress, k.InternalPort).String(),
			kernel.ToAddrPort(s.ExternalAddress, s.ExternalPort).String(), kernel.ToAddrPort(k.RemoteAddress, k.RemotePort).String(),
			model.TCPState(s.State).String(), fmt.Sprint(s.Created, s.EndpointRtt, s.OutsideRtt, s.RepeatedSyns)}, " "))
	}
	slices.Sort(ids)
	return ids
}

// Carried sessions get timers anew, and hold down, count and end as ever.
func TestCarriedSessionsExpire(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	become(t, r, smaller("sessions"))
	r.ShortLived(t, 30) // the machine may be busy while another version is loaded
	r.Fill(t)
	if n := len(r.Sessions(t)); n != 16 {
		t.Fatalf("%d sessions, want 16", n)
	}
	before := living(t, r)
	wire.Must(t, r.Datapath.Close())
	r.Open(t)
	if diff := cmp.Diff(before, living(t, r)); diff != "" {
		t.Fatalf("sessions (-before +after):\n%s", diff)
	}
	r.Consistent(t)
	r.ShortLived(t, 2)
	wire.Within(t, 10*wire.Patience, "empty tables", func() bool {
		return r.Empty(t) && dptest.Size(t, r.Datapath.Objects().Timers) == 0 && dptest.Size(t, r.Datapath.Objects().Usages) == 0
	})
}

func TestUpgradeRefusesToLoseSessions(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	s := r.StartStream(t)
	s.Runs(t)
	ids := mapIDs(t, r)
	err := openVersion(r, otherKey)
	const want = "would lose 1 sessions (its key has the field tenant now); nothing was changed"
	if model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if changed := changedIDs(ids, mapIDs(t, r)); len(changed) > 0 {
		t.Errorf("tables changed: %v", changed)
	}
	s.Runs(t)
	close(s.Stop)
	if err := <-s.Done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	old := r.Datapath
	wire.Must(t, openVersion(r, otherKey, datapath.DiscardSessions))
	wire.Must(t, old.Close())
	r.Apply(t)
	if n := len(r.Sessions(t)) + len(r.Bindings(t)); n != 0 {
		t.Errorf("%d sessions and bindings after discarding", n)
	}
	if seen, err := lab.Ask(wire.WithTimeout(t), r.Endpoints[0], "udp", lab.RemoteAddress+":7000"); err != nil || seen.Addr() != wire.HostAddress {
		t.Errorf("a new flow: %v, %v", seen, err)
	}
	r.Consistent(t)
}

// Whatever fails at a start: what has run before runs on.
func TestFailedStartChangesNothing(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 2)
	s := r.StartStream(t)
	r.Mute(t, 1)
	r.FromEndpoint(t, 1, wire.Segment{Protocol: model.UDP, From: wire.Inside(1, 4444), To: wire.Unanswered(7, 80)}) // two sessions at least
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
			q := p.Copy()
			q.Type, q.AttachType, q.Instructions = ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, returns(1)
			s.Programs["outside_egress"] = q
		},
	} {
		s.Runs(t)
		ids := mapIDs(t, r)
		if err := openVersion(r, broken); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %.200s", name, err)
		}
		if diff := cmp.Diff(ids, mapIDs(t, r)); diff != "" {
			t.Errorf("%s: maps (-before +after):\n%s", name, diff)
		}
		s.Runs(t)
	}
	close(s.Stop)
	if err := <-s.Done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	wire.Must(t, r.Datapath.Close())
	r.Open(t)
	r.Consistent(t)
}

// A daemon that may take less memory than the one before has smaller tables; what
// lives goes on, be it more than there would be room for.
func TestTablesShrinkAndKeepSessions(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1)
	s := r.StartStream(t)
	s.Runs(t)
	had, before, old := r.Datapath.MaxSessions(), living(t, r), r.Datapath
	wire.Must(t, openVersion(r, thisVersion, datapath.MaxMemory(1)))
	wire.Must(t, old.Close())
	if got := r.Datapath.MaxSessions(); got >= had {
		t.Errorf("room for %d sessions, before for %d", got, had)
	}
	if diff := cmp.Diff(before, living(t, r)); diff != "" {
		t.Errorf("sessions (-before +after):\n%s", diff)
	}
	s.Runs(t)
	close(s.Stop)
	if err := <-s.Done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	r.Consistent(t)
}

// errKilled ends an Open in the middle.
var errKilled = errors.New("killed")

// Sessions that open, or change their state, between reading and the switch are
// not lost, whether the upgrade ends as it should or is killed just then.
func TestUpgradeCatchesUp(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"in one go": false, "killed after the switch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 1)
			become(t, r, otherSession)
			r.Mute(t, 0)
			tcp := wire.Segment{Protocol: model.TCP, Flags: wire.Syn, From: wire.Inside(0, 5001), To: wire.Unanswered(7, 80)}
			r.FromEndpoint(t, 0, tcp, wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(7, 80)})
			wire.Eventually(t, "two sessions", func() bool { return len(living(t, r)) == 2 })
			before, old := []string(nil), r.Datapath
			meanwhile := func() error {
				r.Follow(t, wire.Inside(0, 5001), wire.Unanswered(7, 80), wire.TCPPaths[model.StateEstablished][1:])
				r.FromEndpoint(t, 0,
					wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4000), To: wire.Unanswered(8, 80)}, // a known binding
					wire.Segment{Protocol: model.UDP, From: wire.Inside(0, 4001), To: wire.Unanswered(8, 80)}, // and two new ones
					wire.Segment{Protocol: model.ICMP, From: wire.Inside(0, 77), To: wire.Unanswered(8, 80)})
				wire.Eventually(t, "five sessions", func() bool { return len(living(t, r)) == 5 })
				before = living(t, r)
				return nil
			}
			switched := func() error {
				if killed {
					return errKilled
				}
				return nil
			}
			err := openVersion(r, thisVersion, datapath.Steps(meanwhile, switched))
			if killed {
				if !errors.Is(err, errKilled) {
					t.Fatalf("opening: %v", err)
				}
				r.Open(t)
			} else {
				wire.Must(t, err)
			}
			wire.Must(t, old.Close())
			after := living(t, r)
			if killed { // what a session had become in between is not known any more
				before, after = withoutStates(before), withoutStates(after)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("sessions (-before +after):\n%s", diff)
			}
			for _, b := range r.Bindings(t) {
				if sessions := map[bool]uint32{true: 2, false: 1}[b.Protocol == model.UDP && b.Internal.Port() == 4000]; b.Sessions != sessions {
					t.Errorf("%+v, want %d sessions", b, sessions)
				}
			}
			r.ShortLived(t, 2)
			wire.Within(t, 10*wire.Patience, "empty tables", func() bool { return r.Empty(t) && dptest.Size(t, r.Datapath.Objects().Usages) == 0 })
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
	r := dptest.NewRig(t, 1)
	s := r.StartStream(t)
	s.Runs(t)
	ids := mapIDs(t, r)
	wire.Must(t, os.Mkdir(upgrade.NewDir(r.Dir), 0o700)) // half made
	wire.Must(t, r.Datapath.Close())
	r.Open(t)
	s.Runs(t)
	wire.Must(t, os.Rename(upgrade.MapDir(r.Dir), upgrade.OldDir(r.Dir))) // put aside, and then killed
	wire.Must(t, os.Mkdir(upgrade.NewDir(r.Dir), 0o700))
	wire.Must(t, r.Datapath.Close())
	r.Open(t)
	s.Runs(t)
	if diff := cmp.Diff(ids, mapIDs(t, r)); diff != "" {
		t.Errorf("maps (-before +after):\n%s", diff)
	}
	close(s.Stop)
	if err := <-s.Done; err != nil {
		t.Errorf("the stream lost something: %v", err)
	}
	r.Apply(t)
	r.Consistent(t)
}

// returns are the instructions of a program that does nothing else.
func returns(verdict int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()}
}
