package server

import (
	"context"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config/warning"
	"github.com/hostnat/hostnat/internal/model"
)

// advise adds the warnings to a change's answer that are about the object in it.
func advise(ctx context.Context, s Service, answer any) {
	var about warning.Subject
	var to *api.Advice
	switch v := answer.(type) {
	case *api.Network:
		about, to = warning.Subject{Kind: warning.OfNetwork, Name: v.Name}, &v.Advice
	case *api.Renumbering:
		about, to = warning.Subject{Kind: warning.OfNetwork, Name: v.Network}, &v.Advice
	case *api.NAT:
		about, to = warning.Subject{Kind: warning.OfNAT, Name: v.Name}, &v.Advice
	case *api.Endpoint:
		about, to = warning.Subject{Kind: warning.OfEndpoint, Name: v.Name}, &v.Advice
	case *api.Reservation:
		about, to = warning.ReservationSubject(model.Reservation{Network: v.Network, Address: v.Address}), &v.Advice
	case *api.Mapping:
		about, to = warning.Subject{Kind: warning.OfMapping, ID: v.ID}, &v.Advice
	case *api.Proxy:
		about, to = warning.Subject{Kind: warning.OfProxy, ID: v.ID}, &v.Advice
	default:
		return
	}
	to.Warnings = s.Warnings(ctx, about)
}
