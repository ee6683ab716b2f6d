package store

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// readLayout1Object reads one object, of the kind that its letter says, beside what
// there always is.
func readLayout1Object(kind byte, text string) (config.Config, error) {
	all, err := allObjects(config.NewConfig())
	if err != nil {
		return config.Config{}, err
	}
	one, err := convertLayout1(map[string][]byte{string([]byte{kind, 0, 0, 0, 9}): []byte(text)})
	if err != nil {
		return config.Config{}, err
	}
	maps.Copy(all, one)
	return configOf(all)
}

func TestMappingOfLayout1(t *testing.T) {
	t.Parallel()
	at := func(address string, low, high uint16) model.AddrPorts {
		return model.AddrPorts{Address: netip.MustParseAddr(address), Ports: model.PortRange{Low: low, High: high}}
	}
	several := model.Mapping{ID: 3, NAT: "default", Protocol: model.TCP, External: at("0.0.0.0", 80, 81), From: []netip.Prefix{},
		Targets: []model.Target{{Endpoint: "c1", Network: "web", Internal: at("172.16.1.2", 80, 81)}, {Network: "web", Internal: at("172.16.1.3", 90, 91)}}}
	single := several
	single.External, single.Targets = at("0.0.0.0", 80, 80), []model.Target{{Endpoint: "c1", Network: "web", Internal: at("0.0.0.0", 80, 80)}}
	for text, want := range map[string]model.Mapping{
		`{"id":3,"nat":"default","protocol":"tcp","external":"0.0.0.0:80-81","from":[],"targets":[{"endpoint":"c1","network":"web","internal":"172.16.1.2:80-81"},{"network":"web","internal":"172.16.1.3:90-91"}]}`: several,
		// As stored before there were ranges and several targets.
		`{"id":3,"nat":"default","network":"web","protocol":"tcp","external":"0.0.0.0:80","internal":"0.0.0.0:80","endpoint":"c1","from":[]}`: single,
	} {
		got, err := readLayout1Object('d', text)
		if err != nil || len(got.Mappings) != 1 {
			t.Errorf("%s: %v, %v", text, got.Mappings, err)
			continue
		}
		if diff := cmp.Diff(want, got.Mappings[0], compareNetip); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, bad := range []string{`[]`, `{}`, `{"internal":"c1:80"}`, `{"targets":[{"internal":""}]}`, `{"external":"80"}`} {
		if got, err := readLayout1Object('d', bad); err == nil {
			t.Errorf("%s is read as %v", bad, got.Mappings)
		}
	}
}

// The stored form comes from a file that somebody may have edited.
func FuzzMappingOfLayout1(f *testing.F) {
	f.Add(`{"id":3,"nat":"default","network":"web","protocol":"tcp","external":"0.0.0.0:80","internal":"0.0.0.0:80","endpoint":"c1","from":[]}`)
	f.Add(`{"id":3,"nat":"default","protocol":"udp","external":"0.0.0.0:80-81","targets":[{"network":"web","internal":"172.16.1.2:80-81"}],"from":["10.0.0.0/8"]}`)
	f.Add(`{"targets":[{}]}`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readLayout1Object('d', text)
		if err != nil || len(got.Mappings) == 0 {
			return
		}
		m := got.Mappings[0]
		if len(m.Targets) == 0 {
			t.Fatalf("%q gives a mapping without a target", text)
		}
		if again := mappingToRecord(m).value(); again.String() != m.String() || !again.Equal(&m) {
			t.Errorf("%q gives %v, which is stored as %v", text, m, again)
		}
	})
}

// A NAT that was stored before a setting existed has its default, and keeps what it had.
func TestNATOfLayout1GetsDefaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]model.Seconds{`{"name":"x","id":7}`: 120, `{"name":"x","id":7,"profile":"winnat"}`: 0, `{"name":"x","id":7,"holdDown":5}`: 5} {
		got, err := readLayout1Object('a', text)
		if err != nil || len(got.NATs) != 2 {
			t.Fatalf("%s: %v, %v", text, got.NATs, err)
		}
		n := got.NATs[1]
		if n.Name != "x" || n.ID != 7 || n.HoldDown != want || n.Pooling != model.Paired || n.Exhaustion != model.Prohibited || n.EndpointDependent || n.MSSClamp || n.Limits != (model.Limits{}) {
			t.Errorf("%s: %+v", text, n)
		}
	}
}

// A network that was stored before there were DHCP and overlaps has the one, and stays
// where it is at the other.
func TestNetworkOfLayout1GetsDefaults(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]model.Overlap{``: model.Keep, `,"overlap":"keep"`: model.Keep, `,"overlap":"renumber"`: model.Renumber} {
		text := `{"name":"web","id":9,"subnet":"172.16.1.0/24","gateway":"172.16.1.1"` + more + `}`
		got, err := readLayout1Object('b', text)
		if err != nil || len(got.Networks) != 1 {
			t.Fatalf("%s: %v, %v", text, got.Networks, err)
		}
		if n := got.Networks[0]; !n.DHCP.On() || n.LeaseDuration() != model.DefaultLeaseTime || n.Overlap != want {
			t.Errorf("%s: %+v", text, n)
		}
	}
}

// What is stored has no trace of point-to-point links.
func TestPointToPointIsNotStored(t *testing.T) {
	t.Parallel()
	if back := networkToRecord(model.Network{Name: "snap/e1", PartOf: 7}).value(); back.IsPointToPoint() {
		t.Errorf("%+v", back)
	}
}
