package daemon

import (
	"fmt"
	"syscall"
)

// What the daemon keeps open: for a network two sockets of DHCP and four of DNS
// (UDP and TCP, for endpoints and for the host itself), and beside that maps,
// programs, clients of the API and questions that are forwarded.
const (
	filesOfNetwork = 6
	filesBeside    = 512
)

// filesProblem says whether the daemon may open the files that so many networks
// need; "" if it may. Go's runtime has raised the limit as far as it can be
// (RLIMIT_NOFILE, soft to hard) before the program began.
func filesProblem(networks int) string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return ""
	}
	return filesProblemWith(networks, limit.Cur)
}

func filesProblemWith(networks int, limit uint64) string {
	need := uint64(filesBeside + filesOfNetwork*networks)
	if need <= limit {
		return ""
	}
	return fmt.Sprintf("the daemon may open %d files, and %d networks need up to %d: some may be without DHCP or DNS; raise LimitNOFILE of its service, or ulimit -Hn", limit, networks, need)
}
