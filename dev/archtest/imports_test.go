package archtest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ours says which packages of ours each package may import, tests aside.
// ARCHITECTURE.md explains the picture.
var ours = map[string][]string{
	"internal/model":                  {},
	"internal/config":                 {"internal/model", "internal/config/wanted"},
	"internal/config/wanted":          {"internal/model"},
	"internal/config/diff":            {"internal/model", "internal/config", "internal/config/wanted"},
	"internal/config/warning":         {"internal/model", "internal/config"},
	"internal/configfile":             {"internal/model", "internal/config", "internal/config/wanted"},
	"internal/natmodel":               {"internal/model", "internal/config"},
	"internal/ipam":                   {"internal/model", "internal/config"},
	"internal/store":                  {"internal/model", "internal/config", "internal/config/diff", "internal/regular"},
	"internal/regular":                {},
	"internal/lograte":                {},
	"internal/costly":                 {},
	"internal/priority":               {},
	"internal/tokens":                 {},
	"internal/event":                  {"internal/model", "internal/config"},
	"internal/dhcp":                   {"internal/checksum", "internal/tokens", "internal/model", "internal/config"},
	"internal/host":                   {"internal/model", "internal/config", "internal/host/arp", "internal/host/self", "internal/host/sysctl"},
	"internal/host/arp":               {"internal/model"},
	"internal/host/self":              {"internal/model"},
	"internal/host/sysctl":            {"internal/model"},
	"internal/host/sockets":           {"internal/model", "internal/host"},
	"internal/host/examine":           {"internal/regular", "internal/model", "internal/host", "internal/host/sockets", "internal/host/sysctl"},
	"internal/host/replica":           {"internal/model", "internal/recording", "internal/host", "internal/host/sockets", "internal/host/sysctl"},
	"internal/host/hosttest":          {"internal/model", "dev/lab"},
	"internal/datapath":               {"internal/model", "internal/config", "internal/event", "internal/datapath/kernel", "internal/datapath/upgrade"},
	"internal/datapath/kernel":        {"internal/model"},
	"internal/datapath/upgrade":       {"internal/model", "internal/datapath/kernel"},
	"internal/datapath/dptest":        {"internal/model", "internal/config", "internal/event", "internal/host", "internal/datapath", "internal/datapath/kernel", "internal/datapath/dptest/wire", "dev/lab"},
	"internal/datapath/dptest/wire":   {"internal/model", "dev/lab", "internal/datapath/kernel"},
	"internal/datapath/dptest/attack": {"internal/model", "internal/datapath/dptest/wire"},
	"internal/datapath/rerun":         {"internal/checksum", "internal/event", "internal/model", "internal/recording", "internal/datapath", "internal/datapath/kernel", "internal/datapath/upgrade"},
	"internal/datapath/nattest":       {"internal/datapath"},
	"internal/datapath/linktest":      {"internal/datapath"},
	"internal/portproxy":              {"internal/model", "internal/config", "internal/sniff", "internal/budget", "internal/priority", "internal/tokens"},
	"internal/reconcile":              {"internal/costly", "internal/model", "internal/config", "internal/config/diff", "internal/event", "internal/host", "internal/host/self", "internal/host/sockets", "internal/datapath", "internal/tokens", "internal/traffic", "internal/recording", "internal/datapath/rerun", "internal/host/replica"},
	"internal/whereis":                {"internal/model", "internal/event", "internal/host", "internal/host/arp", "internal/datapath"},
	"internal/dns":                    {"internal/regular", "internal/model", "internal/config", "internal/budget", "internal/tokens"},
	"internal/systembus":              {},
	"internal/machined":               {"internal/model", "internal/systembus"},
	"internal/resolved":               {"internal/model", "internal/config", "internal/systembus"},
	"internal/doctor":                 {"internal/model", "internal/config", "internal/host", "internal/host/examine"},
	"internal/explain":                {"internal/model", "internal/config", "internal/event"},
	"internal/pathmtu":                {"internal/checksum", "internal/model"},
	"internal/capture":                {"internal/model", "internal/event"},
	"internal/recording":              {"internal/model"},
	"internal/replay":                 {"internal/checksum", "internal/model", "internal/natmodel", "internal/recording", "internal/datapath", "internal/datapath/kernel", "internal/datapath/rerun", "internal/host/replica", "internal/capture"},
	"internal/checksum":               {},
	"internal/metrics":                {},
	"internal/ipfix":                  {},
	"internal/ipfix/ipfixtest":        {},
	"internal/syslog":                 {},
	"internal/export":                 {"internal/model", "internal/event", "internal/ipfix", "internal/syslog", "internal/tokens"},
	"internal/names":                  {},
	"internal/traffic":                {"internal/model"},
	"internal/control":                {"internal/costly", "internal/model", "internal/config", "internal/config/diff", "internal/config/wanted", "internal/config/warning", "internal/event", "internal/ipam", "internal/store", "internal/traffic"},
	"api":                             {},
	"internal/server":                 {"internal/priority", "api", "internal/model", "internal/config", "internal/config/diff", "internal/config/wanted", "internal/config/warning", "internal/configfile", "internal/event", "internal/control", "internal/doctor", "internal/explain", "internal/metrics", "internal/capture", "internal/tokens", "internal/traffic", "internal/recording"},
	"internal/server/servertest":      {"api", "internal/model", "internal/config", "internal/config/diff", "internal/config/wanted", "internal/config/warning", "internal/event", "internal/control", "internal/doctor", "internal/explain", "internal/metrics", "internal/traffic", "internal/recording"},
	"internal/web":                    {"api", "internal/regular"},
	"internal/daemon":                 {"internal/traffic", "internal/export", "internal/names", "internal/regular", "internal/web", "internal/budget", "internal/model", "internal/config", "internal/config/wanted", "internal/configfile", "internal/store", "api", "internal/server", "internal/control", "internal/dhcp", "internal/host", "internal/host/arp", "internal/host/self", "internal/host/sockets", "internal/host/examine", "internal/portproxy", "internal/reconcile", "internal/dns", "internal/resolved", "internal/machined", "internal/doctor", "internal/explain", "internal/pathmtu", "internal/metrics", "internal/whereis", "internal/plugin/docker", "internal/plugin/docker/driver", "internal/priority", "internal/recording"},
	"internal/foreign":                {"internal/config/wanted"},
	"internal/sniff":                  {},
	"internal/plugin/docker":          {"internal/regular", "api"},
	"internal/plugin/docker/driver":   {"api", "internal/plugin/container", "internal/plugin/docker"},
	"internal/plugin/bridgehelper":    {"api"},
	"internal/plugin/extcap":          {"api"},
	"internal/plugin/podman":          {"internal/regular", "api", "internal/plugin/container"},
	"internal/plugin/cni":             {"api", "internal/plugin/container"},
	"internal/plugin/container":       {"api"},
	"internal/budget":                 {},
	"dev/documents":                   {},
	"dev/lab":                         {},
	"dev/demo":                        {"api", "internal/event", "dev/lab"},
	"dev/bench":                       {"api", "internal/model", "internal/config", "dev/lab", "dev/bench/traffic"},
	"dev/bench/traffic":               {"dev/lab"},
	"dev/archtest":                    {},
	"cmd/hostnat":                     {"api", "internal/capture", "internal/configfile", "internal/foreign", "internal/daemon", "internal/plugin/docker", "internal/plugin/bridgehelper", "internal/plugin/extcap", "internal/plugin/podman", "internal/plugin/cni", "internal/lograte", "dev/demo", "cmd/hostnat/text", "cmd/hostnat/top", "internal/recording", "internal/replay"},
	"cmd/hostnat/text":                {"api"},
	"cmd/hostnat/top":                 {"api", "cmd/hostnat/text"},
	"dev/hostnat-bench":               {"dev/bench", "dev/lab"},
	"test":                            {"api", "internal/capture", "internal/datapath/kernel", "internal/model", "internal/config", "internal/event", "internal/control", "internal/daemon", "dev/lab"},
	"e2e":                             {"api", "internal/capture", "internal/model", "internal/config", "internal/event", "dev/lab", "dev/documents"},
}

// anyTest may be imported by every test.
var anyTest = []string{"dev/lab", "internal/host/hosttest", "internal/server/servertest", "internal/ipfix/ipfixtest", "internal/event", "internal/model", "internal/config", "internal/natmodel", "internal/store"}

// alsoTests says what else a package's tests may import, and why.
var alsoTests = map[string][]string{
	"internal/datapath":          {"internal/datapath/dptest/wire"},
	"internal/datapath/upgrade":  {"internal/datapath", "internal/datapath/dptest", "internal/datapath/dptest/wire"},
	"internal/datapath/nattest":  {"internal/datapath/kernel", "internal/datapath/dptest", "internal/datapath/dptest/wire"},
	"internal/datapath/linktest": {"internal/datapath/kernel", "internal/datapath/dptest", "internal/datapath/dptest/wire", "internal/datapath/dptest/attack", "internal/host"}, // the reassembly namespace is a namespace: without the real one its programs show nothing
	"internal/control":           {"internal/configfile"},                                                                                                                       // what files ask for is written as they are
	"api":                        {"internal/server"},                                                                                                                           // its examples talk to a server
	"cmd/hostnat/top":            {"internal/server"},                                                                                                                           // its screens are run with a server behind them
	"test":                       {"internal/datapath/dptest/attack", "internal/datapath/dptest/wire"},                                                                          // a hostile machine's frames
}

// confined says which packages alone may import something, tests too, and why.
var confined = []struct {
	imported string // a path and all below it
	by       []string
	reason   string
}{
	{"github.com/cilium/ebpf", []string{"internal/datapath", "internal/datapath/rerun", "internal/datapath/kernel", "internal/datapath/upgrade", "internal/datapath/dptest", "internal/datapath/dptest/wire", "internal/datapath/nattest", "internal/datapath/linktest", "dev/bench/traffic", "test"}, "one package of the product knows the kernel's tables and how to load programs"},
	{"github.com/vishvananda/netlink", []string{"internal/host", "internal/host/replica", "internal/host/arp", "internal/host/sockets", "dev/lab", "dev/demo", "dev/bench/traffic"}, "one part of the product changes the host; the library may have to be replaced"},
	{"github.com/google/nftables", []string{"internal/host/examine", "test"}, "one package looks at the host's firewall"},
	{"github.com/vishvananda/netns", []string{"internal/host", "dev/lab"}, "a thread in the wrong namespace is a bug that must have one place to be in"},
	{"github.com/miekg/dns", []string{"internal/dns", "test", "e2e", "dev/bench"}, "its author has declared this version the last of its kind; it may have to be replaced"},
	{"github.com/prometheus", []string{"internal/metrics", "test"}, "one package writes the metrics"},
	{"github.com/fsnotify/fsnotify", []string{"internal/dns"}, "one task follows files of the host"},
	{"github.com/godbus/dbus", []string{"internal/systembus", "internal/resolved", "internal/machined"}, "two programs of the host are asked by D-Bus"},
	{"github.com/moby/moby", []string{"internal/plugin/docker"}, "one package speaks to Docker"},
	{"github.com/containerd/errdefs", []string{"internal/plugin/docker"}, "it tells Docker's refusals apart"},
	{"github.com/coreos/go-systemd", []string{"internal/daemon"}, "who started the daemon is told by the daemon alone"},
	{"github.com/gopacket/gopacket", []string{"internal/capture", "test", "e2e"}, "one package reads captured headers and writes files of packets"},
	{"golang.org/x/net/bpf", []string{"internal/capture", "internal/dhcp", "internal/host"}, "filters of sockets, and tcpdump's"},
	{"go.yaml.in/yaml", []string{"cmd/hostnat", "cmd/hostnat/text", "internal/configfile"}, "configuration files are one package's matter, output for people is the command line's"},
	{"golang.org/x/crypto", []string{"internal/sniff"}, "reading a ClientHello is one package's matter; keys and certificates are nobody's"},
	{"github.com/pires/go-proxyproto", []string{"internal/portproxy", "e2e", "test"}, "who the client is, is told by the relays alone"},
	{"github.com/insomniacslk/dhcp", []string{"internal/dhcp", "test", "e2e"}, "everything else speaks in values of ours"},
	{"github.com/mdlayher/packet", []string{"internal/dhcp", "internal/host", "internal/host/arp"}, "frames are sent by who serves addresses, and by who asks whether one is taken"},
	{"github.com/spf13/cobra", []string{"cmd/hostnat"}, "flags and usage are wiring"},
	{"github.com/spf13/pflag", []string{"cmd/hostnat", "internal/plugin/bridgehelper", "internal/plugin/extcap"}, "flags and usage are wiring"},
	{"charm.land/bubbletea", []string{"cmd/hostnat/top"}, "screens are one package's matter, and all but a file of it is pure"},
	{"github.com/chromedp", []string{"e2e"}, "one set of tests drives a browser"},
	{"net/http", []string{"api", "internal/server", "internal/plugin/docker/driver", "internal/web", "dev/lab", "dev/demo", "dev/bench", "e2e"}, "everything else speaks in values of ours"},
	{"os/exec", []string{"dev/lab", "dev/demo", "dev/bench", "e2e"}, "the product runs no other programs"},
	{"testing", []string{"dev/lab", "internal/datapath/dptest", "internal/datapath/dptest/wire", "internal/host/hosttest"}, "the demo must not link the test framework"},
	{"log", nil, "log/slog is passed in where it is needed; there is no global logger"},
}

// pure packages do no IO and know no clock but the one they are given.
var pure = map[string][]string{
	"internal/model":          {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/config":         {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/config/wanted":  {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/config/diff":    {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/config/warning": {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/checksum":       {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/ipfix":          {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/syslog":         {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	"internal/ipam":           {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog"},
	// Not even a random number: the same packets must always give the same answers.
	"internal/natmodel": {"os", "os/exec", "syscall", "net/http", "golang.org/x/sys/unix", "context", "log/slog", "math/rand", "math/rand/v2", "crypto/rand"},
}

func TestPackagesOfOurs(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		allowed, known := ours[s.pkg()]
		if !known {
			t.Errorf("%s: package %s has no rule: say in imports_test.go and ARCHITECTURE.md what it may import", s.Path, s.pkg())
			continue
		}
		for _, imported := range s.Imports {
			imported, isOurs := strings.CutPrefix(imported, module)
			if !isOurs || imported == s.pkg() || slices.Contains(allowed, imported) {
				continue
			}
			if s.isTest() && mayTest(s.pkg(), imported) {
				continue
			}
			t.Errorf("%s imports %s; %s may import %v", s.Path, imported, s.pkg(), allowed)
		}
	}
}

// mayTest allows a package's tests the packages made for tests, and what the
// packages that it imports may import: it needs them to set these up.
func mayTest(pkg, imported string) bool {
	if slices.Contains(anyTest, imported) || slices.Contains(alsoTests[pkg], imported) {
		return true
	}
	for _, direct := range ours[pkg] {
		if slices.Contains(ours[direct], imported) {
			return true
		}
	}
	return false
}

func TestConfinedImports(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, problem := range violations(s) {
			t.Error(problem)
		}
	}
}

// Whoever uses the API from Go gets nothing of ours, and nothing of others.
func TestAPIImportsGoAlone(t *testing.T) {
	t.Parallel()
	found := 0
	for _, s := range sources(t) {
		if s.pkg() != "api" || s.isTest() {
			continue
		}
		found++
		for _, imported := range s.Imports {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s; package api imports Go's own library alone", s.Path, imported)
			}
		}
	}
	if found == 0 {
		t.Error("package api has no source")
	}
}

func violations(s source) []string {
	var list []string
	for _, imported := range s.Imports {
		for _, rule := range confined {
			inTest := s.isTest() && !strings.Contains(rule.imported, ".") // tests may use all of Go's own library
			if within(imported, rule.imported) && !inTest && !slices.Contains(rule.by, s.pkg()) {
				list = append(list, fmt.Sprintf("%s imports %s; only %v may: %s", s.Path, imported, rule.by, rule.reason))
			}
		}
		if slices.Contains(pure[s.pkg()], imported) && !s.isTest() {
			list = append(list, fmt.Sprintf("%s imports %s; %s is pure: no IO, time and facts as arguments", s.Path, imported, s.pkg()))
		}
	}
	return list
}

func within(imported, tree string) bool {
	if tree == "log" || tree == "testing" { // log/slog and testing/... are others
		return imported == tree
	}
	return imported == tree || strings.HasPrefix(imported, tree+"/")
}

// TestViolations shows that the rules catch what they are for.
func TestViolations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   source
		want int
	}{
		{"nothing", source{Path: "internal/control/x.go", Imports: []string{"context", "log/slog"}}, 0},
		{"ebpf outside datapath", source{Path: "internal/control/x.go", Imports: []string{"github.com/cilium/ebpf/link"}}, 1},
		{"ebpf in datapath", source{Path: "internal/datapath/x.go", Imports: []string{"github.com/cilium/ebpf/link"}}, 0},
		{"netlink in a command", source{Path: "cmd/hostnat/x.go", Imports: []string{"github.com/vishvananda/netlink"}}, 1},
		{"nftables in a test of another package", source{Path: "internal/control/x_test.go", Imports: []string{"github.com/google/nftables"}}, 1},
		{"programs run by a test", source{Path: "internal/control/x_test.go", Imports: []string{"os/exec"}}, 0},
		{"programs run by the product", source{Path: "internal/control/x.go", Imports: []string{"os/exec"}}, 1},
		{"global logger", source{Path: "internal/control/x.go", Imports: []string{"log"}}, 1},
		{"IO in a pure package", source{Path: "internal/model/x.go", Imports: []string{"os"}}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, len(violations(test.in))); diff != "" {
				t.Errorf("violations (-want +got):\n%s%v", diff, violations(test.in))
			}
		})
	}
}

// TestDomainHasNoWire: what travels is of package api, what is stored of package
// store. Domain values have no form of their own for either.
func TestDomainHasNoWire(t *testing.T) {
	t.Parallel()
	domain := []string{"internal/model", "internal/config", "internal/event", "internal/ipam", "internal/natmodel", "internal/doctor", "internal/explain"}
	for _, s := range sources(t) {
		if s.isTest() || !slices.Contains(domain, s.pkg()) {
			continue
		}
		if slices.Contains(s.Imports, "encoding/json") || strings.Contains(read(t, s.Path), "`json:") {
			t.Errorf("%s knows JSON: what travels is of package api, what is stored of internal/store", s.Path)
		}
	}
}

// TestNetworkTypesAreExplicit: what depends on a network's type asks the network. Only
// the types' own files compare them, or know the words that once stood for one.
func TestNetworkTypesAreExplicit(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`\bmodel\.(Type(NAT|Internal|PerEndpoint|PointToPoint|Of)|EachCompartment)\b|Compartment [!=]= "`)
	types := 0
	for _, s := range sources(t) {
		name := path.Base(s.Path)
		if s.isTest() || !strings.HasPrefix(s.Path, "internal/") {
			continue
		}
		if s.pkg() == "internal/model" {
			if strings.HasPrefix(name, "network_type_") {
				types++
			}
			continue
		}
		if s.Path == "internal/store/record_network.go" { // of networks that were stored before types were
			continue
		}
		if found := named.FindString(read(t, s.Path)); found != "" && !strings.HasPrefix(s.pkg(), "internal/plugin") {
			t.Errorf("%s has %q: ask the network what its type says (internal/model/network_type.go)", s.Path, found)
		}
	}
	if types < 3 {
		t.Errorf("%d files of network types", types)
	}
}
