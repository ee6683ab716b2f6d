package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func eventCommand(a *app) *cobra.Command {
	return group("event", "Events of bindings and sessions as they happen", eventWatch(a))
}

func eventWatch(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "watch", Short: "Print events until interrupted; with -o json one object a line", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			events, err := a.client().Watch(cmd.Context())
			if err != nil {
				return err
			}
			for e := range events {
				if err := a.printEvent(e); err != nil {
					return err
				}
			}
			if cmd.Context().Err() == nil {
				return &api.Error{Code: api.Unavailable, Message: "the daemon ended the stream of events"}
			}
			return nil
		},
	}
}

func (a *app) printEvent(e api.Event) error {
	if a.format != formatTable {
		return json.NewEncoder(a.Stdout).Encode(e)
	}
	_, err := fmt.Fprintf(a.Stdout, "%s  %d %-21s  %s\n", timeText(e.Time), e.ID, e.Name, e.Message)
	return err
}
