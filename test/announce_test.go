package test

import (
	"context"
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/api"
)

// announces is the command that carries out another and waits so many
// milliseconds for the event of that name about that network.
func announces(all map[string]command) command {
	return func(m *machine, ts *testscript.TestScript, args []string) error {
		limit, err := number(args[0])
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		events, err := m.client().Watch(ctx, api.EventFilter{})
		if err != nil {
			return err
		}
		began := time.Now()
		if err := all[args[3]](m, ts, args[4:]); err != nil {
			return err
		}
		deadline := time.After(time.Until(began.Add(time.Duration(limit) * time.Millisecond)))
		for {
			select {
			case e, open := <-events:
				if !open {
					return fmt.Errorf("the stream of events ended")
				}
				if e.Name == args[1] && e.Network == args[2] {
					fmt.Fprintf(ts.Stdout(), "%s\n", e.Message)
					ts.Logf("%s after %v", e.Name, time.Since(began).Round(time.Millisecond))
					return nil
				}
			case <-deadline:
				return fmt.Errorf("no %s about network %s within %d ms", args[1], args[2], limit)
			}
		}
	}
}
