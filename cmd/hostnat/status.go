package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/hostnat/hostnat/cmd/hostnat/top"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

// talkers is how many endpoints status shows.
const talkers = 5

func statusCommand(a *app) *cobra.Command {
	var rates bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show how the daemon and the data path are", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			var t api.Traffic
			if rates {
				if t, err = a.rates(cmd.Context(), api.TrafficQuery{Count: talkers}); err != nil {
					return err
				}
			}
			switch {
			case a.format != formatTable && rates:
				return a.print(ratedStatus{s, t})
			case a.format != formatTable:
				return a.print(s)
			}
			err = printStatus(a.Stdout, s, a.Terminal && a.Getenv("NO_COLOR") == "")
			if err == nil && rates {
				err = top.Talkers(a.Stdout, t)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&rates, "rates", false, "also what is sent now, and by whom; that takes a second")
	return cmd
}

// ratedStatus is what status --rates prints for programs.
type ratedStatus struct {
	api.Status
	Traffic api.Traffic `json:"traffic"`
}

// printStatus prints one block a topic; a topic with nothing to say is one
// word or left out. In colour, problems are red.
func printStatus(w io.Writer, s api.Status, colour bool) error {
	fmt.Fprintf(w, "hostnat %s, up %s, process %d\n\n", s.Version, text.Seconds(s.UptimeSeconds), s.PID)
	t := text.NewTable(w)
	t.Row("  networks", fmt.Sprint(s.Networks), "NATs", fmt.Sprint(s.NATs))
	t.Row("  endpoints", fmt.Sprint(s.Endpoints), "bindings", fmt.Sprint(s.Bindings))
	t.Row("  mappings", fmt.Sprint(s.Mappings), "sessions", fmt.Sprintf("%d of %d", s.Sessions, s.MaxSessions))
	if err := t.Flush(); err != nil {
		return err
	}
	if len(s.ExternalAddresses) > 0 {
		fmt.Fprintln(w, "\nexternal addresses")
		for _, v := range s.ExternalAddresses {
			t.Row("  "+v.NAT, v.Address.String(), "ports "+v.Ports, text.OrDash(v.Interface), v.Source)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if err := printDrops(w, s); err != nil {
		return err
	}
	if err := printRefused(w, s.Clients); err != nil {
		return err
	}
	if err := printProblems(w, s.Problems, colour); err != nil {
		return err
	}
	return printWarnings(w, s.Warnings)
}

// printRefused says what clients of the API were refused, if they were.
func printRefused(w io.Writer, c api.Clients) error {
	if c.RefusedConnections+c.RefusedWatchers+c.ClosedIdle == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nclients of the API: %d connections refused, %d idle ones closed for new ones, %d streams of events refused\n",
		c.RefusedConnections, c.ClosedIdle, c.RefusedWatchers)
	return err
}

// printDrops prints the counters that are not 0, largest first.
func printDrops(w io.Writer, s api.Status) error {
	reasons := slices.DeleteFunc(slices.Sorted(maps.Keys(s.Drops)), func(r string) bool { return s.Drops[r] == 0 })
	if len(reasons) == 0 {
		return nil
	}
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(s.Drops[b], s.Drops[a]) })
	fmt.Fprintln(w, "\ndropped packets")
	t := text.NewTable(w)
	for _, name := range reasons {
		t.Row("  "+name, fmt.Sprint(s.Drops[name]), s.DropReasons[name])
	}
	return t.Flush()
}

// printWarnings says what is configured and surely not meant, if something is.
func printWarnings(w io.Writer, warnings []string) error {
	if len(warnings) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nwarnings")
	for _, text := range warnings {
		if _, err := fmt.Fprintf(w, "  %s\n", text); err != nil {
			return err
		}
	}
	return nil
}

func printProblems(w io.Writer, problems []string, colour bool) error {
	begin, end := "", ""
	if colour {
		begin, end = "\x1b[31m", "\x1b[0m"
	}
	if len(problems) == 0 {
		_, err := fmt.Fprintln(w, "\nno problems")
		return err
	}
	fmt.Fprintf(w, "\n%sproblems%s\n", begin, end)
	for _, p := range problems {
		if _, err := fmt.Fprintf(w, "  %s%s%s\n", begin, p, end); err != nil {
			return err
		}
	}
	return nil
}
func metricsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "metrics", Short: "Print all numbers in Prometheus's text format",
		Long: "Print all numbers in Prometheus's text format. The same is at the path /metrics of the\n" +
			"daemon's socket, for Prometheus itself. docs/metrics.md lists them.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.client().Metrics(cmd.Context(), a.Stdout) },
	}
}
