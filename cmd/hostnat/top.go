package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/cmd/hostnat/top"
)

// shortestInterval is how long the daemon leaves between two readings at least.
const shortestInterval = time.Second

func topCommand(a *app) *cobra.Command {
	var once bool
	var count int
	s := top.State{Interval: 2 * time.Second, Order: top.Orders[0]}
	cmd := &cobra.Command{
		Use: "top", Short: "Show who sends how much: endpoints, sessions, drops, sorted and each two seconds anew",
		Long: "Show who sends how much: endpoints, sessions and dropped packets, with keys to sort, filter, follow\n" +
			"an endpoint, end a session and explain drops; ? lists them. With --once, -o json or where nobody\n" +
			"looks (a pipe, a file) one picture is printed, after two readings of the kernel's tables.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !slices.Contains(top.Orders, s.Order):
				return usagef(cmd, "--sort %s is not known; there are %s", s.Order, strings.Join(top.Orders, ", "))
			case s.Interval < shortestInterval:
				return usagef(cmd, "--interval %v is less than %v", s.Interval, shortestInterval)
			case count < 1 || count > 1000:
				return usagef(cmd, "--count %d is not from 1 to 1000", count)
			}
			if s.Endpoint != "" {
				e, err := a.client().Endpoint(cmd.Context(), s.Endpoint)
				if err == nil {
					s.Endpoint = e.Name
				} else if api.CodeOf(err) != api.Conflict { // two networks have one of that name: both are meant
					return err
				}
			}
			if once || !a.Terminal || a.format != formatTable {
				return a.topOnce(cmd, s, count)
			}
			return a.topScreens(cmd.Context(), s)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Order, "sort", s.Order, "what comes first: bytes, packets, sessions, opened (new ones) or name")
	flags.StringVar(&s.Endpoint, "endpoint", "", "only this `endpoint`")
	flags.StringVar(&s.Match, "match", "", "only rows that have this `TEXT` in a name, an address, the protocol or the state")
	flags.DurationVar(&s.Interval, "interval", s.Interval, "how often to ask the daemon")
	flags.BoolVar(&once, "once", false, "print one picture and end")
	flags.IntVar(&count, "count", 20, "with --once: so many endpoints, and so many sessions")
	completeFlag(cmd, "sort", top.Orders...)
	a.completeFlagFrom(cmd, "endpoint", endpointNames)
	return cmd
}

// topOnce prints one picture.
func (a *app) topOnce(cmd *cobra.Command, s top.State, count int) error {
	query := s.Query()
	query.Count = count
	t, err := a.rates(cmd.Context(), query)
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.print(t)
	}
	s.Traffic = t
	return top.Print(a.Stdout, s)
}

// rates asks until there are rates, of a reading that began later than this: for a second or
// two, or longer where a table of very many sessions is read.
func (a *app) rates(ctx context.Context, query api.TrafficQuery) (api.Traffic, error) {
	began := time.Now()
	for {
		t, err := a.client().Traffic(ctx, query)
		if err != nil || t.Milliseconds > 0 && t.At.After(began) {
			return t, err
		}
		select {
		case <-ctx.Done():
			return t, ctx.Err()
		case <-time.After(shortestInterval):
		}
	}
}

// topScreens shows the screens. Whether the daemon is there is said before.
func (a *app) topScreens(ctx context.Context, s top.State) error {
	var err error
	if s.Traffic, err = a.client().Traffic(ctx, s.Query()); err != nil {
		return err
	}
	s.Colour = a.Getenv("NO_COLOR") == ""
	if a.Size != nil {
		s.Width, s.Height = a.Size()
	}
	return top.Run(ctx, a.client(), s, a.Stdin, a.Stdout)
}
