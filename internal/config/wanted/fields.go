package wanted

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Field is one key of an object with its value, as a file would have it.
type Field struct {
	Key string // of one within another "timeouts.udp"
	Tag reflect.StructTag
	reflect.Value
}

// Text is the value on one line; "" if it is not mentioned.
func (f Field) Text() string {
	switch v := f.Value.Interface().(type) {
	case []string:
		return strings.Join(v, ", ")
	case map[string]string:
		var list []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			list = append(list, key+"="+v[key])
		}
		return strings.Join(list, ", ")
	}
	return f.Value.String()
}

// FieldsOf are the fields of a value of one of these types, in the order in which
// files have them. w is a pointer to it.
func FieldsOf(w any) []Field { return fieldsOf(reflect.ValueOf(w).Elem(), "") }

func fieldsOf(v reflect.Value, prefix string) (list []Field) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("file")
		switch {
		case key == "":
		case f.Type.Kind() == reflect.Struct:
			list = append(list, fieldsOf(v.Field(i), prefix+key+".")...)
		default:
			list = append(list, Field{Key: prefix + key, Tag: f.Tag, Value: v.Field(i)})
		}
	}
	return list
}

// Without forgets the values that are those of usual, except of the keys.
func Without(w, usual any, keys ...string) {
	other := FieldsOf(usual)
	for i, f := range FieldsOf(w) {
		if !slices.Contains(keys, f.Key) && f.Text() == other[i].Text() {
			f.SetZero()
		}
	}
}

// Overlay puts what w does not mention to what base has.
func Overlay(w, base any) {
	from := FieldsOf(base)
	for i, f := range FieldsOf(w) {
		if f.IsZero() {
			f.Set(from[i].Value)
		}
	}
}

// SettingsOf are the values that files mention of what SetNAT or SetNetwork changes.
func SettingsOf(w any) (list []Setting) {
	for _, f := range FieldsOf(w) {
		key := f.Tag.Get("set")
		if key == "" || f.IsZero() {
			continue
		}
		value := strings.ReplaceAll(f.Text(), ", ", ",")
		if value == "" {
			value = f.Tag.Get("none")
		}
		list = append(list, Setting{File: f.Key, Key: key, Value: value})
	}
	return list
}

// Setting is one value that SetNAT or SetNetwork would take.
type Setting struct {
	File  string // the key in a file
	Key   string // of SetNAT or SetNetwork
	Value string
}
