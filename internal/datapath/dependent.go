package datapath

import (
	"fmt"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// setDependentPorts tells the data path between which ports the endpoint-dependent
// sessions are, which have no binding. While some are live, those that they were
// between before count too.
func setDependentPorts(s *kernel.Settings, c Config, live bool) {
	if !live {
		s.DependentLow, s.DependentHigh = 0, 0
	}
	for _, p := range c.Pools {
		if !c.NATs[p.NAT].EndpointDependent {
			continue
		}
		for _, a := range p.Addresses {
			_, kept := SplitDependent(a.Ports)
			if kept.High == 0 {
				continue
			}
			if s.DependentHigh == 0 {
				s.DependentLow = kept.Low
			}
			s.DependentLow, s.DependentHigh = min(s.DependentLow, kept.Low), max(s.DependentHigh, kept.High)
		}
	}
}

// hasDependent reports whether there are endpoint-dependent sessions.
func (d *Datapath) hasDependent() (bool, error) {
	some := false
	err := kernel.Each(d.objects.DependentCount, func(_ *uint32, count *uint64) error {
		some = some || *count > 0
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("counting endpoint-dependent sessions: %w", err)
	}
	return some, nil
}
