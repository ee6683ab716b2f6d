package server

import (
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/control"
)

func portRoutes() []route {
	return []route{list("/v1/ports", listPorts)}
}

func listPorts(s Service, r *http.Request) ([]api.Port, error) {
	var f control.PortFilter
	if err := query(r, map[string]*string{"protocol": &f.Protocol, "ports": &f.Ports}); err != nil {
		return nil, err
	}
	ports, err := s.Ports(r.Context(), f)
	if !trusted(r) {
		hidePrograms(ports)
	}
	return eachOf(ports, err, portOf)
}

// hidePrograms leaves out whose program listens: what the kernel, too, shows of a
// process's sockets to that process's user alone.
func hidePrograms(ports []control.PortView) {
	for i := range ports {
		if ports[i].Kind == control.ListenerPort {
			ports[i].Owner = "a program of the host"
		}
	}
}

func portOf(p control.PortView) api.Port {
	return api.Port{
		Protocol: protocolOf(p.Protocol), Address: p.Address, Ports: p.Ports, Kind: string(p.Kind),
		Owner: p.Owner, Count: p.Count, InUse: p.InUse,
	}
}
