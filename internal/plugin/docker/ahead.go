package docker

import (
	"context"
	"slices"
	"time"

	"github.com/hostnat/hostnat/api"
)

// Docker connects a container to its network before it makes the container's process, and
// tells of both. Who goes by the first has endpoint and mappings ready when `docker run`
// returns; the look after the start then finds nothing to do. What cannot be known so
// early (ports that Docker draws, a container on several networks) waits for that look.

// startsWithin is how long a container is taken for one that starts.
const startsWithin = time.Minute

// starting is a container that is on its network and does not run yet.
type starting struct {
	Container
	network api.Network
	since   time.Time
}

// urgency is when everything is to be looked at after something has happened.
type urgency int

const (
	whenever urgency = iota // as if it had not
	soon
	atOnce
)

// hears notes what an event tells of a container, and says how urgent a look is. For a
// container that was made ready nothing is, but its name server: while Docker starts it,
// there is no time to spare on the machine.
func (f *Follower) hears(ctx context.Context, e *Engine, h happening) urgency {
	switch {
	case h.kind == "container" && h.action == "create":
		if p, err := e.Process(ctx, h.container); err == nil {
			f.asked[p.ID] = p
		}
		return whenever
	case h.kind == "network" && h.action == "connect":
		if f.running[h.container] || !f.ahead(ctx, e, h) {
			return atOnce
		}
		return whenever
	case h.kind == "container" && h.action == "start":
		if f.started(ctx, e, h.container) {
			return soon
		}
	case h.action == "destroy" || h.action == "rename":
		delete(f.asked, h.container)
	}
	if h.action == "die" || h.action == "disconnect" || h.action == "destroy" {
		delete(f.running, h.container)
		delete(f.starting, h.container)
	}
	return atOnce
}

// started tells a container that has been made ready of its name server, and reports
// whether it was.
func (f *Follower) started(ctx context.Context, e *Engine, id string) bool {
	c, ready := f.starting[id]
	if !ready {
		return false
	}
	a := c.Links[0] // ahead makes containers ready that have one
	if a.Network != defaultNetwork {
		return true
	}
	p, err := e.Process(ctx, id)
	if err == nil && !p.OwnDNS {
		err = TellResolver(p.ResolvConf, c.network)
	}
	return err == nil
}

// ahead makes what a container gets that is about to start; false: its start will tell.
func (f *Follower) ahead(ctx context.Context, e *Engine, h happening) bool {
	p, known := f.asked[h.container]
	if !known || len(p.Aliases) != 1 {
		return false
	}
	a, err := e.attachment(ctx, h.network, h.container)
	if err != nil {
		return false
	}
	aliases, is := p.Aliases[a.Network]
	if !is {
		return false
	}
	a.Aliases = aliases
	has, err := f.state(ctx)
	if err != nil {
		return false
	}
	if a.Link = f.linkAhead(ctx, a.Bridge, has); a.Link == "" {
		return false
	}
	i := slices.IndexFunc(has.Networks, func(n api.Network) bool { return n.Bridge == a.Bridge })
	if i < 0 {
		return false
	}
	c := Container{ID: p.ID, Name: p.Name, Ports: p.Fixed, Links: []Attachment{a}}
	f.starting[c.ID] = starting{c, has.Networks[i], time.Now()}
	return len(f.carryOut(ctx, PlanFor([]Container{c}, has.of(c.ID)))) == 0
}

// linkAhead is the host's end of the link that waits for a container on a bridge. Docker does
// not tell it, and its MAC is set later: it has to be the only one that nobody has. The look
// after the start finds it for certain.
func (f *Follower) linkAhead(ctx context.Context, bridge string, has State) string {
	waiting, err := f.options.PairsOn(ctx, bridge)
	if err != nil {
		return ""
	}
	waiting = slices.DeleteFunc(waiting, func(link string) bool {
		return slices.ContainsFunc(has.Endpoints, func(e api.Endpoint) bool { return e.Managed && e.Interface == link })
	})
	if len(waiting) != 1 {
		return ""
	}
	return waiting[0]
}

// of is the state without what belongs to Docker's other containers.
func (s State) of(container string) State {
	others := func(owner string, labels map[string]string) bool {
		return owner == Owner && labels[LabelContainer] != container
	}
	s.Endpoints = slices.DeleteFunc(slices.Clone(s.Endpoints), func(e api.Endpoint) bool { return others(e.Owner, e.Labels) })
	s.Mappings = slices.DeleteFunc(slices.Clone(s.Mappings), func(m api.Mapping) bool { return others(m.Owner, m.Labels) })
	return s
}

// withStarting adds to the containers that run those that are about to.
func (f *Follower) withStarting(running []Container) []Container {
	clear(f.running)
	for _, c := range running {
		f.running[c.ID] = true
		delete(f.starting, c.ID)
	}
	for id, c := range f.starting {
		if time.Since(c.since) > startsWithin {
			delete(f.starting, id)
			continue
		}
		running = append(running, c.Container)
	}
	return running
}
