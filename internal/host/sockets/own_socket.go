package sockets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// withoutServers leaves out the sockets of hostnat's own servers: those of this
// process that are bound to a link. They listen on gateways' links, for
// endpoints, and never take what comes from outside.
func withoutServers(sockets []boundSocket) ([]boundSocket, error) {
	if !slices.ContainsFunc(sockets, func(s boundSocket) bool { return s.link != 0 }) {
		return sockets, nil
	}
	own, err := ownSockets()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(sockets, func(s boundSocket) bool { return s.link != 0 && own[s.inode] }), nil
}

// ownSockets returns the inodes of this process's sockets.
func ownSockets() (map[uint32]bool, error) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list own sockets: %w", err)
	}
	own := make(map[uint32]bool)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed in the meantime
		}
		var inode uint32
		if _, err := fmt.Sscanf(target, "socket:[%d]", &inode); err == nil {
			own[inode] = true
		}
	}
	return own, nil
}
