package bench

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
)

// section is a table of its own: other contenders, other rows.
type section struct {
	title        string
	rows         []Row // all that there may be
	missing      func() string
	setups       func(Options) ([]setup, error)
	measurements func(*Bench) []measurement
}

// notInstalled is section.missing for a rival of Debian's package.
func notInstalled(rival, pkg string) func() string {
	return func() string {
		if _, err := exec.LookPath(rival); err != nil {
			return fmt.Sprintf("left out, %s is not installed (Debian's package %s)", rival, pkg)
		}
		return ""
	}
}

// sections follow the main table, in this order.
var sections = []section{virtualMachine, oneNetwork, portProxy, byName, manyMappings, underPressure, hostTraffic}

// Sections measures what has a table of its own. One whose rival is not
// installed is left out, and Progress says so.
func Sections(ctx context.Context, o Options) (reports []*Report, err error) {
	for _, s := range sections {
		if !s.wanted(o) || !slices.Contains(o.Contenders, Hostnat) {
			continue
		}
		if missing := s.missing(); missing != "" {
			(&Bench{options: o}).progress("%s: %s", s.title, missing)
			continue
		}
		setups, err := s.setups(o)
		if err != nil {
			return reports, err
		}
		report, err := o.run(ctx, setups, func(b *Bench, _ []setup) [][]measurement {
			return [][]measurement{b.wanted(s.measurements(b))}
		})
		if err != nil {
			return reports, err
		}
		report.Title = s.title
		reports = append(reports, report)
	}
	return reports, nil
}

func (s section) wanted(o Options) bool {
	return o.Rows == nil || slices.ContainsFunc(s.rows, func(r Row) bool { return o.Rows.MatchString(r.Name) })
}
