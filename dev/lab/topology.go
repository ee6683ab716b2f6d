package lab

import (
	"errors"
	"fmt"
)

// Addresses and links of a Topology. 203.0.113.0/24 is TEST-NET-3 (RFC 5737).
const (
	HostAddress   = "203.0.113.1" // on the host's link HostLink
	RemoteAddress = "203.0.113.2" // on the remote's link RemoteLink
	OutsideBits   = "/24"
	HostLink      = "out0"
	RemoteLink    = "eth0"
)

// Topology is the network that everything is tried on: a host between a remote
// server outside and endpoints inside. The endpoints are bare namespaces
// without links: attaching them is hostnat's work.
type Topology struct {
	Remote    *Namespace
	Host      *Namespace // default route via the remote, not forwarding
	Endpoints []*Namespace
}

// NewTopology builds one with so many endpoints; prefix begins the namespaces'
// names.
func NewTopology(prefix string, endpoints int) (*Topology, error) {
	t := &Topology{}
	if err := t.build(prefix, endpoints); err != nil {
		return nil, errors.Join(fmt.Errorf("build topology %s: %w", prefix, err), t.Close())
	}
	return t, nil
}

// StartTopology is NewTopology for tests: it skips them without root and
// removes it at their end.
func StartTopology(t TB, endpoints int) *Topology {
	t.Helper()
	RequireRoot(t)
	topology, err := NewTopology("lab", endpoints)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := topology.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return topology
}

// Close removes the namespaces.
func (t *Topology) Close() error {
	var errs []error
	for _, n := range append([]*Namespace{t.Remote, t.Host}, t.Endpoints...) {
		if n != nil {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(errs...)
}

func (t *Topology) build(prefix string, endpoints int) (err error) {
	if t.Remote, err = NewNamespace(prefix + "-remote"); err != nil {
		return err
	}
	if t.Host, err = NewNamespace(prefix + "-host"); err != nil {
		return err
	}
	for i := range endpoints {
		n, err := NewNamespace(fmt.Sprintf("%s-c%d", prefix, i+1))
		if err != nil {
			return err
		}
		t.Endpoints = append(t.Endpoints, n)
	}
	return t.connect()
}

func (t *Topology) connect() error {
	if err := Veth(t.Host, HostLink, t.Remote, RemoteLink); err != nil {
		return err
	}
	if err := t.Host.AddAddress(HostLink, HostAddress+OutsideBits); err != nil {
		return err
	}
	if err := t.Remote.AddAddress(RemoteLink, RemoteAddress+OutsideBits); err != nil {
		return err
	}
	return t.Host.AddRoute("0.0.0.0/0", RemoteAddress)
}
