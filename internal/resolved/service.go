package resolved

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Names of org.freedesktop.resolve1(5).
const (
	busName       = "org.freedesktop.resolve1"
	managerPath   = "/org/freedesktop/resolve1"
	manager       = busName + ".Manager"
	noSuchLink    = busName + ".NoSuchLink"
	unknownMethod = "org.freedesktop.DBus.Error.UnknownMethod"
	noOwner       = "org.freedesktop.DBus.Error.NameHasNoOwner"
)

// callTimeout is how long one answer is waited for.
const callTimeout = 5 * time.Second

// errUnknownLink is systemd-resolved's answer as long as it has not heard of a
// link.
var errUnknownLink = errors.New("the link is not known")

// service is systemd-resolved on the system's bus.
type service struct {
	bus     *dbus.Conn
	signals chan *dbus.Signal // a new owner of the name; closed with the connection
	end     context.CancelFunc
}

// dial connects to the system's bus.
func dial(ctx context.Context) (resolver, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// The connection stays when ctx has ended: what was set is to be taken back.
	connection, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	keep := context.AfterFunc(ctx, giveUp)
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(connection))
	if err != nil {
		giveUp()
		return nil, fmt.Errorf("connect to the system's bus: %w", err)
	}
	keep()
	s := &service{bus: bus, signals: make(chan *dbus.Signal, 16), end: giveUp}
	bus.Signal(s.signals)
	err = bus.AddMatchSignalContext(ctx, dbus.WithMatchSender("org.freedesktop.DBus"),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, busName))
	if err != nil {
		s.close()
		return nil, fmt.Errorf("listen to the system's bus: %w", err)
	}
	return s, nil
}

func (s *service) close() {
	s.bus.Close()
	s.end()
}

func (s *service) changes() <-chan *dbus.Signal { return s.signals }

// present reports whether systemd-resolved runs and serves the host that this
// process is on: a container, and a daemon in a network namespace of its own, may
// well see the bus of another. It is not started for this.
func (s *service) present(ctx context.Context) (bool, error) {
	var owner string
	err := s.ask(ctx, s.bus.BusObject(), "org.freedesktop.DBus.GetNameOwner", []any{&owner}, busName)
	if isError(err, noOwner) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var pid uint32
	if err := s.ask(ctx, s.bus.BusObject(), "org.freedesktop.DBus.GetConnectionUnixProcessID", []any{&pid}, owner); err != nil {
		return false, err
	}
	return sharesNetwork(pid), nil
}

// sharesNetwork reports whether a process is in the same network namespace.
func sharesNetwork(pid uint32) bool {
	ours, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return false
	}
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && os.SameFile(ours, its)
}

// settings returns what it knows of all links, by index.
func (s *service) settings(ctx context.Context) (map[int]setting, error) {
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
func (s *service) set(ctx context.Context, index int, w wish) error {
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
		err := s.ask(ctx, s.object(), manager+"."+c.method, nil, int32(index), c.value)
		if isError(err, unknownMethod) { // older than the protocol: then it is off
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// revert makes it forget what it was told of a link. One that is gone is fine.
func (s *service) revert(ctx context.Context, index int) error {
	err := s.ask(ctx, s.object(), manager+".RevertLink", nil, int32(index))
	if errors.Is(err, errUnknownLink) {
		return nil
	}
	return err
}

func (s *service) object() dbus.BusObject { return s.bus.Object(busName, managerPath) }

func (s *service) property(ctx context.Context, name string, to any) error {
	var v dbus.Variant
	if err := s.ask(ctx, s.object(), "org.freedesktop.DBus.Properties.Get", []any{&v}, manager, name); err != nil {
		return err
	}
	if err := v.Store(to); err != nil {
		return fmt.Errorf("read property %s: %w", name, err)
	}
	return nil
}

// ask calls a method and stores what it returns. Nothing is started by it.
func (s *service) ask(ctx context.Context, object dbus.BusObject, method string, to []any, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := object.CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...).Store(to...)
	switch {
	case isError(err, noSuchLink):
		return errUnknownLink
	case err != nil:
		return fmt.Errorf("%s: %w", method[strings.LastIndexByte(method, '.')+1:], err)
	}
	return nil
}

func isError(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}
