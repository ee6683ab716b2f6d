package configfile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

// Schema returns the JSON schema (draft 2020-12) of a file, for editors.
func Schema() ([]byte, error) {
	var w wanted.Objects
	properties := object{"owner": object{"type": "string", "description": "The program that everything in this document belongs to that has no owner of its own."}}
	for _, f := range sectionsOf(&w) {
		item := schemaOf(f.Type.Elem())
		if f.Type.Elem() == reflect.TypeFor[wanted.Mapping]() {
			item = object{"anyOf": []any{object{"type": "string"}, item}}
		}
		properties[f.Tag.Get("file")] = object{"description": f.Tag.Get("doc"), "type": []string{"array", "null"}, "items": item}
	}
	text, err := json.MarshalIndent(object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "Configuration of hostnat",
		"type":                 []string{"object", "null"},
		"additionalProperties": false,
		"patternProperties":    object{"^x-": true},
		"properties":           properties,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the JSON schema: %w", err)
	}
	return append(text, '\n'), nil
}

type object = map[string]any

func schemaOf(t reflect.Type) object {
	properties, needed := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		key := f.Tag.Get("file")
		if key == "" || len(f.Index) > 1 {
			continue
		}
		s := valueSchema(f.Type, strings.TrimSpace(strings.TrimSuffix(f.Tag.Get("is"), "needed")))
		s["description"] = f.Tag.Get("doc")
		properties[key] = s
		if strings.Contains(f.Tag.Get("is"), "needed") {
			needed = append(needed, key)
		}
	}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(needed) > 0 {
		s["required"] = needed
	}
	return s
}

func valueSchema(t reflect.Type, is string) object {
	switch t.Kind() {
	case reflect.Struct:
		return schemaOf(t)
	case reflect.Slice:
		text := object{"type": []string{"string", "number"}}
		return object{"anyOf": []any{text, object{"type": "array", "items": text}}}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}}
	}
	switch {
	case is == "":
		return object{"type": []string{"string", "number"}}
	case is == "switch":
		return object{"type": []string{"boolean", "string"}, "enum": []any{true, false, "on", "off", "yes", "no"}}
	case is == "duration":
		return object{"type": []string{"integer", "string"}, "pattern": `^([0-9]+|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`}
	case is == "integer":
		return object{"type": "integer", "minimum": 0}
	case is == "integer|auto":
		return object{"anyOf": []any{object{"type": "integer", "minimum": 0}, object{"const": "auto"}}}
	}
	words := []any{}
	for word := range strings.SplitSeq(is, "|") {
		words = append(words, word)
		if word == "on" {
			words = append(words, true)
		} else if word == "off" {
			words = append(words, false)
		}
	}
	return object{"enum": words}
}
