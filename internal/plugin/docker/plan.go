package docker

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/api"
)

// Owner is that of what hostnat makes for Docker, DriverOwner of what Docker has it make
// by the driver (package driver).
const (
	Owner       = "docker"
	DriverOwner = "docker-driver"
)

// The labels of what hostnat makes for Docker.
const (
	LabelContainer = "docker.container" // of an endpoint, a mapping: the container's id
	LabelEndpoint  = "docker.endpoint"  // of an endpoint, a mapping that the driver made: Docker's id of the endpoint
	LabelHost      = "docker.host"      // of a network: where Docker answers
)

// State is what hostnat has.
type State struct {
	Networks  []api.Network
	Endpoints []api.Endpoint
	Mappings  []api.Mapping
}

// Plan is what makes hostnat agree with Docker, in the order of its fields.
type Plan struct {
	Delete []uint32            // mappings
	Detach []string            // endpoints
	Name   map[string][]string // aliases of endpoints that have others
	Attach []api.EndpointSpec
	Add    []api.MappingSpec
}

// Empty reports whether nothing is to be done.
func (p Plan) Empty() bool {
	return len(p.Delete)+len(p.Detach)+len(p.Name)+len(p.Attach)+len(p.Add) == 0
}

// PlanFor compares Docker's containers with what hostnat has of them.
func PlanFor(containers []Container, has State) Plan {
	var p Plan
	endpoints, mappings := wanted(containers, has)
	for _, e := range has.Endpoints {
		if e.Owner != Owner || !e.Managed {
			continue
		}
		if i := slices.IndexFunc(endpoints, func(s api.EndpointSpec) bool { return sameEndpoint(e, s) }); i >= 0 {
			if !slices.Equal(e.Aliases, endpoints[i].Aliases) {
				p.rename(e.Name, endpoints[i].Aliases)
			}
			endpoints = slices.Delete(endpoints, i, i+1)
			continue
		}
		p.Detach = append(p.Detach, e.Name)
	}
	for _, m := range has.Mappings {
		if m.Owner != Owner {
			continue
		}
		if i := slices.IndexFunc(mappings, func(s api.MappingSpec) bool { return sameMapping(m, s) }); i >= 0 {
			mappings = slices.Delete(mappings, i, i+1)
			continue
		}
		p.Delete = append(p.Delete, m.ID)
	}
	p.Attach, p.Add = endpoints, mappings
	return p
}

func (p *Plan) rename(name string, aliases []string) {
	if p.Name == nil {
		p.Name = make(map[string][]string)
	}
	p.Name[name] = aliases
}

// PlanWithout is what goes while Docker does not answer: of containers that have
// ended meanwhile, since their links are gone.
func PlanWithout(has State) Plan {
	var p Plan
	for _, e := range has.Endpoints {
		if e.Owner != Owner || e.State != api.EndpointAbsent {
			continue
		}
		p.Detach = append(p.Detach, e.Name)
		for _, m := range has.Mappings {
			if m.Owner == Owner && m.Labels[LabelContainer] == e.Labels[LabelContainer] {
				p.Delete = append(p.Delete, m.ID)
			}
		}
	}
	return p
}

// wanted is what there should be for the containers.
func wanted(containers []Container, has State) (endpoints []api.EndpointSpec, mappings []api.MappingSpec) {
	taken := make(map[string]bool) // names of other endpoints
	for _, e := range has.Endpoints {
		if e.Managed && e.Owner != Owner {
			taken[e.Name] = true
		}
	}
	network := make(map[string]string) // by bridge
	for _, n := range has.Networks {
		network[n.Bridge] = n.Name
	}
	for _, c := range containers {
		ours := slices.DeleteFunc(slices.Clone(c.Links), func(a Attachment) bool {
			return network[a.Bridge] == "" || a.Link == "" || !a.Address.IsValid()
		})
		if len(ours) == 0 {
			continue
		}
		labels := map[string]string{LabelContainer: c.ID}
		way := c.way(ours)
		name := ""
		for _, a := range ours {
			e := api.EndpointSpec{
				Network: network[a.Bridge], Name: endpointName(c, a, a.ID == way.ID, taken), Port: a.Link,
				Addresses: []string{a.Address.String()}, MAC: strings.ToLower(a.MAC), Aliases: aliases(c, a), Labels: labels, Owner: Owner,
			}
			taken[e.Name] = true
			endpoints = append(endpoints, e)
			if a.ID == way.ID {
				name = e.Name
			}
		}
		for _, row := range Rows(c.Ports) {
			mappings = append(mappings, api.MappingSpec{
				Protocol: row.Protocol, External: row.External(), Internal: name + ":" + row.Internal(), Labels: labels, Owner: Owner,
				// Docker itself keeps the port by a socket that takes no connection.
				Force: true,
			})
		}
	}
	return endpoints, mappings
}

// endpointName is the container's name for what its ports lead to, and with the
// network for what it has beside that. If that is another's name, the container's
// id tells them apart.
func endpointName(c Container, a Attachment, isWay bool, taken map[string]bool) string {
	name := c.Name
	if _, err := netip.ParseAddr(name); err == nil {
		name = "container-" + name
	}
	if !isWay {
		name += "." + a.Network
	}
	if taken[name] {
		name += "-" + shortID(c.ID)
	}
	return name
}

func shortID(id string) string { return id[:min(12, len(id))] }

// aliases are the names that Docker gives the container beside its own.
func aliases(c Container, a Attachment) []string {
	return slices.DeleteFunc(dnsNames(a.Aliases), func(name string) bool { return name == strings.ToLower(c.Name) })
}

// isLabel reports whether a name can be one in DNS.
func isLabel(name string) bool {
	return name != "" && len(name) <= 63 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) && name[0] != '-' && name[len(name)-1] != '-'
}

func sameEndpoint(e api.Endpoint, s api.EndpointSpec) bool {
	return e.Name == s.Name && e.Network == s.Network && e.Kind == api.KindPort && e.Target == s.Port && e.MAC == s.MAC &&
		len(e.Addresses) == 1 && e.Addresses[0].String() == s.Addresses[0] &&
		e.Labels[LabelContainer] == s.Labels[LabelContainer]
}

func sameMapping(m api.Mapping, s api.MappingSpec) bool {
	if len(m.Targets) != 1 || len(m.From) > 0 {
		return false
	}
	_, internal, _ := strings.Cut(m.Targets[0].Internal, ":")
	return string(m.Protocol) == s.Protocol && m.External == s.External && m.Targets[0].Endpoint+":"+internal == s.Internal &&
		m.Labels[LabelContainer] == s.Labels[LabelContainer]
}
