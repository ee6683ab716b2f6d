package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/hostnat/hostnat/dev/lab"
)

// neighbour returns the Ethernet address that n has for addr; something must
// have been sent there before.
func neighbour(ctx context.Context, n *lab.Namespace, addr netip.Addr) (net.HardwareAddr, error) {
	var mac net.HardwareAddr
	var err error
	wait := lab.WaitFor(ctx, func() bool {
		err = n.Do(func() (err error) {
			mac, err = readARP(addr)
			return err
		})
		return err != nil || mac != nil
	})
	if err == nil {
		err = wait
	}
	if err != nil {
		return nil, fmt.Errorf("find Ethernet address of %v in %s: %w", addr, n.Name, err)
	}
	return mac, nil
}

// readARP looks into the calling thread's ARP table: address, type, flags,
// Ethernet address, mask, device; zeros until it is known.
func readARP(addr netip.Addr) (net.HardwareAddr, error) {
	f, err := os.Open("/proc/thread-self/net/arp")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 3 && fields[0] == addr.String() && fields[3] != "00:00:00:00:00:00" {
			return net.ParseMAC(fields[3])
		}
	}
	return nil, lines.Err()
}
