package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// netavarkCommand runs the program as a plugin of netavark's: under another name,
// with a namespace's path as the last argument and JSON on standard input.
func netavarkCommand(m *machine, ts *testscript.TestScript, args []string) error {
	program := filepath.Join(m.dir, "netavark", "hostnat")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(m.binary, program); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	argv := []string{program, args[0]}
	if len(args) == 3 {
		argv = append(argv, "/run/netns/"+args[1])
	}
	cmd := m.Host.Command(context.Background(), argv...)
	cmd.Env = append(os.Environ(), "HOSTNAT_SOCKET="+m.socket())
	cmd.Stdin = strings.NewReader(os.Expand(ts.ReadFile(args[len(args)-1]), ts.Getenv))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	fmt.Fprint(ts.Stdout(), out.String())
	fmt.Fprint(ts.Stderr(), errs.String())
	if err != nil {
		return fmt.Errorf("netavark's plugin %s: %w: %s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return nil
}
