package configfile

import (
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

// publish reads a mapping as 'hostnat publish' takes it: [[ADDRESS:]PORT:]ENDPOINT:PORT[/PROTOCOL].
func publish(m *wanted.Mapping, text string) bool {
	ports, protocol, given := strings.Cut(text, "/")
	if !given {
		protocol = "tcp"
	}
	parts := strings.Split(ports, ":")
	n := len(parts)
	if n < 2 || n > 4 || protocol == "" {
		return false
	}
	m.Protocol = strings.ToLower(protocol)
	m.External, m.Internal = strings.Join(parts[:n-2], ":"), []string{strings.Join(parts[n-2:], ":")}
	return true
}
