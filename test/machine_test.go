package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// machine is what a script runs on.
type machine struct {
	*lab.Topology
	binary     string
	dir        string // short, for the socket's sake
	namespaces map[string]*lab.Namespace
	daemon     *program // nil: none is running
	nobody     bool     // the command line is run without rights
	untouched  []string // the host's links before hostnat came
	remembered snapshot
	servers    []io.Closer
	resolvers  map[string]dnsServer
	talks      map[string]net.Conn
	processes  map[string]*exec.Cmd
	patience   time.Duration // of the command that runs, with an answer
	watching   *watching
	collector  *collector

	recording     *exec.Cmd
	recordingSaid io.Reader
}

func newMachine(binary string) (*machine, error) {
	top, err := lab.NewTopology("script", 0)
	if err != nil {
		return nil, err
	}
	m := &machine{Topology: top, binary: binary, talks: map[string]net.Conn{}, processes: map[string]*exec.Cmd{}}
	m.namespaces = map[string]*lab.Namespace{"host": top.Host, "remote": top.Remote}
	if m.untouched, err = top.Host.Links(); err != nil {
		return nil, errors.Join(err, top.Close())
	}
	m.dir, err = os.MkdirTemp("", "hn")
	if err == nil {
		err = os.Chmod(m.dir, 0o755) // everybody may reach the socket
	}
	if err == nil {
		err = os.WriteFile(m.resolvConf(), []byte("nameserver 203.0.113.2\n"), 0o644) // it answers if a script makes it
	}
	if err != nil {
		return nil, errors.Join(err, top.Close())
	}
	return m, nil
}

func (m *machine) stateDir() string { return filepath.Join(m.dir, "state") }
func (m *machine) runDir() string   { return filepath.Join(m.dir, "run") }
func (m *machine) socket() string   { return filepath.Join(m.runDir(), "hostnat.sock") }

// resolvConf names whom the daemon asks; a script may put it there.
func (m *machine) resolvConf() string { return filepath.Join(m.dir, "resolv.conf") }

// confDir has the configuration files that the daemon applies by itself.
func (m *machine) confDir() string { return filepath.Join(m.dir, "conf.d") }

func (m *machine) client() *api.Client { return api.NewClient(m.socket()) }

func pidText() string { return strconv.Itoa(os.Getpid()) }

// close ends everything and checks that it can be removed.
func (m *machine) close() error {
	for _, c := range m.talks {
		c.Close()
	}
	for _, s := range m.servers {
		s.Close()
	}
	for _, p := range m.processes {
		_ = p.Process.Kill() // an error: it has ended
		_ = p.Wait()
	}
	var errs []error
	if m.daemon != nil {
		_, err := m.endDaemon(syscall.SIGTERM)
		errs = append(errs, err)
	}
	m.nobody = false
	if code, _, stderr := m.hostnat(context.Background(), m.place("down")...); code != 0 {
		errs = append(errs, fmt.Errorf("hostnat down: exit code %d: %s", code, stderr))
	}
	errs = append(errs, m.nothingLeft(), m.Topology.Close())
	for name, n := range m.namespaces {
		if name != "host" && name != "remote" {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(m.dir))...)
}

// nothingLeft compares the host with what it was. Links that a script added
// are its own business.
func (m *machine) nothingLeft() error {
	links, err := m.Host.Links()
	if err != nil {
		return err
	}
	var ours []string
	for _, name := range links {
		attrs, err := m.Host.Link(name)
		if err == nil && attrs.Alias == "hostnat" || strings.HasPrefix(name, "hn-") || strings.HasPrefix(name, "hv-") {
			ours = append(ours, name)
		}
	}
	if len(ours) > 0 {
		return fmt.Errorf("links of hostnat are left on the host: %v", ours)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), m.runDir()+"/") {
		return errors.New("a mount below the run directory is left")
	}
	for _, list := range [][]string{{"ip", "rule", "show"}, {"ip", "route", "show", "table", "all"}} {
		if text, err := m.output(list...); err != nil || strings.Contains(text, "proto 104") {
			return errors.Join(err, fmt.Errorf("%v: hostnat's are left:\n%s", list, text))
		}
	}
	forward, err := m.output("cat", "/proc/sys/net/ipv4/ip_forward")
	if diff := cmp.Diff("0\n", forward); diff != "" {
		return errors.Join(err, fmt.Errorf("ip_forward: %s", diff))
	}
	return err
}

// output runs a program on the host.
func (m *machine) output(argv ...string) (string, error) {
	out, err := m.Host.Command(context.Background(), argv...).Output()
	return string(out), err
}

// place adds the directories to a command that needs them; other ones that
// follow win.
func (m *machine) place(args ...string) []string {
	if args[0] != "daemon" && args[0] != "down" {
		return args
	}
	if args[0] == "daemon" {
		args = append([]string{args[0], "--conf-dir", m.confDir()}, args[1:]...)
	}
	return append([]string{args[0], "--state-dir", m.stateDir(), "--run-dir", m.runDir()}, args[1:]...)
}

// hostnat runs the command line on the host, to its end.
func (m *machine) hostnat(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := m.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		return -1, "", err.Error()
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := m.Host.Command(ctx, append([]string{m.binary}, args...)...)
	if m.nobody { // entering a namespace takes rights, the socket needs none
		cmd = exec.CommandContext(ctx, m.binary, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Env = append(os.Environ(), "HOSTNAT_SOCKET="+m.socket())
	return cmd
}
