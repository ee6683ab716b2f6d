package reconcile

import (
	"cmp"
	"errors"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// segments are how much a TCP sender may hand to each network's links in one piece.
// A link that takes less than what is sent to it has it cut in software, which costs
// more than was saved, so the least of all links decides that a segment may go to:
// those outside, and the ports of the network and of those that it may talk to.
type segments struct {
	outside int            // bytes; 0: the kernel knows no such size
	network map[string]int // by name
}

func segmentsOf(c config.Config, links, outsides []host.Link) segments {
	s := segments{outside: leastSegment(outsides), network: make(map[string]int, len(c.Networks))}
	if s.outside == 0 {
		return s
	}
	byIndex := make(map[int]host.Link, len(links))
	for _, l := range links {
		byIndex[l.Index] = l
	}
	least := make(map[string]int, len(links)) // of ports, by bridge
	for _, l := range links {
		bridge := byIndex[l.MasterIndex]
		if l.MasterIndex == 0 {
			bridge = l // a point-to-point link stands for its network
		}
		if l.Type == "bridge" {
			continue
		}
		size := capacity(l)
		if !l.Owned() && !bridge.Owned() { // on an adopted bridge, it stays as it is
			size = l.Segment
		}
		if least[bridge.Name] == 0 || size < least[bridge.Name] {
			least[bridge.Name] = size
		}
	}
	together := s.outside // of the networks that may talk to each other
	for _, n := range c.Networks {
		size := min(s.outside, cmp.Or(least[n.Bridge], s.outside))
		s.network[n.Name] = size
		if n.Isolation == model.NotIsolated {
			together = min(together, size)
		}
	}
	for _, n := range c.Networks {
		if n.Isolation == model.NotIsolated {
			s.network[n.Name] = together
		}
	}
	return s
}

// leastSegment is the size for links outside, as far as packets can go there. A
// bridge without ports leads nowhere, and takes the usual size until it has some.
func leastSegment(outsides []host.Link) (size int) {
	for _, l := range outsides {
		if !l.Up || l.SegmentMax == 0 || l.Type == "bridge" && l.SegmentMax <= host.UsualSegment {
			continue
		}
		if s := capacity(l); size == 0 || s < size {
			size = s
		}
	}
	return size
}

// capacity is what a link takes, or will when it is raised. What its owner has
// chosen holds.
func capacity(l host.Link) int {
	if l.Owned() || isRaisable(l) {
		return host.LargeSegment(l.SegmentMax)
	}
	return l.Segment
}

func isRaisable(l host.Link) bool {
	return l.SegmentMax > host.UsualSegment && (l.Segment == host.UsualSegment || l.IsRaised())
}

// of is the size for a network's links. One that came since has nothing yet but
// what hostnat attaches.
func (s segments) of(n model.Network) int {
	if size, known := s.network[n.Name]; known {
		return size
	}
	if n.Isolation == model.NotIsolated {
		return min(s.outside, host.UsualSegment)
	}
	return s.outside
}

// resize finds the sizes, and lets links of others take them.
func (k *Kernel) resize(v view) error {
	outsides := v.outsides()
	k.segments = segmentsOf(v.config, v.links, outsides)
	return k.segments.raise(v, outsides)
}

// raise lets links that are others' take what hostnat's send: those outside, and
// ports that were plugged into hostnat's bridges.
func (s segments) raise(v view, outsides []host.Link) error {
	if s.outside == 0 {
		return nil
	}
	var errs []error
	for _, l := range outsides {
		if l.Up && isRaisable(l) {
			errs = append(errs, host.SetSegment(l, s.outside))
		}
	}
	bridges := make(map[int]int) // size by index
	for _, n := range v.config.Networks {
		if l, there := v.link(n.Bridge); there && l.Owned() && l.Type == "bridge" {
			bridges[l.Index] = s.of(n)
		}
	}
	for _, l := range v.links {
		if size, is := bridges[l.MasterIndex]; is && !l.Owned() && isRaisable(l) {
			errs = append(errs, host.SetSegment(l, size))
		}
	}
	return errors.Join(errs...)
}
