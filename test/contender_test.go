package test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// contender measures how long the daemon's answers take, and in turn with them those of a
// program that does nothing but answer: what that one waits is the machine's doing.
type contender struct {
	h            *host
	asks         *lab.Namespace // who asks for names
	extra        *lab.Namespace // who is attached
	socket       string         // of the program that answers
	names, bare  net.Conn       // to the name server, and to that program
	ours, theirs struct{ status, names, attach []time.Duration }
	memory       int // that the daemon had at most
}

// plainAddress is where the program answers beside the name server.
const plainAddress = "172.16.1.1:5300"

func (h *host) newContender(asks *lab.Namespace) *contender {
	h.t.Helper()
	c := &contender{h: h, asks: asks, socket: filepath.Join(h.dir, "plain")}
	h.role(h.Host, 0, "answers", plainAddress, c.socket, 1)
	var err error
	if c.extra, err = lab.NewNamespace("greedy"); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.extra.Close() })
	h.waitFor(patienceWithDaemon, "the program beside the daemon", func() bool { return c.askPlainly() == nil })
	for at, to := range map[string]*net.Conn{"172.16.1.1:53": &c.names, plainAddress: &c.bare} {
		if *to, err = asks.Dial(h.t.Context(), "udp", at); err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { (*to).Close() })
	}
	if err := h.Host.AddBridge("plain0"); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// measure asks both for so long.
func (c *contender) measure(wanted time.Duration) {
	h := c.h
	timed := func(list *[]time.Duration, what string, do func() error) {
		begin := time.Now()
		if err := do(); err != nil {
			h.t.Errorf("%s: %v", what, err)
		}
		*list = append(*list, time.Since(begin))
	}
	for begin := time.Now(); time.Since(begin) < wanted && !h.t.Failed(); {
		timed(&c.ours.status, "status", func() error { _, err := h.Status(h.t.Context()); return err })
		timed(&c.theirs.status, "an answer at a socket", c.askPlainly)
		for range 20 {
			timed(&c.ours.names, "a name", func() error { return askName(c.names) })
			timed(&c.theirs.names, "an answer by UDP", func() error { return askBare(c.bare) })
		}
		timed(&c.ours.attach, "attach", func() error {
			_, err := h.AttachEndpoint(h.t.Context(), api.EndpointSpec{Network: "web", Name: "extra", Netns: c.extra.Name})
			return err
		})
		if err := h.DetachEndpoint(h.t.Context(), "extra"); err != nil {
			h.t.Error(err)
		}
		timed(&c.theirs.attach, "a pair of links", c.attachPlainly)
		if err := h.Host.DeleteLink("plain1"); err != nil {
			h.t.Error(err)
		}
		c.memory = max(c.memory, h.residentMemory())
	}
}

// report prints what was measured, and fails where the daemon takes longer than it may: so
// long as the bar, or some times as long as the program beside it, whichever is more. To attach
// an endpoint has the kernel wait for all processors more often than to make two links.
func (c *contender) report(b bars) {
	for _, m := range []struct {
		what         string
		percent      int
		bar          time.Duration
		times        int
		ours, theirs []time.Duration
	}{
		{"status", 100, b.status, 2, c.ours.status, c.theirs.status},
		{"names", 99, b.name, 2, c.ours.names, c.theirs.names},
		{"attach", 90, b.attach, 4, c.ours.attach, c.theirs.attach},
	} {
		ours, theirs := part(m.ours, m.percent), part(m.theirs, m.percent)
		c.h.t.Logf("%s: median %v, %d %% within %v, all within %v; the program beside it: %v, %v, %v; %d times",
			m.what, part(m.ours, 50), m.percent, ours, part(m.ours, 100), part(m.theirs, 50), theirs, part(m.theirs, 100), len(m.ours))
		if ours > max(m.bar, time.Duration(m.times)*theirs) {
			c.h.t.Errorf("%s takes %v, and may take %v, or %d times the %v of a program that does nothing else", m.what, ours, m.bar, m.times, theirs)
		}
	}
	c.h.t.Logf("the daemon has %d MB", c.memory>>20)
	if c.memory > 200<<20 {
		c.h.t.Errorf("the daemon has %d MB of memory", c.memory>>20)
	}
}

// part is the time that so many in a hundred keep within.
func part(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	times = slices.Sorted(slices.Values(times))
	return times[max(0, (len(times)*percent+99)/100-1)]
}

// askPlainly connects to the program's socket and has one answer of it.
func (c *contender) askPlainly() error {
	var d net.Dialer
	conn, err := d.DialContext(c.h.t.Context(), "unix", c.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	return askBare(conn)
}

// attachPlainly does of an attachment what the kernel cannot be spared: a pair of links, one
// on a bridge, one with an address in a namespace.
func (c *contender) attachPlainly() error {
	err := lab.Veth(c.h.Host, "plain1", c.extra, "plain2")
	return errors.Join(err, c.h.Host.Enslave("plain1", "plain0"), c.extra.AddAddress("plain2", "192.0.2.7/24"))
}

const patienceWithAnswer = 5 * time.Second

func askBare(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(patienceWithAnswer)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("what is there to do?")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 64))
	return err
}

func askName(conn net.Conn) error {
	c := &dns.Conn{Conn: conn}
	if err := c.SetDeadline(time.Now().Add(patienceWithAnswer)); err != nil {
		return err
	}
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("c1.web.internal.", dns.TypeA)); err != nil {
		return err
	}
	reply, err := c.ReadMsg()
	if err == nil && len(reply.Answer) != 1 {
		err = fmt.Errorf("answer %v", reply)
	}
	return err
}
