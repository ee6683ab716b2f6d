package examine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Release is the running kernel's version.
type Release struct {
	Text         string // as `uname -r` shows it
	Major, Minor int
}

// KernelRelease asks the kernel for its version.
func KernelRelease() (Release, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return Release{}, fmt.Errorf("kernel release: %w", err)
	}
	return parseRelease(unix.ByteSliceToString(name.Release[:]))
}

func parseRelease(text string) (Release, error) {
	r := Release{Text: text}
	if _, err := fmt.Sscanf(text, "%d.%d", &r.Major, &r.Minor); err != nil {
		return Release{}, fmt.Errorf("kernel release %q: %w", text, err)
	}
	return r, nil
}
