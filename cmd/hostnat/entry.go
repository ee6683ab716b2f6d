//go:build !man

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/bridgehelper"
	"github.com/hostnat/hostnat/internal/plugin/cni"
	"github.com/hostnat/hostnat/internal/plugin/extcap"
	"github.com/hostnat/hostnat/internal/plugin/podman"
)

func main() { os.Exit(mainCode()) }

func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if podman.IsPlugin(os.Args[0]) {
		return netavark(ctx)
	}
	if extcap.IsExtcap(os.Args[0]) {
		return wireshark(ctx)
	}
	if bridgehelper.IsHelper(os.Args[0]) {
		return bridgeHelper(ctx)
	}
	if cni.IsPlugin(os.Args[0], len(os.Args)-1, os.Getenv("CNI_COMMAND")) {
		return cniPlugin(ctx)
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

// wireshark is the program as one of Wireshark's capture programs.
func wireshark(ctx context.Context) int {
	program := extcap.Program{
		Daemon: api.NewClient(socketPath()), Version: buildVersion(), Args: os.Args[1:], Out: os.Stdout,
		Open: func(fifo string) (io.WriteCloser, error) { return os.OpenFile(fifo, os.O_WRONLY, 0) },
	}
	if err := program.Run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "hostnat: %s\n", oneLine(err))
		return exitRefused
	}
	return exitDone
}

// bridgeHelper is the program as QEMU's helper for bridges.
func bridgeHelper(ctx context.Context) int {
	if err := bridgehelper.Run(ctx, api.NewClient(socketPath()), os.Args[1:]); err != nil {
		note(oneLine(err))
		return exitRefused
	}
	return exitDone
}

// netavark is the program as a plugin of Podman's network program.
func netavark(ctx context.Context) int {
	uidMap, _ := os.ReadFile("/proc/self/uid_map") // none: it is not the whole
	plugin := podman.Plugin{
		Daemon: api.NewClient(socketPath()), Files: podman.DefaultFiles,
		Note: note,
	}
	return plugin.Exec(ctx, podman.Surroundings{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Version: buildVersion(), UIDMap: string(uidMap), Euid: os.Geteuid(),
	})
}

// cniPlugin is the program as a plugin of runtimes that speak CNI.
func cniPlugin(ctx context.Context) int {
	uidMap, _ := os.ReadFile("/proc/self/uid_map") // none: it is not the whole
	plugin := cni.Plugin{
		Daemon: api.NewClient(socketPath()), Note: note,
		Gone: func(namespace string) bool {
			if !filepath.IsAbs(namespace) {
				namespace = filepath.Join("/run/netns", namespace)
			}
			_, err := os.Stat(namespace)
			return errors.Is(err, os.ErrNotExist)
		},
		Flows: func() bool {
			pinned, err := os.ReadDir(filepath.Join(filepath.Dir(socketPath()), "bpf"))
			return err == nil && len(pinned) > 0
		},
	}
	return plugin.Exec(ctx, cni.Surroundings{Version: buildVersion(), UIDMap: string(uidMap), Euid: os.Geteuid()})
}

func socketPath() string { return cmp.Or(os.Getenv("HOSTNAT_SOCKET"), api.DefaultSocket) }

func note(message string) { fmt.Fprintf(os.Stderr, "hostnat: %s\n", message) }
