// Package dhcp is the DHCPv4 server of hostnat's networks (RFC 2131, 2132).
//
// What is answered is a pure function of the network's Scope, its Table of
// leases, the request, who sent it and the time: see Answer. Around it are a packet
// socket on the bridge for each network, and Leases, which has the tables of all
// networks and stores what changes before a client hears of it.
package dhcp
