package datapath

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// A rig has some of the programs from the start. The others are verified when a
// test attaches them, since that takes longer than most tests otherwise do; until
// then something that does nothing stands in for them.
var (
	firstPrograms = []string{
		"inside_ingress", "bridge_ingress", "outside_ingress", "outside_egress", "end_session", "adopt_session", "start_wheel",
	}
	hostPrograms = []string{
		"host_connect4", "host_connect6", "host_sendmsg4", "host_sendmsg6", "host_recvmsg4", "host_recvmsg6",
		"host_getpeername4", "host_getpeername6",
	}
)

// programOf is what Datapath.program attaches.
func programOf(h Hook) string {
	if h == PointToPointIngress {
		h = BridgeIngress
	}
	return strings.ReplaceAll(string(h), "-", "_")
}

// open loads the data path as Open does, but for programs that no test of the
// rig has asked for; what it needs of the network is that of the host.
func (r *rig) open(t *testing.T) {
	t.Helper()
	spec, err := loadBpf()
	must(t, err)
	for name, p := range spec.Programs {
		if !r.loaded[name] {
			p.Instructions = standIn(name, p.Type)
		}
	}
	must(t, r.Host.Do(func() (err error) {
		r.dp, err = openSpec(r.dir, spec, options{})
		return err
	}))
}

// standIn lets everything pass.
func standIn(name string, kind ebpf.ProgramType) asm.Instructions {
	verdict := int32(-1) // TCX_NEXT
	if kind == ebpf.CGroupSockAddr {
		verdict = 1
	}
	return asm.Instructions{asm.Mov.Imm(asm.R0, verdict).WithSymbol(name), asm.Return()}
}

// need loads programs, with the rig's maps.
func (r *rig) need(t *testing.T, names ...string) {
	t.Helper()
	spec, err := loadBpf()
	must(t, err)
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
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: tagged[*ebpf.Map](&r.dp.objects.bpfMaps)})
	must(t, err)
	defer c.Close()
	programs := reflect.ValueOf(&r.dp.objects.bpfPrograms).Elem()
	for i := range programs.NumField() {
		name := programs.Type().Field(i).Tag.Get("ebpf")
		if p := c.DetachProgram(name); p != nil {
			must(t, programs.Field(i).Interface().(*ebpf.Program).Close())
			programs.Field(i).Set(reflect.ValueOf(p))
		}
	}
}

// tagged is the fields of what bpf2go made, by their names in the object.
func tagged[T any](all any) map[string]T {
	fields, named := reflect.ValueOf(all).Elem(), make(map[string]T)
	for i := range fields.NumField() {
		if v, ok := fields.Field(i).Interface().(T); ok {
			named[fields.Type().Field(i).Tag.Get("ebpf")] = v
		}
	}
	return named
}

// attachHost hooks the sockets of the host's programs.
func (r *rig) attachHost(t *testing.T) {
	t.Helper()
	r.need(t, hostPrograms...)
	must(t, r.dp.AttachHost(cgroupRoot(t)))
}
