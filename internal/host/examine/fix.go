package examine

import (
	"context"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
)

// fixable are the settings of the whole host that Fix may change; those of
// links are checked by name.
var fixable = []string{"net/core/bpf_jit_enable", "net/ipv4/neigh/default/gc_thresh3"}

// MendSysctl sets a setting that doctor may change.
func MendSysctl(path, value string) error {
	link, isLink := strings.CutPrefix(path, "net/ipv4/conf/")
	link, isFilter := strings.CutSuffix(link, "/rp_filter")
	if isLink && isFilter {
		if err := sysctl.CheckLinkName(link); err != nil {
			return err
		}
		return sysctl.Set(path, value)
	}
	for _, m := range fixable {
		if m == path {
			return sysctl.Set(path, value)
		}
	}
	return model.Errorf(model.Invalid, "sysctl %s is not hostnat's to set", path)
}

// MendBridge takes an address away from a bridge that hostnat lent it.
func MendBridge(ctx context.Context, bridge, prefix string) error {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return err
	}
	return host.ReleaseBridge(ctx, bridge, p)
}

// MendFirewall lets what goes from a bridge to itself pass an iptables-nft chain.
func MendFirewall(table, chain, bridge string) error {
	if err := sysctl.CheckLinkName(bridge); err != nil {
		return err
	}
	return acceptBridged(table, chain, bridge)
}
