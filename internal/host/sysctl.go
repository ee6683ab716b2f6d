package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// checkLink refuses names that are not a link's own: nothing else may become
// part of a path below /proc/sys, where "all" and "default" stand for the
// whole host.
func checkLink(name string) error {
	if err := model.CheckLink("link", name); err != nil {
		return err
	}
	if name == "all" || name == "default" {
		return model.Errorf(model.Invalid, "link name %q is reserved: its settings would be the whole host's", name).WithHint("use another name")
	}
	return nil
}

func linkSysctl(family, link, key string) string {
	return filepath.Join("net", family, "conf", link, key)
}

// readSysctl reads a value below /proc/sys.
func readSysctl(path string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", path))
	return strings.TrimSpace(string(text)), err
}

func hasSysctl(path, value string) bool {
	now, err := readSysctl(path)
	return err == nil && now == value
}

// setSysctl writes a value below /proc/sys unless it is there already.
func setSysctl(path, value string) error {
	now, err := readSysctl(path)
	if err == nil && now == value {
		return nil
	}
	if err == nil {
		err = os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0)
	}
	if err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", path, value, err)
	}
	return nil
}

// disableIPv6 keeps a link from making IPv6 addresses and talking by itself.
func disableIPv6(link string) error {
	err := setSysctl(linkSysctl("ipv6", link, "disable_ipv6"), "1")
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	return err
}
