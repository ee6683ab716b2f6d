package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/internal/server"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hostnat": main})
}

// TestScripts runs the program against an API server without a host behind
// it. HOSTNAT_SOCKET is that of a server with one of everything; $EMPTY is
// one that has nothing, $WARNS one that warns of everything.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("unknown condition")
		},
		Setup: func(e *testscript.Env) error {
			// The script's own directory is too deep for a socket's name.
			dir, err := os.MkdirTemp("", "hostnat")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(dir) })
			warns := servertest.Example()
			warns.Warned = []string{"nobody meant that"}
			for name, service := range map[string]*servertest.Service{"HOSTNAT_SOCKET": servertest.Example(), "EMPTY": servertest.Empty(), "WARNS": warns} {
				socket := filepath.Join(dir, name)
				stop, err := serve(service, socket)
				if err != nil {
					return err
				}
				e.Defer(stop)
				e.Setenv(name, socket)
			}
			e.Setenv("NOWHERE", "/nonexistent/s")
			e.Setenv("TZ", "UTC")
			return nil
		},
	})
}

func serve(service server.Service, socket string) (stop func(), err error) {
	l, err := server.Listen(socket)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	srv := server.NewServer(server.Options{Service: service, Version: "v0.0.0-test", Log: slog.New(slog.DiscardHandler), Readers: server.ReadersAll})
	go func() { done <- srv.Serve(ctx, l) }()
	return func() { cancel(); <-done }, nil
}
