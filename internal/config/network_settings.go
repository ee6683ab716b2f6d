package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// networkSettings are the keys of SetNetwork and what each does with its value.
var networkSettings = map[string]func(n *model.Network, value string) error{
	"dns": func(n *model.Network, v string) error { return n.DNS.UnmarshalText([]byte(v)) },
	"domain": func(n *model.Network, v string) (err error) {
		n.Domain, err = parseDomain(v)
		n.Domain = n.DomainName()
		return err
	},
	"overlap": func(n *model.Network, v string) error { return n.Overlap.UnmarshalText([]byte(v)) },

	"isolation": setIsolation,

	"port-security": setPortSecurity,

	"dhcp":       func(n *model.Network, v string) error { return n.DHCP.UnmarshalText([]byte(v)) },
	"lease-time": func(n *model.Network, v string) error { return parseSeconds(v, &n.LeaseTime) },
	"mtu":        func(n *model.Network, v string) error { return parseMTU(v, &n.MTU) },
	"ntp":        func(n *model.Network, v string) (err error) { n.NTP, err = parseServers(v, n.Subnet4()); return err },
	"pxe-next-server": func(n *model.Network, v string) (err error) {
		n.PXE.NextServer, err = parseNextServer(v, n.Subnet4())
		return err
	},
	"pxe-server-name": func(n *model.Network, v string) (err error) {
		n.PXE.ServerName, err = parsePXEText("server name", v, maxServerName)
		return err
	},
	"pxe-boot-file": func(n *model.Network, v string) (err error) {
		n.PXE.BootFile, err = parsePXEText("boot file", v, maxBootFile)
		return err
	},
	"routes": func(n *model.Network, v string) (err error) { n.Routes, err = parseRoutes(v, n.Subnet4()); return err },
	"range": func(n *model.Network, v string) (err error) {
		n.Ranges, err = parseRanges("range", v, n.Subnet4(), "all")
		return err
	},
	"exclude": func(n *model.Network, v string) (err error) {
		n.Exclude, err = parseRanges("exclude", v, n.Subnet4(), "none")
		return err
	},
}

// NetworkSettingKeys returns the keys that SetNetwork knows, sorted.
func NetworkSettingKeys() []string { return slices.Sorted(maps.Keys(networkSettings)) }

// SetNetwork changes settings of a network: all of them or, on error, none.
func (c *Config) SetNetwork(name string, values map[string]string) (model.Network, error) {
	i := slices.IndexFunc(c.Networks, func(n model.Network) bool { return n.Name == name })
	if i < 0 {
		_, err := c.Network(name)
		return model.Network{}, err
	}
	keys := strings.Join(NetworkSettingKeys(), ", ")
	if len(values) == 0 {
		return model.Network{}, model.Errorf(model.Invalid, "there is nothing to set").WithHint("give KEY=VALUE; keys are %s", keys)
	}
	n := c.Networks[i]
	for _, key := range slices.Sorted(maps.Keys(values)) {
		set, known := networkSettings[key]
		if !known {
			return model.Network{}, model.Errorf(model.Invalid, "setting %q is not known", model.Clip(key)).WithHint("use %s", keys)
		}
		if err := set(&n, values[key]); err != nil {
			return model.Network{}, prefixed(key, err)
		}
	}
	c.Networks[i] = n
	return n, nil
}
