package configfile

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"go.yaml.in/yaml/v4"
)

// Write returns a configuration as a file. Every section is there, in the order of
// wanted.Objects. The comment stands on top, a '#' before each line.
func Write(w wanted.Objects, comment string) ([]byte, error) { return write(w, comment, false) }

// Propose is Write without the sections that are empty: what is not mentioned stays
// when the file is applied.
func Propose(w wanted.Objects, comment string) ([]byte, error) { return write(w, comment, true) }

func write(w wanted.Objects, comment string, some bool) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range sectionsOf(&w) {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		v := reflect.ValueOf(w).FieldByIndex(f.Index)
		if v.Len() == 0 && some {
			continue
		}
		for i := range v.Len() {
			list.Content = append(list.Content, objectNode(v.Index(i)))
		}
		if v.Len() == 0 {
			list.Style = yaml.FlowStyle
		}
		key := textNode(f.Tag.Get("file"))
		key.HeadComment = f.Tag.Get("doc")
		root.Content = append(root.Content, key, list)
	}
	var out bytes.Buffer
	for line := range strings.Lines(comment) {
		out.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
	if comment != "" {
		out.WriteByte('\n')
	}
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("write the configuration as YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write the configuration as YAML: %w", err)
	}
	return spaced(out.Bytes()), nil
}

// spaced puts an empty line before each section's comment.
func spaced(text []byte) []byte {
	var out bytes.Buffer
	before := ""
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") && before != "" && !strings.HasPrefix(before, "#") && before != "\n" {
			out.WriteByte('\n')
		}
		out.WriteString(line)
		before = line
	}
	return out.Bytes()
}

// objectNode has the fields that are mentioned.
func objectNode(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("file")
		if key == "" || v.Field(i).IsZero() {
			continue
		}
		n.Content = append(n.Content, textNode(key), valueNode(v.Field(i), f.Tag.Get("is")))
	}
	return n
}

func valueNode(v reflect.Value, is string) *yaml.Node {
	switch v := v.Interface().(type) {
	case string:
		return scalarNode(v, is)
	case []string:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, text := range v {
			n.Content = append(n.Content, textNode(text))
		}
		return n
	case map[string]string:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, textNode(key), textNode(v[key]))
		}
		return n
	}
	return objectNode(v)
}

// scalarNode is a number or a truth where the key is for one, and else a text.
func scalarNode(text, is string) *yaml.Node {
	n := textNode(text)
	_, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err == nil && (strings.Contains(is, "integer") || is == "duration"):
		n.Tag = "!!int"
	case is == "switch" && (text == "true" || text == "false"):
		n.Tag = "!!bool"
	}
	return n
}

func textNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}
