#!/bin/sh
# Installs the Debian packages with the programs that the end-to-end tests
# (e2e/) run. Does nothing if all are there. Needs root and apt-get.
set -eu

missing=
for package in bind9-dnsutils busybox-static curl docker.io isc-dhcp-client nginx-light qemu-system-x86; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

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
