package wire

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// CgroupRoot finds the root of cgroup v2, as package host does.
func CgroupRoot(t *testing.T) string {
	t.Helper()
	file, err := os.Open("/proc/self/mountinfo")
	Must(t, err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if before, _, ok := strings.Cut(lines.Text(), " - cgroup2 "); ok {
			return strings.Fields(before)[4]
		}
	}
	t.Fatal("cgroup v2 is not mounted")
	return ""
}
