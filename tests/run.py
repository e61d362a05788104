#!/usr/bin/env python3
"""Runs tests and adds up what they say: run.py BUILD_DIR KIND... (unit, net, or single paths).

unit  BUILD/tests/unit/test_* (cmocka) and tests/unit/check_*.py
net   tests/net/test_*.py and test_*.sh: need root and network namespaces
A test that is killed, hangs, or says nothing of how many passed counts as one failure.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

TIMEOUT = {"unit": 180, "net": 420}


def collect(build, kind):
    if kind == "unit":
        built = sorted(p for p in (build / "tests/unit").glob("test_*") if p.suffix == "")
        return [[str(p)] for p in built] + [[sys.executable, str(p)] for p in sorted(pathlib.Path("tests/unit").glob("check_*.py"))]
    if kind == "net":
        found = sorted(p for p in pathlib.Path("tests/net").iterdir() if re.fullmatch(r"test_.*\.(py|sh)", p.name))
        return [[sys.executable if p.suffix == ".py" else "sh", str(p)] for p in found]
    return [[sys.executable, kind] if kind.endswith(".py") else [kind]]


def tally(output, status):
    """(passed, failed) from a closing line, or from cmocka's summaries (one per group)."""
    plain = re.findall(r"^(\d+) passed, (\d+) failed", output, re.M)
    if plain:
        passed, failed = int(plain[-1][0]), int(plain[-1][1])
    else:
        passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", output))
        failed = sum(int(n) for n in re.findall(r"\[  FAILED  \] (\d+) test", output))
    if (status != 0 and failed == 0) or passed + failed == 0:
        failed += 1
    return passed, failed


def run(argv, build, timeout):
    env = dict(os.environ, CULVERT_BUILD=str(build.resolve()))
    start = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               env=env, start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        output, _ = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        # SIGTERM first: network tests take their namespaces down.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        output += f"\nstopped after {timeout} s\n"
        status = -1
    return output, status, time.monotonic() - start


def main():
    build, kinds = pathlib.Path(sys.argv[1]), sys.argv[2:]
    total_passed = total_failed = 0
    for kind in kinds:
        if kind == "net" and os.geteuid() != 0:
            print("net tests need root (network namespaces): run as root")
            total_failed += 1
            continue
        for argv in collect(build, kind):
            output, status, seconds = run(argv, build, TIMEOUT.get(kind, 3600))
            passed, failed = tally(output, status)
            total_passed += passed
            total_failed += failed
            name = pathlib.Path(argv[-1]).name
            print(f"{'ok  ' if failed == 0 else 'FAIL'} {name:<28} {passed:4} passed {failed:3} failed {seconds:6.1f} s", flush=True)
            if failed:
                print("    " + "\n    ".join(output.strip().splitlines()[-60:]), flush=True)
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed or not total_passed else 0


if __name__ == "__main__":
    sys.exit(main())
