package cni

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/hostnat/hostnat/api"
)

// conf is a network's configuration as the runtime hands it over: what a person has
// written, and what the runtime has added for this call.
type conf struct {
	types.PluginConf

	Network     string `json:"network"` // of hostnat; empty: called as the configuration is
	NAT         string `json:"nat"`
	Subnet      string `json:"subnet"`
	Gateway     string `json:"gateway"`
	Compartment string `json:"compartment"`
	Isolation   string `json:"isolation"`
	Domain      string `json:"domain"`
	MTU         int    `json:"mtu"` // bytes; 0: hostnat's choice

	Runtime runtimeConf `json:"runtimeConfig"`
	Args    struct {
		CNI struct {
			IPs []string `json:"ips"`
			MAC string   `json:"mac"`
		} `json:"cni"`
	} `json:"args"`
}

// runtimeConf is what the runtime asks for by capabilities.
type runtimeConf struct {
	PortMappings []portMapping              `json:"portMappings"`
	IPs          []string                   `json:"ips"`
	MAC          string                     `json:"mac"`
	Aliases      map[string][]string        `json:"aliases"` // by network
	DNS          map[string]json.RawMessage `json:"dns"`
	Bandwidth    json.RawMessage            `json:"bandwidth"`
	Ranges       json.RawMessage            `json:"ipRanges"`
}

// known are the keys of a configuration. Others are most likely a slip of the pen, or
// belong to another plugin. What has a '.' or '/' in it is some program's own.
var known = map[string]bool{
	"cniVersion": true, "name": true, "type": true, "capabilities": true, "ipam": true, "dns": true, "prevResult": true,
	"runtimeConfig": true, "args": true, "disableCheck": true, "disableGC": true,
	"network": true, "nat": true, "subnet": true, "gateway": true, "compartment": true, "isolation": true, "domain": true, "mtu": true,
}

// parse reads a configuration and refuses what hostnat does not do.
func parse(text []byte) (conf, error) {
	var c conf
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return c, types.NewError(types.ErrDecodingFailure, "hostnat: the configuration is not JSON", err.Error())
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !known[key] && !strings.ContainsAny(key, "./") {
			return c, unsupported(key, all[key], "hostnat knows no such key")
		}
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, types.NewError(types.ErrDecodingFailure, "hostnat: the configuration cannot be read", err.Error())
	}
	switch {
	case !c.IPAM.IsEmpty():
		return c, unsupported("ipam", all["ipam"], "hostnat chooses addresses itself; leave ipam out")
	case given(c.Runtime.Bandwidth):
		return c, unsupported("bandwidth", c.Runtime.Bandwidth, "hostnat limits no rates; chain the plugin bandwidth after it")
	case given(c.Runtime.Ranges):
		return c, unsupported("ipRanges", c.Runtime.Ranges, "hostnat chooses addresses itself")
	case c.MTU < 0:
		return c, unsupported("mtu", all["mtu"], "it is a number of bytes")
	}
	if c.Network == "" {
		c.Network = c.Name
	}
	return c, nil
}

// given reports whether a value asks for anything.
func given(value json.RawMessage) bool {
	text := strings.Join(strings.Fields(string(value)), "")
	return text != "" && text != "null" && text != "{}" && text != "[]"
}

// unsupported names the key and its value, as the specification wants it.
func unsupported(key string, value json.RawMessage, why string) error {
	return types.NewError(types.ErrUnsupportedField, fmt.Sprintf("hostnat: unsupported field %s: %s", key, value), why)
}

// spec is the network as it is to be if it is not there.
func (c conf) spec() api.NetworkSpec {
	s := api.NetworkSpec{Name: c.Network, Owner: Owner, NAT: c.NAT, Compartment: c.Compartment, Isolation: c.Isolation, Domain: c.Domain}
	if c.Subnet != "" {
		s.Subnets = []string{c.Subnet}
	}
	if c.Gateway != "" {
		s.Gateways = []string{c.Gateway}
	}
	if c.MTU > 0 {
		s.MTU = strconv.Itoa(c.MTU)
	}
	return s
}

// envArgs are what runtimes say in CNI_ARGS. The library finds the fields by these names.
type envArgs struct {
	types.CommonArgs
	IP, MAC                                 types.UnmarshallableString
	K8S_POD_NAME, K8S_POD_NAMESPACE         types.UnmarshallableString
	K8S_POD_INFRA_CONTAINER_ID, K8S_POD_UID types.UnmarshallableString
}
