package daemon

import (
	"cmp"
	"context"
	"os"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/host/examine"
	"github.com/hostnat/hostnat/internal/host/self"
	"github.com/hostnat/hostnat/internal/server"
	"github.com/hostnat/hostnat/internal/store"
)

// Doctor looks for what is wrong with the host, and with fix does what is safe.
func (s service) Doctor(ctx context.Context, fix bool) ([]doctor.Finding, error) {
	known := s.Inventory(ctx)
	facts := doctor.Facts{
		Config: known.Config, HasConfig: true, Root: true, StateFiles: known.StateProblems,
		Daemon: &doctor.Daemon{PID: os.Getpid(), Counters: known.Counters, Absent: known.Absent, Problems: known.Problems},
	}
	return examineHost(ctx, facts, s.resolvConf, fix), nil
}

// Doctor is the same while no daemon runs: with what is stored in place of what
// a daemon would know.
func Doctor(ctx context.Context, o Options, fix bool) []api.Finding {
	sight, err := store.Look(o.store(ctx))
	facts := doctor.Facts{Config: sight.Config, HasConfig: sight.Known, StateFiles: sight.Problems, Root: self.CheckPrivileges() == nil}
	if err != nil {
		facts.StateFiles = append(facts.StateFiles, err.Error())
	}
	if sight.Undecided != nil {
		facts.Undecided = undecided(sight.Undecided)
	}
	return server.Findings(examineHost(ctx, facts, "", fix))
}

func undecided(u *store.Undecided) *doctor.Undecided {
	out := &doctor.Undecided{Why: u.Why}
	for _, c := range u.Choices {
		out.Choices = append(out.Choices, doctor.Choice(c))
	}
	return out
}

func examineHost(ctx context.Context, facts doctor.Facts, resolvConf string, fix bool) []doctor.Finding {
	before := facts.Host.Unread
	facts.Host = examine.Host(ctx, bridges(facts.Config))
	facts.Host.Resolvers = examine.AskResolvers(ctx, cmp.Or(resolvConf, "/etc/resolv.conf"))
	facts.Host.Unread = append(before, facts.Host.Unread...)
	found := doctor.Run(facts)
	if fix {
		doctor.FixAll(ctx, found)
	}
	return found
}

func bridges(c config.Config) (names []string) {
	for _, n := range c.Unfolded().Networks {
		names = append(names, n.Bridge)
	}
	return names
}
