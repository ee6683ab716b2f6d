package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Sizes of a segment in bytes: what a TCP sender may hand to a link in one piece,
// headers included, which is cut into packets further on, by the hardware where it
// can. Above 64 KiB an IPv4 header has no length: the kernel calls that BIG TCP.
const (
	UsualSegment = 65536       // the kernel's default, and the most that other links take
	largeSegment = 192<<10 - 8 // more gave no more speed. 8 less than anybody chooses: the mark of what hostnat has raised
)

// LargeSegment is the size that hostnat raises links to that take at most so much
// without cutting it in software (tso_max_size).
func LargeSegment(most int) int {
	if most <= UsualSegment {
		return UsualSegment
	}
	return min(most&^1023-8, largeSegment)
}

// IsRaised reports whether hostnat has set the link's size of a segment.
func (l Link) IsRaised() bool { return l.Segment > UsualSegment && l.Segment%1024 == 1024-8 }

// SetSegment lets a link take segments of so many bytes. One that has gone is none
// to set.
func SetSegment(l Link, size int) error {
	if l.Segment == size {
		return nil
	}
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: l.Index, Name: l.Name}}
	if err := netlink.LinkSetGSOIPv4MaxSize(link, size); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("let %s take segments of %d bytes: %w", l.Name, size, err)
	}
	return nil
}

// LowerSegments puts the links back to the usual size that others own and hostnat
// has raised.
func LowerSegments(ctx context.Context) error {
	links, err := Links(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		if !l.Owned() && l.IsRaised() {
			errs = append(errs, SetSegment(l, UsualSegment))
		}
	}
	return errors.Join(errs...)
}

// setSegment is setMTU for the size of a segment; 0 leaves it as it is.
func setSegment(set func(netlink.Link, int) error, link netlink.Link, size int) error {
	if size == 0 || link.Attrs().GSOIPv4MaxSize == uint32(size) {
		return nil
	}
	return onLink("set size of segments of", link, set(link, size))
}
