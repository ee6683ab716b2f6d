package foreign

import (
	"fmt"
	"net"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

// PortProxy reads what 'netsh interface portproxy show all' prints, and the commands
// of 'netsh interface portproxy dump'.
func PortProxy(text string) (Proposal, error) {
	var p Proposal
	kind := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "---") || strings.HasPrefix(words[0], "#"):
		case strings.HasPrefix(strings.TrimSpace(line), "Listen on "):
			// Listen on ipv4:             Connect to ipv4:
			if len(words) != 6 {
				return p, fmt.Errorf("line %q is not understood", strings.TrimSpace(line))
			}
			kind = family(words[2]) + "to" + family(words[5])
		case words[0] == "Address":
		case words[0] == "add" || words[0] == "set":
			if err := p.addCommand(words); err != nil {
				return p, err
			}
		case len(words) == 1 || words[0] == "pushd" || words[0] == "reset" || strings.HasPrefix(words[0], "interface"):
			// frame of a dump
		case kind != "" && len(words) == 4:
			p.addProxy(kind, words[0], words[1], words[2], words[3])
		default:
			return p, fmt.Errorf("line %q is not understood", strings.TrimSpace(line))
		}
	}
	return p, nil
}

func family(word string) string {
	if strings.HasPrefix(word, "ipv6") {
		return "v6"
	}
	return "v4"
}

// addCommand reads 'add v4tov4 listenport=8080 connectaddress=172.16.1.2 connectport=80'.
func (p *Proposal) addCommand(words []string) error {
	if len(words) < 3 {
		return fmt.Errorf("line %q says no port", strings.Join(words, " "))
	}
	said := make(map[string]string)
	for _, word := range words[2:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("%q in line %q is no KEY=VALUE", word, strings.Join(words, " "))
		}
		said[strings.ToLower(key)] = value
	}
	if said["listenport"] == "" {
		return fmt.Errorf("line %q says no listenport", strings.Join(words, " "))
	}
	for key, otherwise := range map[string]string{"listenaddress": "*", "connectaddress": "localhost", "connectport": said["listenport"]} {
		if said[key] == "" {
			said[key] = otherwise
		}
	}
	p.addProxy(words[1], said["listenaddress"], said["listenport"], said["connectaddress"], said["connectport"])
	return nil
}

func (p *Proposal) addProxy(kind, listen, port, connect, to string) {
	w := wanted.Proxy{Kind: strings.ToLower(kind), Listen: port, Connect: net.JoinHostPort(connect, to)}
	if listen != "*" && listen != "0.0.0.0" && listen != "::" {
		w.Listen = net.JoinHostPort(listen, port)
	}
	if strings.Contains(port, "-") {
		p.note("Windows keeps the range %s and does not serve it; hostnat serves each port.", port)
	}
	p.Proxies = append(p.Proxies, w)
}
