// Command hostnat gives the VMs and containers of one Linux host private
// networks behind NAT. Every command but daemon, demo and (without a daemon)
// down is a client of the daemon's API.
package main

import (
	"io"
	"os"

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
