package demo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// stage is what the demo is played on.
type stage struct {
	*page
	self   string // the program hostnat
	dir    string // of everything that the daemon writes
	net    *lab.Topology
	client *api.Client
	daemon *daemon

	c1, c2  *lab.Namespace
	address map[*lab.Namespace]netip.Addr // inside addresses of the containers
	bridge  string                        // of network web, in the host
	open    []io.Closer
	talks   []talk
}

// talk is a TCP connection that stays open until the end of the demo, with an
// Echo behind it.
type talk struct {
	what     string
	conn     net.Conn
	external netip.AddrPort // what the NAT made of its inside address
}

func newStage(p *page, self string) (*stage, error) {
	s := &stage{page: p, self: self, address: map[*lab.Namespace]netip.Addr{}}
	if err := s.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("make the demo's namespaces: %w", err), s.close())
	}
	return s, nil
}

func (s *stage) build() (err error) {
	if s.dir, err = os.MkdirTemp("", "hostnat-demo-"); err != nil {
		return err
	}
	s.client = api.NewClient(s.socket())
	if s.net, err = lab.NewTopology("demo", 2); err != nil {
		return err
	}
	s.c1, s.c2 = s.net.Endpoints[0], s.net.Endpoints[1]
	return nil
}

func (s *stage) stateDir() string { return filepath.Join(s.dir, "state") }
func (s *stage) runDir() string   { return filepath.Join(s.dir, "run") }
func (s *stage) socket() string   { return filepath.Join(s.runDir(), "hostnat.sock") }

// closeLater has c closed at the end of the demo.
func (s *stage) closeLater(c io.Closer) { s.open = append(s.open, c) }

// serve starts an Echo that runs until the end of the demo.
func (s *stage) serve(n *lab.Namespace, network, addr string) error {
	e, err := lab.EchoServer(n, network, addr)
	if err != nil {
		return err
	}
	s.closeLater(e)
	return nil
}

// close removes everything that the demo made, from whatever point it got to.
func (s *stage) close() error {
	var errs []error
	for _, c := range s.open {
		_ = c.Close() // some are closed already
	}
	if s.daemon != nil {
		s.daemon.kill()
	}
	if s.dir != "" {
		errs = append(errs, unmount(filepath.Join(s.runDir(), "bpf")), os.RemoveAll(s.dir))
	}
	if s.net != nil {
		errs = append(errs, s.net.Close())
	}
	return errors.Join(errs...)
}

// unmount takes away the bpf filesystem of a daemon that could not do it.
func unmount(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // EINVAL: not a mount point
		return nil
	}
	return fmt.Errorf("unmount %s: %w", dir, err)
}

// mounts are the mounts below the demo's directory.
func (s *stage) mounts() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return strings.Fields(grep(string(table), s.dir)), nil
}
