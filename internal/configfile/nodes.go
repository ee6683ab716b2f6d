package configfile

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/hostnat/hostnat/internal/model"
)

// pair is a key with its value.
type pair struct {
	name  string
	line  int
	value *yaml.Node
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// follow returns what a node stands for: of an alias that which has its anchor.
func (p *parser) follow(n *yaml.Node, depth int) (*yaml.Node, error) {
	if p.nodes++; p.nodes > MaxNodes {
		return nil, p.refusal(n.Line, "", "there are more than %d values up to here, those of aliases counted each time", MaxNodes)
	}
	if depth > maxDepth {
		return nil, p.refusal(n.Line, "", "there are more than %d levels", maxDepth)
	}
	if n.Kind != yaml.AliasNode {
		return n, nil
	}
	return p.follow(n.Alias, depth+1)
}

// pairs are the keys of a node with their values, each once. The key "<<" stands
// for those of another, which give way.
func (p *parser) pairs(n *yaml.Node, what string, depth int) ([]pair, error) {
	n, err := p.follow(n, depth)
	if err != nil {
		return nil, err
	}
	if what == "" {
		what = "a configuration"
	}
	if n.Kind != yaml.MappingNode {
		return nil, p.refusal(n.Line, "write KEY: VALUE", "%s has no keys", what)
	}
	var list, merged []pair
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		value, err := p.follow(n.Content[i+1], depth+1)
		switch {
		case err != nil:
			return nil, err
		case key.Kind != yaml.ScalarNode:
			return nil, p.refusal(key.Line, "", "a key of %s is no text", what)
		case key.ShortTag() == "!!merge":
			more, err := p.merged(value, what, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if at := lines[key.Value]; at != 0 {
			return nil, p.refusal(key.Line, "", "%s has the key %s twice: line %d has it too", what, model.Clip(key.Value), at)
		}
		lines[key.Value] = key.Line
		list = append(list, pair{key.Value, key.Line, value})
	}
	return withoutTwins(append(list, merged...)), nil
}

// merged are the pairs that "<<" stands for, of one or of several: the first of a
// name counts.
func (p *parser) merged(n *yaml.Node, what string, depth int) ([]pair, error) {
	if n.Kind != yaml.SequenceNode {
		return p.pairs(n, what, depth)
	}
	var list []pair
	for _, item := range n.Content {
		more, err := p.pairs(item, what, depth+1)
		if err != nil {
			return nil, err
		}
		list = withoutTwins(append(list, more...))
	}
	return list, nil
}

// withoutTwins leaves the first pair of each name.
func withoutTwins(list []pair) []pair {
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(p pair) bool {
		twin := seen[p.name]
		seen[p.name] = true
		return twin
	})
}

// unknown refuses a key that there is not.
func (p *parser) unknown(key pair, what string, keys []string) error {
	hint := "there are " + strings.Join(keys, ", ")
	if near := nearest(key.name, keys); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return p.refusal(key.line, hint, "%s has no key %q", what, model.Clip(key.name))
}

// nearest is the key that was probably meant: one that differs in case, '-', '_' or an
// 's' at the end, or in one letter or two.
func nearest(name string, keys []string) string {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)), "s")
	}
	if len(name) > 40 {
		return ""
	}
	best, least := "", 3
	for _, key := range keys {
		if plain(key) == plain(name) {
			return key
		}
		if d := distance(plain(name), plain(key)); d < least && d < len(key)/2 {
			best, least = key, d
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out or changed to make one
// text of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
