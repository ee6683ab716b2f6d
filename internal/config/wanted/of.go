package wanted

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// The functions of this file say of a thing that there is what a file would have to
// say for it to come out the same. They mention everything that has a value.

func OfPool(p model.Pool) Pool {
	return Pool{Prefix: p.Prefix.String(), Size: strconv.Itoa(p.Size)}
}

func OfNAT(n model.NAT) NAT {
	w := NAT{
		Name: n.Name, ExternalInterfaces: n.ExternalInterfaces, ExternalAddresses: textsOf(n.ExternalAddresses, externalText),
		Profile: string(n.Profile),
		Timeouts: Timeouts{
			UDP: seconds(n.Timeouts.UDP), TCPEstablished: seconds(n.Timeouts.TCPEstablished),
			TCPTransitory: seconds(n.Timeouts.TCPTransitory), ICMP: seconds(n.Timeouts.ICMP),
		},
		TCPFiltering: string(n.TCPFiltering), UDPFiltering: string(n.UDPFiltering), UDPInboundRefresh: strconv.FormatBool(n.UDPInboundRefresh),
		Pooling: string(n.Pooling), EndpointDependent: strconv.FormatBool(n.EndpointDependent), HoldDown: seconds(n.HoldDown),
		Limits:   Limits{Sessions: number(n.Limits.Sessions), Ports: number(n.Limits.Ports), Rate: number(n.Limits.Rate)},
		MSSClamp: strconv.FormatBool(n.MSSClamp), Exhaustion: string(n.Exhaustion), LinkLocal: "refuse",
		Labels: n.Labels, Owner: n.Owner,
	}
	if n.LinkLocal {
		w.LinkLocal = "allow"
	}
	if n.Table != 0 {
		w.Table = number(n.Table)
	}
	return w
}

// externalText is an external address as a NAT is given it: without the ports if
// those are what it has anyway.
func externalText(a model.ExternalAddress) string {
	if a.Ports == model.DefaultPorts {
		return a.Address.String()
	}
	return a.String()
}

// DefaultNAT is a NAT as AddNAT would make it of its name and profile.
func DefaultNAT(n model.NAT) model.NAT { return model.NewNAT(n.Name, n.ID, n.Profile) }

func OfNetwork(n model.Network) Network {
	w := Network{
		Name: n.Name, Type: string(n.Type), NAT: n.NAT, Compartment: n.Compartment,
		Subnets: textsOf(n.Subnets, netip.Prefix.String), Gateways: textsOf(n.Gateways, netip.Addr.String),
		Bridge: n.Bridge, Adopt: strconv.FormatBool(n.Adopted), Domain: n.DomainName(),
		Overlap: n.Overlap.String(), Isolation: n.Isolation.String(), PortSecurity: n.PortSecurity.String(),
		DHCP: n.DHCP.String(), DNS: n.DNS.String(), LeaseTime: seconds(n.LeaseDuration()), MTU: "auto",
		NTP: textsOf(n.NTP, netip.Addr.String), Routes: textsOf(n.Routes, model.Route.String),
		Ranges: textsOf(n.Ranges, model.AddressRange.String), Exclude: textsOf(n.Exclude, model.AddressRange.String),
		PXE:    PXE{ServerName: n.PXE.ServerName, BootFile: n.PXE.BootFile},
		Labels: n.Labels, Owner: n.Owner,
	}
	if n.MTU != 0 {
		w.MTU = strconv.Itoa(n.MTU)
	}
	if n.PXE.NextServer.IsValid() {
		w.PXE.NextServer = n.PXE.NextServer.String()
	}
	return w
}

// DefaultNetwork is a network as AddNetwork would make it of what cannot be changed
// afterwards and of its place.
func DefaultNetwork(n model.Network) model.Network {
	d := model.Network{
		Name: n.Name, ID: n.ID, Type: n.Type, NAT: n.NAT, Compartment: n.Compartment, Subnets: n.Subnets, Gateways: n.Gateways,
		Bridge: n.Bridge, Adopted: n.Adopted, Domain: n.OwnDomain(),
	}
	d.Isolation = n.Type.Isolation()
	return d
}

// UsualNetwork is a network with what it has unless a file says otherwise: an export
// leaves that out. Without a bridge it is of type per-endpoint, behind no NAT of type
// internal.
func UsualNetwork(n model.Network) model.Network {
	d := DefaultNetwork(n)
	d.Type, d.Subnets, d.Adopted = model.UsualNetworkType, nil, false
	if !n.Type.WithoutNAT() {
		d.NAT = model.DefaultNAT
	}
	if !n.PerEndpoint() {
		d.Compartment, d.Bridge = model.DefaultCompartment, model.BridgeName(n.Name)
	}
	if n.Subnet4().IsValid() {
		d.Gateways = []netip.Addr{n.Subnet4().Addr().Next()}
	}
	return d
}

func OfEndpoint(e model.Endpoint) Endpoint {
	w := Endpoint{
		Name: e.Name, Network: e.Network, Addresses: textsOf(e.Addresses, netip.Addr.String), MAC: string(e.MAC), IfName: e.IfName,
		Aliases: e.Aliases, Allow: textsOf(e.Allow, netip.Prefix.String), Labels: e.Labels, Owner: e.Owner,
	}
	switch e.Kind {
	case model.KindNetns:
		w.Netns = e.Target
		if e.TAP.Made {
			w.TAP, w.IfName = e.IfName, ""
		}
	case model.KindPID:
		w.PID = e.Target
	case model.KindTAP:
		w.TAP = e.Target
	case model.KindPort:
		w.Port = e.Target
	}
	if t := e.TAP; t.Made {
		w.Create, w.User, w.Group = "true", t.User, t.Group
		if t.Several() {
			w.Queues = strconv.Itoa(t.Queues)
		}
		if t.VNetHdr {
			w.VNetHdr = "true"
		}
	}
	return w
}

func OfReservation(r model.Reservation) Reservation {
	return Reservation{Network: r.Network, Address: r.Address.String(), MAC: string(r.MAC), Name: r.Name, Labels: r.Labels, Owner: r.Owner}
}

func OfMapping(m model.Mapping) Mapping {
	w := Mapping{Protocol: m.Protocol.String(), External: strings.TrimPrefix(model.ExternalText(m.External), "*:"),
		From: textsOf(m.From, netip.Prefix.String), Labels: m.Labels, Owner: m.Owner}
	if m.IsOneToOne() {
		w.External = m.External.Address.String()
	}
	several := strings.Contains(m.Networks(), ",")
	if !several {
		w.Network = m.Networks()
	}
	for _, t := range m.Targets {
		text := t.String()
		if several {
			text = t.Network + "/" + text
		}
		w.Internal = append(w.Internal, text)
		if t.MAC != "" {
			if w.Clients == nil {
				w.Clients = make(map[string]string)
			}
			w.Clients[t.Endpoint] = string(t.MAC)
		}
	}
	return w
}

func OfProxy(p model.Proxy) Proxy {
	w := Proxy{Kind: string(p.Kind), Protocol: p.Protocol.String(), Listen: p.Listen.String(),
		ProxyProtocol: strconv.FormatBool(p.ProxyProtocol), Transparent: strconv.FormatBool(p.Transparent), Labels: p.Labels, Owner: p.Owner}
	if p.Kind != model.ByName {
		w.Connect = p.Connect.String()
	}
	for _, r := range p.Routes {
		w.Routes = append(w.Routes, r.Pattern+"="+r.Connect.String())
	}
	return w
}

func seconds(s model.Seconds) string { return number(uint32(s)) }

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func textsOf[T any](list []T, text func(T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, text(v))
	}
	return out
}
