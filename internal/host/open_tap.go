package host

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
)

// openedTAPs are the names of those TAPs; the kernel puts a number for %d.
const openedTAPs = "hntap%d"

// OpenTAP makes a TAP that is a port of the bridge with that index, up, and ends when
// the file is closed and what was made of it in other processes.
func OpenTAP(bridge, mtu int, vnetHdr bool) (name string, file *os.File, err error) {
	t := TAP{TAP: model.TAP{VNetHdr: vnetHdr}, Name: openedTAPs}
	if file, err = openTAP(t.Name, t.flags()); err != nil {
		return "", nil, err
	}
	if name, err = nameOfTAP(file); err == nil {
		err = plugIn(name, bridge, mtu)
	}
	if err != nil {
		return "", nil, errors.Join(err, file.Close())
	}
	return name, file, nil
}

// OpenOwnTAP opens a TAP that hostnat has made on the host. It stays when it is closed.
func OpenOwnTAP(t TAP) (*os.File, error) {
	link, err := onHost.find(t.Name)
	if err != nil {
		return nil, err
	}
	if link == nil || link.Attrs().Alias != Owner {
		return nil, model.Errorf(model.NotFound, "TAP %s is not there", t.Name).WithHint("'hostnat status' says why")
	}
	file, err := openTAP(t.Name, t.flags())
	if errors.Is(err, unix.EBUSY) {
		return nil, model.Errorf(model.Conflict, "another program has TAP %s open", t.Name).WithHint("end it, or attach the endpoint with --queues")
	}
	return file, err
}

func nameOfTAP(file *os.File) (string, error) {
	request, err := unix.NewIfreq("")
	if err == nil {
		err = unix.IoctlIfreq(int(file.Fd()), unix.TUNGETIFF, request)
	}
	if err != nil {
		return "", err
	}
	return request.Name(), nil
}

func plugIn(name string, bridge, mtu int) error {
	link, err := findLink(name)
	if err != nil {
		return err
	}
	if link == nil {
		return model.Errorf(model.NotFound, "link %s was deleted meanwhile", name)
	}
	for _, step := range []func() error{
		func() error { return sysctl.DisableIPv6(name) },
		func() error { return setMTU(onHost.route.LinkSetMTU, link, mtu) },
		func() error { return setMaster(link, bridge) },
		func() error { return setUp(onHost.route.LinkSetUp, link) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
