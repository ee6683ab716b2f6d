// Package dhcp is the DHCPv4 server of hostnat's networks (RFC 2131, 2132).
//
// What is answered is a pure function of the network's Scope, its Ledger of
// leases, the request and the time: see Answer. Around it are a packet socket
// on the bridge for each network, and a Book that keeps the leases and has them
// stored before a client hears of them.
package dhcp
