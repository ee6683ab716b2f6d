package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/hostnat/hostnat/api"
)

// explained is how far back it is looked for what failed.
const explained = time.Hour

// Run shows the screens until somebody quits or ctx ends.
func Run(ctx context.Context, client *api.Client, s State, in io.Reader, out io.Writer) error {
	p := tea.NewProgram(program{ctx: ctx, client: client, state: s},
		tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	_, err := p.Run()
	if ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled) {
		return nil
	}
	return err
}

// program is a State between the terminal and the daemon.
type program struct {
	ctx    context.Context
	client *api.Client
	state  State
}

// What the daemon has answered.
type (
	answered struct {
		traffic api.Traffic
		err     error
		again   bool // ask again after the interval
	}
	ended struct {
		count int
		err   error
	}
	found struct {
		explanation Explanation
		err         error
	}
	due struct{} // the interval is over
)

// Init asks the daemon for the first time.
func (p program) Init() tea.Cmd { return p.ask(true) }

// View is the screen.
func (p program) View() tea.View {
	v := tea.NewView(Render(p.state))
	v.AltScreen = true
	return v
}

// Update takes what has happened.
func (p program) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tea.WindowSizeMsg:
		p.state.Width, p.state.Height = m.Width, m.Height
		p.state = p.state.clamp()
	case tea.KeyPressMsg:
		var action Action
		p.state, action = Press(p.state, m.String())
		return p, p.do(action)
	case due:
		return p, p.ask(true)
	case answered:
		if m.err != nil {
			p.state.Note = m.err.Error()
		} else {
			p.state = p.state.Answered(m.traffic)
		}
		if m.again {
			return p, tea.Tick(p.state.Interval, func(time.Time) tea.Msg { return due{} })
		}
	case ended:
		p.state.Note = fmt.Sprintf("sessions ended: %d", m.count)
		if m.err != nil {
			p.state.Note = m.err.Error()
		}
		return p, p.ask(false)
	case found:
		if m.err != nil {
			p.state.Note = m.err.Error()
			break
		}
		p.state.Explained, p.state.Cursor = &m.explanation, 0
	}
	return p, nil
}

func (p program) do(a Action) tea.Cmd {
	switch a.Kind {
	case Quit:
		return tea.Quit
	case Ask:
		return p.ask(false)
	case End:
		return func() tea.Msg {
			e, err := p.client.DeleteSessions(p.ctx, filterOf(a.End), false)
			return ended{e.Ended, err}
		}
	case Explain:
		return func() tea.Msg {
			h, err := p.client.History(p.ctx, time.Now().Add(-explained), a.Filter)
			return found{Explanation{Title: a.Title, Failures: failuresOf(h.Failures, a.Reason)}, err}
		}
	}
	return nil
}

func (p program) ask(again bool) tea.Cmd {
	query := p.state.Query()
	return func() tea.Msg {
		t, err := p.client.Traffic(p.ctx, query)
		return answered{t, err, again}
	}
}

// failuresOf are those by drops of a reason; empty: all.
func failuresOf(list []api.Failure, reason string) []api.Failure {
	return slices.DeleteFunc(list, func(f api.Failure) bool { return reason != "" && f.Reason != reason })
}

// filterOf selects one session. Of ICMP a remote has no port.
func filterOf(s api.Session) api.Filter {
	return api.Filter{
		NAT: s.NAT, Network: s.Network, Endpoint: s.Endpoint, Protocol: string(s.Protocol),
		Internal: patternOf(s.Internal), External: patternOf(s.External), Remote: patternOf(s.Remote),
	}
}

func patternOf(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}
