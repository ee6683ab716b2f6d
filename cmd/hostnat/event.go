package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func eventCommand(a *app) *cobra.Command {
	return group("event", "Events of bindings, sessions and dropped packets, as they happen or since a time", eventWatch(a))
}

func eventWatch(a *app) *cobra.Command {
	var filter api.EventFilter
	var since string
	cmd := &cobra.Command{
		Use: "watch", Short: "Print events until interrupted; with -o json one object a line",
		Long: "Print events until interrupted: in short, in Windows NAT's words with -o winnat, or with -o json\n" +
			"one object a line. What was lost, since it came faster than it was read, is told as an event.\n\n" +
			"  hostnat event watch --endpoint c1                 what happens to an endpoint's flows\n" +
			"  hostnat event watch --only drop --since 10m       packets that were dropped, and that will be\n" +
			"  hostnat event watch --not binding --last 20       the last drops and ends of sessions first\n" +
			"  hostnat event watch --only translated --remote 198.51.100.7:443    each packet, before and after\n\n" +
			"Kinds are session, binding, drop, configuration and other; and of each packet translated, forwarded\n" +
			"and skipped (left to the host), which are told only to who names them or says --packets: all traffic\n" +
			"slows meanwhile. A name or number of an event will do, too. Of the past there are drops and ends of\n" +
			"sessions. TIME is 03:10, 2026-11-30 03:10, 10m (ago), or as\n" +
			"of RFC 3339.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case since != "":
				at, err := parseSince(since, time.Now())
				if err != nil {
					return usagef(cmd, "%v", err)
				}
				filter.Since = at
			case filter.Last > 0:
				filter.Since = time.Unix(0, 0)
			case filter.Last < 0:
				return usagef(cmd, "--last %d is not a number of events", filter.Last)
			}
			return a.watchEvents(cmd, filter)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "those that were recorded since this `TIME` first")
	flags.IntVar(&filter.Last, "last", 0, "of those that were recorded only so many, the latest")
	flags.StringSliceVar(&filter.Kinds, "only", nil, "only these `KINDS`")
	flags.StringSliceVar(&filter.Not, "not", nil, "all but these `KINDS`")
	flags.BoolVar(&filter.Packets, "packets", false, "each packet too: translated, forwarded, skipped")
	flags.StringVar(&filter.Level, "level", "", "only this `LEVEL` and what is more urgent: verbose, information, warning, error")
	flags.StringVar(&filter.Reason, "reason", "", "only packets that were dropped for this `REASON`")
	completeFlag(cmd, "level", "verbose", "information", "warning", "error")
	for _, name := range []string{"only", "not"} {
		completeFlag(cmd, name, "session", "binding", "drop", "configuration", "other", "translated", "forwarded", "skipped")
	}
	addFilters(a, cmd, &filter.Filter)
	addSessionFilters(cmd, &filter.Filter)
	return cmd
}

func (a *app) watchEvents(cmd *cobra.Command, filter api.EventFilter) error {
	events, err := a.client().Watch(cmd.Context(), filter)
	if err != nil {
		return err
	}
	a.warnOfNobody(cmd.Context(), filter.Endpoint)
	for e := range events {
		if err := a.printEvent(e); err != nil {
			return err
		}
	}
	if cmd.Context().Err() == nil {
		return &api.Error{Code: api.Unavailable, Message: "the daemon ended the stream of events"}
	}
	return nil
}

// warnOfNobody says that there is no such endpoint now. There may have been, or may be.
func (a *app) warnOfNobody(ctx context.Context, endpoint string) {
	if endpoint == "" {
		return
	}
	_, err := a.client().Endpoint(ctx, endpoint)
	if refusal := (*api.Error)(nil); errors.As(err, &refusal) && refusal.Code == api.NotFound {
		fmt.Fprintf(a.Stderr, "warning: there is no endpoint %q now; 'hostnat endpoint list' shows those that there are\n", endpoint)
	}
}

func (a *app) printEvent(e api.Event) (err error) {
	switch a.format {
	case formatTable:
		_, err = fmt.Fprintf(a.Stdout, "%s  %s\n", text.Time(e.Time), e.Short)
	case formatWinNAT:
		_, err = fmt.Fprintf(a.Stdout, "%s  %d %-21s  %s\n", text.Time(e.Time), e.ID, e.Name, e.Message)
	default:
		err = json.NewEncoder(a.Stdout).Encode(e)
	}
	return err
}
