package store

import "github.com/hostnat/hostnat/internal/model"

// proxyRecord is a port proxy as it is stored. Protocol is an IP protocol number.
type proxyRecord struct {
	ID            uint32             `json:"id"`
	Kind          string             `json:"kind"`
	Protocol      uint8              `json:"protocol"`
	Listen        hostPortsRecord    `json:"listen"`
	Connect       hostPortsRecord    `json:"connect,omitzero"`
	Routes        []proxyRouteRecord `json:"routes,omitempty"`
	ProxyProtocol bool               `json:"proxyProtocol,omitempty"`
	Transparent   bool               `json:"transparent,omitempty"`
	metadataRecord
}

// hostPortsRecord is a range of ports of a host, which is an address or a name.
type hostPortsRecord struct {
	Host  string      `json:"host"`
	Ports portsRecord `json:"ports"`
}

type proxyRouteRecord struct {
	Pattern string          `json:"pattern"`
	Connect hostPortsRecord `json:"connect"`
}

func hostPortsToRecord(h model.HostPorts) hostPortsRecord {
	return hostPortsRecord{h.Host, portsRecord(h.Ports)}
}

func (r hostPortsRecord) value() model.HostPorts {
	return model.HostPorts{Host: r.Host, Ports: model.PortRange(r.Ports)}
}

func proxyToRecord(p model.Proxy) proxyRecord {
	return proxyRecord{
		metadataRecord: metadataToRecord(p.Metadata),
		ID:             p.ID, Kind: string(p.Kind), Protocol: uint8(p.Protocol),
		Listen: hostPortsToRecord(p.Listen), Connect: hostPortsToRecord(p.Connect),
		Routes: mapEach(p.Routes, func(r model.ProxyRoute) proxyRouteRecord {
			return proxyRouteRecord{r.Pattern, hostPortsToRecord(r.Connect)}
		}),
		ProxyProtocol: p.ProxyProtocol, Transparent: p.Transparent,
	}
}

func (r proxyRecord) value() model.Proxy {
	return model.Proxy{
		Metadata: r.metadata(),
		ID:       r.ID, Kind: model.ProxyKind(r.Kind), Protocol: model.Protocol(r.Protocol),
		Listen: r.Listen.value(), Connect: r.Connect.value(),
		Routes: mapEach(r.Routes, func(r proxyRouteRecord) model.ProxyRoute {
			return model.ProxyRoute{Pattern: r.Pattern, Connect: r.Connect.value()}
		}),
		ProxyProtocol: r.ProxyProtocol, Transparent: r.Transparent,
	}
}
