package main

import "github.com/spf13/cobra"

func metricsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "metrics", Short: "Print all numbers in Prometheus's text format",
		Long: "Print all numbers in Prometheus's text format. The same is at the path /metrics of the\n" +
			"daemon's socket, for Prometheus itself. docs/metrics.md lists them.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.client().Metrics(cmd.Context(), a.Stdout) },
	}
}
