// Package budget shares the process's file descriptors out among its parts, so that
// the clients of one part cannot take what another one needs.
package budget

import (
	"fmt"
	"syscall"
)

// Files is how many file descriptors each part may have open at most. What is left,
// a quarter, belongs to the networks' listening sockets, netlink, BPF and files: no
// client's doing takes of it.
type Files struct {
	Proxies int // connections, UDP clients and pipes of the port proxies
	Names   int // DNS: clients' connections, and questions that are passed on
	API     int // connections of the API's clients
}

// FilesOf shares out a limit.
func FilesOf(limit int) Files {
	return Files{Proxies: limit / 2, Names: limit / 8, API: limit / 8}
}

// FilesOfProcess shares out what the process may have open. Go's runtime has raised
// that as far as it can be (RLIMIT_NOFILE, soft to hard) before the program began.
func FilesOfProcess() (Files, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return Files{}, fmt.Errorf("read the limit of open files: %w", err)
	}
	return FilesOf(int(min(limit.Cur, mostFiles))), nil
}

// mostFiles is how many are shared out where the limit is higher or none
// (RLIM_INFINITY): 64-bit counts of descriptors mean nothing.
const mostFiles = 1 << 20
