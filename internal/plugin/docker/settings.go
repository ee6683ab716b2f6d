package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// DefaultSettings is Docker's own file of settings.
const DefaultSettings = "/etc/docker/daemon.json"

// Setting is one key of that file.
type Setting struct {
	Key   string
	Value json.RawMessage // nil, in what is merged: the key must not be there
}

// Settings are all of them, in the order of the file.
type Settings []Setting

// ParseSettings reads the file's text. An empty one has no settings.
func ParseSettings(text []byte) (Settings, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it is no JSON object: %w", orSyntax(err))
	}
	var list Settings
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		s := Setting{Key: fmt.Sprint(key)}
		if err := d.Decode(&s.Value); err != nil {
			return nil, fmt.Errorf("%q: %w", s.Key, err)
		}
		list = append(list, s)
	}
	if _, err := d.Token(); err != nil {
		return nil, orSyntax(err)
	}
	return list, nil
}

func orSyntax(err error) error {
	if err == nil {
		return fmt.Errorf("it does not begin with {")
	}
	return err
}

// SettingsFor are those with which Docker leaves the host's network to hostnat, and
// connects containers to a bridge of its.
func SettingsFor(bridge string, s Subnet) Settings {
	text := func(v any) json.RawMessage {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // words and lists of them
		}
		return b
	}
	return Settings{
		{"bridge", text(bridge)}, {"fixed-cidr", text(s.Part)},
		{"iptables", text(false)}, {"ip6tables", text(false)}, {"ip-forward", text(false)}, {"ip-masq", text(false)}, {"userland-proxy", text(false)},
		{Key: "bip"}, // Docker refuses it beside a bridge
	}
}

func (l Settings) get(key string) (json.RawMessage, bool) {
	for _, s := range l {
		if s.Key == key {
			return s.Value, true
		}
	}
	return nil, false
}

// with returns the settings with one of them as given; a nil value takes it out.
func (l Settings) with(key string, value json.RawMessage) Settings {
	var out Settings
	done := false
	for _, s := range l {
		if s.Key == key {
			done = true
			if s.Value = value; value == nil {
				continue
			}
		}
		out = append(out, s)
	}
	if !done && value != nil {
		out = append(out, Setting{key, value})
	}
	return out
}

// Merge returns the settings with those of another list put in.
func (l Settings) Merge(other Settings) Settings {
	for _, s := range other {
		l = l.with(s.Key, s.Value)
	}
	return l
}

// Unmerge takes what Merge has put in out again: what is not as put in was changed
// by somebody since, and stays. What was there before comes back.
func (l Settings) Unmerge(other, before Settings) Settings {
	for _, s := range other {
		if l.Has(Settings{s}) {
			was, _ := before.get(s.Key)
			l = l.with(s.Key, was)
		}
	}
	return l
}

// Has reports whether all of another list is in force.
func (l Settings) Has(other Settings) bool {
	for _, s := range other {
		if now, there := l.get(s.Key); there != (s.Value != nil) || !sameJSON(now, s.Value) {
			return false
		}
	}
	return true
}

// Diff has a line for each setting that goes ("-") or comes ("+").
func (l Settings) Diff(after Settings) string {
	var b strings.Builder
	line := func(sign string, s Setting) { fmt.Fprintf(&b, "%s %q: %s\n", sign, s.Key, compact(s.Value)) }
	for _, s := range l {
		if now, there := after.get(s.Key); !there || !sameJSON(now, s.Value) {
			line("-", s)
		}
	}
	for _, s := range after {
		if was, there := l.get(s.Key); !there || !sameJSON(was, s.Value) {
			line("+", s)
		}
	}
	return b.String()
}

// Text is the file's.
func (l Settings) Text() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, s := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", s.Key, s.Value)
	}
	b.WriteByte('}')
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		panic(err) // each value is JSON
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func sameJSON(a, b json.RawMessage) bool { return bytes.Equal(compact(a), compact(b)) }

func compact(v json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return v
	}
	return b.Bytes()
}
