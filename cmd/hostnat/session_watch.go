package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

// watchInterval is how often the list is read again.
const watchInterval = time.Second

func sessionWatch(a *app) *cobra.Command {
	var filter api.Filter
	cmd := &cobra.Command{
		Use: "watch", Short: "Show the sessions each second until interrupted",
		Long: "Show the sessions each second until interrupted: on a terminal the list, else, or with\n" +
			"-o json, a line for each session that is new, has changed (state, packets) or has ended.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := a.sessionLines()
			if a.Terminal && a.format == formatTable {
				show = a.sessionScreen
			}
			return a.watchSessions(cmd.Context(), filter, show)
		},
	}
	addFilters(a, cmd, &filter)
	addSessionFilters(cmd, &filter)
	return cmd
}

// watchSessions shows the sessions now and each second. It ends with ctx.
func (a *app) watchSessions(ctx context.Context, filter api.Filter, show func([]api.Session) error) error {
	again := time.NewTicker(watchInterval)
	defer again.Stop()
	for {
		list, err := a.client().Sessions(ctx, filter)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := show(list); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// sessionScreen writes the list over the last one, cut to the terminal's size.
func (a *app) sessionScreen(list []api.Session) error {
	var text bytes.Buffer
	page := *a
	page.Stdout = &text
	if err := printList(&page, list, sessionColumns()); err != nil {
		return err
	}
	return a.screen(text.String())
}

// screen writes a page over the last one, cut to the terminal's size.
func (a *app) screen(page string) error {
	columns, height := 0, 0
	if a.Size != nil {
		columns, height = a.Size()
	}
	rows := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
	if more := len(rows) - (height - 1); height > 2 && more > 0 {
		rows = append(rows[:height-2], fmt.Sprintf("and %d more", more+1))
	}
	const home, clearRight, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	screen := home
	for _, row := range rows {
		if r := []rune(row); columns > 0 && len(r) > columns {
			row = string(r[:columns])
		}
		screen += row + clearRight + "\n"
	}
	_, err := fmt.Fprint(a.Stdout, screen+clearBelow)
	return err
}

// sessionChange is what has become of a session since the last look.
type sessionChange struct {
	Change string `json:"change"` // new, changed, ended
	api.Session
}

// sessionLines returns a function that prints what differs from the list of
// its last call.
func (a *app) sessionLines() func([]api.Session) error {
	var before []api.Session
	return func(now []api.Session) error {
		for _, c := range sessionChanges(before, now) {
			if err := a.printChange(c); err != nil {
				return err
			}
		}
		before = now
		return nil
	}
}

// sessionKey is what a session is known by.
type sessionKey struct {
	compartment                string
	protocol                   api.Protocol
	internal, external, remote netip.AddrPort
}

func keyOf(s api.Session) sessionKey {
	return sessionKey{s.Compartment, s.Protocol, s.Internal, s.External, s.Remote}
}

// sessionChanges lists ended sessions first: a new one may have their port.
func sessionChanges(before, now []api.Session) (changes []sessionChange) {
	old, current := make(map[sessionKey]api.Session), make(map[sessionKey]bool)
	for _, s := range now {
		current[keyOf(s)] = true
	}
	for _, s := range before {
		old[keyOf(s)] = s
		if !current[keyOf(s)] {
			changes = append(changes, sessionChange{"ended", s})
		}
	}
	for _, s := range now {
		was, known := old[keyOf(s)]
		switch {
		case !known:
			changes = append(changes, sessionChange{"new", s})
		case was.State != s.State || was.PacketsOut != s.PacketsOut || was.PacketsIn != s.PacketsIn:
			changes = append(changes, sessionChange{"changed", s})
		}
	}
	return changes
}

func (a *app) printChange(c sessionChange) error {
	if a.format != formatTable {
		return json.NewEncoder(a.Stdout).Encode(c)
	}
	_, err := fmt.Fprintf(a.Stdout, "%-7s %s %s %s → %s → %s %s packets %d/%d bytes %d/%d\n", c.Change, c.Protocol, text.OrDash(c.Endpoint),
		text.HostPort(c.Internal), text.HostPort(c.External), text.HostPort(c.Remote), text.OrDash(stateText(c.Session)), c.PacketsOut, c.PacketsIn, c.BytesOut, c.BytesIn)
	return err
}
