package nat

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are the keys of SetNAT and what each does with its value.
var settings = map[string]func(n *NAT, value string) error{
	"udp-timeout":             func(n *NAT, v string) error { return parseSeconds(v, &n.Timeouts.UDP) },
	"tcp-established-timeout": func(n *NAT, v string) error { return parseSeconds(v, &n.Timeouts.TCPEstablished) },
	"tcp-transitory-timeout":  func(n *NAT, v string) error { return parseSeconds(v, &n.Timeouts.TCPTransitory) },
	"icmp-timeout":            func(n *NAT, v string) error { return parseSeconds(v, &n.Timeouts.ICMP) },
	"tcp-filtering":           func(n *NAT, v string) error { return parseFiltering(v, &n.TCPFiltering) },
	"udp-filtering":           func(n *NAT, v string) error { return parseFiltering(v, &n.UDPFiltering) },
	"filtering":               func(n *NAT, v string) error { return parseFiltering(v, &n.TCPFiltering, &n.UDPFiltering) },
	"udp-inbound-refresh":     func(n *NAT, v string) error { return parseSwitch(v, &n.UDPInboundRefresh) },
	"profile": func(n *NAT, v string) error {
		p, err := parseProfile(v)
		if err == nil {
			n.useProfile(p)
		}
		return err
	},
}

// general are the keys that set several things at once: they go first, so that
// a more special key of the same call wins.
var general = []string{"profile", "filtering"}

// SettingKeys returns the keys that SetNAT knows, sorted.
func SettingKeys() []string { return slices.Sorted(maps.Keys(settings)) }

// SetNAT changes settings of a NAT: all of them or, on error, none. Timeouts
// are seconds ("300") or durations ("5m"), 1 second to 30 days. The profile
// resets all timeouts and filtering; other keys of the same call come after.
func (c *Config) SetNAT(name string, values map[string]string) (NAT, error) {
	i, err := c.natIndex(name)
	if err != nil {
		return NAT{}, err
	}
	if len(values) == 0 {
		return NAT{}, Errorf(Invalid, "there is nothing to set").WithHint("give KEY=VALUE; keys are %s", strings.Join(SettingKeys(), ", "))
	}
	n := c.NATs[i].clone()
	for _, key := range inOrder(values) {
		set, known := settings[key]
		if !known {
			return NAT{}, Errorf(Invalid, "setting %q is not known", clip(key)).WithHint("use %s", strings.Join(SettingKeys(), ", "))
		}
		if err := set(&n, values[key]); err != nil {
			return NAT{}, prefixed(key, err)
		}
	}
	c.NATs[i] = n
	return n, nil
}

func inOrder(values map[string]string) []string {
	var keys []string
	for _, k := range general {
		if _, given := values[k]; given {
			keys = append(keys, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(general, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func prefixed(key string, err error) error {
	if e, ok := err.(*Error); ok {
		return &Error{Code: e.Code, Message: key + ": " + e.Message, Hint: e.Hint}
	}
	return err
}

func parseSeconds(s string, to *Seconds) error {
	const hint = "use 1 second to 30 days, for example 300, 2s or 5m"
	d, err := time.ParseDuration(s)
	if err != nil {
		n, numberErr := strconv.ParseUint(s, 10, 31)
		if numberErr != nil {
			return Errorf(Invalid, "%q is not a number of seconds or a duration", clip(s)).WithHint(hint)
		}
		d = time.Duration(n) * time.Second
	}
	switch {
	case d < time.Second || d > 30*24*time.Hour:
		return Errorf(Invalid, "%s is out of range", clip(s)).WithHint(hint)
	case d%time.Second != 0:
		return Errorf(Invalid, "%s is not a whole number of seconds", clip(s)).WithHint(hint)
	}
	*to = Seconds(d / time.Second)
	return nil
}

func parseFiltering(s string, to ...*Filtering) error {
	switch f := Filtering(s); f {
	case EndpointIndependent, AddressDependent, AddressAndPortDependent:
		for _, t := range to {
			*t = f
		}
		return nil
	}
	return Errorf(Invalid, "filtering %q is not known", clip(s)).
		WithHint("use %s, %s or %s", EndpointIndependent, AddressDependent, AddressAndPortDependent)
}

func parseSwitch(s string, to *bool) error {
	switch strings.ToLower(s) {
	case "true", "on", "yes", "1":
		*to = true
	case "false", "off", "no", "0":
		*to = false
	default:
		return Errorf(Invalid, "%q is neither on nor off", clip(s)).WithHint("use true or false")
	}
	return nil
}

func parseProfile(s string) (Profile, error) {
	switch p := Profile(s); p {
	case ProfileRFC, ProfileWinNAT:
		return p, nil
	}
	return "", Errorf(Invalid, "profile %q is not known", clip(s)).WithHint("use %s or %s", ProfileRFC, ProfileWinNAT)
}
