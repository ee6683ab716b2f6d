package self

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLimitFiles(t *testing.T) {
	t.Parallel()
	const (
		v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
			"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
		v2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
	)
	for name, tt := range map[string]struct {
		groups, mounts string
		want           []string
	}{
		"version 2": {"0::/system.slice/hostnat.service\n", v2,
			[]string{"/sys/fs/cgroup/system.slice/hostnat.service/memory.max", "/sys/fs/cgroup/system.slice/memory.max", "/sys/fs/cgroup/memory.max"}},
		"version 1": {"4:memory:/a\n1:cpu:/b\n", v1,
			[]string{"/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
		"both": {"4:memory:/\n0::/x\n", v1 + v2,
			[]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/x/memory.max", "/sys/fs/cgroup/memory.max"}},
		"a container's mount": {"0::/box/inner\n", "41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			[]string{"/sys/fs/cgroup/inner/memory.max", "/sys/fs/cgroup/memory.max"}},
		"above the mount": {"0::/other\n", "41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			[]string{"/sys/fs/cgroup/memory.max"}},
		"a space":     {"0::/\n", `41 31 0:38 / /mnt/c\040g rw - cgroup2 cgroup2 rw` + "\n", []string{"/mnt/c g/memory.max"}},
		"not mounted": {"0::/\n", "", nil},
		"damaged":     {"0:\n::::\n", "x - y\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, limitFiles(tt.groups, tt.mounts)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	limit, err := MemoryLimit()
	machine, machineErr := machineMemory()
	if err != nil || machineErr != nil || limit == 0 || limit > machine {
		t.Errorf("limit %d of a machine with %d, %v, %v", limit, machine, err, machineErr)
	}
}
