package reconcile

import (
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

func oneToOneMapping(id uint32, external string) model.Mapping {
	return model.Mapping{
		ID: id, NAT: "default", Protocol: model.AnyProtocol, External: ports(external), From: prefixes("10.0.0.0/8"),
		Targets: []model.Target{{Endpoint: "c1", Network: "web", Internal: ports("172.16.1.2")}},
	}
}

// One mapping is three to the data path, with an id each: so the allow list is
// each one's.
func TestOneToOneMappingIsThree(t *testing.T) {
	t.Parallel()
	v := hostView()
	v.config.Mappings = []model.Mapping{oneToOneMapping(7, "192.0.2.2")}
	c := v.datapathConfig()
	want := map[uint32]datapath.OneToOne{7: {
		NAT: 1, Compartment: 2, Network: 3, External: netip.MustParseAddr("192.0.2.2"), Internal: netip.MustParseAddr("172.16.1.2"), From: prefixes("10.0.0.0/8"),
	}}
	if diff := gocmp.Diff(want, c.OneToOne, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ofPorts := datapath.Mapping{
		NAT: 1, Compartment: 2, Protocol: model.TCP, From: prefixes("10.0.0.0/8"), External: ports("192.0.2.2:1-65535"),
		Targets: []datapath.Target{{Network: 3, Internal: ports("172.16.1.2:1-65535")}},
	}
	mappings := map[uint32]datapath.Mapping{7 | oneToOneTCP: ofPorts}
	ofPorts.Protocol = model.UDP
	mappings[7|oneToOneUDP] = ofPorts
	if diff := gocmp.Diff(mappings, c.Mappings, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is mapped as a whole has no port for others: the NAT gives out its other
// addresses. Its last one stays, and status says what that means.
func TestOneToOneAddressIsNotGivenOut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		addresses []string // of the NAT
		mapped    string
		want      []string // addresses of its pool on eth0
		problems  []string
	}{
		{"one of two", []string{"192.0.2.1", "192.0.2.2"}, "192.0.2.2", []string{"192.0.2.1", "its own 192.0.2.2"}, nil},
		{"its only one", []string{"192.0.2.2"}, "192.0.2.2", []string{"192.0.2.2"},
			[]string{"NAT default has no port to give out on 192.0.2.2, which is mapped as a whole (mapping 7)"}},
		{"of the interface", nil, "192.0.2.1", []string{"192.0.2.2", "its own 192.0.2.1"}, nil},
		{"another of the interface", nil, "192.0.2.2", []string{"192.0.2.1", "its own 192.0.2.2"}, nil},
		{"not the host's", []string{"192.0.2.1", "192.0.2.9"}, "192.0.2.9", []string{"192.0.2.1"},
			[]string{"external address 192.0.2.9 of mapping 7 is on no interface of the host"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := hostView()
			v.config.Mappings = []model.Mapping{oneToOneMapping(7, tt.mapped)}
			v.config.NATs[0].ExternalInterfaces = []string{"eth0"}
			for _, a := range tt.addresses {
				v.config.NATs[0].ExternalAddresses = append(v.config.NATs[0].ExternalAddresses, model.ExternalAddress{Address: netip.MustParseAddr(a), Ports: model.DefaultPorts})
			}
			c := v.datapathConfig()
			var got []string
			for _, p := range c.Pools {
				if p.Interface == 0 {
					continue
				}
				for _, a := range p.Addresses {
					if len(a.Ports) == 0 {
						got = append(got, "its own "+a.Address.String())
						continue
					}
					got = append(got, a.Address.String())
				}
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pool (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(tt.problems, v.oneToOneProblems()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if served := v.isServed(c, v.config.Mappings[0]); served != (tt.name != "not the host's") {
				t.Errorf("served: %v", served)
			}
		})
	}
}
