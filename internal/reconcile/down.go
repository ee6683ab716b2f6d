package reconcile

import (
	"context"
	"errors"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/self"
	"github.com/hostnat/hostnat/internal/model"
)

// Down takes everything of ours out of the kernel.
func (k *Kernel) Down(ctx context.Context) error {
	k.applied = nil
	attached, err := k.datapath.Attachments()
	if err != nil {
		return err
	}
	return errors.Join(k.datapath.Close(), takeDown(ctx, k.bpf, attached, k.lastConfig().Endpoints))
}

// Down takes everything of ours out of the kernel without a data path opened:
// what `hostnat down` does when no daemon runs. Half of it may be gone already.
// The endpoints are those that are configured.
func Down(ctx context.Context, runDir string, endpoints []model.Endpoint) error {
	attached, err := datapath.ListAttachments(mountPoint(runDir))
	if err != nil {
		return err
	}
	return takeDown(ctx, mountPoint(runDir), attached, endpoints)
}

// Present reports whether the kernel has anything of ours, a link or a program. If
// it cannot be asked, it may.
func Present(ctx context.Context, runDir string) bool {
	attached, err := datapath.ListAttachments(mountPoint(runDir))
	if err != nil || len(attached) > 0 {
		return true
	}
	links, err := host.Links(ctx)
	return err != nil || slices.ContainsFunc(links, host.Link.Owned)
}

// takeDown goes from the inside out: first nothing can send any more, then the
// programs go.
func takeDown(ctx context.Context, bpf string, attached []datapath.Attachment, endpoints []model.Endpoint) error {
	links, err := host.Links(ctx)
	if err != nil {
		return err
	}
	errs := []error{leave(ctx, sharing(endpoints, links))}
	plan := Make(config.Config{}, links, attached, 0)
	for _, r := range plan.Release {
		errs = append(errs, host.ReleasePort(r.Link, r.Bridge))
	}
	for _, l := range links {
		if l.Owned() {
			errs = append(errs, host.DeleteLink(l.Name))
		}
	}
	for _, a := range plan.Return {
		errs = append(errs, host.ReleaseBridge(ctx, a.Name, a.Gateway))
	}
	for _, name := range plan.Restore {
		errs = append(errs, host.ReleasePointToPoint(ctx, name))
	}
	errs = append(errs, host.DeleteRouting(ctx), host.LowerSegments(ctx), removeExternals(ctx, links), datapath.TakeOff(bpf), self.UnmountBPF(bpf))
	return errors.Join(errs...)
}
