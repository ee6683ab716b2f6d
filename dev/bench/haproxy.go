package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// haproxyConfig is TCP mode with a map from names to servers, as its manual has
// it. The servers see haproxy's address: to show them the client's, it would
// need rules and routes of its own, and more work a connection.
const haproxyConfig = `global
	maxconn 4000
defaults
	mode tcp
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend names
	bind %[1]s:%[2]d
	tcp-request inspect-delay 5s
	tcp-request content accept if { req_ssl_hello_type 1 }
	use_backend %%[req.ssl_sni,lower,map(%[3]s)]
`

// buildHAProxy routes to the same endpoint, attached as without a daemon.
func buildHAProxy(ctx context.Context, t *lab.Topology, _ string) (running, error) {
	if err := errors.Join(attachEndpoint(t), t.Remote.AddRoute(subnet, lab.HostAddress)); err != nil {
		return running{}, err
	}
	dir, err := os.MkdirTemp("", "hostnat-bench-")
	if err != nil {
		return running{}, err
	}
	h := &rival{dir: dir, ended: make(chan struct{})}
	if err := h.start(ctx, t.Host); err != nil {
		return running{}, errors.Join(err, h.close())
	}
	return running{close: h.close, explain: func() string { return h.log.String() }}, nil
}

// rival is a running haproxy.
type rival struct {
	dir     string
	command *exec.Cmd
	log     bytes.Buffer
	ended   chan struct{}
}

func (h *rival) start(ctx context.Context, host *lab.Namespace) error {
	names, config := filepath.Join(h.dir, "names"), filepath.Join(h.dir, "haproxy.cfg")
	var table, backends strings.Builder
	fmt.Fprintf(&backends, haproxyConfig, lab.HostAddress, byNamePort, names)
	for i := range servedNames {
		fmt.Fprintf(&table, "%s site%d\n", servedName(i), i)
		fmt.Fprintf(&backends, "backend site%d\n\tserver c1 %s:%d\n", i, endpoint, insidePort)
	}
	err := errors.Join(os.WriteFile(names, []byte(table.String()), 0o600), os.WriteFile(config, []byte(backends.String()), 0o600))
	if err != nil {
		return err
	}
	// Not bound to ctx: close ends it in an orderly way, after an interrupt too.
	h.command = host.Command(context.WithoutCancel(ctx), HAProxy, "-db", "-f", config)
	h.command.Stdout, h.command.Stderr = &h.log, &h.log
	h.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := h.command.Start(); err != nil {
		h.command = nil
		return fmt.Errorf("start haproxy: %w", err)
	}
	go func() {
		_ = h.command.Wait()
		close(h.ended)
	}()
	return h.awaitReady(ctx, host)
}

func (h *rival) awaitReady(ctx context.Context, host *lab.Namespace) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := lab.WaitFor(ctx, func() bool {
		select {
		case <-h.ended:
			return true
		default:
		}
		conn, err := host.Dial(ctx, "tcp", fmt.Sprintf("%s:%d", lab.HostAddress, byNamePort))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	select {
	case <-h.ended:
		return fmt.Errorf("haproxy ended: %s", h.log.String())
	default:
	}
	return err
}

func (h *rival) close() error {
	if h.command != nil {
		if err := h.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("end haproxy: %w", err)
		}
		<-h.ended
	}
	return os.RemoveAll(h.dir)
}
