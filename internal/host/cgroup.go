package host

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
	"golang.org/x/sys/unix"
)

// CgroupRoot returns where the root of the cgroup v2 hierarchy is mounted. On
// hosts that still have version 1 that is a folder beside it.
func CgroupRoot() (string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("look for cgroup v2: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if path, ok := cgroupMount(lines.Text()); ok {
			return path, nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("look for cgroup v2: %w", err)
	}
	return "", model.Errorf(model.Unavailable, "cgroup v2 is not mounted").WithHint("mount it: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

// cgroupMount reads a line of mountinfo (proc(5)): the root within the
// filesystem is the fourth field, the mount point the fifth, and the type
// follows a lone dash.
func cgroupMount(line string) (string, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") || fields[3] != "/" {
		return "", false
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(fields[4]), true
}

// NetnsCookie returns the number by which BPF programs know the calling
// thread's network namespace.
func NetnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("read the namespace's cookie: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read the namespace's cookie: %w", err)
	}
	return cookie, nil
}
