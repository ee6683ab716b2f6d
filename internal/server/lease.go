package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/control"
)

func leaseRoutes() []route {
	return []route{
		list("/v1/leases", func(s Service, r *http.Request) ([]api.Lease, error) {
			var network string
			if err := query(r, map[string]*string{"network": &network}); err != nil {
				return nil, err
			}
			all, err := s.DHCPLeases(r.Context(), network)
			return eachOf(all, err, leaseOf)
		}),
		act(http.MethodDelete, "/v1/networks/{network}/leases/{address}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeleteLease(ctx, r.PathValue("network"), r.PathValue("address"))
		}),
	}
}

func leaseOf(l control.LeaseView) api.Lease {
	return api.Lease{
		Network: l.Network, Address: l.Address, MAC: string(l.MAC), ClientID: l.ClientID, Hostname: l.Hostname,
		State: string(l.State), Since: l.Since, Expires: l.Expires, Endpoint: l.Endpoint,
	}
}
