package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
	"go.yaml.in/yaml/v4"
)

// File is a file's name, as errors are to have it, and its text.
type File struct{ Name, Text string }

// MaxNodes is how many values and keys all files together may have, those that
// aliases stand for counted each time: a few lines of aliases of aliases would be
// millions.
const MaxNodes = 4 << 20

// maxMarks is how many line ends and signs that begin or end a value may be in a file: the
// library's values take some hundred bytes each, before anybody can count them.
const maxMarks = 3 << 19

// MaxObjects is how many of a kind all files together may have: far more than one host has.
const MaxObjects = 10_000

// MaxMappings is how many mappings.
const MaxMappings = 100_000

// maxDepth is how many levels of lists and keys there may be: the deepest that mean
// something are five.
const maxDepth = 32

// Parse reads files, each of which may have several documents. Errors begin with
// "FILE:LINE: " and are of code Invalid.
func Parse(files ...File) (wanted.Objects, error) {
	p := parser{known: make(map[string]wanted.Place)}
	for _, f := range files {
		if err := p.file(f); err != nil {
			return wanted.Objects{}, err
		}
	}
	return p.wanted, nil
}

// parser reads what it is given into wanted.
type parser struct {
	wanted wanted.Objects
	name   string // of the file
	owner  string // that the document gives to what has none
	nodes  int
	known  map[string]wanted.Place // where each named thing is: "network web"
}

// refusal is a problem at a place in the file.
func (p *parser) refusal(line int, hint, format string, args ...any) error {
	e := model.Errorf(model.Invalid, "%s:%d: %s", p.name, line, fmt.Sprintf(format, args...))
	if hint != "" {
		e = e.WithHint("%s", hint)
	}
	return e
}

func (p *parser) file(f File) error {
	p.name = f.Name
	if marks := countMarks(f.Text); marks > maxMarks {
		return p.refusal(1, "cut it into several files", "the file has more than %d values", maxMarks)
	}
	d := yaml.NewDecoder(bytes.NewReader([]byte(f.Text)))
	for {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return p.syntax(err)
		}
		if err := p.document(&doc); err != nil {
			return err
		}
	}
}

// countMarks counts what begins or ends a value; in texts and comments too.
func countMarks(text string) (n int) {
	for i := range len(text) {
		switch text[i] {
		case '\n', ',', ':', '[', '{':
			n++
		}
	}
	return n
}

// position is how the library says where something is wrong.
var position = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+)(?:, column \d+)?: )?(?s:(.*))$`)

func (p *parser) syntax(err error) error {
	m := position.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1]) // 0: it does not say
	text := strings.Join(strings.Fields(m[2]), " ")
	return p.refusal(max(line, 1), "", "this is no YAML: %s", model.Clip(text))
}

// document reads the sections of one.
func (p *parser) document(doc *yaml.Node) error {
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil
	}
	pairs, err := p.pairs(doc.Content[0], "", 0)
	if err != nil {
		return err
	}
	p.owner = ""
	for _, pair := range pairs {
		if pair.name == "owner" {
			if p.owner, err = p.text(pair.value, "owner", ""); err != nil {
				return err
			}
		}
	}
	sections := sectionsOf(&p.wanted)
	for _, pair := range pairs {
		if pair.name == "owner" || strings.HasPrefix(pair.name, "x-") { // x-: what aliases stand for
			continue
		}
		i := slices.IndexFunc(sections, func(f reflect.StructField) bool { return f.Tag.Get("file") == pair.name })
		if i < 0 {
			return p.unknown(pair, "a configuration", append(namesOf(sections), "owner"))
		}
		section := wanted.Section{Kind: pair.name, Owner: p.owner}
		if !slices.Contains(p.wanted.Sections, section) {
			p.wanted.Sections = append(p.wanted.Sections, section)
		}
		list := reflect.ValueOf(&p.wanted).Elem().FieldByIndex(sections[i].Index)
		if err := p.section(pair, list); err != nil {
			return err
		}
	}
	return nil
}

// sectionsOf are the lists that a file may have.
func sectionsOf(w *wanted.Objects) (list []reflect.StructField) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(w).Elem()) {
		if f.Tag.Get("file") != "" {
			list = append(list, f)
		}
	}
	return list
}

func namesOf(fields []reflect.StructField) (names []string) {
	for _, f := range fields {
		if key := f.Tag.Get("file"); key != "" {
			names = append(names, key)
		}
	}
	return names
}

// section reads the objects of one kind.
func (p *parser) section(pair pair, list reflect.Value) error {
	node := pair.value
	if isNull(node) { // as when everything in it is a comment
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		return p.refusal(node.Line, "write each with '- ' in front", "%s is no list", pair.name)
	}
	if most := mostOf(pair.name); list.Len()+len(node.Content) > most {
		return p.refusal(node.Line, "", "there are more than %d %s", most, pair.name)
	}
	for _, item := range node.Content {
		item, err := p.follow(item, 1)
		if err != nil {
			return err
		}
		v := reflect.New(list.Type().Elem()).Elem()
		if err := p.object(item, pair.name, v); err != nil {
			return err
		}
		list.Set(reflect.Append(list, v))
	}
	return nil
}

func mostOf(section string) int {
	if section == "mappings" {
		return MaxMappings
	}
	return MaxObjects
}

// object reads one object of a section.
func (p *parser) object(node *yaml.Node, section string, v reflect.Value) error {
	place := wanted.Place{File: p.name, Line: node.Line, Keys: make(map[string]int)}
	kind := kindOf(section)
	var published bool
	if m, is := v.Addr().Interface().(*wanted.Mapping); is && node.Kind == yaml.ScalarNode {
		if published = publish(m, node.Value); !published {
			return p.refusal(node.Line, "write [[ADDRESS:]PORT:]ENDPOINT:PORT[/tcp|udp], or keys and values", "mapping %q cannot be read", model.Clip(node.Value))
		}
		for _, key := range []string{"protocol", "external", "internal"} {
			place.Keys[key] = node.Line
		}
	}
	if !published {
		if err := p.fields(node, kind, "", v, place.Keys); err != nil {
			return err
		}
	}
	v.FieldByName("Place").Set(reflect.ValueOf(place))
	if owner := v.FieldByName("Owner"); owner.IsValid() && owner.String() == "" {
		owner.SetString(p.owner)
	}
	for _, f := range wanted.FieldsOf(v.Addr().Interface()) {
		if strings.Contains(f.Tag.Get("is"), "needed") && f.IsZero() {
			return p.refusal(node.Line, "", "%s has no %s", kind, f.Key)
		}
	}
	return p.once(kind, v, place)
}

// once refuses what has the name of an object that was there before.
func (p *parser) once(kind string, v reflect.Value, place wanted.Place) error {
	name := ""
	switch w := v.Interface().(type) {
	case wanted.Reservation:
		name = w.Network + "/" + w.Address
	case wanted.Pool:
		name = w.Prefix
	case wanted.Mapping, wanted.Proxy:
		return nil // their names are to be read first: config does that
	default:
		name = v.FieldByName("Name").String()
	}
	name = kind + " " + name
	if other, twice := p.known[name]; twice {
		return p.refusal(place.Line, "", "%s is there twice: %s:%d has it too", model.Clip(name), other.File, other.Line)
	}
	p.known[name] = place
	return nil
}

// kindOf is what one of a section is called.
func kindOf(section string) string {
	switch section {
	case "nats":
		return "NAT"
	case "proxies":
		return "port proxy"
	}
	return strings.TrimSuffix(section, "s")
}

// fields reads the keys of an object, or of one within it.
func (p *parser) fields(node *yaml.Node, what, prefix string, v reflect.Value, lines map[string]int) error {
	pairs, err := p.pairs(node, what, 1)
	if err != nil {
		return err
	}
	fields := reflect.VisibleFields(v.Type())
	fields = slices.DeleteFunc(fields, func(f reflect.StructField) bool { return f.Tag.Get("file") == "" })
	for _, pair := range pairs {
		i := slices.IndexFunc(fields, func(f reflect.StructField) bool { return f.Tag.Get("file") == pair.name })
		if i < 0 {
			return p.unknown(pair, "a "+what, namesOf(fields))
		}
		key := prefix + pair.name
		lines[key] = pair.line
		if err := p.value(pair.value, what, key, fields[i], v.FieldByIndex(fields[i].Index), lines); err != nil {
			return err
		}
	}
	return nil
}

// value reads the value of a key.
func (p *parser) value(node *yaml.Node, what, key string, f reflect.StructField, to reflect.Value, lines map[string]int) error {
	if isNull(node) {
		return p.refusal(node.Line, "leave it out, or give one; [] is an empty list", "%s has no value", key)
	}
	switch to.Interface().(type) {
	case string:
		text, err := p.text(node, key, f.Tag.Get("is"))
		to.SetString(text)
		return err
	case []string:
		list, err := p.list(node, key)
		to.Set(reflect.ValueOf(list))
		return err
	case map[string]string:
		texts, err := p.texts(node, key)
		to.Set(reflect.ValueOf(texts))
		return err
	}
	return p.fields(node, what+"'s "+f.Tag.Get("file"), key+".", to, lines)
}

// text reads one value as it was written.
func (p *parser) text(node *yaml.Node, key, is string) (string, error) {
	switch {
	case node.Kind == yaml.SequenceNode:
		return "", p.refusal(node.Line, "give one value", "%s is a list", key)
	case node.Kind != yaml.ScalarNode:
		return "", p.refusal(node.Line, "give one value", "%s has keys of its own", key)
	case node.Value == "" || isNull(node):
		return "", p.refusal(node.Line, "leave it out, or give one", "%s has no value", key)
	}
	if node.ShortTag() == "!!bool" && is == "on|off|endpoint" { // isolation
		return map[string]string{"true": "on", "false": "off"}[strings.ToLower(node.Value)], nil
	}
	return node.Value, nil
}

// list reads a list of texts, or one text that is the only one.
func (p *parser) list(node *yaml.Node, key string) ([]string, error) {
	list := []string{}
	items := node.Content
	switch node.Kind {
	case yaml.ScalarNode:
		items = []*yaml.Node{node}
	case yaml.SequenceNode:
	default:
		return nil, p.refusal(node.Line, "write each with '- ' in front", "%s is no list", key)
	}
	for _, item := range items {
		item, err := p.follow(item, 2)
		if err != nil {
			return nil, err
		}
		text, err := p.text(item, "a value in "+key, "")
		if err != nil {
			return nil, err
		}
		if strings.Contains(text, ",") {
			return nil, p.refusal(item.Line, "write each with '- ' in front", "%s has the value %q with a comma in it", key, model.Clip(text))
		}
		list = append(list, text)
	}
	return list, nil
}

// texts reads labels: keys and values that may be anything, empty too.
func (p *parser) texts(node *yaml.Node, key string) (map[string]string, error) {
	pairs, err := p.pairs(node, key, 2)
	texts := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		if pair.value.Kind != yaml.ScalarNode {
			return nil, p.refusal(pair.line, "give one value", "%s of %s is no text", model.Clip(pair.name), key)
		}
		texts[pair.name] = pair.value.Value
	}
	return texts, err
}
