package host

import "testing"

func TestCgroupMount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, line, want string
	}{
		{"unified", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate", "/sys/fs/cgroup"},
		{"beside version 1", "40 30 0:33 / /sys/fs/cgroup/unified rw - cgroup2 none rw", "/sys/fs/cgroup/unified"},
		{"a space in the path", `40 30 0:33 / /mnt/my\040groups rw - cgroup2 none rw`, "/mnt/my groups"},
		{"version 1", "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", ""},
		{"a part of it", "41 30 0:33 /user.slice /mnt rw - cgroup2 none rw", ""},
		{"too short", "41 30 - cgroup2 none rw", ""},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := cgroupMount(tt.line); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
}
