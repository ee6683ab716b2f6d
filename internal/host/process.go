package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// socketOwner finds a process that has the socket open. "an unknown program"
// and 0 if there is none to be seen: the kernel itself, or a process of another
// pid namespace.
func socketOwner(ctx context.Context, inode uint32) (program string, pid int, err error) {
	want := fmt.Sprintf("socket:[%d]", inode)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ctx.Err() != nil {
			return "", 0, context.Cause(ctx)
		}
		if hasOpen(pid, want) {
			return programName(pid), pid, nil
		}
	}
	return unknownProgram, 0, nil
}

const unknownProgram = "an unknown program"

// hasOpen looks through a process's files; one that ends meanwhile has none.
func hasOpen(pid int, want string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	files, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, f := range files {
		if target, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && target == want {
			return true
		}
	}
	return false
}

func programName(pid int) string {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return unknownProgram
	}
	return strings.TrimSpace(string(name))
}
