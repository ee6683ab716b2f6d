package config

import (
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// parseAliases reads the further names of an endpoint: lower case, sorted, each
// once. Names in DNS do not care about case.
func parseAliases(texts []string) ([]string, error) {
	var aliases []string
	for _, text := range texts {
		a := strings.ToLower(text)
		if err := model.CheckName("alias", a); err != nil {
			return nil, err
		}
		for label := range strings.SplitSeq(a, ".") {
			if !model.IsHostLabel(label) {
				return nil, model.Errorf(model.Invalid, "alias %q cannot be a name in DNS", model.Clip(text)).WithHint(model.NameHint)
			}
		}
		aliases = append(aliases, a)
	}
	slices.Sort(aliases)
	return slices.Compact(aliases), nil
}

// checkAliases refuses names that are another endpoint's own. An alias may be
// that of several endpoints: it then leads to all of them.
func (c *Config) checkAliases(e model.Endpoint) error {
	for _, other := range c.EndpointsOf(e.Network) {
		if other.Name == e.Name {
			continue
		}
		if slices.Contains(e.Aliases, strings.ToLower(other.Name)) {
			return model.Errorf(model.Conflict, "alias %q is the name of endpoint %q", strings.ToLower(other.Name), other.Name).WithHint("choose another alias")
		}
		if slices.Contains(other.Aliases, strings.ToLower(e.Name)) {
			return model.Errorf(model.Conflict, "name %q is an alias of endpoint %q", e.Name, other.Name).WithHint("choose another name, or attach %s again with other aliases", other.Name)
		}
	}
	return nil
}
