package test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/dev/lab"
)

// command is what a script's command does with its arguments. What it prints
// is for stdout and stderr.
type command func(m *machine, ts *testscript.TestScript, args []string) error

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]command{
		"daemon": daemonCommand, "hostnat": hostnatCommand, "refuse": refuseCommand, "misuse": misuseCommand,
		"as": asCommand, "together": togetherCommand, "churn": churnCommand, "remember": rememberCommand,
		"unchanged": unchangedCommand, "consistent": consistentCommand, "lose": loseCommand, "state": stateCommand,
		"on":            onCommand,
		"firewall":      firewallCommand,
		"finds":         findsCommand,
		"missing":       missingCommand,
		"differs":       differsCommand,
		"expand":        expandCommand,
		"cni":           cniCommand,
		"netavark":      netavarkCommand,
		"prints":        printsCommand,
		"watch":         watchCommand,
		"packets":       packetsCommand,
		"record":        recordCommand,
		"recorded":      recordedCommand,
		"watched":       watchedCommand,
		"collect":       collectCommand,
		"collected":     collectedCommand,
		"numbers-agree": numbersAgree,
		"nothing-left":  func(m *machine, _ *testscript.TestScript, _ []string) error { return m.nothingLeft() },
	}
	for name, c := range networkCommands() {
		all[name] = c
	}
	all["retry"] = retry(all)
	all["announces"] = announces(all)
	all["no-trace"] = noTrace(all)
	scripted := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range all {
		scripted[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			m := on(ts)
			m.patience = patience
			if neg {
				m.patience = impatience
			}
			err := c(m, ts, args)
			switch {
			case neg && err == nil:
				ts.Fatalf("%s %s: works, and should not", name, strings.Join(args, " "))
			case !neg:
				ts.Check(err)
			}
		}
	}
	return scripted
}

// impatience is how long an answer is waited for that must not come, and one
// that is asked for again.
const impatience = 1500 * time.Millisecond

// retry is the command that repeats another until it works.
func retry(all map[string]command) command {
	return func(m *machine, ts *testscript.TestScript, args []string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		m.patience = impatience
		var failed error
		if lab.WaitFor(ctx, func() bool {
			failed = all[args[0]](m, ts, args[1:])
			return failed == nil
		}) != nil {
			return fmt.Errorf("after %v still: %w", 2*patience, failed)
		}
		return nil
	}
}

func daemonCommand(m *machine, _ *testscript.TestScript, args []string) error {
	switch args[0] {
	case "start":
		return m.startDaemon(args[1:]...)
	case "kill":
		_, err := m.endDaemon(syscall.SIGKILL)
		return err
	case "stop":
		return endedWell(m.endDaemon(syscall.SIGTERM))
	case "wait":
		return endedWell(m.endDaemon(0))
	case "reload":
		return m.daemon.cmd.Process.Signal(syscall.SIGHUP)
	}
	return fmt.Errorf("daemon %s?", args[0])
}

func endedWell(state interface{ ExitCode() int }, err error) error {
	if err == nil && state.ExitCode() != 0 {
		return fmt.Errorf("the daemon ended with code %d", state.ExitCode())
	}
	return err
}

func hostnatCommand(m *machine, ts *testscript.TestScript, args []string) error {
	code, stdout, stderr := m.hostnat(context.Background(), m.place(args...)...)
	fmt.Fprint(ts.Stdout(), stdout)
	fmt.Fprint(ts.Stderr(), stderr)
	if code != 0 {
		return fmt.Errorf("hostnat %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return nil
}

// differsCommand runs a comparison that has to find something.
func differsCommand(m *machine, ts *testscript.TestScript, args []string) error {
	code, stdout, stderr := m.hostnat(context.Background(), m.place(args...)...)
	fmt.Fprint(ts.Stdout(), stdout)
	if code != 1 || stdout == "" {
		return fmt.Errorf("hostnat %s: exit code %d, printed %q, %q", strings.Join(args, " "), code, stdout, stderr)
	}
	return nil
}

// expandCommand copies a file with the values of the script's variables.
func expandCommand(_ *machine, ts *testscript.TestScript, args []string) error {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	return os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600)
}

// missingCommand fails if the command line prints a text.
func missingCommand(m *machine, _ *testscript.TestScript, args []string) error {
	return m.printsOrNot(args, false)
}

func printsCommand(m *machine, _ *testscript.TestScript, args []string) error {
	return m.printsOrNot(args, true)
}

func (m *machine) printsOrNot(args []string, want bool) error {
	code, stdout, stderr := m.hostnat(context.Background(), m.place(args[1:]...)...)
	if code != 0 || strings.Contains(stdout, args[0]) != want {
		return fmt.Errorf("hostnat %s: exit code %d, printed %q %s", strings.Join(args[1:], " "), code, stdout, stderr)
	}
	return nil
}

func refuseCommand(m *machine, _ *testscript.TestScript, args []string) error {
	return m.refused(1, args)
}
func misuseCommand(m *machine, _ *testscript.TestScript, args []string) error {
	return m.refused(2, args)
}

// refused runs a command that must fail in one line and change nothing.
func (m *machine) refused(want int, args []string) error {
	before, err := m.shot()
	if err != nil {
		return err
	}
	code, stdout, stderr := m.hostnat(context.Background(), m.place(args[1:]...)...)
	if code != want || stdout != "" || stderr != "hostnat: "+args[0]+"\n" {
		return fmt.Errorf("exit code %d, want %d; stdout %q;\nstderr   %s\nwant     hostnat: %s", code, want, stdout, strings.TrimSpace(stderr), args[0])
	}
	return m.same(before)
}

func (m *machine) same(before snapshot) error {
	after, err := m.shot()
	if diff := gocmp.Diff(before, after, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" {
		return errors.Join(err, fmt.Errorf("something changed (-before +after):\n%s", diff))
	}
	return err
}

func asCommand(m *machine, _ *testscript.TestScript, args []string) error {
	m.nobody = args[0] == "nobody"
	return nil
}

func rememberCommand(m *machine, _ *testscript.TestScript, _ []string) (err error) {
	m.remembered, err = m.shot()
	return err
}

func unchangedCommand(m *machine, _ *testscript.TestScript, _ []string) error {
	return m.same(m.remembered)
}

// onCommand starts a daemon on a machine that lacks something.
func onCommand(m *machine, _ *testscript.TestScript, args []string) error {
	before, err := m.shot()
	if err != nil {
		return err
	}
	start := oldKernel
	if args[0] == "no-btf" {
		start = noBTF
	}
	if m.daemon, err = m.launch(start); err != nil {
		return err
	}
	p := m.daemon
	state, err := m.endDaemon(0)
	if err != nil {
		return err
	}
	want, err := regexp.Compile("^hostnat: " + args[1] + "\n$")
	if err != nil || state.ExitCode() != 1 || !want.MatchString(p.printed()) {
		return fmt.Errorf("exit code %d, printed %q, want %v, %w", state.ExitCode(), p.printed(), want, err)
	}
	return errors.Join(m.same(before), m.nothingLeft())
}

// number reads a command's argument.
func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}
