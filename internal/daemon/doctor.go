package daemon

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/host"
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
	return examine(ctx, facts, s.resolvConf, fix), nil
}

// Doctor is the same while no daemon runs: with what is stored in place of what
// a daemon would know.
func Doctor(ctx context.Context, stateDir string, fix bool) []api.Finding {
	cfg, problems, err := store.Peek(stateDir)
	facts := doctor.Facts{Config: cfg, HasConfig: err == nil, StateFiles: problems, Root: host.CheckPrivileges() == nil}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && len(problems) == 0 {
		facts.Host.Unread = append(facts.Host.Unread, "the configuration: "+err.Error())
	}
	return server.Findings(examine(ctx, facts, "", fix))
}

func examine(ctx context.Context, facts doctor.Facts, resolvConf string, fix bool) []doctor.Finding {
	before := facts.Host.Unread
	facts.Host = host.Examine(ctx, bridges(facts.Config))
	facts.Host.Resolvers = host.AskResolvers(ctx, cmp.Or(resolvConf, "/etc/resolv.conf"))
	facts.Host.Unread = append(before, facts.Host.Unread...)
	found := doctor.Run(facts)
	if fix {
		doctor.Mend(ctx, found)
	}
	return found
}

func bridges(c config.Config) (names []string) {
	for _, n := range c.Unfolded().Networks {
		names = append(names, n.Bridge)
	}
	return names
}
