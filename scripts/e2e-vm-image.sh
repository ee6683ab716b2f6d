#!/bin/bash
# Makes what the end-to-end tests boot as their VM: OUT/vmlinuz, Debian's cloud
# kernel, and OUT/initramfs.gz, a static busybox with the virtio network
# modules. Nothing is installed on the machine. A second call finds the files
# of the first and does nothing.
#
# usage: scripts/e2e-vm-image.sh OUT
set -eu

out=${1:?usage: $0 OUT}
init=$(dirname "$(readlink -f "$0")")/e2e-vm-init
mkdir -p "$out"
exec 9>"$out/.lock"
flock 9

# The image is stale once the script or the guest's init is newer.
if [ -s "$out/initramfs.gz" ] && [ "$out/initramfs.gz" -nt "$init" ] && [ "$out/initramfs.gz" -nt "$0" ]; then
	exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# linux-image-cloud-amd64 is empty: it depends on the kernel of the day.
find_kernel() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1
}
kernel=$(find_kernel)
if [ -z "$kernel" ]; then # a machine on which apt-get update never ran
	apt-get -qq update
	kernel=$(find_kernel)
fi
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$kernel")
mkdir "$work/kernel" "$work/root"
dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work/kernel"

cd "$work/root"
mkdir bin dev proc sys tmp lib www
cp /bin/busybox bin/busybox
cp "$init" init
chmod 755 init bin/busybox
# The init loads them in this order, each after what it needs.
n=0
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net; do
	n=$((n + 1))
	cp "$(find "$work/kernel/lib/modules" -name "$module.ko")" "lib/$n-$module.ko"
done
find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 >"$work/initramfs.gz"

cp "$work"/kernel/boot/vmlinuz-* "$out/vmlinuz"
mv "$work/initramfs.gz" "$out/initramfs.gz" # last: it says that all is there
