// Command hostnat gives the VMs and containers of one Linux host private
// networks behind NAT. Every command but daemon, demo and (without a daemon)
// down is a client of the daemon's API.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
)

// env is all that the program takes from its surroundings.
type env struct {
	Args       []string // without the program's name
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer
	Getenv     func(string) string
	Euid       int                         // effective user id
	Terminal   bool                        // Stdout is a terminal
	Size       func() (columns, lines int) // of that terminal now; 0: not known
	Executable string                      // path of this program
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func terminalSize(f *os.File) (columns, lines int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

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
