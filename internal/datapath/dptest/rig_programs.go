package dptest

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// A rig has some of the programs from the start. The others are verified when a
// test attaches them, since that takes longer than most tests otherwise do; until
// then something that does nothing stands in for them.
var firstPrograms = []string{
	"inside_ingress", "bridge_ingress", "port_egress", "outside_ingress", "outside_egress", "end_session", "adopt_session", "change_index", "start_wheel",
}

// programOf is what Datapath.program attaches.
func programOf(h datapath.Hook) string {
	if h == datapath.PointToPointIngress {
		h = datapath.BridgeIngress
	}
	return strings.ReplaceAll(string(h), "-", "_")
}

// Open loads the data path as Open does, but for programs that no test of the
// rig has asked for; what it needs of the network is that of the host.
func (r *Rig) Open(t *testing.T) {
	t.Helper()
	spec, err := kernel.LoadSpec()
	wire.Must(t, err)
	for name, p := range spec.Programs {
		if !r.loaded[name] {
			p.Instructions = standIn(name)
		}
	}
	ahead := datapath.ClockAhead(r.setClock(spec))
	wire.Must(t, r.Host.Do(func() (err error) {
		r.Datapath, err = datapath.OpenSpec(r.Dir, spec, ahead)
		return err
	}))
}

// setClock says by which clock the programs of spec go, and how far it is ahead of
// the kernel's.
func (r *Rig) setClock(spec *ebpf.CollectionSpec) time.Duration {
	if r.still {
		wire.StandStill(spec)
		return 0
	}
	return wire.Uptime(spec)
}

// standIn lets everything pass: TCX_NEXT.
func standIn(name string) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, -1).WithSymbol(name), asm.Return()}
}

// need loads programs, with the rig's maps.
func (r *Rig) need(t *testing.T, names ...string) {
	t.Helper()
	spec, err := kernel.LoadSpec()
	wire.Must(t, err)
	wanted := make(map[string]*ebpf.ProgramSpec)
	for _, name := range names {
		if !r.loaded[name] {
			wanted[name], r.loaded[name] = spec.Programs[name], true
		}
	}
	if len(wanted) == 0 {
		return
	}
	spec.Programs = wanted
	r.setClock(spec)
	had := make(map[string]*ebpf.Map)
	for name, m := range members[*ebpf.Map](r.Datapath.Objects()) {
		had[name] = *m
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: had})
	wire.Must(t, err)
	defer c.Close()
	for name, has := range members[*ebpf.Program](r.Datapath.Objects()) {
		if p := c.DetachProgram(name); p != nil {
			wire.Must(t, (*has).Close())
			*has = p
		}
	}
}

// members are the objects of one type, by their names in the object file.
func members[T any](objects *kernel.Objects) map[string]*T {
	all, named := reflect.ValueOf(objects).Elem(), make(map[string]*T)
	for _, f := range reflect.VisibleFields(all.Type()) {
		if f.Type == reflect.TypeFor[T]() {
			named[f.Tag.Get("ebpf")] = all.FieldByIndex(f.Index).Addr().Interface().(*T)
		}
	}
	return named
}

// AttachHost lets the host's own programs reach mappings.
func (r *Rig) AttachHost(t *testing.T) {
	t.Helper()
	r.Attach(t, datapath.Loopback.Interface, datapath.Loopback.Hook)
	for _, n := range r.Config.Networks {
		r.Attach(t, n.Bridge, datapath.BridgeEgress)
	}
}
