package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// hostnat types a command, shows what it prints, and returns it.
func (s *stage) hostnat(ctx context.Context, args ...string) (string, error) {
	out, err := s.exec(ctx, args...)
	s.command(typed(args))
	s.output(out)
	return out, err
}

// hostnatRefuses is hostnat for a command that must fail.
func (s *stage) hostnatRefuses(ctx context.Context, args ...string) (string, error) {
	out, err := s.exec(ctx, args...)
	s.command(typed(args))
	s.output(out)
	if err == nil {
		return out, fmt.Errorf("%s was not refused", typed(args))
	}
	return out, ctx.Err()
}

// table is hostnat for a list of which only some columns are shown: the whole
// one would be wider than the page.
func (s *stage) table(ctx context.Context, columns []string, args ...string) error {
	out, err := s.exec(ctx, args...)
	if err != nil {
		return err
	}
	s.command(typed(args))
	s.output(pick(out, columns...))
	return nil
}

func typed(args []string) string { return "hostnat " + strings.Join(args, " ") }

// exec runs a command and returns all that it printed.
func (s *stage) exec(ctx context.Context, args ...string) (string, error) {
	out, err := s.prepare(ctx, args...).CombinedOutput()
	if err == nil {
		return string(out), nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if exit := new(exec.ExitError); !errors.As(err, &exit) {
		return "", err
	}
	return string(out), fmt.Errorf("%s failed (%w): %s", typed(args), err, strings.TrimSpace(string(out)))
}

func (s *stage) prepare(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.self, args...)
	cmd.Env = append(os.Environ(), "HOSTNAT_SOCKET="+s.socket())
	cmd.SysProcAttr = ownGroup()
	return cmd
}
