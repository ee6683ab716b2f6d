package doctor

import (
	"fmt"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
)

var dhcpCheck = check{
	name: "dhcp-servers", looks: "who else listens on the DHCP port",
	find: func(f Facts) (found []Finding) {
		for _, l := range f.foreign(model.UDP, 67) {
			found = append(found, Finding{
				Severity: Warning, What: fmt.Sprintf("%s listens on the DHCP server's port (%s)", program(l), place(l)),
				Why:     "two servers on one bridge give out addresses against each other; if it serves another bridge only, nothing is wrong",
				Command: fmt.Sprintf("keep it off the bridges of hostnat (dnsmasq: except-interface=hn-*), or end it: kill %d", l.PID),
			})
		}
		return found
	},
}

var dnsPortCheck = check{
	name: "dns-port", looks: "who else listens on port 53 of the gateways",
	find: func(f Facts) (found []Finding) {
		for _, protocol := range []model.Protocol{model.UDP, model.TCP} {
			for _, l := range f.foreign(protocol, 53) {
				found = append(found, Finding{
					Severity: Warning, What: fmt.Sprintf("%s listens on %s %s, which takes the networks' gateways in", program(l), protocol, place(l)),
					Why:     "hostnat cannot answer for names there: endpoints ask that program instead, which does not know their names",
					Command: "have it listen on the addresses that it is for (dnsmasq: bind-interfaces, unbound: interface:)",
				})
			}
		}
		return found
	},
}

// foreign are the programs that hold a port at an address of our gateways and
// are not the daemon.
func (f Facts) foreign(protocol model.Protocol, port uint16) (list []model.Listener) {
	if len(f.Config.Networks) == 0 {
		return nil
	}
	gateways, bridges := map[netip.Addr]bool{}, map[string]bool{"": true}
	for _, n := range f.networks() {
		gateways[n.Gateway4()], bridges[n.Bridge] = true, true
	}
	for _, l := range f.Host.Listeners {
		at := l.Address.Addr()
		ours := f.Daemon != nil && l.PID == f.Daemon.PID
		if l.Protocol == protocol && l.Address.Port() == port && !ours && bridges[l.Interface] && (at.IsUnspecified() || gateways[at]) {
			list = append(list, l)
		}
	}
	return list
}

func program(l model.Listener) string {
	if l.PID == 0 {
		return l.Program
	}
	return fmt.Sprintf("%s (pid %d)", l.Program, l.PID)
}

func place(l model.Listener) string {
	if l.Interface == "" {
		return l.Address.String()
	}
	return l.Address.String() + " on " + l.Interface
}

var resolverCheck = check{
	name: "resolvers", looks: "whether the host's name servers answer",
	find: func(f Facts) (found []Finding) {
		failed := 0
		for _, r := range f.Host.Resolvers {
			if r.Failure == "" {
				continue
			}
			failed++
			found = append(found, Finding{
				Severity: Warning, What: fmt.Sprintf("the name server %s does not answer: %s", r.Address, r.Failure),
				Why:     "endpoints' questions about names outside go there; each waits for it before the next is asked",
				Command: "fix or remove it in /etc/resolv.conf (resolvectl status, where systemd-resolved has it)",
			})
		}
		if failed > 0 && failed == len(f.Host.Resolvers) {
			for i := range found {
				found[i].Severity = Problem
			}
		}
		return found
	},
}
