package portproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// connect finds out where the target is, and tries the first address.
func (c *conn) connect(l *loop) {
	servers, err := c.rule.servers(c.target)
	if err != nil {
		c.reset(l, err)
		return
	}
	c.phase, c.servers = connecting, servers
	c.tryNext(l, nil)
}

// tryNext begins a connection to the next address; why is what was wrong with
// the one before.
func (c *conn) tryNext(l *loop, why error) {
	for len(c.servers) > 0 {
		why = c.dial(l, c.servers[0])
		if outOfDescriptors(why) {
			c.wait(l, why)
			return
		}
		c.servers = c.servers[1:]
		if why != nil {
			continue
		}
		c.deadline = time.Now().Add(setupTime)
		if why = c.early(); why == unix.EAGAIN {
			return
		}
		if why == nil {
			c.converse(l)
			return
		}
		c.hangUp(l)
	}
	c.rule.failed(c.target)
	c.reset(l, fmt.Errorf("connect to %s: %w", c.target, why))
}

// speaks reports whether the server will hear something at once.
func (c *conn) speaks() bool { return c.client.readable || c.rule.proxy.ProxyProtocol }

// early looks whether the connection to the server is made before the loop hears
// of it, if there is something to say there: to an endpoint of this host it is
// made before connect(2) is done. EAGAIN: not yet; other errors: it cannot be.
func (c *conn) early() error {
	if !c.speaks() {
		return unix.EAGAIN
	}
	err := isConnected(c.server.fd)
	c.server.writable = err == nil
	return err
}

// hangUp gives up the connection to a server.
func (c *conn) hangUp(l *loop) {
	l.closeSocket(c.server.fd, c.server.slot)
	c.server.fd, c.server.slot = -1, -1
}

func (c *conn) dial(l *loop, s server) error {
	to := netip.AddrPortFrom(s.address, c.target.Port(c.offset))
	fd, err := c.open(to, s.device)
	var slot int32
	if err == nil {
		slot, err = l.add(fd, &c.server, watched)
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return err
	}
	c.server = side{conn: c, fd: fd, slot: slot}
	return nil
}

// open begins a connection, under the client's address if that is wanted and
// possible. With an error there may be a socket too, for the caller to close.
func (c *conn) open(to netip.AddrPort, device string) (int, error) {
	if !c.shows(to.Addr()) {
		return c.openAsHost(to, device)
	}
	fd, err := c.openAs(c.from, to)
	if err != unix.EADDRNOTAVAIL {
		return fd, err
	}
	// The very same connection exists, or did a moment ago.
	unix.Close(fd)
	return c.openAs(netip.AddrPortFrom(c.from.Addr(), 0), to)
}

// openAsHost begins a connection under the host's address.
func (c *conn) openAsHost(to netip.AddrPort, device string) (fd int, err error) {
	if !c.rule.ports.hurried(time.Now()) {
		if fd, err = c.openAt(to, device, 0); err != unix.EADDRNOTAVAIL {
			return fd, err
		}
		unix.Close(fd)
	}
	for range portTries {
		port, err := c.rule.ports.next()
		if err != nil {
			return -1, err
		}
		fd, err = c.openAt(to, device, port)
		if err != unix.EADDRINUSE && err != unix.EADDRNOTAVAIL {
			return fd, err
		}
		unix.Close(fd) // somebody has the port, or the very same connection exists
	}
	return -1, unix.EADDRNOTAVAIL
}

// openAt begins a connection from a port of the host; 0: the kernel chooses.
func (c *conn) openAt(to netip.AddrPort, device string, port uint16) (int, error) {
	fd, err := tcpSocket(to.Addr(), device)
	if err == nil && port != 0 {
		err = bindPort(fd, to.Addr(), port)
	}
	if err == nil {
		err = c.startTo(fd, to)
	}
	return fd, err
}

// openAs begins a connection under another host's address. It is not for one
// link alone: the data path looks such a socket up at the endpoint's own link.
func (c *conn) openAs(client, to netip.AddrPort) (int, error) {
	fd, err := tcpSocket(to.Addr(), "")
	if err == nil {
		unpaced(fd)
		err = transparent(fd, client)
	}
	if err == nil {
		err = c.startTo(fd, to)
	}
	return fd, err
}

// startTo starts to connect. If there is something to say, that carries the
// acknowledgement by which the server learns of the connection (tcp(7):
// TCP_QUICKACK): a packet less, and the server need not be woken up twice.
func (c *conn) startTo(fd int, to netip.AddrPort) error {
	if c.speaks() {
		if err := setOption(fd, unix.SOL_TCP, unix.TCP_QUICKACK, 0); err != nil {
			return err
		}
	}
	return begin(fd, to)
}

// shows reports whether the server is to see the client's address.
func (c *conn) shows(server netip.Addr) bool {
	if !c.rule.proxy.Transparent {
		return false
	}
	dialled, err := localAddress(c.client.fd)
	return err == nil && c.rule.names.sight.Load().Shows(c.from.Addr(), dialled.Addr(), server)
}

// connected goes on when a connection to the server was made, or was not.
func (c *conn) connected(l *loop, failed bool) {
	if failed {
		err := c.server.err()
		c.hangUp(l)
		c.tryNext(l, err)
		return
	}
	if c.server.writable {
		c.converse(l)
	}
}

// converse begins to relay.
func (c *conn) converse(l *loop) {
	if c.rule.proxy.ProxyProtocol {
		if err := c.introduce(); err != nil {
			c.reset(l, fmt.Errorf("connect to %s: %w", c.target, err))
			return
		}
	}
	c.phase = relaying
	c.relay(l)
}

// introduce tells the server who the client is. The buffer of a fresh socket takes it.
func (c *conn) introduce() error {
	at, err := localAddress(c.client.fd)
	if err != nil {
		return err
	}
	header, err := proxyHeader(c.from, at)
	if err != nil {
		return err
	}
	n, err := unix.SendmsgN(c.server.fd, header, nil, nil, unix.MSG_NOSIGNAL)
	c.server.told = true
	if err == nil && n < len(header) {
		err = errors.New("the PROXY header does not fit into the socket's buffer")
	}
	return err
}
