package host

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// TransparentMark is on packets from endpoints that are for a socket of the host
// with an address that is not the host's (IP_TRANSPARENT): the data path finds
// the socket and marks them. Bytes "hnTX".
const TransparentMark = 0x684e5458

// transparentTable is the routing table for packets with TransparentMark. It has
// the mark's number.
const transparentTable = TransparentMark

// transparentPriority is where these rules stand: behind the host's own addresses
// (table local, at 0 or where Cilium moves it, 100) and before everything that
// sends all traffic somewhere else, as VPNs do (Tailscale 5200 on, WireGuard's
// wg-quick before 32764).
const transparentPriority = 104

// TransparentRule has packets with TransparentMark that come in from a link routed
// by TransparentRoute. The link need not exist yet. That the rule is for a link,
// not for any, also keeps it out of the kernel's look-up for packets' sources
// (rp_filter) where that heeds marks (src_valid_mark): it asks as loopback.
func TransparentRule(link string) OwnRule {
	return OwnRule{Priority: transparentPriority, From: link, Mark: TransparentMark, Table: transparentTable}
}

// TransparentRoute delivers everything on the host, whatever its destination. The
// index is loopback's.
func TransparentRoute(loopback int) OwnRoute {
	return OwnRoute{Table: transparentTable, Type: unix.RTN_LOCAL, Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Link: loopback}
}
