#!/bin/sh
# Installs what Culvert's build, demo and tests need, from Debian's archive. As root. Quiet when all is there.
set -eu
build="gcc make libc6-dev libsodium-dev libevent-dev libsqlite3-dev libb2-dev libinih-dev libjansson-dev
	libmnl-dev pkg-config"
run="wireguard-tools wireguard-go nftables iproute2"
tests="libcmocka-dev python3-minimal python3 python3-cryptography iperf3 curl clang clang-format-14 libclang-rt-14-dev
	shellcheck mandoc sqlite3 procps valgrind"
kernel="qemu-system-x86 busybox-static cpio kmod"
boot="debootstrap systemd-container"
bench="nginx libnginx-mod-stream coturn"

want="$build $run"
for set in "$@"; do
	case $set in
	tests) want="$want $tests" ;;
	kernel) want="$want $kernel" ;;
	boot) want="$want $boot" ;;
	bench) want="$want $bench" ;;
	*) echo "deps.sh: unknown set '$set'; known: tests kernel boot bench" >&2; exit 2 ;;
	esac
done

missing=
for package in $want; do
	dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "deps.sh: these packages are missing:$missing; run 'make deps' as root" >&2
	exit 1
fi
echo "  APT  $missing"
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made=
trap 'rm -f "$log" $made' EXIT
# Debian's service packages must not start anything here: not now, and not at the next boot (see below).
if [ ! -e "$policy" ]; then
	made=$policy
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
# The embeddable library lives in a doc folder that slim images leave out.
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--path-include='/usr/share/doc/wireguard-tools/*' \
	$missing >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
if [ ! -e /usr/share/doc/wireguard-tools/examples/embeddable-wg-library/wireguard.c ]; then
	apt-get install -q -y --reinstall -o Dpkg::Options::=--path-include='/usr/share/doc/wireguard-tools/*' \
		wireguard-tools >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
for service in nginx coturn; do
	case $missing in
	*"$service"*) ! command -v systemctl >/dev/null || systemctl --quiet disable "$service.service" ;;
	esac
done
