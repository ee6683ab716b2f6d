package test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// networkCommands are those with which a script changes the machines and makes
// traffic.
func networkCommands() map[string]command {
	do := func(n int, f func(m *machine, args []string) error) command {
		return func(m *machine, _ *testscript.TestScript, args []string) error {
			if len(args) < n {
				return fmt.Errorf("%d arguments are needed", n)
			}
			return f(m, args)
		}
	}
	return map[string]command{
		"netns":       netnsCommand,
		"endns":       do(1, func(m *machine, a []string) error { return m.endNamespace(a[0]) }),
		"tap":         do(1, func(m *machine, a []string) error { return m.Host.AddTAP(a[0]) }),
		"bridge":      do(1, func(m *machine, a []string) error { return m.Host.AddBridge(a[0], a[1:]...) }),
		"veth":        do(4, func(m *machine, a []string) error { return lab.Veth(m.ns(a[0]), a[1], m.ns(a[2]), a[3]) }),
		"macvlan":     do(3, func(m *machine, a []string) error { return m.ns(a[0]).AddMacvlan(a[1], a[2]) }),
		"enslave":     do(2, func(m *machine, a []string) error { return m.Host.Enslave(a[0], a[1]) }),
		"address":     do(3, func(m *machine, a []string) error { return m.ns(a[0]).AddAddress(a[1], a[2]) }),
		"no-address":  do(3, func(m *machine, a []string) error { return m.ns(a[0]).DeleteAddress(a[1], a[2]) }),
		"route":       do(3, func(m *machine, a []string) error { return m.ns(a[0]).AddRoute(a[1], a[2]) }),
		"no-route":    do(3, func(m *machine, a []string) error { return m.ns(a[0]).DeleteRoute(a[1], a[2]) }),
		"no-link":     do(2, func(m *machine, a []string) error { return m.ns(a[0]).DeleteLink(a[1]) }),
		"set-up":      do(2, func(m *machine, a []string) error { return m.ns(a[0]).SetUp(a[1]) }),
		"set-down":    do(2, func(m *machine, a []string) error { return m.ns(a[0]).SetDown(a[1]) }),
		"mac":         do(3, func(m *machine, a []string) error { return m.setMAC(a[0], a[1], a[2]) }),
		"mark":        do(1, func(m *machine, a []string) error { return m.Host.SetAlias(a[0], "hostnat") }),
		"route-by":    do(4, func(m *machine, a []string) error { return m.ns(a[0]).AddRouteBy(a[1], a[2], a[3]) }),
		"forward":     do(1, func(m *machine, a []string) error { return m.ns(a[0]).Sysctl("net/ipv4/ip_forward", "1") }),
		"asked-as":    do(3, func(m *machine, a []string) error { return m.askedAs(a[0], a[1], a[2]) }),
		"listen":      do(3, func(m *machine, a []string) error { return m.listen(a[0], a[1], a[2]) }),
		"talk":        do(1, func(m *machine, a []string) error { return m.talk(a[0], a[1:]) }),
		"pcap":        pcapCommand,
		"upload":      do(1, func(m *machine, a []string) error { return m.upload(a[0], a[1:]) }),
		"has-address": do(3, func(m *machine, a []string) error { return m.hasAddress(a[0], a[1], a[2]) }),
		"ping":        do(2, func(m *machine, a []string) error { return m.ping(a[0], a[1]) }),
		"warning":     do(1, func(m *machine, a []string) error { return m.hasWarning(a[0]) }),
		"problem":     do(1, func(m *machine, a []string) error { return m.hasProblem(a[0]) }),
		"links":       linksCommand,
		"dhcp":        dhcpCommand,
		"no-dhcp":     noDHCPCommand,
		"addresses":   addressesCommand,
		"link":        linkCommand,
		"routes":      routesCommand,
		"ask":         askCommand,
		"resolver":    do(2, func(m *machine, a []string) error { return m.resolver(a[0], a[1]) }),
		"look-up":     lookUpCommand,
		"no-rules":    do(1, func(m *machine, a []string) error { return m.noRules(a[0]) }),
		"no-problem":  do(0, func(m *machine, _ []string) error { return m.noProblem() }),
		"no-resolver": do(1, func(m *machine, a []string) error { return m.noResolver(a[0]) }),
		"sessions":    sessionsCommand,
		"process":     processCommand,
	}
}

func (m *machine) noRules(name string) error {
	out, err := m.ns(name).Command(context.Background(), "ip", "rule", "show").CombinedOutput()
	if err == nil && strings.Contains(string(out), "proto 104") {
		err = fmt.Errorf("rules of hostnat's in %s:\n%s", name, out)
	}
	return err
}

// ping sends echo requests until one is answered.
func (m *machine) ping(from, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), m.patience)
	defer cancel()
	for {
		one, done := context.WithTimeout(ctx, time.Second)
		_, err := lab.Ping(one, m.ns(from), to)
		done()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (m *machine) ns(name string) *lab.Namespace { return m.namespaces[name] }

func netnsCommand(m *machine, ts *testscript.TestScript, args []string) error {
	for _, name := range args {
		n, err := lab.NewNamespace("script-" + name)
		if err != nil {
			return err
		}
		m.namespaces[name] = n
		ts.Setenv(name, n.Name)
	}
	return nil
}

func (m *machine) endNamespace(name string) error {
	n := m.namespaces[name]
	delete(m.namespaces, name)
	return n.Close()
}

// processCommand runs a program that does nothing inside a namespace, with its
// id in $NAME.
func processCommand(m *machine, ts *testscript.TestScript, args []string) error {
	name := args[0]
	if p, running := m.processes[name]; running {
		delete(m.processes, name)
		_ = p.Process.Kill() // an error: it has ended
		return ignoreExit(p.Wait())
	}
	p := m.ns(args[1]).Command(context.Background(), "sleep", "300")
	if err := p.Start(); err != nil {
		return err
	}
	m.processes[name] = p
	ts.Setenv(name, strconv.Itoa(p.Process.Pid))
	return m.waitInside(p.Process.Pid, m.ns(args[1]))
}

// waitInside waits until nsenter has become the program.
func (m *machine) waitInside(pid int, n *lab.Namespace) error {
	want, err := os.Stat(n.Path())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return lab.WaitFor(ctx, func() bool {
		has, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
		return err == nil && os.SameFile(want, has)
	})
}

func ignoreExit(err error) error {
	if errors.As(err, new(*exec.ExitError)) {
		return nil
	}
	return err
}

// sessionsCommand prints the sessions without what time changes, once nothing
// is on its way any more.
func sessionsCommand(m *machine, ts *testscript.TestScript, _ []string) error {
	var before string
	for {
		list, err := m.client().Sessions(context.Background(), api.Filter{})
		if err != nil {
			return err
		}
		var now strings.Builder
		for _, s := range list {
			fmt.Fprintln(&now, s.Network, s.Endpoint, s.Protocol, s.Internal, s.External, s.Remote, s.State,
				s.PacketsOut, s.BytesOut, s.PacketsIn, s.BytesIn)
		}
		if now.String() == before {
			fmt.Fprint(ts.Stdout(), before)
			return nil
		}
		before = now.String()
		time.Sleep(60 * time.Millisecond) // longer than TCP delays an acknowledgement
	}
}

func linksCommand(m *machine, ts *testscript.TestScript, args []string) error {
	names, err := m.ns(args[0]).Links()
	for _, name := range names {
		fmt.Fprintln(ts.Stdout(), name)
	}
	return err
}

func (m *machine) hasAddress(name, link, prefix string) error {
	return m.ns(name).Do(func() error {
		l, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		addrs, err := l.Addrs()
		if err == nil && !slices.ContainsFunc(addrs, func(a net.Addr) bool { return a.String() == prefix }) {
			err = fmt.Errorf("%s has %v, not %s", link, addrs, prefix)
		}
		return err
	})
}

// hasProblem looks for a text among status's problems.
func (m *machine) hasProblem(text string) error {
	code, stdout, stderr := m.hostnat(context.Background(), "status")
	_, problems, _ := strings.Cut(stdout, "\nproblems\n")
	problems, _, _ = strings.Cut(problems, "\nwarnings\n")
	if code != 0 || !strings.Contains(problems, text) {
		return fmt.Errorf("problems are %q, want %q; %s", problems, text, stderr)
	}
	return nil
}

func (m *machine) hasWarning(text string) error {
	code, stdout, stderr := m.hostnat(context.Background(), "status")
	_, warnings, _ := strings.Cut(stdout, "\nwarnings\n")
	if code != 0 || !strings.Contains(warnings, text) {
		return fmt.Errorf("warnings are %q, want %q; %s", warnings, text, stderr)
	}
	return nil
}

func routesCommand(m *machine, ts *testscript.TestScript, args []string) error {
	routes, err := m.ns(args[0]).Routes()
	for _, r := range routes {
		fmt.Fprintln(ts.Stdout(), r)
	}
	return err
}

func addressesCommand(m *machine, ts *testscript.TestScript, args []string) error {
	return m.ns(args[0]).Do(func() error {
		link, err := net.InterfaceByName(args[1])
		if err != nil {
			return err
		}
		addrs, err := link.Addrs()
		for _, a := range addrs {
			fmt.Fprintln(ts.Stdout(), a)
		}
		return err
	})
}

// linkCommand prints a link's name, MAC and alternative names: link NS LINK.
func linkCommand(m *machine, ts *testscript.TestScript, args []string) error {
	attrs, err := m.ns(args[0]).Link(args[1])
	if err != nil {
		return err
	}
	fmt.Fprintln(ts.Stdout(), attrs.Name, attrs.HardwareAddr, strings.Join(attrs.AltNames, " "))
	return nil
}

func (m *machine) listen(name, network, addr string) error {
	server, err := lab.EchoServer(m.ns(name), network, addr)
	if err == nil {
		m.servers = append(m.servers, server)
	}
	return err
}

// askCommand prints what an Echo server sees.
func askCommand(m *machine, ts *testscript.TestScript, args []string) error {
	if len(args) != 3 && len(args) != 4 {
		return fmt.Errorf("ask NS NETWORK ADDRESS [FROM]")
	}
	from := ""
	if len(args) == 4 {
		from = args[3] + ":0"
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.patience)
	defer cancel()
	conn, err := m.ns(args[0]).DialFrom(ctx, args[1], from, args[2])
	if err != nil {
		return err
	}
	defer conn.Close()
	seen, err := lab.AskConn(ctx, conn)
	if err == nil {
		fmt.Fprintln(ts.Stdout(), seen)
	}
	return err
}

// askedAs asks and checks by which address the server sees NS.
func (m *machine) askedAs(name, server, want string) error {
	ctx, cancel := context.WithTimeout(context.Background(), m.patience)
	defer cancel()
	seen, err := lab.Ask(ctx, m.ns(name), "tcp", server)
	if err == nil && seen.Addr().String() != want {
		err = fmt.Errorf("the server sees %v, want %s", seen, want)
	}
	return err
}

func (m *machine) setMAC(name, link, text string) error {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return err
	}
	return m.ns(name).SetMAC(link, mac)
}

// talk opens a connection or, without a place to open it to, sends something
// over it and waits for the echo.
func (m *machine) talk(name string, to []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), m.patience)
	defer cancel()
	conn, open := m.talks[name]
	if !open {
		var err error
		if conn, err = m.ns(to[0]).Dial(ctx, "tcp", to[1]); err != nil {
			return err
		}
		m.talks[name] = conn
		_, err = lab.AskConn(ctx, conn)
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(m.patience)); err != nil {
		return err
	}
	message := binary.BigEndian.AppendUint64([]byte(strings.Repeat(".", 100)), uint64(time.Now().UnixNano()))
	if _, err := conn.Write(message); err != nil {
		return err
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != string(message) {
		return fmt.Errorf("sent %q, got %q", message, answer)
	}
	return nil
}
