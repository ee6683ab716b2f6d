package config

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

// FieldsOf are the fields of one of the Wanted types' values, in the order in which
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

// without forgets the values that are those of usual, except of the keys.
func without(w, usual any, keys ...string) {
	other := FieldsOf(usual)
	for i, f := range FieldsOf(w) {
		if !slices.Contains(keys, f.Key) && f.Text() == other[i].Text() {
			f.SetZero()
		}
	}
}

// overlay puts what w does not mention to what base has.
func overlay(w, base any) {
	from := FieldsOf(base)
	for i, f := range FieldsOf(w) {
		if f.IsZero() {
			f.Set(from[i].Value)
		}
	}
}

// settings are the values that files mention of what SetNAT or SetNetwork changes.
func settingsOf(w any) (list []setting) {
	for _, f := range FieldsOf(w) {
		key := f.Tag.Get("set")
		if key == "" || f.IsZero() {
			continue
		}
		value := strings.ReplaceAll(f.Text(), ", ", ",")
		if value == "" {
			value = f.Tag.Get("none")
		}
		list = append(list, setting{file: f.Key, key: key, value: value})
	}
	return list
}

// setting is one value that SetNAT or SetNetwork would take.
type setting struct {
	file  string // its key in a file
	key   string
	value string
}
