package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/host/self"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespaceDir is where named network namespaces are (`ip netns`).
const namespaceDir = "/run/netns"

// Namespace is an open network namespace that an endpoint lives in.
type Namespace struct {
	label string // for messages: "namespace c1", "process 4711"
	file  *os.File
	start uint64 // of the process that it was found by; see Identity
}

// Identity tells namespaces, and the processes that they were found by, apart: a
// process's number is given to another one when it has ended.
type Identity struct {
	Start uint64 // when the process began, in clock ticks since the machine did; 0: not found by one
	Inode uint64 // the namespace's
}

// Identity returns the namespace's.
func (n *Namespace) Identity() (Identity, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(n.file.Fd()), &stat); err != nil {
		return Identity{}, fmt.Errorf("look at %s: %w", n.label, err)
	}
	return Identity{Start: n.start, Inode: stat.Ino}, nil
}

// Has reports whether a link of the host leads into the namespace.
func (n *Namespace) Has(l Link) bool {
	id, err := netlink.GetNetNsIdByFd(int(n.file.Fd()))
	return err == nil && id >= 0 && id == l.PeerNSID
}

// OpenNamespace opens the namespace of an endpoint of kind netns (a name below
// /run/netns, or a path) or pid. What is not there, is no network namespace or
// is the host's own is refused by a *model.Error.
func OpenNamespace(kind model.EndpointKind, target string) (*Namespace, error) {
	var n *Namespace
	var err error
	switch kind {
	case model.KindNetns:
		n, err = openNamed(target)
	case model.KindPID:
		n, err = openProcess(target)
	default:
		err = model.Errorf(model.Invalid, "an endpoint of kind %s is not in a namespace", kind)
	}
	if err != nil {
		return nil, err
	}
	if err := n.refuseHost(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Close lets go of the namespace.
func (n *Namespace) Close() error { return n.file.Close() }

func openNamed(target string) (*Namespace, error) {
	path := target
	if !strings.Contains(target, "/") {
		path = filepath.Join(namespaceDir, target)
	}
	label := "namespace " + target
	if target == "" || target == "." || target == ".." {
		return nil, model.Errorf(model.Invalid, "namespace %q is not a name", target)
	}
	missing := model.Errorf(model.NotFound, "%s does not exist", label).WithHint("'ip netns list' shows those that do")
	return openNamespace(label, path, missing)
}

func openProcess(target string) (*Namespace, error) {
	pid, err := strconv.Atoi(target)
	if err != nil || pid <= 0 {
		return nil, model.Errorf(model.Invalid, "process id %q is not a positive number", target)
	}
	label := fmt.Sprintf("process %d", pid)
	missing := model.Errorf(model.NotFound, "%s does not exist", label).WithHint("give the process id of a running container")
	start, _ := processStart(pid)
	n, err := openNamespace(label, filepath.Join("/proc", strconv.Itoa(pid), "ns/net"), missing)
	if err != nil {
		return nil, err
	}
	if again, err := processStart(pid); err != nil || again != start { // it ended meanwhile
		n.Close()
		return nil, missing
	}
	n.start = start
	return n, nil
}

// processStart returns when a process began, in clock ticks since the machine did
// (proc_pid_stat(5), field 22).
func processStart(pid int) (uint64, error) {
	fields, err := self.ProcessFields(pid)
	if err != nil {
		return 0, err
	}
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d: %d fields", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// openNamespace opens path only after it has seen that it is a namespace: to
// open a device or a FIFO can have effects.
func openNamespace(label, path string, missing *model.Error) (*Namespace, error) {
	var stat unix.Statfs_t
	err := unix.Statfs(path, &stat)
	if err == nil && stat.Type != unix.NSFS_MAGIC {
		return nil, notNamespace(label, path)
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENOTDIR):
		return nil, missing
	case errors.Is(err, fs.ErrPermission):
		return nil, model.Errorf(model.Denied, "%s may not be entered: %v", label, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", label, err)
	}
	kind, err := unix.IoctlRetInt(int(file.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		file.Close()
		return nil, notNamespace(label, path)
	}
	return &Namespace{label: label, file: file}, nil
}

func notNamespace(label, path string) *model.Error {
	return model.Errorf(model.Invalid, "%s is not a network namespace (%s)", label, path)
}

func (n *Namespace) refuseHost() error {
	var own, other unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return fmt.Errorf("look at the host's namespace: %w", err)
	}
	if err := unix.Fstat(int(n.file.Fd()), &other); err != nil {
		return fmt.Errorf("look at %s: %w", n.label, err)
	}
	if own.Ino == other.Ino && own.Dev == other.Dev {
		return model.Errorf(model.Conflict, "%s is in the host's own network namespace", n.label).
			WithHint("start it with one of its own (docker run --network none, ip netns exec)")
	}
	return nil
}
