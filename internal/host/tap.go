package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TAP is a TAP of hostnat's own as it should be.
type TAP struct {
	model.TAP
	Name string
	MTU  int // bytes
}

// onHost is the host's own namespace, for what can be done there and inside others.
var onHost = &inside{route: &netlink.Handle{}, fd: -1, label: "the host"}

// CheckTAP refuses by a *model.Error a TAP that cannot be made on the host.
func CheckTAP(t TAP) error {
	if _, _, err := t.who(); err != nil {
		return err
	}
	link, err := onHost.find(t.Name)
	if err != nil || link == nil || link.Attrs().Alias == Owner {
		return err
	}
	return t.taken(onHost)
}

// EnsureTAP makes a TAP on the host, or leaves it alone if it is there. It stays when
// those who have opened it end. One that is for somebody else is made anew. A link
// of that name that hostnat did not make is a conflict.
func EnsureTAP(t TAP) error {
	_, err := onHost.ensureTAP(t)
	return err
}

func (t TAP) taken(in *inside) error {
	return model.Errorf(model.Conflict, "%s has a link %s already, which hostnat did not make", in.label, t.Name).
		WithHint("attach it without --create, or delete it, or choose another name")
}

func (in *inside) ensureTAP(t TAP) (netlink.Link, error) {
	uid, gid, err := t.who()
	if err != nil {
		return nil, err
	}
	link, err := in.find(t.Name)
	if err != nil {
		return nil, err
	}
	if link != nil && link.Attrs().Alias != Owner {
		return nil, t.taken(in)
	}
	if link != nil && !t.is(link, uid, gid) {
		if err := in.route.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("delete TAP %s that is to be another: %w", t.Name, err)
		}
		link = nil
	}
	if link == nil {
		if link, err = in.makeTAP(t, uid, gid); err != nil {
			return nil, fmt.Errorf("make TAP %s: %w", t.Name, err)
		}
	}
	return link, setMTU(in.route.LinkSetMTU, link, t.MTU)
}

// is reports whether a link is the TAP. What frames begin with is up to who opens it.
func (t TAP) is(link netlink.Link, uid, gid int) bool {
	has, ok := link.(*netlink.Tuntap)
	return ok && has.Mode == netlink.TUNTAP_MODE_TAP && has.Owner == uint32(max(uid, 0)) && has.Group == uint32(max(gid, 0)) &&
		(has.Flags&netlink.TUNTAP_MULTI_QUEUE != 0) == t.Several()
}

// makeTAP makes one that is there to stay. That is the last step: until then it
// ends with the process, whenever that is killed.
func (in *inside) makeTAP(t TAP, uid, gid int) (link netlink.Link, err error) {
	var file *os.File
	err = in.enter(func() error {
		if file, err = openTAP(t.Name, t.flags()); err != nil {
			return err
		}
		return sysctl.DisableIPv6(t.Name)
	})
	if file != nil {
		defer file.Close()
	}
	if err != nil {
		return nil, err
	}
	if link, err = in.find(t.Name); err != nil || link == nil {
		return nil, cmp.Or(err, fmt.Errorf("it was deleted at once"))
	}
	fd := int(file.Fd())
	if err := in.route.LinkSetAlias(link, Owner); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		request uint
		value   int
	}{{unix.TUNSETOWNER, uid}, {unix.TUNSETGROUP, gid}, {unix.TUNSETPERSIST, 1}} {
		if s.value < 0 {
			continue
		}
		if err := unix.IoctlSetInt(fd, s.request, s.value); err != nil {
			return nil, err
		}
	}
	return link, nil
}

// openTAP opens the TAP of that name in the calling thread's namespace, or makes it.
// It ends when the file is closed.
func openTAP(name string, flags uint16) (*os.File, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	request.SetUint16(flags)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (t TAP) flags() uint16 {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if t.Several() {
		flags |= unix.IFF_MULTI_QUEUE
	}
	if t.VNetHdr {
		flags |= unix.IFF_VNET_HDR
	}
	return flags
}

// who returns the numbers of the user and the group; -1: none.
func (t TAP) who() (uid, gid int, err error) {
	uid, err = idOf("user", t.User, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return 0, 0, err
	}
	gid, err = idOf("group", t.Group, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	return uid, gid, err
}

func idOf(what, name string, lookUp func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	text := name
	if _, err := strconv.ParseUint(name, 10, 31); err != nil {
		if text, err = lookUp(name); err != nil {
			return 0, model.Errorf(model.NotFound, "%s %q does not exist", what, name).WithHint("'getent passwd' and 'getent group' list those that do")
		}
	}
	id, err := strconv.ParseUint(text, 10, 31)
	return int(id), err
}
