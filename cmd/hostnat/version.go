package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// buildVersion is what this program calls itself.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// versions is what `version -o json` prints. Daemon is "" if none runs.
type versions struct {
	Version string `json:"version"`
	Daemon  string `json:"daemon"`
	Go      string `json:"go"`
}

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program and of the daemon", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Version: buildVersion(), Go: runtime.Version()}
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
			defer cancel()
			running, err := a.client().Version(ctx)
			v.Daemon = running.Version
			return printLine(a, v, "hostnat %s (%s), %s", v.Version, v.Go, daemonVersion(v.Daemon, err))
		},
	}
}

func daemonVersion(version string, err error) string {
	switch {
	case api.NotRunning(err):
		return "daemon not running"
	case err != nil:
		return fmt.Sprintf("daemon: %v", err)
	}
	return "daemon " + version
}
