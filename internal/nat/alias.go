package nat

import (
	"slices"
	"strings"
)

// parseAliases reads the further names of an endpoint: lower case, sorted, each
// once. Names in DNS do not care about case.
func parseAliases(texts []string) ([]string, error) {
	var aliases []string
	for _, text := range texts {
		a := strings.ToLower(text)
		if err := CheckName("alias", a); err != nil {
			return nil, err
		}
		for label := range strings.SplitSeq(a, ".") {
			if !IsHostLabel(label) {
				return nil, Errorf(Invalid, "alias %q cannot be a name in DNS", clip(text)).WithHint(nameHint)
			}
		}
		aliases = append(aliases, a)
	}
	slices.Sort(aliases)
	return slices.Compact(aliases), nil
}

// checkAliases refuses names that are another endpoint's own. An alias may be
// that of several endpoints: it then leads to all of them.
func (c *Config) checkAliases(e Endpoint) error {
	for _, other := range c.EndpointsOf(e.Network) {
		if other.Name == e.Name {
			continue
		}
		if slices.Contains(e.Aliases, strings.ToLower(other.Name)) {
			return Errorf(Conflict, "alias %q is the name of endpoint %q", strings.ToLower(other.Name), other.Name).WithHint("choose another alias")
		}
		if slices.Contains(other.Aliases, strings.ToLower(e.Name)) {
			return Errorf(Conflict, "name %q is an alias of endpoint %q", e.Name, other.Name).WithHint("choose another name, or attach %s again with other aliases", other.Name)
		}
	}
	return nil
}

// setAliases gives an attached endpoint other aliases.
func (c *Config) setAliases(e Endpoint, aliases []string) (Endpoint, error) {
	e.Aliases = aliases
	if err := c.checkAliases(e); err != nil {
		return Endpoint{}, err
	}
	for i := range c.Endpoints {
		if c.Endpoints[i].Name == e.Name {
			c.Endpoints[i] = e
		}
	}
	return e, nil
}
