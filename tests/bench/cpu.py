"""Who used how much processor time."""
import gzip
import os
import pathlib
import platform

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def threads(pids):
    """(name, CPU time in ns) of each thread of these processes."""
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                yield (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass  # it has just ended


def cpu_ns(pids, prefix=""):
    """CPU time of processes, of all their threads or of those whose names begin with prefix."""
    return sum(ns for name, ns in threads(pids) if name.startswith(prefix))


def rss_kib(pids):
    return sum(int(line.split()[1]) for pid in pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def family(pid):
    return [pid, *children(pid)]


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def ksoftirqd():
    """The kernel's threads for packets that came too fast for their sender to carry; children of kthreadd."""
    return [pid for pid in children(2) if name_of(pid).startswith("ksoftirqd")]


def busy_ns():
    """What all processors did but idle, by the machine's count (in ticks: coarse)."""
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return (sum(map(int, words)) - int(words[3]) - int(words[4])) * TICK_NS


def counts_softirq_apart():
    """With that, what the kernel forwards in a sender's time is not in the sender's CPU time."""
    for path, opener in ((f"/boot/config-{platform.release()}", open), ("/proc/config.gz", gzip.open)):
        try:
            with opener(path, "rt") as config:
                return "CONFIG_IRQ_TIME_ACCOUNTING=y" in config.read()
        except OSError:
            pass
    return False


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "?")
    load = pathlib.Path("/proc/loadavg").read_text().split()[:3]
    return f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, load average {' '.join(load)}"
