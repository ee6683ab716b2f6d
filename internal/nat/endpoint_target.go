package nat

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// DefaultIfName is the link name inside a namespace if none is asked for.
const DefaultIfName = "eth0"

// parseTarget reads what the endpoint is attached to, and its link names.
func (e *Endpoint) parseTarget(spec EndpointSpec) error {
	var given []EndpointKind
	for _, t := range []struct {
		kind EndpointKind
		text string
	}{{KindNetns, spec.Netns}, {KindPID, spec.PID}, {KindTAP, spec.TAP}, {KindPort, spec.Port}} {
		if t.text != "" {
			given = append(given, t.kind)
			e.Kind, e.Target = t.kind, t.text
		}
	}
	switch {
	case len(given) == 0:
		return Errorf(Invalid, "endpoint %q is attached to nothing", spec.Name).WithHint("give one of --netns, --pid, --tap and --port")
	case len(given) > 1:
		return Errorf(Invalid, "endpoint %q is attached to both %s and %s", spec.Name, given[0], given[1]).WithHint("give only one of --netns, --pid, --tap and --port")
	}
	if err := e.checkTargetText(); err != nil {
		return err
	}
	return e.nameLinks(spec)
}

func (e *Endpoint) checkTargetText() error {
	switch e.Kind {
	case KindPID:
		pid, err := strconv.ParseUint(e.Target, 10, 31)
		if err != nil || pid == 0 {
			return Errorf(Invalid, "pid %q is not a process id", clip(e.Target)).WithHint("use a positive number")
		}
		e.Target = strconv.FormatUint(pid, 10)
		return nil
	case KindNetns:
		if err := checkNamespaceText(e.Target); err != nil {
			return err
		}
		e.Target = namespaceTarget(e.Target)
		return nil
	}
	return CheckLink(string(e.Kind), e.Target)
}

func checkNamespaceText(s string) error {
	const most = 4095 // PATH_MAX without the final zero byte
	bad := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case len(s) > most || strings.ContainsFunc(s, bad):
		return Errorf(Invalid, "namespace %q is not a name or path", clip(s)).WithHint("use a name that 'ip netns' shows, or an absolute path")
	case strings.Contains(s, "/") && !path.IsAbs(s), s == ".", s == "..":
		return Errorf(Invalid, "namespace %q is a relative path", clip(s)).WithHint("use a name that 'ip netns' shows, or an absolute path")
	}
	return nil
}

// namespaceTarget gives one namespace one spelling: a path in the directory of
// named namespaces becomes the name.
func namespaceTarget(s string) string {
	if !path.IsAbs(s) {
		return s
	}
	dir, name := path.Split(path.Clean(s))
	if name != "" && (dir == "/run/netns/" || dir == "/var/run/netns/") {
		return name
	}
	return path.Clean(s)
}

func (e *Endpoint) nameLinks(spec EndpointSpec) error {
	if !e.InNamespace() {
		if spec.IfName != "" && spec.IfName != DefaultIfName {
			return Errorf(Invalid, "a %s endpoint has no link inside a namespace to call %q", e.Kind, clip(spec.IfName)).WithHint("leave --ifname out")
		}
		e.Interface = e.Target
		return nil
	}
	e.Interface = EndpointLink(e.Name)
	e.IfName = or(spec.IfName, DefaultIfName)
	if e.IfName == "lo" {
		return Errorf(Invalid, "interface name lo belongs to the loopback").WithHint("choose another with --ifname")
	}
	return CheckLink("interface name", e.IfName)
}

func (e *Endpoint) parseAddresses(spec EndpointSpec) (err error) {
	if spec.Address != "" {
		if e.Address, err = ParseIPv4("address", spec.Address); err != nil {
			return err
		}
	}
	if spec.MAC != "" {
		e.MAC, err = ParseMAC(spec.MAC)
	}
	return err
}

// checkTarget refuses a link or namespace that is taken, and a port that is
// the host's own way out: as a port it would cut the host off.
func (c *Config) checkTarget(e Endpoint, facts HostFacts) error {
	for _, other := range c.Endpoints {
		if e.InNamespace() && other.Kind == e.Kind && other.Target == e.Target && other.IfName == e.IfName {
			return Errorf(Conflict, "%s in %s %s belongs to endpoint %q", e.IfName, e.Kind, e.Target, other.Name).WithHint("choose another name inside with --ifname")
		}
	}
	if user, busy := c.linkUser(e.Interface); busy {
		return Errorf(Conflict, "link %s belongs to %s", e.Interface, user).WithHint("choose another")
	}
	if e.InNamespace() {
		return nil
	}
	if a := facts.AddressOf(e.Interface); a.IsValid() {
		return Errorf(Conflict, "link %s has the host's address %s", e.Interface, a).WithHint("use a link that is there for the endpoint alone")
	}
	if e.Interface == facts.DefaultInterface {
		return Errorf(Conflict, "link %s is the host's way to the outside", e.Interface).WithHint("use a link that is there for the endpoint alone")
	}
	return nil
}

// linkUser says what of ours uses a link of the host.
func (c *Config) linkUser(link string) (string, bool) {
	for _, n := range c.Networks {
		if n.Bridge == link {
			return fmt.Sprintf("network %q", n.Name), true
		}
	}
	for _, e := range c.Endpoints {
		if e.Interface == link {
			return fmt.Sprintf("endpoint %q", e.Name), true
		}
	}
	for _, n := range c.NATs {
		for _, i := range n.ExternalInterfaces {
			if i == link {
				return fmt.Sprintf("the outside of NAT %q", n.Name), true
			}
		}
	}
	return "", false
}
