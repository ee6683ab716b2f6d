package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// settings are the keys of SetNAT and what each does with its value.
var settings = map[string]func(n *model.NAT, value string) error{
	"udp-timeout":             func(n *model.NAT, v string) error { return parseSeconds(v, &n.Timeouts.UDP) },
	"tcp-established-timeout": func(n *model.NAT, v string) error { return parseSeconds(v, &n.Timeouts.TCPEstablished) },
	"tcp-transitory-timeout":  func(n *model.NAT, v string) error { return parseSeconds(v, &n.Timeouts.TCPTransitory) },
	"icmp-timeout":            func(n *model.NAT, v string) error { return parseSeconds(v, &n.Timeouts.ICMP) },
	"tcp-filtering":           func(n *model.NAT, v string) error { return parseFiltering(v, &n.TCPFiltering) },
	"udp-filtering":           func(n *model.NAT, v string) error { return parseFiltering(v, &n.UDPFiltering) },
	"filtering":               func(n *model.NAT, v string) error { return parseFiltering(v, &n.TCPFiltering, &n.UDPFiltering) },
	"udp-inbound-refresh":     func(n *model.NAT, v string) error { return parseSwitch(v, &n.UDPInboundRefresh) },
	"pooling": func(n *model.NAT, v string) error {
		return parseWord("pooling", v, &n.Pooling, model.Paired, model.Arbitrary)
	},
	"endpoint-dependent": func(n *model.NAT, v string) error { return parseSwitch(v, &n.EndpointDependent) },
	"hold-down":          func(n *model.NAT, v string) error { return parseHoldDown(v, &n.HoldDown) },
	"max-sessions":       func(n *model.NAT, v string) error { return parseLimit(v, &n.Limits.Sessions) },
	"max-ports":          func(n *model.NAT, v string) error { return parseLimit(v, &n.Limits.Ports) },
	"max-rate":           func(n *model.NAT, v string) error { return parseLimit(v, &n.Limits.Rate) },
	"mss-clamp":          func(n *model.NAT, v string) error { return parseSwitch(v, &n.MSSClamp) },
	"exhaustion": func(n *model.NAT, v string) error {
		return parseWord("exhaustion", v, &n.Exhaustion, model.Prohibited, model.Unreachable, model.Silent)
	},
	"link-local": func(n *model.NAT, v string) error {
		word := ""
		err := parseWord("link-local", v, &word, "refuse", "allow")
		n.LinkLocal = word == "allow"
		return err
	},
	"external-interface": parseLinks,
	"table":              parseTable,
	"profile": func(n *model.NAT, v string) error {
		p, err := parseProfile(v)
		if err == nil {
			n.UseProfile(p)
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
// resets all timeouts, hold-down and filtering; other keys of the same call come
// after.
func (c *Config) SetNAT(name string, values map[string]string) (model.NAT, error) {
	i, err := c.natIndex(name)
	if err != nil {
		return model.NAT{}, err
	}
	if len(values) == 0 {
		return model.NAT{}, model.Errorf(model.Invalid, "there is nothing to set").WithHint("give KEY=VALUE; keys are %s", strings.Join(SettingKeys(), ", "))
	}
	n := c.NATs[i].Clone()
	for _, key := range inOrder(values) {
		set, known := settings[key]
		if !known {
			return model.NAT{}, model.Errorf(model.Invalid, "setting %q is not known", model.Clip(key)).WithHint("use %s", strings.Join(SettingKeys(), ", "))
		}
		if err := set(&n, values[key]); err != nil {
			return model.NAT{}, prefixed(key, err)
		}
	}
	for _, link := range n.ExternalInterfaces {
		if err := c.checkOutsideLink(link); err != nil {
			return model.NAT{}, err
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
	if e, ok := err.(*model.Error); ok {
		return &model.Error{Code: e.Code, Message: key + ": " + e.Message, Hint: e.Hint}
	}
	return err
}

func parseSeconds(s string, to *model.Seconds) error {
	return parseDuration(s, time.Second, 30*24*time.Hour, "use 1 second to 30 days, for example 300, 2s or 5m", to)
}

func parseHoldDown(s string, to *model.Seconds) error {
	return parseDuration(s, 0, time.Hour, "use 0 to 3600 seconds, for example 120 or 2m", to)
}

func parseDuration(s string, least, most time.Duration, hint string, to *model.Seconds) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		n, numberErr := strconv.ParseUint(s, 10, 31)
		if numberErr != nil {
			return model.Errorf(model.Invalid, "%q is not a number of seconds or a duration", model.Clip(s)).WithHint("%s", hint)
		}
		d = time.Duration(n) * time.Second
	}
	switch {
	case d < least || d > most:
		return model.Errorf(model.Invalid, "%s is out of range", model.Clip(s)).WithHint("%s", hint)
	case d%time.Second != 0:
		return model.Errorf(model.Invalid, "%s is not a whole number of seconds", model.Clip(s)).WithHint("%s", hint)
	}
	*to = model.Seconds(d / time.Second)
	return nil
}

// parseLimit reads how many an endpoint may have, 0 or none for no limit.
func parseLimit(s string, to *uint32) error {
	if s == "none" {
		*to = 0
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return model.Errorf(model.Invalid, "%q is not a number from 0 to 4294967295", model.Clip(s)).WithHint("0 is no limit")
	}
	*to = uint32(n)
	return nil
}

// parseWord reads one of a few words.
func parseWord[T ~string](what, s string, to *T, words ...T) error {
	if !slices.Contains(words, T(s)) {
		list := model.Join(words[:len(words)-1], func(w T) string { return string(w) })
		return model.Errorf(model.Invalid, "%s %q is not known", what, model.Clip(s)).WithHint("use %s or %s", strings.ReplaceAll(list, ",", ", "), words[len(words)-1])
	}
	*to = T(s)
	return nil
}

// parseLinks reads interfaces with commas between, or "any".
func parseLinks(n *model.NAT, s string) error {
	links := []string{}
	if s != "any" {
		for _, link := range strings.Split(s, ",") {
			if err := model.CheckLink("external interface", link); err != nil {
				return err
			}
			if !slices.Contains(links, link) {
				links = append(links, link)
			}
		}
	}
	n.ExternalInterfaces = links
	return nil
}

// localTable is the kernel's own, of the host's addresses: nothing leaves by it.
const localTable = 255

// parseTable reads the number of a routing table, or "none".
func parseTable(n *model.NAT, s string) error {
	if s == "none" {
		n.Table = 0
		return nil
	}
	table, err := strconv.ParseUint(s, 10, 32)
	if err != nil || table == 0 || table == localTable {
		return model.Errorf(model.Invalid, "%q is not the number of a routing table", model.Clip(s)).
			WithHint("use a number from 1 to 4294967295, as in 'ip route show table NUMBER', or none: then the host's rules decide")
	}
	n.Table = uint32(table)
	return nil
}

func parseFiltering(s string, to ...*model.Filtering) error {
	switch f := model.Filtering(s); f {
	case model.EndpointIndependent, model.AddressDependent, model.AddressAndPortDependent:
		for _, t := range to {
			*t = f
		}
		return nil
	}
	return model.Errorf(model.Invalid, "filtering %q is not known", model.Clip(s)).
		WithHint("use %s, %s or %s", model.EndpointIndependent, model.AddressDependent, model.AddressAndPortDependent)
}

func parseSwitch(s string, to *bool) error {
	switch strings.ToLower(s) {
	case "true", "on", "yes", "1":
		*to = true
	case "false", "off", "no", "0":
		*to = false
	default:
		return model.Errorf(model.Invalid, "%q is neither on nor off", model.Clip(s)).WithHint("use true or false")
	}
	return nil
}

func parseProfile(s string) (model.Profile, error) {
	switch p := model.Profile(s); p {
	case model.ProfileRFC, model.ProfileWinNAT:
		return p, nil
	}
	return "", model.Errorf(model.Invalid, "profile %q is not known", model.Clip(s)).WithHint("use %s or %s", model.ProfileRFC, model.ProfileWinNAT)
}
