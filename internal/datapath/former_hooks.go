package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// formerHooks are the hooks that had another name in versions of before.
var formerHooks = map[Hook]string{
	ReassemblyEnter:     "room-enter",
	ReassemblyLeave:     "room-leave",
	PointToPointIngress: "island-ingress",
}

// formerReassembly is the former name of what keeps the reassembly namespace.
const formerReassembly = "room"

// renameLinks gives the pinned links of an earlier version the names that they
// have today, or back again.
func renameLinks(dir string, back bool) error {
	names := []string{filepath.Join(linkDir(dir), formerReassembly), reassemblyPin(dir)}
	if back {
		slices.Reverse(names)
	}
	if err := os.Rename(names[0], names[1]); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("renaming the pin of the reassembly namespace: %w", err)
	}
	return renameHooks(dir, back)
}

func renameHooks(dir string, back bool) error {
	list, err := ListAttachments(dir)
	if err != nil {
		return err
	}
	for _, a := range list {
		for hook, former := range formerHooks {
			from, to := former, string(hook)
			if back {
				from, to = to, from
			}
			if string(a.Hook) != from {
				continue
			}
			if err := os.Rename(linkPath(dir, a.Interface, from), linkPath(dir, a.Interface, to)); err != nil {
				return fmt.Errorf("renaming the pin of %s: %w", from, err)
			}
		}
	}
	return nil
}

func linkPath(dir string, ifindex uint32, hook string) string {
	return filepath.Join(linkDir(dir), fmt.Sprintf("%d-%s", ifindex, hook))
}
