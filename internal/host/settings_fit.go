package host

import (
	"github.com/hostnat/hostnat/internal/host/sysctl"
)

// SettingsFit reports whether the settings that hostnat has made to a link of its
// own are still there: the anchor and bridges forward, a link whose prefix the main
// routing table does not have is as setUnrouted makes it, and another bridge as
// loosenFilter does.
func SettingsFit(l Link) bool {
	switch {
	case l.Name == AnchorName:
		return forwards(l.Name)
	case len(l.Unrouted) > 0:
		return isUnrouted(l.Name) && (!l.Owned() || forwards(l.Name))
	case l.Owned() && l.Type == "bridge":
		return !isStrict(l.Name) && forwards(l.Name)
	}
	return true
}

// setForwarding lets what comes in at a link be forwarded, as far as the host's IP
// stack is concerned. The kernel answers look-ups of routes for such a link alone.
func setForwarding(link string) error {
	return sysctl.Set(sysctl.OfLink("ipv4", link, "forwarding"), "1")
}

func forwards(link string) bool { return sysctl.Has(sysctl.OfLink("ipv4", link, "forwarding"), "1") }
