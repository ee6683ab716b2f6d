package doctor

import (
	"context"
	"fmt"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/examine"
)

// FixAll does what is safe to do about findings, and says in them what it did or
// why it could not.
func FixAll(ctx context.Context, findings []Finding) {
	for i := range findings {
		f := &findings[i]
		if f.fix == nil {
			continue
		}
		done, err := f.fix.do(ctx)
		if err != nil {
			f.Failed = err.Error()
			continue
		}
		f.Fixed = done
	}
}

// do returns what was done, with how to undo it where that is not plain.
func (x Fix) do(ctx context.Context) (string, error) {
	switch {
	case x.DeleteLink != "":
		return "link " + x.DeleteLink + " deleted", host.DeleteLink(x.DeleteLink)
	case x.ReleaseBridge != nil:
		a := *x.ReleaseBridge
		return fmt.Sprintf("address %s taken off %s", a.Prefix, a.Bridge), examine.MendBridge(ctx, a.Bridge, a.Prefix)
	case x.ReleasePointToPoint != "":
		return "link " + x.ReleasePointToPoint + " is as it was", host.ReleasePointToPoint(ctx, x.ReleasePointToPoint)
	case x.Sysctl != nil:
		s := *x.Sysctl
		return fmt.Sprintf("sysctl %s set to %s; it was %s", s.Path, s.Value, s.Was), examine.MendSysctl(s.Path, s.Value)
	case x.AcceptBridged != nil:
		r := *x.AcceptBridged
		done := fmt.Sprintf("rule inserted into %s; 'iptables -D %s -i %s -o %s -j ACCEPT' takes it back", r.Chain, r.Chain, r.Bridge, r.Bridge)
		return done, examine.MendFirewall(r.Table, r.Chain, r.Bridge)
	}
	return "", fmt.Errorf("there is no such fix")
}
