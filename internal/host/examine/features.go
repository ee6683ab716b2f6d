package examine

import (
	"errors"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Feature is something of the kernel that hostnat uses, and whether it is there.
type Feature struct {
	Name    string // "TCX"
	Missing string // what was found instead; empty: it is there
	Lost    string // what does not work without it
	Unknown bool   // it could not be probed: no right to
}

// probeFeatures tries each feature rather than compare versions.
func probeFeatures() []Feature {
	return []Feature{
		probe("TCX", "the data path cannot be attached: nothing works", probeTCX),
		probe("BTF", "the data path cannot be loaded: nothing works", exists("/sys/kernel/btf/vmlinux")),
		probe("bpf filesystem", "the data path cannot be kept over restarts of the daemon: it does not start", inFile("/proc/filesystems", "bpf")),
	}
}

func probe(name, lost string, try func() error) Feature {
	f := Feature{Name: name, Lost: lost}
	switch err := try(); {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		f.Unknown = true
	case err != nil:
		f.Missing = err.Error()
	}
	return f
}

func exists(paths ...string) func() error {
	return func() (err error) {
		for _, path := range paths {
			if _, err = os.Stat(path); err == nil {
				return nil
			}
		}
		return err
	}
}

func inFile(path, word string) func() error {
	return func() error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, w := range strings.Fields(string(text)) {
			if w == word {
				return nil
			}
		}
		return errors.New("it is not in " + path)
	}
}

// probeTCX asks which programs are on the loopback's ingress (bpf(2),
// BPF_PROG_QUERY): kernels without TCX do not know that place. The library that
// loads our programs asks the same, but belongs to package datapath.
func probeTCX() error {
	const (
		progQuery  = 16 // enum bpf_cmd, linux/bpf.h
		tcxIngress = 46 // enum bpf_attach_type
		loopback   = 1
	)
	// The query's part of union bpf_attr: target, attach type, zeros.
	attr := [8]uint32{loopback, tcxIngress}
	_, _, errno := unix.Syscall(unix.SYS_BPF, progQuery, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	switch errno {
	case 0, unix.ENOENT:
		return nil
	case unix.EINVAL:
		return errors.New("the kernel does not know the place (Linux 6.6 or later has it)")
	}
	return errno
}
