#!/usr/bin/env python3
"""culvertd with as many sessions as can be asked for: what is not used costs no memory, from its start to its end; and where memory
is not to be had, it says what to lower. No network but a port on loopback, no root."""
import base64
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
CULVERTD = pathlib.Path(os.environ.get("CULVERT_BUILD", TOP / "build/release")) / "culvertd"
PEAK = 100 << 20
LIMITS = [m << 20 for m in (300, 800, 1200, 1500, 1700, 2000, 2300, 2500, 2650, 2800, 6000)]
passed = failed = 0


def check(ok, what):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAIL: {what}")


def configure(top):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    for name in ("identity.key", "control.key"):
        (top / name).write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
        (top / name).chmod(0o600)
    (top / "culvert.conf").write_text(
        f"[Node]\nName = r\nRoles = relay\nIdentity = {top}/identity.key\nControlKey = {top}/control.key\nDataDir = {top}/data\n"
        f"Listen = 127.0.0.1:{port}\nAnnounce = 127.0.0.1:{port}\nAllowRange = 127.0.0.0/8\n"
        f"[Relay]\nMaxSessions = 1000000\nWorkers = 2\nRate = 1 Gbit/s\nMonthlyCap = 2 TiB\n[Api]\nSocket = {top}/api.sock\n")
    return top / "culvert.conf"


def run(config, limit=None):
    """Starts, and ends it as soon as it is ready: (status, what it said, most bytes in memory)."""
    log = config.with_name("log")
    with log.open("w") as out:
        node = subprocess.Popen([CULVERTD, "--config", config], stderr=out, stdout=out, stdin=subprocess.DEVNULL,
                                preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))))
        end = time.monotonic() + 60
        asked = False
        while True:
            pid, status, used = os.wait4(node.pid, os.WNOHANG)
            if pid:
                node.returncode = os.waitstatus_to_exitcode(status)
                return node.returncode, log.read_text(), used.ru_maxrss << 10
            if time.monotonic() > end:
                node.kill()
            elif not asked and "ready: " in log.read_text():
                asked = True
                node.terminate()
            time.sleep(0.02)


def main():
    if b"__asan_init" in CULVERTD.read_bytes() or b"__tsan_init" in CULVERTD.read_bytes():
        print("sanitizers have a memory of their own\n1 passed, 0 failed")
        return 0
    with tempfile.TemporaryDirectory(prefix="culvert-memory-") as top:
        config = configure(pathlib.Path(top))
        status, said, peak = run(config)
        check(status == 0 and "ready: " in said, f"status {status}: {said}")
        print(f"{peak >> 20} MiB at most")
        check(peak < PEAK, f"{peak >> 20} MiB of memory for sessions that are not there")
        starts = 0
        for limit in LIMITS:
            status, said, _ = run(config, limit)
            if "ready: " in said:
                starts += 1
                continue
            check(status == 1 and "lower MaxSessions" in said, f"limited to {limit >> 20} MiB, status {status}: {said}")
        check(0 < starts < len(LIMITS), f"{starts} of {len(LIMITS)} limits are enough")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
