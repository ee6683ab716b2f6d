package portproxy

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// relayOnly makes this program a relay from one address to another, under one of
// limits, that a process cannot have for one test alone.
const relayOnly = "HOSTNAT_TEST_RELAY"

var limits = map[string]func(*Engine) error{"no copying": forbidCopying, "few descriptors": fewDescriptors}

// relayChild starts such a program and returns where it listens.
func relayChild(t *testing.T, limit, server string, output *os.File) (listen string) {
	t.Helper()
	listen = freePort(t, model.TCP, "127.0.0.1:0")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, err := os.StartProcess(self, []string{self, listen, server}, &os.ProcAttr{
		Env: append(os.Environ(), relayOnly+"="+limit), Files: []*os.File{nil, output, os.Stderr},
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Kill()
		_, _ = child.Wait()
	})
	eventually(t, func() bool {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return listen
}

// relayWith is that program.
func relayWith(limit func(*Engine) error, listen, server string) error {
	p := model.Proxy{ID: 1, Kind: model.V4ToV4, Protocol: model.TCP}
	if err := p.Listen.UnmarshalText([]byte(listen)); err != nil {
		return err
	}
	if err := p.Connect.UnmarshalText([]byte(server)); err != nil {
		return err
	}
	e := New(Options{Loops: 2})
	e.Apply(config.Config{Proxies: []model.Proxy{p}})
	if err := limit(e); err != nil {
		return err
	}
	return e.Run(context.Background())
}
