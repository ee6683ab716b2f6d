package bridgehelper

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
)

// daemon hands out the ends of pipes for the network web, whose bridge is hn-web.
type daemon struct {
	asked []api.TAPSpec
	other *os.File
}

func (d *daemon) OpenTAP(_ context.Context, spec api.TAPSpec) (api.TAP, *os.File, error) {
	d.asked = append(d.asked, spec)
	if spec.Endpoint == "" && spec.Bridge != "hn-web" && spec.Network != "web" {
		return api.TAP{}, nil, &api.Error{Code: api.NotFound, Message: "no network has the bridge \"" + spec.Bridge + "\""}
	}
	r, w, err := os.Pipe()
	d.other = r
	return api.TAP{Network: "web", Interface: "hntap0"}, w, err
}

// TestRun has what QEMU reads of its helper: a byte, and a descriptor that is the TAP's.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, bridge := range []string{"hn-web", "web"} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		d := &daemon{}
		if err := Run(t.Context(), d, []string{"--use-vnet", "--br=" + bridge, "--fd=" + strconv.Itoa(pair[1])}); err != nil {
			t.Fatal(err)
		}
		body, control := make([]byte, 8), make([]byte, unix.CmsgSpace(4))
		n, length, _, _, err := unix.Recvmsg(pair[0], body, control, 0)
		if err != nil || n != 1 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		messages, err := unix.ParseSocketControlMessage(control[:length])
		if err != nil || len(messages) != 1 {
			t.Fatalf("%d messages, %v", len(messages), err)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			t.Fatalf("%d descriptors, %v", len(fds), err)
		}
		tap := os.NewFile(uintptr(fds[0]), "tap")
		if _, err := tap.WriteString("frame"); err != nil {
			t.Fatal(err)
		}
		tap.Close()
		got := make([]byte, 16)
		if n, err := d.other.Read(got); err != nil || string(got[:n]) != "frame" {
			t.Errorf("through the descriptor came %q, %v", got[:n], err)
		}
		if n, _ := d.other.Read(got); n != 0 {
			t.Error("somebody has the TAP open yet")
		}
		if last := d.asked[len(d.asked)-1]; !last.VNetHdr {
			t.Errorf("asked for %+v", last)
		}
		d.other.Close()
		unix.Close(pair[0])
		unix.Close(pair[1])
	}
}

// TestRunForEndpoint: QEMU says a bridge as well, which does not count then.
func TestRunForEndpoint(t *testing.T) {
	t.Parallel()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	d := &daemon{}
	if err := Run(t.Context(), d, []string{"--endpoint", "vm1", "--use-vnet", "--fd=" + strconv.Itoa(pair[1]), "--br=br0"}); err != nil {
		t.Fatal(err)
	}
	d.other.Close()
	if want := (api.TAPSpec{Endpoint: "vm1", VNetHdr: true}); len(d.asked) != 1 || d.asked[0] != want {
		t.Errorf("asked for %+v", d.asked)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"--br=hn-web", "usage: hostnat-bridge-helper"},
		{"--fd=3", "usage: hostnat-bridge-helper"},
		{"--br=hn-web --fd=x", "usage: hostnat-bridge-helper"},
		{"--br=br0 --fd=3", `no network has the bridge "br0"`},
	} {
		if err := Run(t.Context(), &daemon{}, strings.Fields(tt.args)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.args, err, tt.want)
		}
	}
}
