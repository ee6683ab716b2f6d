#!/bin/sh
# Unpacks Debian 13 with Podman, Docker and systemd into .tools/trixie: the Podman of Debian 12 knows no
# network plugins. Does nothing if all that is there. Needs root and debootstrap.
set -eu
root=$(dirname "$0")/../.tools/trixie
packages=podman,netavark,runc,conmon,nftables,busybox-static,systemd,dbus,docker.io,docker-cli,iproute2,man-db
[ "$(cat "$root/unpacked" 2>/dev/null)" != "$packages" ] || exit 0
rm -rf "$root"
mkdir -p "$(dirname "$root")"
log=$(mktemp)
if ! debootstrap --variant=minbase --include="$packages" trixie "$root" \
	${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
rm -rf "$log" "$root/var/cache/apt" "$root/usr/share/doc" "$root/usr/share/locale"
echo "$packages" >"$root/unpacked"
