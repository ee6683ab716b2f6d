package self

import (
	"fmt"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
	"golang.org/x/sys/unix"
)

// needed are the capabilities that the daemon cannot do without: the first for
// links, the second for entering namespaces, mounting and, with the first, for
// the data path (on its own, CAP_BPF would do for that).
var needed = []struct {
	name string
	bit  uint
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN},
}

// CheckPrivileges returns a *model.Error that names what is missing to change the
// host's network.
func CheckPrivileges() error {
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	effective := uint64(data[0].Effective) | uint64(data[1].Effective)<<32
	return missingPrivileges(effective)
}

func missingPrivileges(effective uint64) error {
	var missing []string
	for _, c := range needed {
		if effective&(1<<c.bit) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return model.Errorf(model.Denied, "the daemon needs root: it lacks %s", strings.Join(missing, " and ")).WithHint("run it with sudo")
}
