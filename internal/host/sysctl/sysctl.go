// Package sysctl reads and writes settings below /proc/sys.
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// CheckLinkName refuses names that are not a link's own: nothing else may become
// part of a path below /proc/sys, where "all" and "default" stand for the
// whole host.
func CheckLinkName(name string) error {
	if err := model.CheckLink("link", name); err != nil {
		return err
	}
	if name == "all" || name == "default" {
		return model.Errorf(model.Invalid, "link name %q is reserved: its settings would be the whole host's", name).WithHint("use another name")
	}
	return nil
}

func OfLink(family, link, key string) string {
	return filepath.Join("net", family, "conf", link, key)
}

// Read reads a value below /proc/sys.
func Read(path string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", path))
	return strings.TrimSpace(string(text)), err
}

func Has(path, value string) bool {
	now, err := Read(path)
	return err == nil && now == value
}

// Set writes a value below /proc/sys unless it is there already.
func Set(path, value string) error {
	now, err := Read(path)
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

// DisableIPv6 keeps a link from making IPv6 addresses and talking by itself.
func DisableIPv6(link string) error {
	err := Set(OfLink("ipv6", link, "disable_ipv6"), "1")
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	return err
}
