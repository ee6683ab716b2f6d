package doctor

import (
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host/examine"
	"github.com/hostnat/hostnat/internal/model"
)

// Facts is all that the checks look at.
type Facts struct {
	Host       examine.Examination
	Config     config.Config // the daemon's; without one, what is stored
	HasConfig  bool          // Config was read
	Root       bool          // who looks may look at everything
	StateFiles []string      // what is wrong with the stored state, one line each
	Undecided  *Undecided    // nil: it is known which configuration is in force
	Daemon     *Daemon       // nil: none is running
}

// Undecided says why no configuration is in force, and which ones could be.
type Undecided struct {
	Why     string
	Choices []Choice
}

// Choice is a configuration that a command would start with.
type Choice struct{ Command, What string }

// Daemon is what only a running daemon knows.
type Daemon struct {
	PID      int
	Counters model.Counters
	Absent   map[string]error // endpoints that are not attached, and why
	Problems []string         // of its own, one line each
}

// networks are the configuration's, with a point-to-point link for each endpoint that is by
// itself: there the link is what is looked at.
func (f Facts) networks() []model.Network { return f.Config.Unfolded().Networks }

// examples are the same, but one point-to-point link for all of a per-endpoint network, which are
// alike.
func (f Facts) examples() (list []model.Network) {
	seen := make(map[uint32]bool)
	for _, n := range f.networks() {
		if n.IsPointToPoint() && seen[n.PartOf] {
			continue
		}
		seen[n.PartOf] = true
		n.Name, _ = model.CutPointToPoint(n.Name)
		list = append(list, n)
	}
	return list
}

// networkOn is the network whose switch is that link.
func (f Facts) networkOn(link string) (model.Network, bool) {
	for _, n := range f.networks() {
		if n.Bridge == link {
			return n, true
		}
	}
	return model.Network{}, false
}
