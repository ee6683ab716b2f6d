package portproxy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/tokens"
)

// A client that closes first leaves the host's port of the connection to the server in TIME-WAIT
// for a minute. After some 28,000 of these the kernel finds no port for the next connection to
// that server, and looks through all of them each time. So a rule with many
// connections chooses the ports itself, one after the other: a port that is bound before
// connect(2) may have been used by a connection that is over, if the server sends timestamps
// (RFC 6191; tcp_twsk_unique in net/ipv4/tcp_ipv4.c).

// unhurried is how often a rule connects by ports that the kernel chooses: in a minute, so
// many that they are found at once.
var unhurried = tokens.Rate{PerSecond: 100, Burst: 2000}

// portTries is how many ports are tried before a connection is given up.
const portTries = 32

// sourcePorts chooses the host's ports for connections of a rule to its servers. It is safe for
// concurrent use.
type sourcePorts struct {
	mu       sync.Mutex
	opened   tokens.Bucket
	first    int // of those that connections may have, as net.ipv4.ip_local_port_range says
	count    int // 0: not known yet
	reserved map[int]bool
	turn     int
}

// hurried counts a connection, and reports whether the rule has had so many lately that its port is to be
// chosen here.
func (s *sourcePorts) hurried(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.opened.Take(unhurried, now)
}

// next returns the port that the next connection may have.
func (s *sourcePorts) next() (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		if err := s.read(); err != nil {
			return 0, err
		}
	}
	for range s.count {
		p := s.first + s.turn%s.count
		s.turn++
		if !s.reserved[p] {
			return uint16(p), nil
		}
	}
	return 0, unix.EADDRNOTAVAIL
}

func (s *sourcePorts) read() error {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return fmt.Errorf("read which ports connections have: %w", err)
	}
	first, last, err := portRange(strings.Join(strings.Fields(string(text)), "-"))
	if err != nil {
		return err
	}
	if text, err = os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports"); err != nil {
		return fmt.Errorf("read which ports are reserved: %w", err)
	}
	if s.reserved, err = portSet(strings.TrimSpace(string(text))); err != nil {
		return err
	}
	s.first, s.count = first, last-first+1
	s.turn = rand.IntN(s.count)
	return nil
}

// bindPort has a connection to an address come from a port of the host's, though one that is over
// came from there too.
func bindPort(fd int, to netip.Addr, port uint16) error {
	from := netip.IPv4Unspecified()
	if to.Is6() {
		from = netip.IPv6Unspecified()
	}
	return unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, port)))
}

// portSet reads a list of ports and ranges, as the kernel writes it.
func portSet(text string) (map[int]bool, error) {
	set := make(map[int]bool)
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		first, last, err := portRange(part)
		if err != nil {
			return nil, err
		}
		for p := first; p <= last; p++ {
			set[p] = true
		}
	}
	return set, nil
}

// portRange reads PORT or PORT-PORT.
func portRange(text string) (first, last int, err error) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	first, err = strconv.Atoi(low)
	if err == nil {
		last, err = strconv.Atoi(high)
	}
	if err != nil || first < 0 || last < first || last > 65535 {
		return 0, 0, fmt.Errorf("the kernel's list of ports has %q", text)
	}
	return first, last, nil
}
