// Package driver is Docker's network driver and IPAM driver "hostnat", for what Docker's
// own bridges cannot do: a network's NAT, its compartment, one link for each container.
// Docker calls it over a unix socket; it speaks to hostnat's API alone, and never to
// Docker, which would wait for itself.
//
// Nothing of it has to be remembered here: which of hostnat's networks and endpoints is
// which of Docker's is written on them (labels), and Docker repeats no call after a
// restart of either side. A call may come twice: it then finds what the first has made.
package driver
