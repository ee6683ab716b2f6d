package reconcile

import (
	"context"
	"errors"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
)

// Down takes everything of ours out of the kernel.
func (k *Kernel) Down(ctx context.Context) error {
	k.made = nil
	attached, err := k.datapath.Attachments()
	if err != nil {
		return err
	}
	return errors.Join(k.datapath.Close(), takeDown(ctx, k.bpf, attached))
}

// Down takes everything of ours out of the kernel without a data path opened:
// what `hostnat down` does when no daemon runs. Half of it may be gone already.
func Down(ctx context.Context, runDir string) error {
	attached, err := datapath.ListAttachments(mountPoint(runDir))
	if err != nil {
		return err
	}
	return takeDown(ctx, mountPoint(runDir), attached)
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
func takeDown(ctx context.Context, bpf string, attached []datapath.Attachment) error {
	links, err := host.Links(ctx)
	if err != nil {
		return err
	}
	var errs []error
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
		errs = append(errs, host.ReleaseIsland(ctx, name))
	}
	errs = append(errs, host.DeleteRouting(ctx), removeExternals(ctx, links), host.UnmountBPF(bpf))
	return errors.Join(errs...)
}
