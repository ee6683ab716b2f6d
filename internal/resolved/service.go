package resolved

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/systembus"
)

// Names of org.freedesktop.resolve1(5).
const (
	busName       = "org.freedesktop.resolve1"
	managerPath   = "/org/freedesktop/resolve1"
	manager       = busName + ".Manager"
	noSuchLink    = busName + ".NoSuchLink"
	unknownMethod = "org.freedesktop.DBus.Error.UnknownMethod"
)

// errUnknownLink is systemd-resolved's answer as long as it has not heard of a
// link.
var errUnknownLink = errors.New("the link is not known")

// service is systemd-resolved on the system's bus.
type service struct{ *systembus.Conn }

// dial connects to the system's bus.
func dial(ctx context.Context) (resolver, error) {
	bus, err := systembus.Dial(ctx, busName)
	if err != nil {
		return nil, err
	}
	return service{bus}, nil
}

func (s service) close() { s.Close() }

func (s service) changes() <-chan *dbus.Signal { return s.Signals() }

// present reports whether systemd-resolved runs and serves this host.
func (s service) present(ctx context.Context) (bool, error) { return s.Present(ctx, busName) }

// settings returns what it knows of all links, by index.
func (s service) settings(ctx context.Context) (map[int]setting, error) {
	var servers []struct {
		Link    int32 // 0: of no link
		Family  int32
		Address []byte // in network order
	}
	var domains []struct {
		Link    int32
		Name    string
		Routing bool
	}
	if err := s.property(ctx, "DNS", &servers); err != nil {
		return nil, err
	}
	if err := s.property(ctx, "Domains", &domains); err != nil {
		return nil, err
	}
	links := make(map[int]setting)
	for _, v := range servers {
		at := links[int(v.Link)]
		a, _ := netip.AddrFromSlice(v.Address) // one that is none is nobody's wish
		at.servers = append(at.servers, a)
		links[int(v.Link)] = at
	}
	for _, v := range domains {
		at := links[int(v.Link)]
		at.domains = append(at.domains, domain{name: strings.TrimSuffix(v.Name, "."), routing: v.Routing})
		links[int(v.Link)] = at
	}
	return links, nil
}

// set makes a link's setting as wished. The server comes last: from then on
// queries go there, and it shall not get any but for its domains.
func (s service) set(ctx context.Context, index int, w wish) error {
	type server struct {
		Family  int32
		Address []byte
	}
	type routed struct {
		Name    string
		Routing bool
	}
	var domains []routed
	for _, d := range w.domains {
		domains = append(domains, routed{d, true})
	}
	calls := []struct {
		method string
		value  any
	}{
		{"SetLinkDefaultRoute", false},
		// The gateway has neither, and names below internal are not signed: with
		// these on for all links it would not be believed.
		{"SetLinkDNSSEC", "no"},
		{"SetLinkDNSOverTLS", "no"},
		// Whoever is inside could answer to any bare name of the host's programs.
		{"SetLinkLLMNR", "no"},
		{"SetLinkMulticastDNS", "no"},
		{"SetLinkDomains", domains},
		{"SetLinkDNS", []server{{unix.AF_INET, w.server.AsSlice()}}},
	}
	for _, c := range calls {
		err := s.ask(ctx, c.method, int32(index), c.value)
		if systembus.IsError(err, unknownMethod) { // older than the protocol: then it is off
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// revert makes it forget what it was told of a link. One that is gone is fine.
func (s service) revert(ctx context.Context, index int) error {
	err := s.ask(ctx, "RevertLink", int32(index))
	if errors.Is(err, errUnknownLink) {
		return nil
	}
	return err
}

func (s service) object() dbus.BusObject { return s.Object(busName, managerPath) }

func (s service) property(ctx context.Context, name string, to any) error {
	return systembus.Property(ctx, s.object(), manager, name, to)
}

// ask calls a method that returns nothing.
func (s service) ask(ctx context.Context, method string, args ...any) error {
	err := systembus.Ask(ctx, s.object(), manager+"."+method, nil, args...)
	if systembus.IsError(err, noSuchLink) {
		return errUnknownLink
	}
	return err
}
