// Package systembus asks services of the host over the system's D-Bus. None is started
// for it.
package systembus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// callTimeout is how long one answer is waited for.
const callTimeout = 5 * time.Second

const noOwner = "org.freedesktop.DBus.Error.NameHasNoOwner"

// Conn is a connection to the system's bus.
type Conn struct {
	bus     *dbus.Conn
	signals chan *dbus.Signal
	end     context.CancelFunc
}

// Dial connects to the bus, and listens to a name's owner and to the signals that
// match.
func Dial(ctx context.Context, name string, matches ...[]dbus.MatchOption) (*Conn, error) {
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
	c := &Conn{bus: bus, signals: make(chan *dbus.Signal, 16), end: giveUp}
	bus.Signal(c.signals)
	matches = append(matches, []dbus.MatchOption{
		dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name),
	})
	for _, m := range matches {
		if err := bus.AddMatchSignalContext(ctx, m...); err != nil {
			c.Close()
			return nil, fmt.Errorf("listen to the system's bus: %w", err)
		}
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() {
	c.bus.Close()
	c.end()
}

// Signals are what was listened to. The channel is closed with the connection.
func (c *Conn) Signals() <-chan *dbus.Signal { return c.signals }

// Present reports whether the service of that name runs and serves the host that this
// process is on: a container, and a daemon in a network namespace of its own, may
// well see the bus of another.
func (c *Conn) Present(ctx context.Context, name string) (bool, error) {
	var owner string
	err := Ask(ctx, c.bus.BusObject(), "org.freedesktop.DBus.GetNameOwner", []any{&owner}, name)
	if IsError(err, noOwner) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var pid uint32
	if err := Ask(ctx, c.bus.BusObject(), "org.freedesktop.DBus.GetConnectionUnixProcessID", []any{&pid}, owner); err != nil {
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

// Object is an object of a service.
func (c *Conn) Object(name, path string) dbus.BusObject {
	return c.bus.Object(name, dbus.ObjectPath(path))
}

// Property reads a property of an object.
func Property(ctx context.Context, object dbus.BusObject, of, name string, to any) error {
	var v dbus.Variant
	if err := Ask(ctx, object, "org.freedesktop.DBus.Properties.Get", []any{&v}, of, name); err != nil {
		return err
	}
	if err := v.Store(to); err != nil {
		return fmt.Errorf("read property %s: %w", name, err)
	}
	return nil
}

// Ask calls a method and stores what it returns.
func Ask(ctx context.Context, object dbus.BusObject, method string, to []any, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := object.CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...).Store(to...); err != nil {
		return fmt.Errorf("%s: %w", method[strings.LastIndexByte(method, '.')+1:], err)
	}
	return nil
}

// IsError reports whether a service has answered with the error of that name.
func IsError(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}
