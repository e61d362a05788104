#!/usr/bin/env python3
"""What a flood from faked addresses does to data and to newcomers: goodput, delay, CPU time of a faked datagram.

Data at FLOOD_DATA datagrams a second (512 bytes, 64 sessions) for FLOOD_MS, junk of each kind at 1, 5 and 10 times as many, and
new clients all the while. Real culvertd. docs/performance.md says what the columns mean. Root.
"""
import os
import pathlib
import platform
import sys
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))
from lab import Lab, wait_for  # noqa: E402
from nodes import BUILD, PORT, Node  # noqa: E402
from rig import Rig  # noqa: E402

BENCH = TOP / "build/bench"
DATA = int(os.environ.get("FLOOD_DATA", "5000"))
MS = int(os.environ.get("FLOOD_MS", "2000"))
FLOWS, NEW = 64, 100
KINDS = ("random", "mac1", "mac2", "transport", "bind")
TIMES = (1, 5, 10)
SINK, SINK_PORT = "10.77.3.2", 51900


class Flood:
    def __init__(self):
        self.lab = lab = Lab("flood")
        lab.ip("client", "route add local 10.128.0.0/9 dev lo")
        lab.ip("core", "route add 10.128.0.0/9 via 10.77.1.2")
        lab.ip("core", "route add blackhole 10.200.0.0/13")
        descriptor = lab.dir / "exit.node"
        lab.run("exit", [BUILD / "tests/net/rig_exit", "-d", descriptor, f"{SINK}:{SINK_PORT}"])
        self.node = Node(lab, "relay", "relay", 2, Relay={"Exit": [descriptor], "Workers": 2}, Log={"Level": "info"},
                         Price={"FreeAllowance": 10**12, "WindowStart": "4 GiB", "WindowCap": "4 GiB", "ReceiptEvery": "1 s"}).start()
        wait_for(self.node.descriptor.exists, "the relay's descriptor")
        about = [self.node.descriptor, descriptor]
        target = f"10.77.2.2:{PORT}"
        self.load = self.rig([BUILD / "tests/bench/load", target, f"/var/run/netns/{lab.ns('exit')}", f"{SINK}:{SINK_PORT}", FLOWS, *about])
        if f'"ready":{FLOWS}}}' not in self.load.process.stdout.readline():
            raise SystemExit("no sessions to send data by")
        self.new, self.junk = (self.rig([BUILD / "tests/net/rig_setups", *about, target, first]) for first in ("10.128.0.1", "10.129.0.1"))

    def rig(self, argv):
        rig = Rig(self.lab.argv("client", argv))
        self.lab.processes.append(rig.process)
        return rig

    def cpu(self):
        main, spent = self.node.process.pid, {"main": 0, "workers": 0}
        for task in pathlib.Path(f"/proc/{main}/task").iterdir():
            spent["main" if int(task.name) == main else "workers"] += int((task / "schedstat").read_text().split()[0])
        return spent

    def trial(self, kind=None, times=0):
        """All three at once: answers by name, and what the relay's threads used."""
        answers, before = {}, self.cpu()
        work = {"data": (self.load, f"trial {FLOWS} 512 {DATA} {MS} 1"), "new": (self.new, f"setups {NEW} 2 {MS}")}
        if kind:
            work["junk"] = (self.junk, f"flood {kind} {DATA * times} {MS}")
        threads = [threading.Thread(target=lambda name=name, rig=rig, words=words: answers.update({name: rig.ask(words)})) for name, (rig, words) in work.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = self.cpu()
        return answers, {part: after[part] - before[part] for part in after}


def machine():
    cpu = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    return f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, load average at the end {' '.join(pathlib.Path('/proc/loadavg').read_text().split()[:3])}"


def main():
    lines = []

    def say(text=""):
        lines.append(text)
        print(text, flush=True)

    flood = Flood()
    say(f"Floods from faked addresses beside {DATA} datagrams of data a second, {MS} ms each. us: CPU time of the relay's threads for one faked datagram, beyond the calm before it.")
    say(" junk      x data  junk sent | data came   p50 us   p99 us | main us workers us | newcomers  p50 ms   p99 ms")
    for kind in KINDS:
        calm = None
        for times in (0, *TIMES):
            answers, used = flood.trial(kind if times else None, times)
            data, new, sent = answers["data"], answers["new"], answers.get("junk", {"sent": 0})["sent"]
            calm = calm or used
            each = {part: max(0, used[part] - calm[part]) / sent / 1000 if sent else 0 for part in used}
            say(f" {kind if times else 'none':9s} {times:6d} {sent:10d} | {data['received'] / data['sent'] * 100:8.2f}% {data['p50'] / 1e3:8.0f} {data['p99'] / 1e3:8.0f} | "
                f"{each['main']:7.2f} {each['workers']:10.2f} | {new['done']:5d}/{new['done'] + new['failed']:<3d} {new['p50_ns'] / 1e6:7.1f} {new['p99_ns'] / 1e6:8.1f}")
    say(machine())
    BENCH.mkdir(parents=True, exist_ok=True)
    (BENCH / "flood.txt").write_text("\n".join(lines) + "\n")
    for rig in (flood.load, flood.new, flood.junk):
        rig.close()
    flood.node.stop()


main()
