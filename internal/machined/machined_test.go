package machined

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/hostnat/hostnat/internal/model"
)

func TestGuestName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, service, want string }{
		{"qemu-7-web", "libvirt-qemu", "web"},
		{"lxc-12-db-1", "libvirt-lxc", "db-1"},
		{"qemu-7-qemu-8-x", "libvirt-qemu", "qemu-8-x"},
		{"qemu-7-web", "systemd-nspawn", "qemu-7-web"},
		{"Box.example", "systemd-nspawn", "box-example"},
		{"_x_", "systemd-nspawn", "x"},
	} {
		if got := guestName(machine{name: tt.name, service: tt.service}); got != tt.want {
			t.Errorf("%s of %s is called %q, want %q", tt.name, tt.service, got, tt.want)
		}
	}
}

// fake stands for the bus, for systemd-machined and for what bridges have heard of.
type fake struct {
	mu       sync.Mutex
	absent   bool
	list     []machine
	stations map[string]model.MAC
	dialled  int
	signals  chan *dbus.Signal
}

func (f *fake) present(context.Context) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.absent, nil
}

func (f *fake) machines(context.Context) ([]machine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.absent {
		return nil, errors.New("asked though it is absent")
	}
	return f.list, nil
}

func (f *fake) changes() <-chan *dbus.Signal { return f.signals }
func (f *fake) close()                       {}

func (f *fake) station(link string) (model.MAC, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mac, known := f.stations[link]
	return mac, known
}

// linkName knows all links but number 1.
func linkName(index int) string {
	if index == 1 {
		return ""
	}
	return fmt.Sprint("l", index)
}

func (f *fake) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

func TestGuests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const webMAC, boxMAC = model.MAC("52:54:00:00:00:01"), model.MAC("52:54:00:00:00:02")
		f := &fake{signals: make(chan *dbus.Signal), stations: map[string]model.MAC{"l7": webMAC}}
		f.list = []machine{{"qemu-1-web", "libvirt-qemu", []int{7}}, {"box", "systemd-nspawn", []int{9}}, {"without", "systemd-nspawn", nil}, {"gone", "libvirt-qemu", []int{1}}}
		g := New(Host{LinkName: linkName, Station: f.station}, slog.New(slog.DiscardHandler))
		g.dial = func(context.Context) (registry, error) { f.dialled++; return f, nil }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		changed := func() bool {
			synctest.Wait()
			select {
			case <-g.Changed():
				return true
			default:
				return false
			}
		}
		check := func(what string, news bool, want map[model.MAC]string) {
			t.Helper()
			if got := changed(); got != news {
				t.Errorf("%s: news %v, want %v", what, got, news)
			}
			if got := g.Names(); !maps.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		check("one is heard of", true, map[model.MAC]string{webMAC: "web"})
		f.change(func() { f.stations = map[string]model.MAC{"vb-box": boxMAC} })
		check("the other is heard of, the first is silent", false, map[model.MAC]string{webMAC: "web", boxMAC: "box"})

		f.change(func() { f.list = f.list[1:] })
		f.signals <- &dbus.Signal{}
		time.Sleep(time.Second)
		check("one has gone", true, map[model.MAC]string{boxMAC: "box"})
		f.change(func() {
			f.list = append(f.list, machine{"new", "systemd-nspawn", []int{7}})
			f.stations["l7"] = boxMAC[:16] + "3"
		})
		time.Sleep(lookAgain)
		check("another one has the first one's link", true, map[model.MAC]string{boxMAC: "box", boxMAC[:16] + "3": "new"})

		f.change(func() { f.absent = true })
		time.Sleep(lookAgain)
		check("nobody knows", true, nil)
		close(f.signals)
		f.change(func() { f.absent, f.signals = false, make(chan *dbus.Signal) })
		time.Sleep(2 * lookAgain)
		check("after another bus", true, map[model.MAC]string{boxMAC: "box", boxMAC[:16] + "3": "new"})
		if f.dialled != 2 {
			t.Errorf("dialled %d times, want 2", f.dialled)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}
