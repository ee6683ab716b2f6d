package demo

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// around is the network of the machine that the demo runs on: what it must not
// change.
type around struct {
	links    map[string]string // name: what it is like
	settings map[string]string // path under /proc/sys: value
	rules    string            // of nftables and iptables
}

var settings = []string{
	"net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding",
}

func lookAround() (a around, err error) {
	if a.links, err = currentLinks(); err != nil {
		return a, err
	}
	a.settings = make(map[string]string)
	for _, path := range settings {
		value, err := os.ReadFile("/proc/sys/" + path)
		if err != nil && !os.IsNotExist(err) { // without IPv6
			return a, err
		}
		a.settings[path] = strings.TrimSpace(string(value))
	}
	a.rules, err = currentRules()
	return a, err
}

func currentLinks() (map[string]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the links of this machine: %w", err)
	}
	m := make(map[string]string)
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", l.Name, err)
		}
		m[l.Name] = fmt.Sprint(l.Index, l.MTU, l.HardwareAddr, l.Flags&net.FlagUp, addrs)
	}
	return m, nil
}

// currentRules is a text that changes with every change of the firewall: the
// generation of the nftables ruleset, and the tables of the older iptables.
func currentRules() (string, error) {
	legacy, err := legacyTables()
	if err != nil {
		return "", err
	}
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC})
	answers, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil { // a kernel without nftables
		return "no nftables; " + legacy, nil
	}
	for _, answer := range answers {
		if len(answer) < nl.SizeofNfgenmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(answer[nl.SizeofNfgenmsg:])
		if err != nil {
			return "", fmt.Errorf("read the generation of the nftables rules: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.NFTA_GEN_ID {
				return fmt.Sprintf("generation %x; %s", a.Value, legacy), nil
			}
		}
	}
	return "no generation; " + legacy, nil
}

// unchanged says so, or what has changed.
func (a around) unchanged(p *page) error {
	now, err := lookAround()
	if err != nil {
		return err
	}
	p.line("")
	changed := append(differences("link", a.links, now.links), differences("setting", a.settings, now.settings)...)
	if a.rules != now.rules {
		changed = append(changed, "firewall rules were at "+a.rules+" and are at "+now.rules)
	}
	if len(changed) > 0 {
		return p.promise(false, "this machine's own network changed: %s; if another program did that just now, run the demo again",
			strings.Join(changed, ", "))
	}
	return p.promise(true, "this machine's own network is as before (checked: links, addresses, "+
		"ip_forward=%s, nftables and iptables rules)", now.settings["net/ipv4/ip_forward"])
}

func differences(what string, before, now map[string]string) (out []string) {
	names := maps.Clone(before)
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before[name]
		is, has := now[name]
		switch {
		case !had:
			out = append(out, what+" "+name+" came")
		case !has:
			out = append(out, what+" "+name+" went")
		case was != is:
			out = append(out, fmt.Sprintf("%s %s was %s and is %s", what, name, was, is))
		}
	}
	return out
}
