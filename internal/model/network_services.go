package model

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// PrivateDomain is the top-level domain for names that are nobody else's
// business (ICANN resolution 2024.07.29.06).
const PrivateDomain = "internal"

// DomainName is the domain that the names of the network's endpoints are in,
// lower case and without a final dot.
func (n Network) DomainName() string {
	if n.Domain == "" {
		return n.OwnDomain()
	}
	return n.Domain
}

// OwnDomain is the domain that a network's names are in whatever Domain says:
// NETWORK.internal, lower case.
func (n Network) OwnDomain() string {
	name, _ := CutPointToPoint(n.Name)
	return domainPart(strings.ToLower(name)) + "." + PrivateDomain
}

// domainPart is a network's name as part of a domain. One that cannot be that, by
// its length or by a '-' at the end of a label, gets a hash in place of its end.
func domainPart(name string) string {
	fits := len(name) <= 2*MaxLabel
	for label := range strings.SplitSeq(name, ".") {
		fits = fits && IsHostLabel(label)
	}
	if fits {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	head := strings.Trim(strings.ReplaceAll(name[:min(40, len(name))], ".", "-"), "-")
	return head + "-" + hex.EncodeToString(sum[:5])
}

// MaxLabel is the longest label of a name in DNS, in bytes (RFC 1035 section 2.3.4).
const MaxLabel = 63

// IsHostLabel reports whether s can be one label of a machine's name: letters,
// digits, '-' and '_', not '-' at an end, 1 to 63 bytes (RFC 1123 section 2.1;
// '_' because people and container engines use it).
func IsHostLabel(s string) bool {
	if len(s) == 0 || len(s) > MaxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r == '.' || !nameRune(r) })
}

// DefaultLeaseTime is how long a lease of a network without a setting lasts.
// It is short enough for clients to follow when a network moves to another
// subnet, and long enough for the daemon to be away.
const DefaultLeaseTime Seconds = 3600

// LeaseDuration is how long a lease lasts.
func (n Network) LeaseDuration() Seconds {
	if n.LeaseTime == 0 {
		return DefaultLeaseTime
	}
	return n.LeaseTime
}

// LinkMTU is the MTU (bytes) of the network's links: what was given, or that of
// the host's outgoing interface.
func (n Network) LinkMTU(outgoing int) int {
	if n.MTU != 0 {
		return n.MTU
	}
	return outgoing
}

// Dynamic returns the addresses from which clients of the DHCP server get
// theirs: the network's ranges, or all of the subnet. Exclude and what
// somebody has are still to be left out.
func (n Network) Dynamic() []AddressRange {
	if len(n.Ranges) > 0 {
		return n.Ranges
	}
	return n.Stations()
}

// Stations returns all addresses of the subnet that a station can have, the
// gateway's too.
func (n Network) Stations() []AddressRange {
	return []AddressRange{{Low: n.Subnet4().Addr().Next(), High: LastAddress(n.Subnet4()).Prev()}}
}

// Excludes reports whether an address is kept out of all automatic choice.
func (n Network) Excludes(a netip.Addr) bool {
	return slices.ContainsFunc(n.Exclude, func(r AddressRange) bool { return r.Contains(a) })
}

func (n Network) Clone() Network {
	n.Routes = slices.Clone(n.Routes)
	n.NTP, n.Ranges, n.Exclude = slices.Clone(n.NTP), slices.Clone(n.Ranges), slices.Clone(n.Exclude)
	return n
}

// HostLabel makes the name that a client gives itself into one DNS label in
// lower case, or "" if nothing of it can be used. Of "VM1.lab.example" the
// first label counts: the domain is the network's.
func HostLabel(s string) string {
	first, _, _ := strings.Cut(strings.ToLower(s), ".")
	if !IsHostLabel(first) || LooksLikeAddress(first) || reservedLabels[first] {
		return ""
	}
	return first
}

// reservedLabels are names that clients cannot have: they mean something else.
var reservedLabels = map[string]bool{"localhost": true, "host": true, "gateway": true, "wpad": true, "isatap": true}
