// Package container has what the plugins of container engines ask of hostnat in the
// same way: whether a network that is there will do, and what goes with a container.
package container

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hostnat/hostnat/api"
)

// Rootful reports whether a process is root of the whole machine, by its effective
// user id and its /proc/self/uid_map. Root of a user namespace is in a network
// namespace where nothing of hostnat is.
func Rootful(euid int, uidMap string) bool {
	fields := strings.Fields(uidMap)
	whole := len(fields) == 3 && fields[0] == "0" && fields[1] == "0" && fields[2] == "4294967295"
	return euid == 0 && whole
}

// Differs refuses a network that is there for one that is asked for otherwise. Of one
// that is not its owner's own, the type need not be said.
func Differs(has api.Network, asked api.NetworkSpec) error {
	kind := asked.Type
	if kind == "" && has.Owner == asked.Owner && asked.NAT != "none" && asked.Compartment != "each" {
		kind = api.NATNetwork
	}
	for _, v := range []struct{ what, asked, has string }{
		{"subnet", strings.Join(asked.Subnets, ","), has.Subnets[0].String()}, {"gateway", strings.Join(asked.Gateways, ","), has.Gateways[0].String()},
		{"NAT", asked.NAT, has.NAT}, {"type", kind, has.Type}, {"compartment", asked.Compartment, has.Compartment},
	} {
		if v.asked != "" && v.asked != v.has {
			return fmt.Errorf("hostnat has network %q already, with %s %s, not %s; leave that out, choose another name, or delete it: hostnat network delete %s", has.Name, v.what, v.has, v.asked, has.Name)
		}
	}
	return nil
}

// Mappings is what Unpublish needs of hostnat's API.
type Mappings interface {
	Mappings(ctx context.Context) ([]api.Mapping, error)
	DeleteMapping(ctx context.Context, id uint32) error
}

// Unpublish deletes the mappings of an owner that are meant. One that is gone
// meanwhile is no error.
func Unpublish(ctx context.Context, d Mappings, owner string, meant func(api.Mapping) bool) error {
	mappings, err := d.Mappings(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mappings {
		if m.Owner != owner || !meant(m) {
			continue
		}
		if err := d.DeleteMapping(ctx, m.ID); api.CodeOf(err) != api.NotFound {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
