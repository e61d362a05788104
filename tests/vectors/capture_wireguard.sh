#!/bin/sh
# Records a real exchange of two wireguard-go devices, in two network namespaces made for it, and
# prints it as the test vectors of wireguard_exchange.txt. Needs root, wireguard-go, wg, tcpdump.
set -eu
umask 077
work=$(mktemp -d)
pids=
cleanup() {
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	ip netns del rec-a 2>/dev/null || true
	ip netns del rec-b 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ip netns add rec-a
ip netns add rec-b
ip link add rec-veth netns rec-a type veth peer name rec-veth netns rec-b
ip -n rec-a addr add 10.9.0.1/24 dev rec-veth
ip -n rec-b addr add 10.9.0.2/24 dev rec-veth
for side in a b; do
	wg genkey >"$work/$side.key"
	wg pubkey <"$work/$side.key" >"$work/$side.pub"
	ip -n "rec-$side" link set rec-veth up
	ip netns exec "rec-$side" wireguard-go -f "rec-wg-$side" >"$work/$side.log" 2>&1 &
	pids="$pids $!"
done
until [ -S /var/run/wireguard/rec-wg-a.sock ] && [ -S /var/run/wireguard/rec-wg-b.sock ]; do sleep 0.1; done
ip netns exec rec-a tcpdump -q -U -i rec-veth -w "$work/pcap" udp port 51820 2>"$work/tcpdump.log" &
pids="$pids $!"
until grep -q listening "$work/tcpdump.log"; do sleep 0.1; done
configure() { # side, its number, the other, its number, more options
	side=$1 n=$2 other=$3 o=$4
	shift 4
	wg set "rec-wg-$side" listen-port 51820 private-key "$work/$side.key" peer "$(cat "$work/$other.pub")" \
		allowed-ips "10.10.0.$o/32" endpoint "10.9.0.$o:51820" "$@"
	ip -n "rec-$side" addr add "10.10.0.$n/24" dev "rec-wg-$side"
	ip -n "rec-$side" link set "rec-wg-$side" up
}
configure b 2 a 1
configure a 1 b 2 persistent-keepalive 1
sleep 0.3
ip netns exec rec-a python3 -c 'import socket; socket.socket(2, 2).sendto(b"vector", ("10.10.0.2", 9))'
sleep 2.5

cat >"$work/vectors.py" <<'PY'
import base64, socket, struct, sys, time

def payloads(path):
    data = open(path, "rb").read()
    at = 24
    while at + 16 <= len(data):
        n = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16 + 14 + 20 + 8:at + 16 + n]
        at += 16 + n

work = sys.argv[1]
want = {"initiation": lambda p: p[0] == 1, "response": lambda p: p[0] == 2,
        "transport_data": lambda p: p[0] == 4 and len(p) > 32,
        "transport_keepalive": lambda p: p[0] == 4 and len(p) == 32}
found = {}
for p in payloads(work + "/pcap"):
    for name, match in want.items():
        if match(p):
            found.setdefault(name, p)
# The responder is under load once 128 handshakes wait; a burst of one valid initiation does that.
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.05)
for attempt in range(50):
    for _ in range(2000):
        s.sendto(found["initiation"], ("10.9.0.2", 51820))
    try:
        reply = s.recv(2048)
        if reply[0] == 3:
            found["cookie"] = reply
            break
    except TimeoutError:
        pass
for name, file in (("initiator_key", "a"), ("responder_key", "b")):
    print(name, base64.b64decode(open(f"{work}/{file}.pub").read()).hex())
for name in (*want, "cookie"):
    print(name, found[name].hex())
PY
ip netns exec rec-a python3 "$work/vectors.py" "$work"
