package nat

import "strings"

// MaxName is the longest name of a NAT, network, endpoint or compartment, in bytes.
const MaxName = 63

const nameHint = "use up to 63 letters, digits, '.', '_' and '-', not starting with '.' or '-'"

// CheckName refuses names that would be trouble on a command line, in a path
// or before the colon of ENDPOINT:PORT. What says whose name it is.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return Errorf(Invalid, "the %s has no name", what).WithHint(nameHint)
	case len(name) > MaxName:
		return Errorf(Invalid, "%s name %q is longer than %d bytes", what, clip(name), MaxName).WithHint(nameHint)
	case name[0] == '-' || name[0] == '.':
		return Errorf(Invalid, "%s name %q starts with %q", what, name, name[0]).WithHint(nameHint)
	case looksLikeAddress(name):
		return Errorf(Invalid, "%s name %q looks like an address", what, name).WithHint("use a name with a letter in it")
	}
	for _, r := range name {
		if !nameRune(r) {
			return Errorf(Invalid, "%s name %q contains %q", what, name, r).WithHint(nameHint)
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
		return Errorf(Invalid, "%s %q is longer than the %d bytes that a link's name can have", what, clip(name), maxLink).WithHint("use a shorter name")
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
