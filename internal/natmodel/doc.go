// Package natmodel is the NAT as a pure state machine: what comes in is a
// packet and the time, what comes out is a packet, a verdict and events. It is
// the executable specification that the data path is tested against, so it is
// written for reading beside the RFCs, not for speed. Numbers in comments are
// their sections and requirements.
//
// What an RFC leaves to the NAT (which free port, which identification) is an
// argument: the model is told what was chosen and says whether that was allowed.
//
// Left out: IPv6, routes that change, transparent sockets, MSS clamping, VLAN
// tags, links without Ethernet, limits of ICMP errors a second.
package natmodel
