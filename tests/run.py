#!/usr/bin/env python3
"""Runs tests and adds up what they say: run.py BUILD_DIR KIND... (unit, net, or single paths).

unit  BUILD/tests/unit/test_* (cmocka) and tests/unit/check_*.py
net   tests/net/test_*.py and test_*.sh: need root and network namespaces
A test that is killed, hangs, or says nothing of how many passed counts as one failure; so does a sanitizer's report, of whatever
process of a test it is, be it one that nobody waits for.

Most tests wait more than they work: as many run at once as there are cores, two to four, or JOBS. One that holds a promise
about time or runs at full speed says so in a comment, `Runs alone: why`, and then nothing runs beside it.
"""
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

SPEAKING = threading.Lock()
SANITIZERS = ("ASAN", "TSAN", "UBSAN", "LSAN")
TIMEOUT = {"unit": 300, "net": 420}
# SIGTERM first: network tests take their namespaces down.
ENDING = ((signal.SIGTERM, 20), (signal.SIGKILL, 5))


def collect(build, kind):
    if kind == "unit":
        built = sorted(p for p in (build / "tests/unit").glob("test_*") if p.suffix == "")
        # Checks first: the longest test is one of them.
        return [[sys.executable, str(p)] for p in sorted(pathlib.Path("tests/unit").glob("check_*.py"))] + [[str(p)] for p in built]
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


def alone(argv):
    """True if its source says so."""
    path = pathlib.Path(argv[-1])
    source = path if path.suffix else pathlib.Path(*path.parts[-3:]).with_suffix(".c")
    return not source.exists() or re.search(r"^(# | \* )Runs alone: ", source.read_text(encoding="utf-8"), re.M) is not None


def environment(build, reports):
    """Sanitizers write to files: what a daemon says goes to a log that no test reads to its end."""
    env = dict(os.environ, CULVERT_BUILD=str(build.resolve()))
    for name in SANITIZERS:
        env[f"{name}_OPTIONS"] = ":".join(filter(None, (env.get(f"{name}_OPTIONS"), f"log_path={reports}/report")))
    return env


def listen(process, timeout):
    """What it has said so far, and whether that was all."""
    try:
        return process.communicate(timeout=timeout)[0], True
    except subprocess.TimeoutExpired as e:
        return (e.output or b"").decode(errors="replace"), False


def run(argv, build, timeout):
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="culvert-reports-") as reports:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                   env=environment(build, reports), start_new_session=True, stdin=subprocess.DEVNULL)
        # To the end of what is said, not of the process: so those it left behind are heard, too.
        output, ended = listen(process, timeout)
        status = process.returncode if ended else -1
        if not ended:
            for number, seconds in ENDING:
                if not ended:
                    os.killpg(process.pid, number)
                    output, ended = listen(process, seconds)
            process.wait()
            output += f"\nstopped after {timeout} s\n"
        reported = [p.read_text(errors="replace") for p in sorted(pathlib.Path(reports).iterdir())]
    passed, failed = tally(output, status)
    for text in reported:
        output += "\n" + "\n".join(text.splitlines()[:40])
    return passed, failed + len(reported), output, time.monotonic() - start


def tell(argv, passed, failed, output, seconds):
    name = pathlib.Path(argv[-1]).name
    text = f"{'ok  ' if failed == 0 else 'FAIL'} {name:<28} {passed:4} passed {failed:3} failed {seconds:6.1f} s\n"
    if failed:
        text += "    " + "\n    ".join(output.strip().splitlines()[-60:]) + "\n"
    with SPEAKING:
        print(text, end="", flush=True)


def run_all(tests, build, jobs):
    """Runs [(argv, timeout)]; (passed, failed)."""
    def one(test):
        passed, failed, output, seconds = run(test[0], build, test[1])
        tell(test[0], passed, failed, output, seconds)
        return passed, failed

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(one, [t for t in tests if not alone(t[0])]))
    results += [one(t) for t in tests if alone(t[0])]
    return sum(passed for passed, _ in results), sum(failed for _, failed in results)


def main():
    build, kinds = pathlib.Path(sys.argv[1]), sys.argv[2:]
    tests, failed = [], 0
    for kind in kinds:
        if kind == "net" and os.geteuid() != 0:
            print("net tests need root (network namespaces): run as root")
            failed += 1
            continue
        tests += [(argv, TIMEOUT.get(kind, 3600)) for argv in collect(build, kind)]
    passed, more = run_all(tests, build, int(os.environ.get("JOBS", min(4, max(2, os.cpu_count() or 1)))))
    failed += more
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
