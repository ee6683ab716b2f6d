package lab

import (
	"os"
	"strconv"
	"strings"
)

// NeighboursRefused is how often since its start the kernel had no room for one
// more IPv4 neighbour. Its table is one for all namespaces (gc_thresh3, 1,024 of
// them): where some test has a thousand endpoints, first packets get lost in every
// other one, and no counter of ours tells. 0 if the kernel does not say.
func NeighboursRefused() uint64 {
	text, err := os.ReadFile("/proc/net/stat/arp_cache")
	if err != nil {
		return 0
	}
	return neighboursRefused(string(text))
}

// neighboursRefused adds up the column of that file, a line for each CPU in
// hexadecimal.
func neighboursRefused(text string) (sum uint64) {
	names, lines, _ := strings.Cut(text, "\n")
	column := -1
	for i, name := range strings.Fields(names) {
		if name == "table_fulls" {
			column = i
		}
	}
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if column < 0 || column >= len(fields) {
			continue
		}
		count, _ := strconv.ParseUint(fields[column], 16, 64)
		sum += count
	}
	return sum
}
