package examine

import (
	"os"
	"strconv"
	"strings"
)

// neighboursRefused is how often since its start the kernel had no room for one more
// IPv4 neighbour, in any namespace. 0 if it does not say: it does so in the first
// namespace alone, where the limit is set too.
func neighboursRefused() uint64 {
	text, err := os.ReadFile("/proc/net/stat/arp_cache")
	if err != nil {
		return 0
	}
	return sumOfColumn(string(text), "table_fulls")
}

// sumOfColumn adds up a column of a file of /proc/net/stat: names in the first line,
// then a line for each CPU, in hexadecimal. What is no number counts as 0.
func sumOfColumn(text, name string) (sum uint64) {
	names, lines, _ := strings.Cut(text, "\n")
	for column, is := range strings.Fields(names) {
		if is != name {
			continue
		}
		for line := range strings.Lines(lines) {
			if fields := strings.Fields(line); column < len(fields) {
				n, _ := strconv.ParseUint(fields[column], 16, 64)
				sum += n
			}
		}
		return sum
	}
	return 0
}
