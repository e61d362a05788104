#!/usr/bin/env python3
"""tests/run.py: a test that fails, dies, hangs, says nothing, or leaves somebody behind does not pass, nor hold up the others."""
import os
import pathlib
import signal
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))
import run as runner  # noqa: E402

GOOD = "print('2 passed, 0 failed', flush=True)\n"
# What it does, how many fail, and the longest it may take.
CASES = {
    "good": (GOOD, 0, 10),
    "fails": ("print('2 passed, 3 failed')\n", 3, 10),
    "status": (GOOD + "raise SystemExit(1)\n", 1, 10),
    "killed": (GOOD + "import os\nos.kill(os.getpid(), 9)\n", 1, 10),
    "silent": ("", 1, 10),
    "empty": ("print('0 passed, 0 failed')\n", 1, 10),
    "reported": (GOOD + "import os\nopen(os.environ['ASAN_OPTIONS'].split('log_path=')[-1] + '.1', 'w').write('leak')\n", 1, 10),
    "hangs": (GOOD + "import time\ntime.sleep(60)\n", 1, 15),
    "orphan": (GOOD + "import subprocess\nprint(subprocess.Popen(['sleep', '100'], start_new_session=True).pid, flush=True)\n", 1, 15),
    "orphan_hangs": (GOOD + "import subprocess, time\nprint(subprocess.Popen(['sleep', '100'], start_new_session=True).pid, flush=True)\n"
                     "time.sleep(60)\n", 1, 15),
}
TIMEOUT = 3


def main():
    passed = failed = 0
    runner.ENDING = ((signal.SIGTERM, 1), (signal.SIGKILL, 1))
    with tempfile.TemporaryDirectory(prefix="culvert-runner-") as top:
        for name, (source, failures, seconds) in CASES.items():
            path = pathlib.Path(top) / f"{name}.py"
            path.write_text(source)
            start = time.monotonic()
            _, wrong, output, _ = runner.run([sys.executable, str(path)], pathlib.Path("build"), TIMEOUT)
            took = time.monotonic() - start
            for line in output.splitlines():
                if line.isdigit():
                    os.kill(int(line), signal.SIGKILL)
            if wrong == failures and took < seconds:
                passed += 1
            else:
                failed += 1
                print(f"FAIL: {name}: {wrong} failed, not {failures}, after {took:.1f} s: {output}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
