//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// echoes is a container with a page, and with a port that sends back what it gets.
const echoes = "busybox httpd -h /www -p 80; exec busybox nc -ll -p 7 -e /bin/busybox cat"

// TestDockerAndHostnatRestart: whichever side restarts under 20 containers, no connection
// is lost, and no mapping is lost or left over, whatever happened meanwhile.
func TestDockerAndHostnatRestart(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	need(t, "curl")
	h := startHost(t, 0)
	d := followedDocker(t, h)
	const count = 20
	name := func(i int) string { return fmt.Sprintf("c%02d", i) }
	begin := func(name string, i int) {
		out, err := d.command("run", "--detach", "--stop-timeout", "0", "--name", name, "--publish", fmt.Sprint(8100+i, ":80"), "--publish", fmt.Sprint(7100+i, ":7"),
			"e2e", "/bin/busybox", "sh", "-c", echoes).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	var names, external []string
	for i := range count {
		names = append(names, name(i))
		external = append(external, fmt.Sprint("tcp 0.0.0.0:", 8100+i), fmt.Sprint("tcp 0.0.0.0:", 7100+i))
	}
	slices.Sort(external)
	atOnce(count, func(i int) { begin(name(i), i) })
	h.waitForDocker(names, external)

	connections := make([]net.Conn, count)
	atOnce(count, func(i int) { connections[i] = h.connect(7100 + i) })
	works := func(when string) {
		t.Helper()
		atOnce(count, func(i int) {
			if err := echoed(connections[i]); err != nil {
				t.Errorf("%s the connection to %s: %v", when, name(i), err)
			}
			if got := tryCurl(h.Remote, fmt.Sprint("http://", lab.HostAddress, ":", 8100+i, "/page")); got != "container" {
				t.Errorf("%s the page of port %d is %q", when, 8100+i, got)
			}
		})
	}
	works("at first")

	// dockerd ends; its containers run on (live-restore).
	d.daemon.stop(t)
	works("without dockerd")
	d.start()
	h.waitForDocker(names, external)
	works("after a restart of dockerd")

	// hostnat ends; a container goes and another one comes.
	h.daemon.stop(t)
	works("without hostnat's daemon")
	d.docker("rm", "--force", name(0))
	names[0] = "comes"
	begin("comes", 0)
	h.startDaemon()
	slices.Sort(names)
	h.waitForDocker(names, external)
	connections[0].Close()
	connections[0] = h.connect(7100)
	works("after a restart of hostnat")

	// Both.
	h.daemon.stop(t)
	d.daemon.stop(t)
	works("with neither")
	h.startDaemon()
	d.start()
	h.waitForDocker(names, external)
	works("after a restart of both")
}

// connect opens a connection from another machine to a published port, once it answers.
func (h *host) connect(port int) (conn net.Conn) {
	waitFor(h.t, time.Minute, fmt.Sprint("an answer at port ", port), func() bool {
		var err error
		conn, err = h.Remote.Dial(h.t.Context(), "tcp", fmt.Sprint(lab.HostAddress, ":", port))
		if err == nil && echoed(conn) == nil {
			return true
		}
		if err == nil {
			conn.Close()
		}
		return false
	})
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

// echoed sends a line on a connection, and wants it back.
func echoed(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(conn, "line"); err != nil {
		return err
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && got != "line\n" {
		err = fmt.Errorf("it sends %q back", got)
	}
	return err
}
