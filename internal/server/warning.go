package server

import (
	"context"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// advise adds the warnings to a change's answer that are about the object in it.
func advise(ctx context.Context, s Service, answer any) {
	var about config.Subject
	var to *api.Advice
	switch v := answer.(type) {
	case *api.Network:
		about, to = config.Subject{Kind: config.OfNetwork, Name: v.Name}, &v.Advice
	case *api.Renumbering:
		about, to = config.Subject{Kind: config.OfNetwork, Name: v.Network}, &v.Advice
	case *api.NAT:
		about, to = config.Subject{Kind: config.OfNAT, Name: v.Name}, &v.Advice
	case *api.Endpoint:
		about, to = config.Subject{Kind: config.OfEndpoint, Name: v.Name}, &v.Advice
	case *api.Reservation:
		about, to = config.ReservationSubject(model.Reservation{Network: v.Network, Address: v.Address}), &v.Advice
	case *api.Mapping:
		about, to = config.Subject{Kind: config.OfMapping, ID: v.ID}, &v.Advice
	case *api.Proxy:
		about, to = config.Subject{Kind: config.OfProxy, ID: v.ID}, &v.Advice
	default:
		return
	}
	to.Warnings = s.Warnings(ctx, about)
}
