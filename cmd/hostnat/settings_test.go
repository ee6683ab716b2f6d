package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
)

// TestSettingsAreExplained: help and completion know the keys that there are.
func TestSettingsAreExplained(t *testing.T) {
	t.Parallel()
	for what, lists := range map[string]struct {
		explained []setting
		known     []string
	}{
		"NAT":     {natSettings, config.SettingKeys()},
		"network": {networkSettings, config.NetworkSettingKeys()},
	} {
		keys := namesOf(lists.explained, func(s setting) string { return s.key })
		slices.Sort(keys)
		if diff := cmp.Diff(lists.known, keys); diff != "" {
			t.Errorf("settings of a %s (-known +explained):\n%s", what, diff)
		}
	}
}
