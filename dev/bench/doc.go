// Package bench measures hostnat against nftables and against plain routing
// without NAT: the same topology for each, in one run, in turns.
//
// A contender carries traffic one way or the other between an endpoint and a
// remote; a measurement is a piece of traffic that yields figures for one row
// of the table or more. The traffic is the same code for every contender, and
// what it touches of the kernel outside the path (generator, sink, sockets) is
// the same too. Ratios are taken within a round, between neighbours in time.
package bench
