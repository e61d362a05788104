"""What iproute2 does not do: receive offload of a network device, and what devices and queues threw away."""
import subprocess
import sys

# DEVICE, then NAME=0|1 of its features, as `ethtool -K` has them; done by that ioctl, for the tool is not everywhere.
FEATURES = """
import array, fcntl, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def ethtool(*values, room=0):
    data = array.array("B", struct.pack(f"{len(values)}I", *values) + bytes(room))
    fcntl.ioctl(s, 0x8946, struct.pack("16sP", sys.argv[1].encode(), data.buffer_info()[0]))
    return data.tobytes()
count = struct.unpack("I", ethtool(0x37, 0, 1 << 4, 0, room=4)[16:20])[0]    # ETHTOOL_GSSET_INFO of ETH_SS_FEATURES
names = ethtool(0x1b, 4, count, room=32 * count)[12:]    # ETHTOOL_GSTRINGS
bits = {names[i * 32:i * 32 + 32].split(bytes(1))[0].decode(): i for i in range(count)}
blocks = [0] * ((count + 31) // 32 * 2)    # pairs: valid, requested
for word in sys.argv[2:]:
    bit, on = bits[word.split("=")[0]], int(word.split("=")[1])
    blocks[bit // 32 * 2] |= 1 << bit % 32
    blocks[bit // 32 * 2 + 1] |= on << bit % 32
ethtool(0x3b, len(blocks) // 2, *blocks)    # ETHTOOL_SFEATURES
"""
GRO, CUT = "rx-gro", "tx-udp-segmentation"
TCP = ("tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation")


def features(lab, ns, device, **values):
    lab.run(ns, [sys.executable, "-c", FEATURES, device, *(f"{name.replace('_', '-')}={int(on)}" for name, on in values.items())])


def set_up(lab, ends):
    """Each end a device as physical ones are: NAPI, which takes what came at once, and joins datagrams of one flow for
    sockets that asked for it (GRO). A veth's peer goes round that for local senders as long as it could send large TCP
    segments, so that is switched off: nothing here is TCP."""
    for ns, device in ends:
        features(lab, ns, device, **{GRO: True, **{name: False for name in TCP}})


def cut(lab, ends, on):
    """Whether a device cuts a large buffer (UDP_SEGMENT) into datagrams before they leave, or leaves that to one behind it."""
    for ns, device in ends:
        features(lab, ns, device, **{CUT: not on})


def device_drops(lab, ns, devices):
    """Datagrams that found a device's ring or the kernel's backlog full."""
    total = 0
    for device in devices:
        path = f"/sys/class/net/{device}/statistics/"
        total += sum(map(int, lab.run(ns, ["sh", "-c", f"cat {path}rx_dropped {path}tx_dropped"]).stdout.split()))
    return total


def backlog_drops():
    """Of the whole machine: /proc/net/softnet_stat is not told apart by namespace."""
    text = subprocess.run(["cat", "/proc/net/softnet_stat"], text=True, capture_output=True, check=True).stdout
    return sum(int(line.split()[1], 16) for line in text.splitlines())
