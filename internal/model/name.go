package model

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// BridgeName returns the link name of the bridge that hostnat makes for a
// network: "hn-" and its name, or a part of it and a hash where that is more
// than a link's name can hold.
func BridgeName(network string) string { return linkName("hn-", network) }

// EndpointLink returns the host-side link name of an endpoint's veth pair.
func EndpointLink(name string) string { return linkName("hv-", name) }

// PairEnd returns the name of the end of an endpoint's veth pair that lies on the host
// until a container engine takes it.
func PairEnd(name string) string { return linkName("hp-", name) }

// IsOwnLink reports whether a link's name is one that hostnat gives its own
// links: bridges, the host's side of endpoints, ends of theirs that wait, and two for
// itself.
func IsOwnLink(name string) bool {
	return strings.HasPrefix(name, "hn-") || strings.HasPrefix(name, "hv-") || strings.HasPrefix(name, "hp-") || strings.HasPrefix(name, "hostnat")
}

// CheckForeignLink refuses hostnat's own links where one of somebody else is
// wanted, and the loopback.
func CheckForeignLink(what, name string) error {
	if err := CheckLink(what, name); err != nil {
		return err
	}
	switch {
	case name == "lo":
		return Errorf(Invalid, "%s lo is the host's loopback", what).WithHint("use another link")
	case IsOwnLink(name):
		return Errorf(Invalid, "%s %s is one of hostnat's own links: hn-..., hv-..., hp-... and hostnat...", what, name).WithHint("use a link of somebody else, or rename it")
	}
	return nil
}

// linkName has 40 bits of hash: that two of a thousand names that begin alike get
// the same link, and one is refused, has a chance of one in two million.
func linkName(prefix, name string) string {
	if full := prefix + name; CheckLink("link", full) == nil {
		return full
	}
	sum := sha256.Sum256([]byte(name))
	head := strings.Map(func(r rune) rune {
		if nameRune(r) {
			return r
		}
		return '_'
	}, name)
	return prefix + head[:min(3, len(head))] + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
}

// MaxName is the longest name of a NAT, network, endpoint or compartment, in
// bytes. Docker's ids have 64, a CNI endpoint's name is an id and an interface's,
// and a Kubernetes pod's name has up to 253. What is no DNS label (63 bytes) is
// left out of DNS; aliases may be shorter.
const MaxName = 255

const NameHint = "use up to 255 letters, digits, '.', '_' and '-', not starting with '.' or '-'"

// CheckName refuses names that would be trouble on a command line, in a path
// or before the colon of ENDPOINT:PORT. What says whose name it is.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return Errorf(Invalid, "the %s has no name", what).WithHint(NameHint)
	case len(name) > MaxName:
		return Errorf(Invalid, "%s name %q is longer than %d bytes", what, Clip(name), MaxName).WithHint(NameHint)
	case name[0] == '-' || name[0] == '.':
		return Errorf(Invalid, "%s name %q starts with %q", what, name, name[0]).WithHint(NameHint)
	case LooksLikeAddress(name):
		return Errorf(Invalid, "%s name %q looks like an address", what, name).WithHint("use a name with a letter in it")
	}
	for _, r := range name {
		if !nameRune(r) {
			return Errorf(Invalid, "%s name %q contains %q", what, name, r).WithHint(NameHint)
		}
	}
	return nil
}

func nameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
}

// maxLink is IFNAMSIZ without the final zero byte.
const maxLink = 15

// CheckLink refuses what the kernel does not take as the name of a link.
func CheckLink(what, name string) error {
	switch {
	case name == "":
		return Errorf(Invalid, "the %s has no name", what).WithHint("give the name of a link, as 'ip link' shows it")
	case len(name) > maxLink:
		return Errorf(Invalid, "%s %q is longer than the %d bytes that a link's name can have", what, Clip(name), maxLink).WithHint("use a shorter name")
	case name == "." || name == "..":
		return Errorf(Invalid, "%s %q is not a name that a link can have", what, name).WithHint("use another name")
	}
	for _, r := range name {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("/:%", r) {
			return Errorf(Invalid, "%s %q contains %q, which a link's name cannot", what, name, r).WithHint("use another name")
		}
	}
	return nil
}
