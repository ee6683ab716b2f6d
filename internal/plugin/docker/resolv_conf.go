package docker

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/regular"
)

// defaultNetwork is Docker's name for the network of containers that ask for none.
// In each other one Docker answers for names itself.
const defaultNetwork = "bridge"

// maxResolvConf is how long the file may be, in bytes: the container may write to it.
const maxResolvConf = 64 << 10

// TellResolver has a container ask a network's name server: it writes the file that
// is the container's /etc/resolv.conf. Docker writes it anew at each start.
func TellResolver(file string, n api.Network) error {
	if file == "" || n.DNS != "on" || len(n.Gateways) == 0 {
		return nil
	}
	before, err := regular.ReadAnyones(file, maxResolvConf)
	if err != nil {
		return fmt.Errorf("read the container's resolv.conf: %w", err)
	}
	after := resolvConf(before, n.Gateways[0].String(), n.Domain)
	if bytes.Equal(before, after) {
		return nil
	}
	// In place: the container has this very file mounted.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("write the container's resolv.conf: %w", err)
	}
	_, err = f.Write(after)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the container's resolv.conf: %w", err)
	}
	return nil
}

// resolvConf is the file's text with another name server and domain. Options stay.
func resolvConf(before []byte, server, domain string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "nameserver %s\nsearch %s\n", server, domain)
	for line := range strings.Lines(string(before)) {
		if strings.HasPrefix(line, "options ") {
			b.WriteString(line)
		}
	}
	return []byte(b.String())
}
