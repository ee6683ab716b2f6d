package lab

import (
	"errors"
	"fmt"
	"os"
)

// A new namespace has the IPv4 settings of the machine's first one, whatever its
// own maker's are (net.core.devconf_inherit_init_net is 0): where Docker runs, it
// forwards. The others begin as the kernel was compiled. NewNamespace sets what is
// inherited to what the kernel was compiled with, so that tests and the demo find
// the same on each machine; who relies on something else sets it there.
var inherited = []setting{
	{"forwarding", "0"}, // first: it changes some of the others
	{"accept_local", "0"}, {"accept_redirects", "1"}, {"arp_accept", "0"}, {"arp_announce", "0"}, {"arp_filter", "0"},
	{"arp_ignore", "0"}, {"arp_notify", "0"}, {"bc_forwarding", "0"}, {"drop_gratuitous_arp", "0"},
	{"drop_unicast_in_l2_multicast", "0"}, {"ignore_routes_with_linkdown", "0"}, {"log_martians", "0"},
	{"promote_secondaries", "0"}, {"proxy_arp", "0"}, {"proxy_arp_pvlan", "0"}, {"route_localnet", "0"}, {"rp_filter", "0"},
	{"secure_redirects", "1"}, {"send_redirects", "1"}, {"shared_media", "1"}, {"src_valid_mark", "0"},
}

// docker is what Docker and a distribution that is careful with spoofed addresses
// leave on a machine, and some settings that are rarer: none that is inherited is
// as the kernel was compiled.
var docker = []setting{
	{"forwarding", "1"}, {"rp_filter", "1"}, {"accept_local", "1"}, {"accept_redirects", "0"}, {"arp_announce", "2"},
	{"arp_filter", "1"}, {"arp_ignore", "1"}, {"log_martians", "1"}, {"promote_secondaries", "1"}, {"proxy_arp", "1"},
	{"route_localnet", "1"}, {"secure_redirects", "0"}, {"send_redirects", "0"}, {"src_valid_mark", "1"},
}

// Outer is the name of an environment variable. With the value "docker", each new
// namespace has what it would have inherited where Docker runs, before the lab
// sets anything: no other way leaves the machine itself as it is.
const Outer = "HOSTNAT_LAB_OUTER"

// setting is one of net/ipv4/conf/LINK.
type setting struct{ key, value string }

// prepare sets what a namespace has inherited. The calling thread is inside.
func prepare() error {
	if value := os.Getenv(Outer); value == "docker" {
		if err := errors.Join(configure(docker), writeKnown("net/bridge/bridge-nf-call-iptables", "1")); err != nil {
			return err
		}
	} else if value != "" {
		return fmt.Errorf("%s=%s: it can be docker", Outer, value)
	}
	return errors.Join(
		configure(inherited),
		writeKnown("net/ipv4/conf/all/accept_source_route", "0"),
		writeKnown("net/ipv4/conf/default/accept_source_route", "1"), // needs both
		writeKnown("net/ipv4/conf/lo/accept_source_route", "1"),
	)
}

// configure sets it for all links, for those to come, and for loopback, which is
// there from the start.
func configure(settings []setting) error {
	for _, link := range []string{"all", "default", "lo"} {
		for _, s := range settings {
			if err := writeKnown("net/ipv4/conf/"+link+"/"+s.key, s.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeKnown leaves out what this kernel does not have.
func writeKnown(path, value string) error {
	err := os.WriteFile("/proc/sys/"+path, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
