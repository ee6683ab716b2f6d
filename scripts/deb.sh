#!/bin/sh
# Builds hostnat_VERSION_ARCH.deb: deb.sh ARCH PROGRAM MANUAL VERSION [FOLDER]. Needs
# dpkg-deb alone, whatever the architecture. The same sources give the same bytes.
set -eu
arch=$1 program=$2 manual=$3 version=$4 out=${5:-bin}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

# A version of Debian's begins with a digit and has no '-' of its own.
case $version in v[0-9]*) version=${version#v} ;; esac
case $version in [0-9]*.*) ;; *) version=0+git.$version ;; esac
version=$(printf %s "$version" | tr - +)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"
put() { install -D -m "$1" "$2" "$root/$3"; }

put 755 "$program" usr/bin/hostnat
install -d "$root/usr/libexec/netavark" "$root/usr/lib/cni" "$root/usr/lib/hostnat"
ln -s ../../bin/hostnat "$root/usr/libexec/netavark/hostnat" # Podman finds its plugins by file name
ln -s ../../bin/hostnat "$root/usr/lib/cni/hostnat" # so do runtimes that speak CNI
ln -s ../../bin/hostnat "$root/usr/lib/hostnat/hostnat-bridge-helper" # for QEMU: see docs/recipes/qemu.md
ln -s ../../bin/hostnat "$root/usr/lib/hostnat/hostnat-extcap" # for Wireshark: see docs/capture.md
put 644 packaging/systemd/hostnat.service usr/lib/systemd/system/hostnat.service
put 644 packaging/systemd/hostnat-docker.socket usr/lib/systemd/system/hostnat-docker.socket
put 644 packaging/systemd/run-hostnat-bpf.mount usr/lib/systemd/system/run-hostnat-bpf.mount
put 644 packaging/sysusers.d/hostnat.conf usr/lib/sysusers.d/hostnat.conf
put 644 packaging/tmpfiles.d/hostnat.conf usr/lib/tmpfiles.d/hostnat.conf
put 644 packaging/network/10-hostnat.network usr/lib/systemd/network/10-hostnat.network
put 644 packaging/network/10-hostnat.conf usr/lib/NetworkManager/conf.d/10-hostnat.conf
put 644 packaging/prometheus/hostnat.rules.yml usr/share/hostnat/prometheus/hostnat.rules.yml
put 644 packaging/grafana/hostnat.json usr/share/hostnat/grafana/hostnat.json
put 644 packaging/debian/lintian-overrides usr/share/lintian/overrides/hostnat
put 644 packaging/debian/copyright usr/share/doc/hostnat/copyright
install -d "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d" "$root/usr/share/man/man1"
for page in "$manual"/*.1; do gzip -9n <"$page" >"$root/usr/share/man/man1/${page##*/}.gz"; done
cp "$manual/hostnat.bash" "$root/usr/share/bash-completion/completions/hostnat"
cp "$manual/hostnat.zsh" "$root/usr/share/zsh/vendor-completions/_hostnat"
cp "$manual/hostnat.fish" "$root/usr/share/fish/vendor_completions.d/hostnat.fish"
{
	printf 'hostnat (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md of the sources.\n\n' "$version"
	printf ' -- hostnat <hostnat@users.noreply.github.com>  %s\n' "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$root/usr/share/doc/hostnat/changelog.gz"

install -d "$root/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"; done
cat >"$root/DEBIAN/control" <<CONTROL
Package: hostnat
Version: $version
Architecture: $arch
Maintainer: hostnat <hostnat@users.noreply.github.com>
Section: net
Priority: optional
Depends: systemd, init-system-helpers (>= 1.54~)
Suggests: docker.io, podman
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f 1)
Homepage: https://github.com/hostnat/hostnat
Description: networks behind NAT for VMs and containers
 A virtual switch, addresses, a NAT whose session table can be looked into, and
 published ports for all VMs and containers of one host, with an eBPF data path
 that goes on while the daemon is stopped. Docker's containers are on it after
 'hostnat docker enable'.
CONTROL
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/hostnat_${version}_$arch.deb"
