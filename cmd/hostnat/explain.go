package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func explainCommand(a *app) *cobra.Command {
	var spec api.ExplainSpec
	cmd := &cobra.Command{
		Use: "explain PROTOCOL FROM TO", Short: "Say what would become of a packet, and what would change it",
		Long: "Say what would become of the first packet of a flow: where it comes in, how it is translated,\n" +
			"where it goes, or why not and which command would change that. The data path's own programs\n" +
			"decide it with the tables as they are, and nothing is changed or sent.\n\n" +
			"  hostnat explain tcp c1 93.184.216.34:443                  from an endpoint\n" +
			"  hostnat explain tcp 198.51.100.7:5555 203.0.113.1:8080    from outside\n" +
			"  hostnat explain icmp c1 c2                                between endpoints\n\n" +
			"FROM and TO are NAME[:PORT] or ADDRESS[:PORT]; TO's port is needed for tcp and udp.",
		Args: positional("PROTOCOL", "FROM", "TO"), ValidArgsFunction: a.arguments(packetProtocols, endpointNames, endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Protocol, spec.From, spec.To = args[0], args[1], args[2]
			e, err := a.client().Explain(cmd.Context(), spec)
			if err != nil {
				return err
			}
			if a.format != formatTable {
				return a.print(e)
			}
			return printExplanation(a.Stdout, e)
		},
	}
	cmd.Flags().StringVar(&spec.At, "at", "", "the packet comes in at this endpoint, network or link of the host (default where FROM belongs)")
	a.completeFlagFrom(cmd, "at", endpointNames)
	return cmd
}

func printExplanation(w io.Writer, e api.Explanation) error {
	t := newTable(w)
	for _, s := range e.Steps {
		t.row(s.Step, s.Found)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", e.Summary)
	if e.Meaning != "" {
		fmt.Fprintln(w, e.Meaning)
	}
	for _, r := range e.Remedies {
		fmt.Fprintf(w, "\n%s:\n    %s\n", r.Object, r.Command)
	}
	return nil
}

func packetProtocols(context.Context, *api.Client) []string { return []string{"tcp", "udp", "icmp"} }
