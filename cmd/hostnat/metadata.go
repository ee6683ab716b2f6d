package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// metadataFlags are those of what may have labels and an owner.
func metadataFlags(cmd *cobra.Command, labels *map[string]string, owner *string) {
	cmd.Flags().Var(&labelFlag{labels}, "label", "note `KEY=VALUE` on it; may be repeated")
	cmd.Flags().StringVar(owner, "owner", "", "the `program` that it belongs to (default none: a person's)")
}

// labelFlag reads KEY=VALUE, or KEY alone for an empty value.
type labelFlag struct{ labels *map[string]string }

func (f *labelFlag) Set(text string) error {
	key, value, _ := strings.Cut(text, "=")
	if *f.labels == nil {
		*f.labels = make(map[string]string)
	}
	if _, twice := (*f.labels)[key]; twice {
		return fmt.Errorf("label %q is given twice", key)
	}
	(*f.labels)[key] = value
	return nil
}

func (f *labelFlag) String() string { return "" }

func (f *labelFlag) Type() string { return "KEY=VALUE" }

func labelsText(labels map[string]string) string {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, key+"="+labels[key])
	}
	return strings.Join(texts, ",")
}

// metadataFields are the lines of what has labels or an owner.
func metadataFields(labels map[string]string, owner string) []field {
	var fields []field
	if len(labels) > 0 {
		fields = append(fields, field{"labels", labelsText(labels)})
	}
	if owner != "" {
		fields = append(fields, field{"owner", owner})
	}
	return fields
}
