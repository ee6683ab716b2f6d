package sockets

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// owner is a process that has a socket open.
type owner struct {
	program string
	pid     int // 0: not known
}

// unknownProgram stands for the kernel itself, or a process of another pid
// namespace.
const unknownProgram = "an unknown program"

// findOwners fills in the first process that has each socket open, by the
// socket's inode. What nobody has open stays as it is.
func findOwners(ctx context.Context, owners map[uint32]owner) error {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	missing := len(owners)
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if missing == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, inode := range socketsOf(pid) {
			if o, wanted := owners[inode]; wanted && o.pid == 0 {
				owners[inode] = owner{program: programName(pid), pid: pid}
				missing--
			}
		}
	}
	return nil
}

// socketsOf returns the inodes of a process's sockets; one that ends meanwhile
// has none.
func socketsOf(pid int) (inodes []uint32) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, f := range files {
		target, err := os.Readlink(filepath.Join(dir, f.Name()))
		if err != nil {
			continue
		}
		text, isSocket := strings.CutPrefix(target, "socket:[")
		if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32); isSocket && err == nil {
			inodes = append(inodes, uint32(inode))
		}
	}
	return inodes
}

func programName(pid int) string {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return unknownProgram
	}
	return strings.TrimSpace(string(name))
}
