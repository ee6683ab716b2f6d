package host

import ()

// SettingsFit reports whether the settings that hostnat has made to a link of its
// own are still there: the anchor forwards, a link whose prefix the main
// routing table does not have is as setApart makes it, and another bridge as
// loosenFilter does.
func SettingsFit(l Link) bool {
	switch {
	case l.Name == AnchorName:
		return hasSysctl(linkSysctl("ipv4", l.Name, "forwarding"), "1")
	case len(l.Unrouted) > 0:
		return isApart(l.Name)
	case l.Owned() && l.Type == "bridge":
		return !isStrict(l.Name)
	}
	return true
}
