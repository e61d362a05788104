#!/bin/sh
# Boots Debian's cloud kernel (which has WireGuard) in qemu and runs one network test in it.
#
#   run.sh BUILD_DIR TEST.py      the test sees the tree read-only at /culvert and BUILD_DIR in it
#
# The kernel package is unpacked under build/kernel, never installed. Software emulation: /dev/kvm is not used.
set -eu
build=$1 test=$2
work=build/kernel
mkdir -p "$work"

# The package of the newest cloud kernel; fails if the lists are missing or name one that is gone.
download() {
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends:/ { print $2; exit }')
	[ -n "$package" ] && (cd "$work" && rm -f ./*.deb && apt-get download -q "$package" >apt.log 2>&1)
}

fetch_kernel() {
	[ -e "$work/tree/boot" ] && return
	if ! download; then
		apt-get update -q >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; exit 1; }
		download || { echo "check-kernel: no linux-image-cloud-amd64 to be had" >&2; cat "$work/apt.log" >&2; exit 1; }
	fi
	rm -rf "$work/tree.new"
	dpkg -x "$work/$package"_*.deb "$work/tree.new"
	mv "$work/tree.new" "$work/tree"
}

# Copies files with the shared objects they need, each to its own path below the root.
install_with_libs() {
	for file in "$@"; do
		real=$(command -v "$file" || echo "$file")
		mkdir -p "$root$(dirname "$real")"
		cp -L "$real" "$root$real"
		ldd "$real" 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r lib; do
			mkdir -p "$root$(dirname "$lib")"
			[ -e "$root$lib" ] || cp -L "$lib" "$root$lib"
		done
	done
}

fetch_kernel
version=$(basename "$work"/tree/lib/modules/*)
modules="virtio_pci virtio_console wireguard veth tun nf_tables nft_chain_nat nft_masq nft_ct nft_numgen nft_limit nft_reject_inet
	nft_counter nft_fib_inet nf_nat nf_conntrack udp_tunnel ip6_udp_tunnel"
root=$(pwd)/$work/root
rm -rf "$root"
mkdir -p "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/etc" "$root/root" "$root/modules" "$root/var/run" "$root/bin"
cp /bin/busybox "$root/bin/busybox"
install_with_libs /usr/bin/python3 /usr/lib/python3.11/lib-dynload/*.so ip nft sysctl wg "$build/culvert" "$build/culvertd"
cp -r /usr/lib/python3.11 "$root/usr/lib/"
rm -rf "$root/usr/lib/python3.11/test" "$root/usr/lib/python3.11/__pycache__"
mkdir -p "$root/culvert/$build" "$root/culvert/build/scratch"
cp -r tests "$root/culvert/"
cp "$build/culvert" "$build/culvertd" "$root/culvert/$build/"
printf 'root:x:0:0::/root:/bin/sh\n' >"$root/etc/passwd"

depmod -b "$work/tree" "$version" 2>/dev/null || true
: >"$root/modules/order"
for module in $modules; do
	modprobe -d "$work/tree" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
	cp "$file" "$root/modules/"
	basename "$file" >>"$root/modules/order"
done

cat >"$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run
mkdir -p /dev/net /run/netns /var/run; ln -sf /run/netns /var/run/netns
while read -r file; do insmod "/modules/\$file" || echo "insmod \$file failed"; done </modules/order
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
ip link set lo up
cd /culvert
CULVERT_BUILD=/culvert/$build CULVERT_KERNEL=1 python3 "$test"
echo "check-kernel: status \$?"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initramfs.cpio"

log=$work/console.log
timeout 600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nographic -no-reboot -nic none \
	-kernel "$work/tree/boot/vmlinuz-$version" -initrd "$work/initramfs.cpio" \
	-append "console=ttyS0 quiet panic=-1 mitigations=off" </dev/null 2>&1 | tr -d '\r' | tee "$log" | grep -v '^\[' || true
grep -q '^check-kernel: status 0$' "$log"
