package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestScripts runs the program itself, daemon and command line, on a machine
// made of namespaces. Each script has one of its own: a host with the link out0
// (203.0.113.1/24) to a remote (203.0.113.2), which is its default route. When a
// script has ended, "hostnat down" must leave nothing of hostnat there.
//
// Commands, where NS is host, remote or a name given to netns:
//
//	daemon start|kill|stop|wait    kill is SIGKILL, stop SIGTERM; wait: it ends by itself
//	daemon reload                  it is sent SIGHUP
//	on old-kernel|no-btf MESSAGE   the daemon must refuse to start there
//	hostnat ARG...                 the command line
//	refuse MESSAGE ARG...          it must exit 1, print this one line, and change nothing
//	missing TEXT ARG...            the command line does not print that
//	prints TEXT ARG...             it prints that: for retry
//	misuse MESSAGE ARG...          the same with exit code 2
//	netavark VERB [NS] FILE        the plugin of Podman's is run as netavark runs it; prints its answer
//	cni VERB FILE [NS CONTAINER [IFNAME [ARGS]]]    the CNI plugin is run as runtimes run it; prints its answer
//	expand FILE TO                 copies a file of the script, with the values of $NAMES in it
//	differs ARG...                 the command line exits 1 and prints something
//	as root|nobody                 who runs the command line from here on
//	together N ARG...              so many at once, {} being 1 to N; each works or is refused by one line
//	churn MILLISECONDS             changes without pause, then the daemon is killed in the middle
//	remember; unchanged            compare all lists and the host's links
//	consistent                     the kernel has what is configured, and nothing else
//	nothing-left                   the host has neither our links nor our BPF filesystem
//	lose links|bpf|everything      take it out of the kernel by hand
//	state damaged|newer|older      what became of the configuration's file
//	sessions                       prints them without what time changes, when all is quiet
//	watch ARG...                   hostnat event watch in the background
//	watched N                      it has printed so many lines; prints them
//	record FILE ARG...             hostnat record in the background
//	recorded NS ADDRESS            NS pings the address until it has all packets that were asked for
//	collect NS ADDRESS             a collector of IPFIX there
//	collected N                    it has so many records; prints them
//	retry COMMAND ARG...           until it works, for 20 s
//	numbers-agree                  the metrics are readable and say what status says
//	no-trace COMMAND ARG...        the command changes no table of the data path
//	announces MS EVENT NETWORK COMMAND ARG...    the event comes so soon after the command
//
//	netns NAME...; endns NAME      namespaces, the real name in $NAME
//	process NAME [NS]              starts a program inside NS, $NAME is its id; without NS, ends it
//	tap LINK; bridge LINK PORT...; enslave LINK BRIDGE                          of the host
//	veth NS LINK NS LINK; macvlan NS LINK PARENT; no-link NS LINK; mac NS LINK MAC; links NS
//	set-up NS LINK; set-down NS LINK
//	address NS LINK PREFIX; no-address NS LINK PREFIX; addresses NS LINK
//	routes NS                      prints the main table, "PREFIX LINK"
//	route NS PREFIX GATEWAY; no-route NS PREFIX GATEWAY
//	route-by NS LINK PREFIX GATEWAY
//	no-rules NS                    hostnat has no routing rules there
//	forward NS                     it routes for others
//	mark LINK                      a link of the host gets hostnat's mark
//	firewall docker|forward|closed|none    the host gets one of somebody else's
//	finds CHECK                    doctor has a finding of that check
//	has-address NS LINK PREFIX; problem TEXT      status has that problem
//	warning TEXT                   status has that warning
//	listen NS NETWORK ADDRESS      an Echo server (package lab)
//	ask NS NETWORK ADDRESS [FROM]  prints how an Echo server sees NS, which uses an address of its own
//	resolver NS ADDRESS            a DNS server that knows nothing but example.com; the host's resolver from now on
//	no-resolver NS                 ends it
//	no-problem                     status has none, or will within 20 s
//	look-up NS NETWORK SERVER NAME TYPE       prints the answer, "NXDOMAIN" or "none"
//	dhcp NS LINK [HOSTNAME [TEXT]] gets an address by DHCP and uses it; prints what the server told
//	no-dhcp NS LINK                nobody answers there
//	ping NS ADDRESS
//	asked-as NS ADDRESS SEEN       the Echo server sees NS by that address
//	talk NAME [NS ADDRESS]         opens a TCP connection; without the rest, moves data over it
//	upload NAME [NS ADDRESS]       the same with 20,000 bytes at once; without the rest, they all come back
//	pcap FILE [BYTES]              writes a file of six packets, or so many bytes of it
func TestScripts(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	binary := build(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands(),
		Setup: func(e *testscript.Env) error {
			m, err := newMachine(binary)
			if err != nil {
				return err
			}
			e.Defer(func() {
				if err := m.close(); err != nil {
					e.T().Fatal(err)
				}
			})
			m.setVariables(e)
			return nil
		},
	})
}

// build makes the program from the sources that are being tested.
func build(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hostnat")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // everybody may run it
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "hostnat")
	out, err := exec.Command("go", "build", "-o", binary, "../cmd/hostnat").CombinedOutput()
	if err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return binary
}

func (m *machine) setVariables(e *testscript.Env) {
	e.Values[machineKey{}] = m
	e.Setenv("host", m.Host.Name)
	e.Setenv("remote", m.Remote.Name)
	e.Setenv("STATE", m.stateDir())
	e.Setenv("RUN", m.runDir())
	e.Setenv("SOCKET", m.socket())
	e.Setenv("RESOLVCONF", m.resolvConf())
	e.Setenv("CONF", m.confDir())
	e.Setenv("CONTROL", "a\x01b")
	e.Setenv("NEWLINE", "a\nb")
	e.Setenv("BYTES63", strings.Repeat("x", 63))
	e.Setenv("BYTES64", strings.Repeat("x", 64))
	e.Setenv("BYTES80", strings.Repeat("x", 80))
	for name, value := range self() {
		e.Setenv(name, value)
	}
}

type machineKey struct{}

// on returns the machine that a script runs on.
func on(ts *testscript.TestScript) *machine { return ts.Value(machineKey{}).(*machine) }

// self is what the host knows of this test as a program that listens.
func self() map[string]string {
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		panic(err)
	}
	return map[string]string{"PROGRAM": strings.TrimSpace(string(name)), "PID": pidText()}
}
