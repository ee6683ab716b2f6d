package model

import "strings"

// Switch turns a service of a network on or off. In text and JSON "on" or
// "off". The zero value is on: networks that were stored before there was a
// service get it.
type Switch string

// The two positions.
const (
	On  Switch = ""
	Off Switch = "off"
)

// On reports whether the service runs.
func (s Switch) On() bool { return s == On }

// String is "on" or "off".
func (s Switch) String() string {
	if s == On {
		return "on"
	}
	return string(s)
}

// UnmarshalText reads on, off and their usual synonyms. Errors are of code Invalid.
func (s *Switch) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true", "on", "yes", "1":
		*s = On
	case "false", "off", "no", "0":
		*s = Off
	default:
		return Errorf(Invalid, "%q is neither on nor off", Clip(string(text))).WithHint("use on or off")
	}
	return nil
}
