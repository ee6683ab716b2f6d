package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/hostnat/hostnat/dev/lab"
)

// buildDockerProxy starts docker-proxy as Docker does, to the same endpoint,
// attached as without a daemon.
func buildDockerProxy(ctx context.Context, t *lab.Topology, _ string) (running, error) {
	if err := errors.Join(attachEndpoint(t), t.Remote.AddRoute(subnet, lab.HostAddress)); err != nil {
		return running{}, err
	}
	d := &dockerProxy{ended: make(chan struct{})}
	if err := d.start(ctx, t.Host); err != nil {
		return running{}, errors.Join(err, d.close())
	}
	return running{close: d.close}, nil
}

// dockerProxy is a running docker-proxy.
type dockerProxy struct {
	command *exec.Cmd
	ended   chan struct{}
}

func (d *dockerProxy) start(ctx context.Context, host *lab.Namespace) error {
	ready, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	// Not bound to ctx: close ends it in an orderly way, after an interrupt too.
	d.command = host.Command(context.WithoutCancel(ctx), DockerProxy, "-proto", "tcp",
		"-host-ip", lab.HostAddress, "-host-port", fmt.Sprint(relayPort),
		"-container-ip", endpoint, "-container-port", fmt.Sprint(insidePort))
	d.command.ExtraFiles = []*os.File{told} // file descriptor 3: "0\n", or "1\n" and why not
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	err = d.command.Start()
	told.Close()
	if err != nil {
		d.command = nil
		return fmt.Errorf("start docker-proxy: %w", err)
	}
	go func() {
		_ = d.command.Wait()
		close(d.ended)
	}()
	line, err := bufio.NewReader(ready).ReadString('\n')
	if strings.TrimSpace(line) != "0" {
		return errors.Join(fmt.Errorf("docker-proxy does not start: %q", line), err)
	}
	return nil
}

func (d *dockerProxy) close() error {
	if d.command == nil {
		return nil
	}
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end docker-proxy: %w", err)
	}
	<-d.ended
	return nil
}
