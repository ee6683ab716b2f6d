package demo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/dev/lab"
)

// takeDown is chapter 8.
func takeDown(ctx context.Context, s *stage) error {
	s.say("One command takes everything out of the kernel and ends the daemon; the configuration is kept on disk.")
	if _, err := s.hostnat(ctx, "down"); err != nil {
		return err
	}
	if err := s.daemon.end(ctx); err != nil {
		return err
	}
	if err := s.promiseLinks("the host", s.net.Host, lab.HostLink); err != nil {
		return err
	}
	for name, n := range map[string]*lab.Namespace{"c1": s.c1, "c2": s.c2} {
		if err := s.promiseLinks(name, n); err != nil {
			return err
		}
	}
	_, err := os.Stat(filepath.Join(s.runDir(), "bpf"))
	mounts, mountErr := s.mounts()
	if mountErr != nil {
		return mountErr
	}
	return s.promise(errors.Is(err, fs.ErrNotExist) && len(mounts) == 0,
		"no BPF program, map or link is pinned and no filesystem mounted any more")
}

// promiseLinks says that a namespace has its loopback and the given links, and
// no other.
func (s *stage) promiseLinks(name string, n *lab.Namespace, own ...string) error {
	links, err := n.Links()
	if err != nil {
		return err
	}
	slices.Sort(links)
	want := append([]string{"lo"}, own...)
	return s.promise(slices.Equal(links, want), "links of %s: %s, as before", name, strings.Join(links, ", "))
}

// gone says that the stage itself is gone.
func (s *stage) gone() error {
	mounts, err := s.mounts()
	if err != nil {
		return err
	}
	_, dirErr := os.Lstat(s.dir)
	left := len(mounts) > 0 || !errors.Is(dirErr, fs.ErrNotExist)
	for _, n := range append([]*lab.Namespace{s.net.Remote, s.net.Host}, s.net.Endpoints...) {
		_, err := os.Lstat(n.Path())
		left = left || !errors.Is(err, fs.ErrNotExist)
	}
	return s.promise(!left, "the demo's namespaces, daemon and files are removed")
}
