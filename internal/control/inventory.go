package control

import (
	"context"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
)

// Inventory is what the daemon knows and the host does not show: for doctor.
type Inventory struct {
	Config        config.Config
	Absent        map[string]error // endpoints that are not attached, and why
	Counters      Counters
	StateProblems []string // what was wrong with the stored configuration
	Problems      []string // of the daemon and the data path; overlaps and endpoints left out, which doctor finds
}

// Inventory returns it as it is now.
func (c *Control) Inventory(ctx context.Context) Inventory {
	cfg, report := c.snapshot()
	i := Inventory{Config: cfg, Absent: report.Absent, StateProblems: slices.Clone(c.store.Problems())}
	c.mu.RLock()
	i.Problems = c.failures()
	c.mu.RUnlock()
	for _, line := range report.Problems {
		if !strings.HasPrefix(line, "endpoint ") { // those are in Absent
			i.Problems = append(i.Problems, line)
		}
	}
	var err error
	if i.Counters, err = c.tables.Counters(ctx); err != nil {
		i.Problems = append(i.Problems, "the kernel's counters cannot be read: "+err.Error())
	}
	return i
}
