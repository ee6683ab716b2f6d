package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/daemon"
)

func downCommand(a *app) *cobra.Command {
	var options daemon.Options
	cmd := &cobra.Command{
		Use: "down", Short: "Remove everything from the kernel, keep the configuration", Args: positional(),
		Long: "Remove everything of hostnat from the kernel and keep the configuration, which comes back\n" +
			"with the next start of the daemon. A daemon that runs ends. Works without one too; the\n" +
			"directories are for that case.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.down(cmd, options); err != nil {
				return err
			}
			return printDone(a, "everything of hostnat is out of the kernel; the configuration is kept")
		},
	}
	addDirectories(cmd.Flags(), &options)
	return cmd
}

// down asks the daemon if there is one, as it knows best what it is doing.
func (a *app) down(cmd *cobra.Command, options daemon.Options) error {
	err := a.client().Down(cmd.Context())
	if !api.NotRunning(err) {
		return err
	}
	if err := a.needRoot("hostnat down, without a running daemon,"); err != nil {
		return err
	}
	options.Log, options.Version = slog.New(slog.NewTextHandler(a.Stderr, nil)), buildVersion()
	return daemon.Down(cmd.Context(), options)
}
