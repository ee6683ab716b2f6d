package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// maxDepth is how many levels of objects and lists there may be: no request needs more than
// five, and each level takes of the reader's stack.
const maxDepth = 32

// checkKeys refuses keys of a JSON object that are not known, letter for letter,
// and keys that are there twice at any depth: two readers may take different
// ones (RFC 8259 section 4), and Go's own takes any spelling. What is no JSON
// is left to the decoder to explain.
func checkKeys(body []byte, known []string) error {
	return walkKeys(json.NewDecoder(bytes.NewReader(body)), known, maxDepth)
}

// walkKeys reads one value, which may have so many levels.
func walkKeys(d *json.Decoder, known []string, levels int) error {
	if levels == 0 {
		return bodyError(fmt.Sprintf("has more than %d levels", maxDepth))
	}
	start, err := d.Token()
	if err != nil {
		return nil // the decoder says it better
	}
	switch start {
	case json.Delim('{'):
		return walkObject(d, known, levels-1)
	case json.Delim('['):
		for d.More() {
			if err := walkKeys(d, nil, levels-1); err != nil {
				return err
			}
		}
		_, _ = d.Token() // "]"
	}
	return nil
}

// walkObject reads what follows the "{" of an object. Known keys are nil where
// all are.
func walkObject(d *json.Decoder, known []string, levels int) error {
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil // the decoder says it better
		}
		key, _ := token.(string)
		switch {
		case known != nil && !slices.Contains(known, key):
			return bodyError(fmt.Sprintf("has the unknown key %q; there are %s", key, strings.Join(known, ", ")))
		case seen[key]:
			return bodyError(fmt.Sprintf("has the key %q twice", key))
		}
		seen[key] = true
		if err := walkKeys(d, nil, levels); err != nil {
			return err
		}
	}
	_, _ = d.Token() // "}"
	return nil
}

// keysOf are the JSON keys of the struct that v points to, sorted; nil if v points
// to anything else.
func keysOf(v any) []string {
	typ := reflect.TypeOf(v).Elem()
	if typ.Kind() != reflect.Struct {
		return nil
	}
	keys := []string{}
	for _, f := range reflect.VisibleFields(typ) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" && f.IsExported() {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
