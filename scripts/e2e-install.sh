#!/bin/sh
# Installs the Debian packages with the programs that the end-to-end tests
# (e2e/) run. Does nothing if all are there. Needs root and apt-get.
set -eu

# Installed, systemd-resolved would take over the machine's /etc/resolv.conf: the
# tests run it from here, with the library of its own version.
resolved=$(dirname "$0")/../.tools/systemd-resolved
unpacked=
if [ -x "$resolved/usr/bin/resolvectl" ] || [ -x /lib/systemd/systemd-resolved ]; then unpacked=yes; fi
# Likewise systemd-machined and nspawn, which a test installs on a machine of its own.
container=$(dirname "$0")/../.tools/systemd-container.deb
[ -s "$container" ] || unpacked=
# Of the package prometheus one program is needed, and no server.
promtool=$(dirname "$0")/../.tools/promtool
if ! command -v promtool >/dev/null && [ ! -x "$promtool" ]; then unpacked=; fi

missing=
for package in bind9-dnsutils busybox-static chromium containernetworking-plugins curl dbus-daemon debootstrap docker-compose docker.io iputils-ping isc-dhcp-client libsystemd-shared libvirt-clients lintian nfdump nginx-light podman qemu-system-x86 tcpdump tshark; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ] && [ -n "$unpacked" ]; then exec "$(dirname "$0")/e2e-trixie.sh"; fi

# Services must not start: the tests run the programs themselves. A policy that
# is there already is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086 # a list of words
apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends $missing >/dev/null

if [ -z "$unpacked" ]; then
	download=$(mktemp -d)
	(cd "$download" && apt-get -qq download -o APT::Sandbox::User=root systemd-resolved libsystemd-shared >/dev/null)
	mkdir -p "$resolved"
	for package in "$download"/*.deb; do dpkg-deb -x "$package" "$resolved"; done
	(cd "$download" && apt-get -qq download -o APT::Sandbox::User=root systemd-container >/dev/null)
	mv "$download"/systemd-container_*.deb "$container"
	if [ ! -x "$promtool" ]; then
		(cd "$download" && apt-get -qq download -o APT::Sandbox::User=root prometheus >/dev/null)
		dpkg-deb --fsys-tarfile "$download"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$promtool"
		chmod 755 "$promtool"
	fi
	rm -r "$download"
fi
"$(dirname "$0")/e2e-trixie.sh"
