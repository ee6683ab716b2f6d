package upgrade

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
)

// What has another name than in versions of before, by the name of today. What
// means something else is not in here: it is not carried over.
var (
	formerTables = map[string]string{
		"timers":           "alarms",
		"filter_entries":   "contacts",
		"dependent_ports":  "overflows",
		"dependent_count":  "overflow_counts",
		"one_to_one_in":    "wholes",
		"one_to_one_out":   "inside_wholes",
		"reassembly_loads": "room_loads",
	}
	formerFields = map[string]string{ // the last part of the path
		"hold_until":         "held_until",
		"reassembly_ifindex": "room_ifindex",
		"endpoint_dependent": "overflow",
		"dependent":          "overflow",
	}
)

// byTodaysNames renames the tables that an earlier version has pinned.
func byTodaysNames(had map[string]*ebpf.Map) {
	for name, former := range formerTables {
		if m := had[former]; m != nil && had[name] == nil {
			had[name] = m
			delete(had, former)
		}
	}
}

// hasFormerName reports whether a pinned table stands under a name of before.
func hasFormerName(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return formerTables[name] != "" && errors.Is(err, os.ErrNotExist)
}

// findFormer finds a field by the name it has today or had before.
func (l layout) findFormer(path string) (field, bool) {
	if f, ok := l.find(path); ok {
		return f, true
	}
	parts := strings.Split(path, ".")
	for i, part := range parts {
		if former := formerFields[part]; former != "" {
			parts[i] = former
		}
	}
	return l.find(strings.Join(parts, "."))
}
