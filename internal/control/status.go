package control

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hostnat/hostnat/internal/config/warning"
)

// Status returns the daemon's state. What cannot be asked of the kernel
// becomes a problem in it, not an error.
func (c *Control) Status(ctx context.Context) (Status, error) {
	cfg, report := c.snapshot()
	s := Status{
		Version: c.version, PID: os.Getpid(), UptimeSeconds: uint64(time.Since(c.started) / time.Second),
		NATs: len(cfg.NATs), Networks: len(cfg.Networks), Endpoints: len(cfg.Endpoints), Mappings: len(cfg.Mappings),
		Drops: map[string]uint64{}, ExternalAddresses: []AddressView{}, Warnings: []string{},
	}
	s.Problems = append([]string{}, c.store.Problems()...)
	s.Problems = append(s.Problems, c.ownProblems()...)
	s.Problems = append(s.Problems, report.Problems...)
	s.Problems = append(s.Problems, c.proxyProblems(cfg)...)
	for _, problems := range c.problems {
		s.Problems = append(s.Problems, problems()...)
	}
	if counters, err := c.tables.Counters(ctx); err != nil {
		s.Problems = append(s.Problems, "the kernel's counters cannot be read: "+err.Error())
	} else {
		s.Bindings, s.Sessions, s.MaxSessions = counters.Bindings, counters.Sessions, counters.MaxSessions
		for reason, packets := range counters.Drops {
			s.Drops[reason] = packets
		}
	}
	if facts, err := c.host.Facts(ctx); err != nil {
		s.Problems = append(s.Problems, "the host's addresses cannot be read: "+err.Error())
	} else {
		s.ExternalAddresses = viewAddresses(cfg, facts)
	}
	s.Warnings = append(s.Warnings, c.warnings(ctx, (*warning.Warner).All)...)
	s.Warnings = append(s.Warnings, c.idleWarning(ctx, cfg.Endpoints)...)
	return s, nil
}

func (c *Control) ownProblems() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := c.failures()
	for _, clash := range c.clashes {
		out = append(out, fmt.Sprintf("%s: %s; %s", clash, clash.Harm(), c.remedy(clash)))
	}
	return out
}

// failures say why the kernel is not as configured. The caller holds mu.
func (c *Control) failures() (out []string) {
	if c.down {
		out = append(out, "'hostnat down' took everything out of the kernel: the next change or start puts it back")
	}
	if c.failed != nil {
		out = append(out, "the kernel is not as configured: "+c.failed.Error())
	}
	return out
}
