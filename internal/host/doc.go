// Package host changes and reads the Linux host: links, addresses, routes and
// network namespaces. It and the packages below it are the only users of netlink,
// namespaces and /proc.
//
// Functions work in the network namespace of the calling OS thread, which for
// the daemon is that of its process. The Ensure functions make a thing as
// wanted: they repair what differs and, where nothing does, send nothing to
// the kernel, so that they cause no new tick of Watch. Links made here carry
// Owner as their alias, and only such links are ever deleted.
package host
