package warning

import (
	"fmt"

	"github.com/hostnat/hostnat/internal/model"
)

// natWarnings are about timeouts below the least that the RFCs allow. Those of the
// profile were chosen with it.
func natWarnings(n model.NAT) (texts []string) {
	own, _ := n.Profile.Defaults()
	for _, t := range []struct {
		key, rfc           string
		has, floor, chosen model.Seconds
	}{
		{"udp-timeout", "RFC 4787, REQ-5", n.Timeouts.UDP, 120, own.UDP},
		{"tcp-established-timeout", "RFC 5382, REQ-5", n.Timeouts.TCPEstablished, 7440, own.TCPEstablished},
		{"tcp-transitory-timeout", "RFC 5382, REQ-5", n.Timeouts.TCPTransitory, 240, own.TCPTransitory},
		{"icmp-timeout", "RFC 5508, REQ-2", n.Timeouts.ICMP, 60, own.ICMP},
	} {
		if t.has < t.floor && t.has != t.chosen {
			texts = append(texts, fmt.Sprintf("NAT %s: %s is %ds, below the %ds that %s asks for: programs that are silent for longer lose their sessions", n.Name, t.key, t.has, t.floor, t.rfc))
		}
	}
	return texts
}
