// Command hostnat gives the VMs and containers of one Linux host private
// networks behind NAT. Every command but daemon, demo and (without a daemon)
// down is a client of the daemon's API.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
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

func main() { os.Exit(mainCode()) }

func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
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
