package machined

import (
	"context"

	"github.com/godbus/dbus/v5"

	"github.com/hostnat/hostnat/internal/systembus"
)

// Names of org.freedesktop.machine1(5).
const (
	busName     = "org.freedesktop.machine1"
	managerPath = "/org/freedesktop/machine1"
	manager     = busName + ".Manager"
	machineType = busName + ".Machine"
	noMachine   = busName + ".NoSuchMachine"
	noObject    = "org.freedesktop.DBus.Error.UnknownObject"
)

// service is systemd-machined on the system's bus.
type service struct{ *systembus.Conn }

func dial(ctx context.Context) (registry, error) {
	bus, err := systembus.Dial(ctx, busName, []dbus.MatchOption{dbus.WithMatchSender(busName), dbus.WithMatchInterface(manager)})
	if err != nil {
		return nil, err
	}
	return service{bus}, nil
}

func (s service) close() { s.Close() }

func (s service) changes() <-chan *dbus.Signal { return s.Signals() }

func (s service) present(ctx context.Context) (bool, error) { return s.Present(ctx, busName) }

// machines are those that are registered now. One that goes meanwhile is left out.
func (s service) machines(ctx context.Context) ([]machine, error) {
	var registered []struct {
		Name, Class, Service string
		Path                 dbus.ObjectPath
	}
	if err := systembus.Ask(ctx, s.Object(busName, managerPath), manager+".ListMachines", []any{&registered}); err != nil {
		return nil, err
	}
	var list []machine
	for _, r := range registered {
		var links []int32
		err := systembus.Property(ctx, s.Object(busName, string(r.Path)), machineType, "NetworkInterfaces", &links)
		if systembus.IsError(err, noMachine) || systembus.IsError(err, noObject) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m := machine{name: r.Name, service: r.Service}
		for _, link := range links {
			m.links = append(m.links, int(link))
		}
		list = append(list, m)
	}
	return list, nil
}
