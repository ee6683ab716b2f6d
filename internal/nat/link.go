package nat

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// BridgeName returns the link name of the bridge that hostnat makes for a
// network: "hn-" and its name, or a part of it and a hash where that is more
// than a link's name can hold.
func BridgeName(network string) string { return linkName("hn-", network) }

// EndpointLink returns the host-side link name of an endpoint's veth pair.
func EndpointLink(name string) string { return linkName("hv-", name) }

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
	return prefix + head[:min(5, len(head))] + "-" + hex.EncodeToString(sum[:3])
}
