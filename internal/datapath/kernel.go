package datapath

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// The oldest kernel with TCX links.
const minMajor, minMinor = 6, 6

// CheckKernel returns a *model.Error that names the first feature the running
// kernel lacks, or nil.
func CheckKernel() error {
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return fmt.Errorf("asking for the kernel's version: %w", err)
	}
	release := unix.ByteSliceToString(uname.Release[:])
	if olderThan(release, minMajor, minMinor) {
		return missing(release, fmt.Sprintf("TCX links (Linux %d.%d or later)", minMajor, minMinor))
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return missing(release, "BTF (CONFIG_DEBUG_INFO_BTF; no /sys/kernel/btf/vmlinux)")
	}
	for _, helper := range []struct {
		fn   asm.BuiltinFunc
		name string
	}{
		{asm.FnRedirectNeigh, "bpf_redirect_neigh"},
		{asm.FnRedirectPeer, "bpf_redirect_peer"},
		{asm.FnTimerInit, "bpf_timer_init"},
		{asm.FnLoop, "bpf_loop"},
	} {
		err := features.HaveProgramHelper(ebpf.SchedCLS, helper.fn)
		if errors.Is(err, ebpf.ErrNotSupported) {
			return missing(release, "the BPF helper "+helper.name)
		}
		if errors.Is(err, unix.EPERM) {
			return model.Errorf(model.Denied, "no right to use BPF").WithHint("run the daemon as root")
		}
	}
	return nil
}

func missing(release, feature string) error {
	return model.Errorf(model.Unavailable, "Linux %s lacks %s, which hostnat's data path needs", release, feature).
		WithHint("use a newer kernel")
}

func olderThan(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false // unknown numbering: let the features decide
	}
	return a < major || a == major && b < minor
}
