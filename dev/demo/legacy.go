package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// iptGetInfo is IPT_SO_GET_INFO of linux/netfilter_ipv4/ip_tables.h.
const iptGetInfo = 64

// iptInfo is the kernel's struct ipt_getinfo.
type iptInfo struct {
	name              [32]byte
	hooks             uint32
	entry, underflow  [5]uint32
	entries, sizeByte uint32
}

// legacyTables lists the tables of the older iptables (not those of
// iptables-nft) with how many rules they have. It asks only for tables that
// exist, as asking makes them.
func legacyTables() (string, error) {
	names, err := os.ReadFile("/proc/net/ip_tables_names")
	if errors.Is(err, fs.ErrNotExist) {
		return "no iptables", nil
	}
	if err != nil {
		return "", err
	}
	out := "iptables"
	for _, name := range strings.Fields(string(names)) {
		info, err := tableInfo(name)
		if err != nil {
			return "", fmt.Errorf("ask for the iptables table %s: %w", name, err)
		}
		out += fmt.Sprintf(" %s (%d rules, %d bytes)", name, info.entries, info.sizeByte)
	}
	return out, nil
}

func tableInfo(name string) (info iptInfo, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return info, err
	}
	defer unix.Close(fd)
	copy(info.name[:len(info.name)-1], name)
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, iptGetInfo,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return info, errno
	}
	return info, nil
}
