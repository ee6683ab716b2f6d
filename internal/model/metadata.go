package model

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Metadata is what whoever made a thing has noted on it, for its own use:
// hostnat keeps it and shows it, and does nothing else with it. Labels are never
// changed in place: copies share them.
type Metadata struct {
	Labels map[string]string
	Owner  string // the program that made it, such as "docker"; empty: a person
}

// The limits of metadata, in bytes where they are no count. They leave room for
// all labels of a container of Docker or a pod's annotations that name it, and
// keep a thousand endpoints below 20 MB.
const (
	MaxLabels     = 64
	MaxLabelKey   = 253
	MaxLabelValue = 4096
	MaxAllLabels  = 16 << 10 // keys and values of one thing together
	MaxOwner      = 255
)

// Equal reports whether both say the same.
func (m Metadata) Equal(o Metadata) bool { return m.Owner == o.Owner && maps.Equal(m.Labels, o.Labels) }

// Empty reports whether nothing is noted.
func (m Metadata) Empty() bool { return m.Owner == "" && len(m.Labels) == 0 }

// Check refuses what is too much, or would be trouble in a list or on a command
// line.
func (m Metadata) Check() error {
	if len(m.Owner) > MaxOwner || strings.ContainsFunc(m.Owner, notLabelRune) {
		return Errorf(Invalid, "owner %q is not a name", Clip(m.Owner)).WithHint("use up to %d letters, digits, '.', '_', '-', '/' and ':'", MaxOwner)
	}
	if len(m.Labels) > MaxLabels {
		return Errorf(Invalid, "%d labels are given", len(m.Labels)).WithHint("give up to %d", MaxLabels)
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		if err := checkLabel(key, m.Labels[key]); err != nil {
			return err
		}
		size += len(key) + len(m.Labels[key])
	}
	if size > MaxAllLabels {
		return Errorf(Invalid, "the labels have %d bytes", size).WithHint("give up to %d, keys and values together", MaxAllLabels)
	}
	return nil
}

func checkLabel(key, value string) error {
	switch {
	case key == "" || len(key) > MaxLabelKey || strings.ContainsFunc(key, notLabelRune):
		return Errorf(Invalid, "label %q is not a key", Clip(key)).WithHint("use 1 to %d letters, digits, '.', '_', '-', '/' and ':'", MaxLabelKey)
	case len(value) > MaxLabelValue:
		return Errorf(Invalid, "label %q has a value of %d bytes", Clip(key), len(value)).WithHint("give up to %d", MaxLabelValue)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return Errorf(Invalid, "label %q has a value that is not printable text", Clip(key)).WithHint("use UTF-8 without control characters")
	}
	return nil
}

func notLabelRune(r rune) bool { return !nameRune(r) && r != '/' && r != ':' }
