package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
)

// bpf is where the daemon mounts its BPF filesystem.
func (m *machine) bpf() string { return filepath.Join(m.runDir(), "bpf") }

// loseCommand takes things of ours out of the kernel behind the daemon's back.
func loseCommand(m *machine, _ *testscript.TestScript, args []string) error {
	switch args[0] {
	case "links":
		return m.loseLinks()
	case "bpf":
		return m.losePins()
	case "everything": // as a reboot does: /run is empty then
		return errors.Join(m.loseLinks(), m.loseRouting(), unix.Unmount(m.bpf(), unix.MNT_DETACH), os.RemoveAll(m.runDir()))
	}
	return fmt.Errorf("lose %s?", args[0])
}

func (m *machine) loseLinks() error {
	ours, err := m.ourLinks()
	for _, name := range ours {
		err = errors.Join(err, m.Host.DeleteLink(name))
	}
	return err
}

func (m *machine) loseRouting() error {
	_, err1 := m.output("ip", "rule", "flush", "protocol", "104")
	_, err2 := m.output("ip", "route", "flush", "table", "all", "proto", "104")
	return errors.Join(err1, err2)
}

// ourLinks are those that carry hostnat's mark.
func (m *machine) ourLinks() (ours []string, err error) {
	names, err := m.Host.Links()
	for _, name := range names {
		if attrs, err := m.Host.Link(name); err == nil && attrs.Alias == "hostnat" {
			ours = append(ours, name)
		}
	}
	slices.Sort(ours)
	return ours, err
}

func (m *machine) losePins() error {
	pins, err := filepath.Glob(filepath.Join(m.bpf(), "*", "*"))
	for _, pin := range pins {
		err = errors.Join(err, os.Remove(pin))
	}
	return err
}

// consistentCommand compares the kernel with what the daemon says is
// configured.
func consistentCommand(m *machine, _ *testscript.TestScript, _ []string) error {
	s, err := m.shot()
	if err != nil {
		return err
	}
	if len(s.Problems) > 0 {
		return fmt.Errorf("problems: %q", s.Problems)
	}
	s.Endpoints = slices.DeleteFunc(s.Endpoints, func(e api.Endpoint) bool { return !e.Managed }) // they have a lease, and nothing in the kernel
	has, err := m.ourLinks()
	return errors.Join(err,
		differ("our links", wantLinks(s), has),
		differ("mappings served", wantBindings(s), bindings(s)), m.checkRanges(s),
		m.checkPins(s),
		m.checkElements("networks", len(s.segments())), m.checkElements("nats", len(s.NATs)),
		m.checkElements("endpoints", len(s.Endpoints)),
	)
}

func differ(what string, want, has []string) error {
	slices.Sort(want)
	slices.Sort(has)
	if diff := gocmp.Diff(want, has); diff != "" {
		return fmt.Errorf("%s (-configured +kernel):\n%s", what, diff)
	}
	return nil
}

func wantLinks(s snapshot) []string {
	want := []string{"hostnat0", "hostnat1"}
	for _, n := range s.Networks {
		if !n.Adopted && n.Type != api.PerEndpointNetwork {
			want = append(want, n.Bridge)
		}
	}
	for _, e := range s.Endpoints {
		if e.InNamespace() || e.Create {
			want = append(want, e.Interface)
		}
	}
	return want
}

// isRange reports whether a mapping is of several ports: it has no binding, but elements of
// its own.
func isRange(v api.Mapping) bool {
	_, ports, _ := strings.Cut(v.External, ":")
	return strings.Contains(ports, "-")
}

func wantBindings(s snapshot) (want []string) {
	for _, v := range s.Mappings {
		if isRange(v) {
			continue
		}
		internal := v.Internal
		if len(v.Targets) > 1 {
			internal = "0.0.0.0:0" // a session has the target that it was given
		}
		want = append(want, fmt.Sprintf("%v %v %v %v", v.Protocol, v.External, internal, v.Active))
	}
	return want
}

// checkRanges looks for the elements of mappings of several ports: each is there as so many
// prefixes of ports as its range needs.
func (m *machine) checkRanges(s snapshot) error {
	var want, has []string
	for _, v := range s.Mappings {
		if isRange(v) && v.Active {
			want = append(want, fmt.Sprint(v.ID))
		}
	}
	table, err := ebpf.LoadPinnedMap(filepath.Join(m.bpf(), "maps", "ranges"), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer table.Close()
	key, id := make([]byte, table.KeySize()), uint32(0)
	each := table.Iterate()
	for each.Next(&key, &id) {
		if text := fmt.Sprint(id); !slices.Contains(has, text) {
			has = append(has, text)
		}
	}
	return errors.Join(each.Err(), differ("mappings of ranges", want, has))
}

func bindings(s snapshot) (has []string) {
	for _, b := range s.Bindings {
		has = append(has, fmt.Sprintf("%v %v %v %v", b.Protocol, b.External, b.Internal, b.Configured))
	}
	return has
}

// segment is a network as the kernel has it.
type segment struct {
	link         string
	pointToPoint bool // an endpoint's own link, of a network that has no switch
}

// segments has one for each endpoint that is by itself.
func (s snapshot) segments() (list []segment) {
	alone := make(map[string]bool)
	for _, n := range s.Networks {
		if alone[n.Name] = n.Type == api.PerEndpointNetwork; !alone[n.Name] {
			list = append(list, segment{link: n.Bridge})
		}
	}
	for _, e := range s.Endpoints {
		if alone[e.Network] {
			list = append(list, segment{link: e.Interface, pointToPoint: true})
		}
	}
	return list
}

// checkPins looks which program is attached to which link.
func (m *machine) checkPins(s snapshot) error {
	want := append(m.pins("hostnat1", "reassembly-enter", "reassembly-leave"), "reassembly")
	inside := map[string]bool{"lo": true, "hostnat0": true, "hostnat1": true}
	bridges, alone := map[int]bool{}, map[string]bool{} // by index; links without a bridge, by name
	for _, n := range s.segments() {
		if n.pointToPoint {
			want = append(want, m.pins(n.link, "point-to-point-ingress")...)
			alone[n.link] = true
			continue
		}
		inside[n.link] = true
		want = append(want, m.pins(n.link, "bridge-ingress", "bridge-egress")...)
		if attrs, err := m.Host.Link(n.link); err == nil {
			bridges[attrs.Index] = true
		}
	}
	for _, e := range s.Endpoints {
		inside[e.Interface] = true
		want = append(want, m.pins(e.Interface, "inside-ingress")...)
		if !alone[e.Interface] {
			want = append(want, m.pins(e.Interface, "port-egress")...)
		}
	}
	all, err := m.Host.Links()
	if err != nil {
		return err
	}
	for _, name := range all {
		attrs, err := m.Host.Link(name)
		switch {
		case err != nil || inside[name]:
		case attrs.MasterIndex == 0:
			want = append(want, m.pins(name, "outside-ingress", "outside-egress")...)
		case bridges[attrs.MasterIndex]: // not of somebody else's bridge
			want = append(want, m.pins(name, "port-ingress", "port-egress")...)
		}
	}
	if slices.ContainsFunc(s.Mappings, func(m api.Mapping) bool { return m.Active }) {
		want = append(want, m.pins("lo", "loopback-egress")...)
	}
	entries, err := os.ReadDir(filepath.Join(m.bpf(), "links"))
	var has []string
	for _, e := range entries {
		has = append(has, e.Name())
	}
	return errors.Join(err, differ("programs attached", want, has))
}

func (m *machine) pins(link string, hooks ...string) (names []string) {
	attrs, err := m.Host.Link(link)
	if err != nil {
		return []string{err.Error()}
	}
	for _, h := range hooks {
		names = append(names, fmt.Sprintf("%d-%s", attrs.Index, h))
	}
	return names
}

func (m *machine) checkElements(table string, want int) error {
	has, err := countElements(filepath.Join(m.bpf(), "maps", table))
	if err != nil || has != want {
		return fmt.Errorf("the map %s has %d elements, want %d: %w", table, has, want, err)
	}
	return nil
}

// stateCommand changes the configuration's files while no daemon runs.
func stateCommand(m *machine, _ *testscript.TestScript, args []string) error {
	main, second := filepath.Join(m.stateDir(), "hostnat.db"), filepath.Join(m.stateDir(), "hostnat-copy.db")
	running := filepath.Join(m.runDir(), "hostnat-running.db")
	spoil := func(text []byte) []byte { return append(bytes.Repeat([]byte("?"), 50), text[min(50, len(text)):]...) }
	version := func(from, to string) func([]byte) []byte {
		return func(text []byte) []byte {
			return bytes.Replace(text, []byte(", version "+from+","), []byte(", version "+to+","), 1)
		}
	}
	switch args[0] {
	case "newer": // the first line says which layout a file has
		return rewrite(version("2", "7"), main, second)
	case "older":
		return rewrite(version("7", "2"), main, second)
	case "damaged":
		return rewrite(spoil, main)
	case "lost":
		return rewrite(spoil, main, second, running)
	}
	return fmt.Errorf("state %s?", args[0])
}

func rewrite(change func([]byte) []byte, paths ...string) error {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		changed := change(text)
		if bytes.Equal(text, changed) {
			return fmt.Errorf("%s is as it was", path)
		}
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			return err
		}
	}
	return nil
}
