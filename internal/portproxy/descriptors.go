package portproxy

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// outOfDescriptors reports whether a call failed since this program or the host
// has as many files open as it may have.
func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// wait has a connection that lacks a descriptor, for a pipe or for the server,
// go on at the next tick. Nothing is lost: what it has to move stays where it is.
func (c *conn) wait(l *loop, why error) {
	c.rule.stats.fail(why)
	if !c.lacking {
		c.lacking = true
		l.lacking = append(l.lacking, c)
	}
}

// endStalled ends connections, so many at most, that keep a pipe from others: their
// receiver takes nothing.
func (l *loop) endStalled(most int) {
	for c := range l.conns {
		if most == 0 {
			return
		}
		silent := time.Duration(l.places.time(l.now) - c.active.Load())
		if c.in.held+c.out.held > 0 && silent >= l.places.silent {
			c.rule.stats.gaveWay.Add(1)
			c.reset(l, nil)
			most--
		}
	}
}

// goOnLacking has those go on that lack one.
func (l *loop) goOnLacking() {
	lacking := l.lacking
	l.lacking = nil
	if len(lacking) > 0 {
		l.endStalled(len(lacking))
	}
	for _, c := range lacking {
		c.lacking = false
		switch {
		case c.phase == relaying:
			c.relay(l)
		case c.phase == connecting && c.server.fd < 0:
			c.tryNext(l, nil)
		}
	}
}
