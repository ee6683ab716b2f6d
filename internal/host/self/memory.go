package self

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MemoryLimit returns how many bytes this process and what the kernel keeps for it
// may take: the least limit of its control group and of those above, or else the
// machine's memory.
func MemoryLimit() (uint64, error) {
	limit, err := machineMemory()
	if err != nil {
		return 0, err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, fmt.Errorf("read the control group of this process: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, fmt.Errorf("look for the control groups: %w", err)
	}
	for _, file := range limitFiles(string(groups), string(mounts)) {
		if value, ok := readLimit(file); ok {
			limit = min(limit, value)
		}
	}
	return limit, nil
}

func machineMemory() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read the size of the memory: %w", err)
	}
	var kilobytes uint64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kilobytes); err != nil {
		return 0, fmt.Errorf("read the size of the memory: %w", err)
	}
	return kilobytes * 1024, nil
}

// limitFiles are the files that have a limit of memory, from those of the process's
// own groups (cgroups(7): ID:CONTROLLERS:PATH a line) up to the root's.
func limitFiles(groups, mounts string) []string {
	var files []string
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		kind, name := "cgroup2", "memory.max"
		switch {
		case parts[1] == "memory": // version 1
			kind, name = "cgroup", "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		top, root, ok := groupMount(mounts, kind)
		if !ok {
			continue
		}
		below, ok := strings.CutPrefix(parts[2], strings.TrimSuffix(root, "/"))
		if !ok {
			below = "/" // of what is above the mount nothing can be read
		}
		for dir := filepath.Join("/", below); ; dir = filepath.Dir(dir) {
			files = append(files, filepath.Join(top, dir, name))
			if dir == "/" {
				break
			}
		}
	}
	return files
}

// groupMount finds where the memory controller is mounted, and which group is its root.
func groupMount(mounts, kind string) (mountPoint, root string, ok bool) {
	for line := range strings.Lines(mounts) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		fields, source := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(source) < 3 || source[0] != kind {
			continue
		}
		if kind == "cgroup" && !hasOption(source[2], "memory") {
			continue
		}
		return unescapeMount(fields[4]), unescapeMount(fields[3]), true
	}
	return "", "", false
}

func hasOption(options, name string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == name {
			return true
		}
	}
	return false
}

// unescapeMount reads a path of mountinfo (proc(5)).
func unescapeMount(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(path)
}

// readLimit is false where there is none: the root group has no file, others may
// say max.
func readLimit(path string) (uint64, bool) {
	file, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer file.Close()
	line, err := bufio.NewReader(io.LimitReader(file, 64)).ReadString('\n')
	if err != nil {
		return 0, false
	}
	value, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	return value, err == nil && value > 0
}
