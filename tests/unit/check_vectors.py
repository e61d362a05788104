#!/usr/bin/env python3
"""The checked-in vectors are exactly what their generators give, so neither can change alone."""
import pathlib
import sys

VECTORS = pathlib.Path(__file__).parent.parent / "vectors"
sys.path.insert(0, str(VECTORS))
sys.dont_write_bytecode = True

import make_amounts  # noqa: E402
import make_batch  # noqa: E402
import make_golden  # noqa: E402
import make_identity  # noqa: E402


def main():
    expected = make_golden.files() | make_batch.files()
    expected |= {"amounts.txt": make_amounts.text(), "identity.txt": make_identity.text()}
    passed = failed = 0
    for name, text in sorted(expected.items()):
        path = VECTORS / name
        if path.exists() and path.read_text() == text:
            passed += 1
        else:
            failed += 1
            print(f"{path}: not what its generator gives; run tests/vectors/make_*.py and look at the difference")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
