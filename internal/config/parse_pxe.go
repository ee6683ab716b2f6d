package config

import (
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

// How long the names may be, in bytes: a name in DNS, and what one option holds (RFC
// 2132 section 2).
const (
	maxServerName = 253
	maxBootFile   = 255
)

func parseNextServer(v string, subnet netip.Prefix) (netip.Addr, error) {
	if v == "none" || v == "" {
		return netip.Addr{}, nil
	}
	return parseServer(v, subnet)
}

// parsePXEText takes what a boot ROM reads: printable ASCII without spaces.
func parsePXEText(what, v string, most int) (string, error) {
	if v == "none" {
		return "", nil
	}
	if len(v) > most {
		return "", model.Errorf(model.Invalid, "the %s has %d bytes", what, len(v)).WithHint("give up to %d", most)
	}
	for _, b := range []byte(v) {
		if b <= ' ' || b > '~' {
			return "", model.Errorf(model.Invalid, "%s %q has a byte that is no printable ASCII character", what, model.Clip(v))
		}
	}
	return v, nil
}
