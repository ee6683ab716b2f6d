package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// hostnat is the contender by its own command line: a daemon inside the host,
// configured as a user would. program is the path of the binary.
func hostnat(program string) setup {
	build := func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		return buildHostnat(ctx, program, t, ports)
	}
	return setup{name: Hostnat, build: build, nat: true}
}

func buildHostnat(ctx context.Context, program string, t *lab.Topology, ports string) (running, error) {
	d, err := startDaemon(ctx, program, t.Host)
	if err != nil {
		return running{}, err
	}
	if err := d.configure(ctx, t.Endpoints[0].Name, ports); err != nil {
		return running{}, errors.Join(err, d.close())
	}
	return running{close: d.close, explain: d.status, daemon: d}, nil
}

// hostnatThen is hostnat with one more command after those.
func hostnatThen(program string, command []string) setup {
	return setup{name: Hostnat, nat: true, build: func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		d, err := startDaemon(ctx, program, t.Host)
		if err != nil {
			return running{}, err
		}
		err = d.configure(ctx, t.Endpoints[0].Name, ports)
		if err == nil {
			_, err = d.run(ctx, command...)
		}
		if err != nil {
			return running{}, errors.Join(err, d.close())
		}
		return running{close: d.close, explain: d.status}, nil
	}}
}

// daemon is a running `hostnat daemon`.
type daemon struct {
	program, dir string
	command      *exec.Cmd
	log          bytes.Buffer
	ended        chan struct{}
}

func startDaemon(ctx context.Context, program string, host *lab.Namespace) (*daemon, error) {
	dir, err := os.MkdirTemp("", "hostnat-bench-")
	if err != nil {
		return nil, err
	}
	d := &daemon{program: program, dir: dir, ended: make(chan struct{})}
	// Not bound to ctx: close ends it in an orderly way, after an interrupt too.
	d.command = host.Command(context.WithoutCancel(ctx), program, "daemon",
		"--state-dir", filepath.Join(dir, "state"), "--run-dir", filepath.Join(dir, "run"))
	d.command.Stdout, d.command.Stderr = &d.log, &d.log
	// An interrupt from the terminal is for the benchmark alone.
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := d.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s daemon: %w", program, err), os.RemoveAll(dir))
	}
	go func() {
		_ = d.command.Wait()
		close(d.ended)
	}()
	if err := d.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *daemon) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var err error
	ready := lab.WaitFor(ctx, func() bool {
		select {
		case <-d.ended:
			return true
		default:
			_, err = d.run(ctx, "status")
			return err == nil
		}
	})
	select {
	case <-d.ended:
		return fmt.Errorf("hostnat daemon ended: %s", d.log.String())
	default:
	}
	if ready != nil {
		return fmt.Errorf("hostnat daemon: %w: %w", ready, err)
	}
	return nil
}

func (d *daemon) configure(ctx context.Context, netns, ports string) error {
	return d.configureWith(ctx, []string{"--netns", netns, "--ifname", endpointLink}, ports)
}

// configureWith is configure for an endpoint that is attached by those options.
func (d *daemon) configureWith(ctx context.Context, where []string, ports string) error {
	target := fmt.Sprintf("c1:%d", insidePort)
	external := fmt.Sprint(externalPort)
	steps := [][]string{
		{"network", "create", "web", "--subnet", subnet, "--gateway", gateway},
		append([]string{"endpoint", "attach", "web", "c1", "--address", endpoint}, where...),
		{"mapping", "add", "--protocol", "udp", "--external", external, "--internal", target},
		{"mapping", "add", "--protocol", "tcp", "--external", external, "--internal", target},
		{"nat", "set", "default", "max-sessions=4000000"}, // or one endpoint could not have as many as are measured
	}
	if ports != "" {
		steps[0] = append(steps[0], "--nat", "small")
		create := []string{"nat", "create", "small", "--external-address", lab.HostAddress + ":" + ports}
		steps = append([][]string{create}, steps...)
		for i, step := range steps {
			if step[0] == "mapping" {
				steps[i] = append(step, "--nat", "small")
			}
		}
	}
	for _, step := range steps {
		if _, err := d.run(ctx, step...); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command of the CLI against the daemon.
func (d *daemon) run(ctx context.Context, args ...string) ([]byte, error) {
	socket := filepath.Join(d.dir, "run", "hostnat.sock")
	command := exec.CommandContext(ctx, d.program, append([]string{"--socket", socket}, args...)...)
	out, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("hostnat %q: %w: %s", args, err, bytes.TrimSpace(out))
	}
	return out, nil
}

// status is what the daemon says about itself: drops by reason, problems.
func (d *daemon) status() string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out, err := d.run(ctx, "status")
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// close takes everything out of the kernel and ends the daemon.
func (d *daemon) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := d.run(ctx, "down")
	select {
	case <-d.ended: // down ends it too, or it never ran
		err = nil
	default:
		if ended := d.command.Process.Signal(syscall.SIGTERM); !errors.Is(ended, os.ErrProcessDone) {
			err = errors.Join(err, ended)
		}
	}
	select {
	case <-d.ended:
	case <-ctx.Done():
		err = errors.Join(err, errors.New("hostnat daemon does not end"), d.command.Process.Kill())
		<-d.ended
	}
	if err != nil {
		err = fmt.Errorf("stop hostnat (%s stays): %w: %s", d.dir, err, d.log.String())
		return err
	}
	return os.RemoveAll(d.dir)
}
