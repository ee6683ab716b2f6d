package replay

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/rerun"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
	"github.com/hostnat/hostnat/internal/recording"
)

// toldExample has one of everything that the model goes by.
func toldExample(t *testing.T) json.RawMessage {
	t.Helper()
	address, prefix := netip.MustParseAddr, netip.MustParsePrefix
	const mac = "02:00:00:00:00:02"
	ports := func(text string, low, high uint16) model.AddrPorts {
		return model.AddrPorts{Address: address(text), Ports: model.PortRange{Low: low, High: high}}
	}
	text, err := rerun.WriteTold(datapath.Config{
		Anchor: 2, Reassembly: 3, LocalPorts: model.PortRange{Low: 32768, High: 60999},
		NATs:          map[uint32]model.NAT{1: {EndpointDependent: true}},
		Pools:         []datapath.Pool{{NAT: 1, Interface: 5, Addresses: []datapath.PoolAddress{{Address: address("203.0.113.1"), Ports: []model.PortRange{{Low: 1024, High: 20000}}}}}},
		Networks:      map[uint32]datapath.Network{1: {Compartment: 1, NAT: 1, Bridge: 6, Subnet: prefix("172.16.1.0/24"), Gateway: address("172.16.1.1"), GatewayMAC: mac}},
		Insides:       map[uint32]datapath.Inside{6: {Network: 1, Bridge: true}, 7: {Network: 1, Address: address("172.16.1.2"), MAC: mac}},
		Endpoints:     []datapath.Endpoint{{ID: 1, Compartment: 1, Address: address("172.16.1.2"), Interface: 7, Network: 1, MAC: mac, Sources: []netip.Prefix{prefix("10.0.0.0/8")}}},
		Leases:        []datapath.Lease{{Compartment: 1, Address: address("172.16.1.9"), MAC: mac}},
		HostAddresses: map[netip.Addr]uint32{address("203.0.113.1"): 5},
		Mappings: map[uint32]datapath.Mapping{
			1: {NAT: 1, Compartment: 1, Protocol: model.UDP, External: ports("203.0.113.1", 8080, 8080), Targets: []datapath.Target{{Network: 1, Internal: ports("172.16.1.2", 80, 80)}}},
			2: {NAT: 1, Compartment: 1, Protocol: model.UDP, External: ports("203.0.113.1", 9000, 9010), Targets: []datapath.Target{{Network: 1, Internal: ports("172.16.1.2", 40000, 40010)}}},
		},
		OneToOne: map[uint32]datapath.OneToOne{3: {NAT: 1, Compartment: 1, Network: 1, External: address("203.0.113.9"), Internal: address("172.16.1.2")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// followed has the model go by what the data path was told, as far as it can. It reports
// whether that was refused.
func followed(t *testing.T, told json.RawMessage) (refused bool) {
	t.Helper()
	r := &recording.Recording{Ready: recording.Ready{Told: told}, Host: recording.Host{Links: []recording.Link{{Index: 5, MTU: 1500}}}}
	defer func() {
		if problem := recover(); problem != nil {
			t.Fatalf("%v, of %s\n%s", problem, told, debug.Stack())
		}
	}()
	w, err := newWorld(r)
	if err != nil {
		if model.CodeOf(err) != model.Invalid || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "the recording is damaged: ") {
			t.Fatalf("refused by %q", err)
		}
		return true
	}
	f := &follower{world: w}
	if w.off != "" {
		return false
	}
	f.model = natmodel.New(w.config)
	f.tryAll(t)
	return false
}

// tryAll gives the model a packet of each kind.
func (f *follower) tryAll(t *testing.T) {
	t.Helper()
	out := frame(t, partial)
	in := slices.Concat(out[:26], out[30:34], []byte{203, 0, 113, 1}, out[34:36], []byte{0x1f, 0x90}, out[38:])
	for i, p := range []recording.Packet{
		{Program: "inside_ingress", Interface: 7, Came: out, CameLength: len(out), Went: out, Length: len(out)},
		{Program: "bridge_ingress", Interface: 6, Came: out, CameLength: len(out), Went: out, Length: len(out)},
		{Program: "outside_ingress", Interface: 5, Came: in, CameLength: len(in), Went: in, Length: len(in)},
		{Program: "outside_egress", Interface: 5, Came: out, CameLength: len(out), Went: out, Length: len(out)},
	} {
		got := rerun.Outcome{Frame: p.Came, Captured: datapath.Captured{Verdict: model.VerdictSent, Code: 7, Went: p.Came, Length: len(p.Came), Session: &datapath.Session{
			NAT: 1, Protocol: model.UDP, Internal: netip.MustParseAddrPort("172.16.1.2:40000"), External: netip.MustParseAddrPort("203.0.113.1:2000"), Remote: netip.MustParseAddrPort("203.0.113.2:7"),
		}}}
		differences(&p, &got)
		f.step(&p, p.Came, &got, time.Duration(i+1)*time.Second)
	}
}

// TestRowsThatDoNotFit: bindings of mappings that there are not, sessions without their
// binding, and the like are in damaged rows, and in those that were read while packets went on.
func TestRowsThatDoNotFit(t *testing.T) {
	t.Parallel()
	w, err := newWorld(&recording.Recording{Ready: recording.Ready{Told: toldExample(t)}, Host: recording.Host{Links: []recording.Link{{Index: 5, MTU: 1500}}}})
	if err != nil || w.off != "" {
		t.Fatal(err, w.off)
	}
	const seed = 15
	random := rand.New(rand.NewPCG(seed, seed))
	for n := range 5000 {
		s := oddState(random)
		f := &follower{world: w, model: natmodel.New(w.config)}
		func() {
			defer func() {
				if problem := recover(); problem != nil {
					t.Fatalf("%v, in try %d, of %+v\n%s", problem, n, s, debug.Stack())
				}
			}()
			f.model.Restore(s)
			f.tryAll(t)
		}()
	}
}

// oddState is what some tables may hold.
func oddState(random *rand.Rand) (s natmodel.State) {
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	id := func() uint32 { return []uint32{0, 1, 1, 2, 3, 99}[random.IntN(6)] }
	is := func() bool { return random.IntN(2) == 0 }
	at := func() time.Duration { return time.Duration(random.IntN(7)-2) * time.Second }
	inside := func() netip.AddrPort {
		return netip.MustParseAddrPort(one("172.16.1.2:40000", "172.16.1.2:80", "172.16.1.9:40000", "0.0.0.0:0"))
	}
	outside := func() netip.AddrPort {
		return netip.MustParseAddrPort(one("203.0.113.1:8080", "203.0.113.1:2000", "203.0.113.1:9000", "0.0.0.0:8080", "203.0.113.1:40000"))
	}
	remote := func() netip.AddrPort { return netip.MustParseAddrPort(one("203.0.113.2:7", "172.16.1.2:40000")) }
	for range random.IntN(4) {
		s.Bindings = append(s.Bindings, natmodel.KnownBinding{
			Key: natmodel.BindingKey{Protocol: model.UDP, External: outside()},
			Binding: natmodel.Binding{NAT: id(), Network: id(), Compartment: id(), Internal: inside(), Sessions: random.IntN(3) - 1,
				Configured: is(), HoldDown: is()},
			Mapping: id(), OfRange: is(), Until: at(),
		})
		s.Sessions = append(s.Sessions, natmodel.KnownSession{
			Key: natmodel.SessionKey{Compartment: id(), Protocol: model.UDP, Internal: inside(), Remote: remote()},
			Session: natmodel.Session{NAT: id(), Network: id(), External: outside(), State: model.TCPState(random.IntN(256)), Created: at(), Refreshed: at(),
				Lifetime: at()},
			Binding: natmodel.BindingKey{Protocol: model.UDP, External: outside()}, Dependent: is(), Hairpin: is(), Spread: is(), HalfOpen: is(), Guest: is(),
		})
	}
	return s
}

// TestEachByteOfWhatWasTold: two bits of each. What is wrong in it is refused, or makes a difference. It is
// never more than the model can work with.
func TestEachByteOfWhatWasTold(t *testing.T) {
	t.Parallel()
	told := toldExample(t)
	if followed(t, told) {
		t.Fatal("the whole is refused")
	}
	for at := range told {
		for _, bit := range [...]int{at % 8, (at + 3) % 8} {
			told[at] ^= 1 << bit
			if json.Valid(told) {
				followed(t, told)
			}
			told[at] ^= 1 << bit
		}
	}
}

// TestEachValueOfWhatWasTold: so it is with what somebody puts in another's place.
func TestEachValueOfWhatWasTold(t *testing.T) {
	t.Parallel()
	var whole any
	if err := json.Unmarshal(toldExample(t), &whole); err != nil {
		t.Fatal(err)
	}
	tried, refused := 0, 0
	var walk func(node any, set func(any))
	walk = func(node any, set func(any)) {
		for _, other := range []any{nil, []any{}, map[string]any{}, []any{map[string]any{}}, map[string]any{"1": map[string]any{}}, "", "::1", "2001:db8::/64", "0.0.0.0", 0, 1, 65535, 1<<32 - 1, -1 << 63} {
			set(other)
			text, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			if tried++; followed(t, text) {
				refused++
			}
		}
		set(node)
		switch node := node.(type) {
		case map[string]any:
			for key, value := range node {
				walk(value, func(v any) { node[key] = v })
			}
		case []any:
			for i, value := range node {
				walk(value, func(v any) { node[i] = v })
			}
		}
	}
	walk(whole, func(v any) { whole = v })
	if refused < tried/4 || refused == tried {
		t.Errorf("%d of %d were refused", refused, tried)
	}
}
