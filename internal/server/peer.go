package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// Group is the group whose members may change things, besides root.
const Group = "hostnat"

// peer is the process at the other end of a connection, as it was when it
// connected; nothing that it sends can change that.
type peer struct {
	uid    uint32
	pid    int32
	groups []uint32 // effective group first, then the supplementary ones

	web   bool // it came by TCP: nothing but a token says what it may
	token bool // it has shown that
}

type peerKey struct{}

// withPeer is an http.Server's ConnContext: it keeps the connection's peer.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	known, ours := c.(*connection)
	if !ours {
		return ctx // authorize lets a connection without a peer do nothing
	}
	return context.WithValue(ctx, peerKey{}, known.peer)
}

// Readers says who may read what goes on: sessions, endpoints, events and the rest.
// Status and version are everybody's.
type Readers string

// The readers.
const (
	ReadersGroup Readers = "group" // root and the members of Group
	ReadersAll   Readers = "all"
)

// UnmarshalText reads a flag's value.
func (r *Readers) UnmarshalText(text []byte) error {
	switch v := Readers(text); v {
	case ReadersGroup, ReadersAll:
		*r = v
		return nil
	}
	return model.Errorf(model.Invalid, "%q is not a kind of readers", model.Clip(string(text))).WithHint("use group or all")
}

// MarshalText is the reverse of UnmarshalText.
func (r Readers) MarshalText() ([]byte, error) { return []byte(r), nil }

// public are the paths that everybody may read.
var public = []string{"/v1/status", "/v1/version", "/v1/openapi.json"}

// authorize refuses what the request's peer may not see or change.
func (s *Server) authorize(r *http.Request) error {
	if trusted(r) {
		return nil
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if s.readers == ReadersAll || slices.Contains(public, r.URL.Path) {
			return nil
		}
		return model.Errorf(model.Denied, "only root and members of the group %q may read this; everybody may read the status", Group).
			WithHint("use sudo, have root run: usermod -aG %s USER, or have the daemon started with --read all", Group)
	}
	return model.Errorf(model.Denied, "only root and members of the group %q may change anything", Group).
		WithHint("use sudo, or have root run: usermod -aG %s USER", Group)
}

// trusted reports whether the request's peer may change things, and so may see
// everything.
func trusted(r *http.Request) bool {
	p, ok := r.Context().Value(peerKey{}).(peer)
	return ok && p.trusted()
}

func (p peer) trusted() bool {
	if p.web {
		return p.token
	}
	return p.uid == 0 || p.inGroup(Group)
}

// String says who it is, for events.
func (p peer) String() string {
	name := "uid " + strconv.FormatUint(uint64(p.uid), 10)
	switch {
	case p.uid == 0:
		name = "root"
	case p.uid == unknownUser:
		name = "another machine"
	}
	if p.web {
		return name + " (web page)"
	}
	return name + " (pid " + strconv.FormatInt(int64(p.pid), 10) + ")"
}

func (p peer) inGroup(name string) bool {
	id, exists := groups.id(name)
	return exists && slices.Contains(p.groups, id)
}

// groups remembers numbers of groups for a moment: who connects without pause does not
// have the file of groups read each time.
var groups = groupNumbers{known: make(map[string]groupNumber)}

type groupNumbers struct {
	mu    sync.Mutex
	known map[string]groupNumber
}

type groupNumber struct {
	id     uint32
	exists bool
	at     time.Time
}

// groupTime is how soon a group that is made, or made anew, is noticed.
const groupTime = time.Second

func (n *groupNumbers) id(name string) (uint32, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k, ok := n.known[name]; ok && time.Since(k.at) < groupTime {
		return k.id, k.exists
	}
	k := groupNumber{at: time.Now()}
	if g, err := user.LookupGroup(name); err == nil { // else the usual case: the group was never made
		id, err := strconv.ParseUint(g.Gid, 10, 32)
		k.id, k.exists = uint32(id), err == nil
	}
	n.known[name] = k
	return k.id, k.exists
}

func peerOf(c net.Conn) (peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return peer{}, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var p peer
	var failed error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed != nil {
			return
		}
		p = peer{uid: cred.Uid, pid: cred.Pid, groups: append([]uint32{cred.Gid}, peerGroups(fd)...)}
	})
	return p, errors.Join(err, failed)
}

// peerGroups returns the peer's supplementary groups (SO_PEERGROUPS, Linux
// 4.13), for which x/sys/unix has no function. No answer means no groups.
func peerGroups(fd uintptr) []uint32 {
	groups, size, errno := getPeerGroups(fd, 32)
	if errno == unix.ERANGE { // size says how many bytes it takes: NGROUPS_MAX is 65536
		groups, size, errno = getPeerGroups(fd, min(int(size/4), 65536))
	}
	if errno != 0 {
		return nil
	}
	return groups[:size/4]
}

func getPeerGroups(fd uintptr, count int) (groups []uint32, size uint32, errno unix.Errno) {
	groups = make([]uint32, count)
	size = uint32(count * 4)
	_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
	return groups, size, errno
}
