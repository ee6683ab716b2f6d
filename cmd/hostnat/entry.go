//go:build !man

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/podman"
)

func main() { os.Exit(mainCode()) }

func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if podman.IsPlugin(os.Args[0]) {
		return netavark(ctx)
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return run(ctx, env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Euid: os.Geteuid(), Terminal: isTerminal(os.Stdout),
		Size: func() (int, int) { return terminalSize(os.Stdout) }, Executable: self,
	})
}

// netavark is the program as a plugin of Podman's network program.
func netavark(ctx context.Context) int {
	socket := os.Getenv("HOSTNAT_SOCKET")
	if socket == "" {
		socket = api.DefaultSocket
	}
	uidMap, _ := os.ReadFile("/proc/self/uid_map") // none: it is not the whole
	plugin := podman.Plugin{
		Daemon: api.NewClient(socket), Files: podman.DefaultFiles,
		Note: func(message string) { fmt.Fprintf(os.Stderr, "hostnat: %s\n", message) },
	}
	return plugin.Exec(ctx, podman.Surroundings{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Version: buildVersion(), UIDMap: string(uidMap), Euid: os.Geteuid(),
	})
}
