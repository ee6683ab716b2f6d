package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/ipam"
	"github.com/hostnat/hostnat/internal/model"
)

// ApplyOptions say how files are applied.
type ApplyOptions struct {
	DryRun  bool         // say what would change, and change nothing
	GivenUp func() error // says why nobody waits any more, as long as nothing was changed; nil: somebody does
	Whole   bool         // what the files do not mention goes (config.Prune), or gets the value that it has in a new object
}

// Applied is what came of files.
type Applied struct {
	Changes  []diff.Object
	Warnings []string
}

// errNoChange ends a change that is none, or is not to be made.
var errNoChange = errors.New("nothing is to be changed")

// ApplyFiles makes the configuration as files want it: all of it in one change, or
// nothing.
func (c *Control) ApplyFiles(ctx context.Context, w wanted.Objects, o ApplyOptions) (Applied, error) {
	var done Applied
	a := applying{Control: c, wanted: &w, options: o, absent: make(map[string]error)}
	edit := func(cfg *config.Config) error {
		before := cfg.Clone()
		if err := a.edit(ctx, cfg); err != nil {
			return err
		}
		diff := diff.Of(&before, cfg)
		if done.Changes = diff.Objects(); diff.Empty() && len(done.Changes) == 0 || o.DryRun {
			return errNoChange
		}
		return nil
	}
	err := c.change(ctx, "apply configuration files", edit, a.placed)
	if err != nil && !errors.Is(err, errNoChange) {
		return Applied{}, err
	}
	for _, e := range w.Endpoints {
		if err := a.absent[e.Name]; err != nil {
			done.Warnings = append(done.Warnings, fmt.Sprintf("endpoint %s is absent until it can be attached: %v", e.Name, err))
		}
	}
	return done, nil
}

// Export returns the configuration as files would ask for it, and what is left out.
func (c *Control) Export(context.Context) (wanted.Objects, []string, error) {
	cfg, _ := c.snapshot()
	w, left := cfg.Export()
	return w, left, nil
}

// applying is one run of ApplyFiles.
type applying struct {
	*Control
	wanted  *wanted.Objects
	options ApplyOptions
	facts   model.HostFacts
	absent  map[string]error            // endpoints that are wanted and cannot be attached now
	added   map[netip.Addr]wanted.Place // external addresses, by where they are asked for
}

// edit changes the configuration, unless nobody waits for it any more. What others depend on is added first and taken
// away last; what has to make room for something else goes before that comes.
func (a *applying) edit(ctx context.Context, cfg *config.Config) (err error) {
	if a.facts, err = a.host.Facts(ctx); err != nil {
		return err
	}
	w, whole := a.wanted, a.options.Whole
	mappings, err := cfg.MatchMappings(w.Mappings)
	if err != nil {
		return err
	}
	proxies, err := cfg.MatchProxies(w.Proxies)
	if err != nil {
		return err
	}
	if whole {
		if err := cfg.Prune(w, mappings, proxies); err != nil {
			return err
		}
	}
	for _, p := range w.Pools {
		if err := cfg.PutPool(p, whole); err != nil {
			return err
		}
	}
	if err := a.putNATs(cfg); err != nil {
		return err
	}
	if err := a.putNetworks(ctx, cfg); err != nil {
		return err
	}
	endpoints, err := cfg.ReleaseEndpoints(w.Endpoints, a.facts, whole)
	if err != nil {
		return err
	}
	if err := cfg.PutReservations(w.Reservations, a.facts, whole); err != nil {
		return err
	}
	for _, e := range endpoints {
		if err := a.attach(ctx, cfg, e); err != nil {
			return err
		}
	}
	released, err := cfg.ReleaseProxies(w.Proxies, proxies, whole)
	if err != nil {
		return err
	}
	if err := a.putMappings(ctx, cfg, mappings); err != nil {
		return err
	}
	return a.putProxies(ctx, cfg, released)
}

func (a *applying) givenUp() error {
	if a.options.GivenUp == nil {
		return nil
	}
	return a.options.GivenUp()
}

func (a *applying) putNATs(cfg *config.Config) error {
	a.added = make(map[netip.Addr]wanted.Place)
	for _, w := range a.wanted.NATs {
		if err := a.givenUp(); err != nil {
			return err
		}
		had, _ := cfg.NAT(w.Name)
		n, err := cfg.PutNAT(w, a.options.Whole)
		if err != nil {
			return err
		}
		if w.ExternalInterfaces != nil {
			if err := checkLinks(n, a.facts); err != nil && !slices.Equal(had.ExternalInterfaces, n.ExternalInterfaces) {
				return w.Refuse("externalInterfaces", err)
			}
		}
		if w.ExternalAddresses == nil {
			continue
		}
		for _, e := range n.ExternalAddresses {
			if !a.facts.HasOwn(e.Address) {
				cfg.MarkAdded(n.Name, e.Address)
				a.added[e.Address] = w.Place
			}
		}
		if err := checkRanges(*cfg, n.Name, a.facts); err != nil {
			return w.Refuse("externalAddresses", err)
		}
	}
	return nil
}

func (a *applying) putNetworks(ctx context.Context, cfg *config.Config) error {
	for _, w := range a.wanted.Networks {
		if err := a.givenUp(); err != nil {
			return err
		}
		n, moved, err := cfg.PutNetwork(w, a.facts, ipam.FreeSubnetIn(cfg.SubnetPools()), ipam.FreeAddress, a.options.Whole)
		if err == nil && moved {
			err = w.At(a.checkGateway(ctx, n, a.facts))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attach adds an endpoint. What it is to be attached to may come later.
func (a *applying) attach(ctx context.Context, cfg *config.Config, w wanted.Endpoint) error {
	if err := a.givenUp(); err != nil {
		return err
	}
	spec, err := config.SpecOf(w)
	if err != nil {
		return err
	}
	if found, err := a.asItIs(ctx, cfg, spec); err == nil {
		spec = found
	}
	add := a.addEndpoint
	if a.options.DryRun {
		add = func(cfg *config.Config, spec config.EndpointSpec, facts model.HostFacts) (model.Endpoint, error) {
			return cfg.AddEndpoint(spec, facts, ipam.FreeAddress)
		}
	}
	e, err := add(cfg, spec, a.facts)
	if err != nil {
		return w.At(err)
	}
	err = a.host.CheckTarget(ctx, e)
	if code := model.CodeOf(err); err != nil && (code == model.Invalid || code == model.Conflict) {
		return w.At(err)
	}
	if err != nil {
		a.absent[e.Name] = err
	}
	return nil
}

func (a *applying) putMappings(ctx context.Context, cfg *config.Config, ids []uint32) error {
	todo, err := cfg.ReleaseMappings(a.wanted.Mappings, ids, a.options.Whole)
	if err != nil {
		return err
	}
	kept := make(map[uint32]uint32)
	for _, p := range todo {
		if err := a.givenUp(); err != nil {
			return err
		}
		m, err := cfg.AddWanted(p, a.choosePort(ctx, cfg))
		if err != nil {
			return err
		}
		if err := a.checkMapping(ctx, cfg, m, p); err != nil {
			return p.At(inFile(err))
		}
		if p.ID != 0 {
			kept[m.ID] = p.ID
		}
	}
	cfg.KeepIDs(kept)
	return nil
}

// checkMapping refuses what AddMapping would refuse. Of a mapping that was there
// already the outside was checked when it was added.
func (a *applying) checkMapping(ctx context.Context, cfg *config.Config, m model.Mapping, p config.PutMapping) error {
	switch {
	case m.IsOneToOne():
		// A file that gives the NAT one address, and all of that to an endpoint, says both.
		return a.checkOneToOne(ctx, *cfg, m, p.Force || p.ID != 0, cfg.TakesAll(m))
	case p.Force || p.ID != 0:
		return nil
	}
	if err := a.checkListener(ctx, m); err != nil {
		return err
	}
	return checkPools(*cfg, a.facts, m)
}

func (a *applying) putProxies(ctx context.Context, cfg *config.Config, todo []config.PutProxy) error {
	asking, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	at, err := a.locate(asking, cfg)
	if err != nil {
		return err
	}
	for _, put := range todo {
		p, isNew, err := cfg.AddWantedProxy(put, at)
		if err == nil && isNew {
			err = put.At(a.checkProxyListener(ctx, p))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// placed refuses external addresses that could not be added to the host.
func (a *applying) placed(r Report) error {
	for address, place := range a.added {
		if err := r.Addresses[address]; err != nil {
			return place.Refuse("externalAddresses", err)
		}
	}
	a.absent = r.Absent
	return nil
}

// inFile has a refusal's hint say what to write in a file, where it names the flag.
func inFile(err error) error {
	if e, ok := err.(*model.Error); ok {
		return e.WithHint("%s", strings.ReplaceAll(e.Hint, "--force", "force: true"))
	}
	return err
}
