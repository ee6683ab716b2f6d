package config

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// parseTarget reads what the endpoint is attached to, and its link names.
func parseTarget(e *model.Endpoint, spec EndpointSpec) error {
	pair := ""
	if spec.Pair {
		pair = model.PairEnd(spec.Name)
	}
	var err error
	if e.TAP, err = parseTAP(spec); err != nil {
		return err
	}
	tap := spec.TAP
	if e.TAP.Made && spec.Netns != "" { // that is where the TAP is then
		spec.TAP = ""
	}
	var given []model.EndpointKind
	for _, t := range []struct {
		kind model.EndpointKind
		text string
	}{{model.KindNetns, spec.Netns}, {model.KindPID, spec.PID}, {model.KindTAP, spec.TAP}, {model.KindPort, spec.Port}, {model.KindPair, pair}} {
		if t.text != "" {
			given = append(given, t.kind)
			e.Kind, e.Target = t.kind, t.text
		}
	}
	switch {
	case len(given) == 0:
		return model.Errorf(model.Invalid, "endpoint %q is attached to nothing", spec.Name).WithHint("give one of --netns, --pid, --tap and --port")
	case len(given) > 1:
		return model.Errorf(model.Invalid, "endpoint %q is attached to both %s and %s", spec.Name, given[0], given[1]).WithHint("give only one of --netns, --pid, --tap and --port")
	}
	if err := checkTargetText(e); err != nil {
		return err
	}
	if e.InNamespace() && e.TAP.Made {
		e.Interface, e.IfName = model.EndpointLink(e.Name), tap
		return nil
	}
	return nameLinks(e, spec)
}

// parseTAP reads what a TAP is to be like that hostnat makes.
func parseTAP(spec EndpointSpec) (model.TAP, error) {
	t := spec.Make
	if err := t.Check(); err != nil || !t.Made {
		return t, err
	}
	if t.Queues == 1 {
		t.Queues = 0
	}
	switch {
	case spec.TAP == "":
		return t, model.Errorf(model.Invalid, "create makes a TAP, and none is named").WithHint("give its name with --tap")
	case spec.IfName != "":
		return t, model.Errorf(model.Invalid, "ifname is the TAP's own name, %s", model.Clip(spec.TAP)).WithHint("leave --ifname out")
	}
	return t, model.CheckForeignLink("tap", spec.TAP)
}

func checkTargetText(e *model.Endpoint) error {
	switch e.Kind {
	case model.KindPID:
		pid, err := strconv.ParseUint(e.Target, 10, 31)
		if err != nil || pid == 0 {
			return model.Errorf(model.Invalid, "pid %q is not a process id", model.Clip(e.Target)).WithHint("use a positive number")
		}
		e.Target = strconv.FormatUint(pid, 10)
		return nil
	case model.KindNetns:
		if err := checkNamespaceText(e.Target); err != nil {
			return err
		}
		e.Target = namespaceTarget(e.Target)
		return nil
	}
	return model.CheckLink(string(e.Kind), e.Target)
}

func checkNamespaceText(s string) error {
	const most = 4095 // PATH_MAX without the final zero byte
	bad := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case len(s) > most || strings.ContainsFunc(s, bad):
		return model.Errorf(model.Invalid, "namespace %q is not a name or path", model.Clip(s)).WithHint("use a name that 'ip netns' shows, or an absolute path")
	case strings.Contains(s, "/") && !path.IsAbs(s), s == ".", s == "..":
		return model.Errorf(model.Invalid, "namespace %q is a relative path", model.Clip(s)).WithHint("use a name that 'ip netns' shows, or an absolute path")
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

func nameLinks(e *model.Endpoint, spec EndpointSpec) error {
	if e.Kind == model.KindPair && !model.IsPluginOwner(spec.Owner) {
		return model.Errorf(model.Invalid, "endpoint %q is to be a pair, which plugins of container engines alone ask for", spec.Name).WithHint("give one of --netns, --pid, --tap and --port")
	}
	if !e.InNamespace() {
		if spec.IfName != "" && spec.IfName != model.DefaultIfName {
			return model.Errorf(model.Invalid, "a %s endpoint has no link inside a namespace to call %q", e.Kind, model.Clip(spec.IfName)).WithHint("leave --ifname out")
		}
		if e.Interface = e.Target; e.Kind == model.KindPair {
			e.Interface = model.EndpointLink(e.Name)
		}
		return nil
	}
	e.Interface = model.EndpointLink(e.Name)
	e.IfName = or(spec.IfName, model.DefaultIfName)
	if e.IfName == "lo" {
		return model.Errorf(model.Invalid, "interface name lo belongs to the loopback").WithHint("choose another with --ifname")
	}
	return model.CheckLink("interface name", e.IfName)
}

func parseAddresses(e *model.Endpoint, spec EndpointSpec) (err error) {
	if spec.Address != "" {
		a, err := model.ParseIPv4("address", spec.Address)
		if err != nil {
			return err
		}
		e.Addresses = []netip.Addr{a}
	}
	if spec.MAC != "" {
		e.MAC, err = model.ParseMAC(spec.MAC)
	}
	return err
}

// checkTarget refuses a link or namespace that is taken, and a port that is
// the host's own way out: as a port it would cut the host off.
func (c *Config) checkTarget(e model.Endpoint, facts model.HostFacts) error {
	for _, other := range c.Endpoints {
		if e.InNamespace() && other.Kind == e.Kind && other.Target == e.Target && other.IfName == e.IfName {
			return model.Errorf(model.Conflict, "%s in %s %s belongs to endpoint %q", e.IfName, e.Kind, e.Target, other.Name).WithHint("choose another name inside with --ifname")
		}
	}
	if user, busy := c.linkUser(e.Interface); busy {
		return model.Errorf(model.Conflict, "link %s belongs to %s", e.Interface, user).WithHint("choose another")
	}
	if e.InNamespace() || e.Kind == model.KindPair {
		return nil
	}
	if err := model.CheckForeignLink(string(e.Kind), e.Interface); err != nil {
		return err
	}
	if a := facts.AddressOf(e.Interface); a.IsValid() {
		return model.Errorf(model.Conflict, "link %s has the host's address %s", e.Interface, a).WithHint("use a link that is there for the endpoint alone")
	}
	if e.Interface == facts.DefaultInterface {
		return model.Errorf(model.Conflict, "link %s is the host's way to the outside", e.Interface).WithHint("use a link that is there for the endpoint alone")
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
