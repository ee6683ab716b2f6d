package portproxy

import (
	"errors"

	"golang.org/x/sys/unix"
)

// outOfDescriptors reports whether a call failed since this program or the host
// has as many files open as it may have.
func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// starve has a connection that lacks a descriptor, for a pipe or for the server,
// go on at the next tick. Nothing is lost: what it has to move stays where it is.
func (c *conn) starve(l *loop, why error) {
	c.rule.stats.fail(why)
	if !c.starved {
		c.starved = true
		l.starved = append(l.starved, c)
	}
}

// feed has those go on that starve.
func (l *loop) feed() {
	starved := l.starved
	l.starved = nil
	for _, c := range starved {
		c.starved = false
		switch {
		case c.phase == relaying:
			c.relay(l)
		case c.phase == connecting && c.server.fd < 0:
			c.tryNext(l, nil)
		}
	}
}
