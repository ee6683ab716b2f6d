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

// cniCommand runs the program as runtimes run CNI plugins: by the name in their
// configuration, with what is asked in the environment and JSON on standard input.
func cniCommand(m *machine, ts *testscript.TestScript, args []string) error {
	environment := []string{"CNI_COMMAND=" + args[0], "CNI_IFNAME=eth0"}
	for i, value := range args[min(len(args), 2):] {
		name := []string{"CNI_NETNS", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS"}[i]
		if name == "CNI_NETNS" && value != "" {
			value = "/run/netns/" + value
		}
		environment = append(environment, name+"="+value)
	}
	out, errs, err := m.cni(context.Background(), environment, []byte(os.Expand(ts.ReadFile(args[1]), ts.Getenv)))
	fmt.Fprint(ts.Stdout(), compact(out))
	fmt.Fprint(ts.Stderr(), string(errs))
	if err != nil {
		return fmt.Errorf("CNI plugin %s: %w: %s%s", strings.Join(args, " "), err, out, errs)
	}
	return nil
}

// compact takes the line ends and their indents out of printed JSON, so that a pattern
// may be about more than a line of it.
func compact(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String()
}

// cni runs the plugin on the host.
func (m *machine) cni(ctx context.Context, environment []string, conf []byte) (out, errs []byte, err error) {
	program, err := m.cniProgram()
	if err != nil {
		return nil, nil, err
	}
	cmd := m.Host.Command(ctx, program)
	cmd.Env = append(append(os.Environ(), "HOSTNAT_SOCKET="+m.socket(), "CNI_PATH="+filepath.Dir(program)), environment...)
	cmd.Stdin = bytes.NewReader(conf)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), stderr.Bytes(), err
}

// cniProgram is the program in a directory of CNI plugins.
func (m *machine) cniProgram() (string, error) {
	program := filepath.Join(m.dir, "cni", "hostnat")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	if err := os.Symlink(m.binary, program); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return program, nil
}
