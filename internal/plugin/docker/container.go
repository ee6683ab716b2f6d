package docker

import (
	"cmp"
	"net/netip"
	"slices"
)

// Container is one that runs, as far as networks go.
type Container struct {
	ID    string
	Name  string
	Ports []Port       // published ones, as Docker has chosen them
	Links []Attachment // to networks that are bridges
}

// Port is a published port.
type Port struct {
	Protocol string // "tcp", "udp", "sctp"
	Host     netip.Addr
	Public   uint16 // of the host
	Private  uint16 // of the container
}

// Attachment is what connects a container to one of Docker's networks.
type Attachment struct {
	ID       string // Docker's, another one each time that the container starts
	Network  string // Docker's name of it
	Bridge   string // the network's
	Address  netip.Addr
	MAC      string
	Aliases  []string // further names that Docker's own DNS has for it
	Gateway  bool     // whether the container may have its default route there
	Priority int      // which of several has it: the highest
	Link     string   // the host's end; empty: not found
}

// way is the attachment by which the container's ports are reached: that with its
// default route, as Docker chooses it.
func (c Container) way(of []Attachment) Attachment {
	return slices.MinFunc(of, func(a, b Attachment) int {
		return cmp.Or(-compare(a.Gateway, b.Gateway), -cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Network, b.Network))
	})
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
