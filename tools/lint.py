#!/usr/bin/env python3
"""House rules as checks: layers, foreign libraries, sizes, words, formatting. Prints FILE:LINE: what."""
import pathlib
import re
import subprocess
import sys

LAYERS = {
    "base": [],
    "proto": ["base"],
    "accounting": ["base", "proto"],
    "config": ["base", "proto"],
    "tunnel": ["base", "proto"],
    "control": ["base", "proto"],
    "relay": ["base", "proto", "accounting", "config", "tunnel", "control"],
    "exit": ["base", "proto", "accounting", "config", "tunnel", "control"],
    "client": ["base", "proto", "accounting", "config", "tunnel", "control"],
    "node": ["base", "proto", "accounting", "config", "tunnel", "control", "relay", "exit"],
}
# Which files may include a foreign library's header.
FOREIGN = {
    r"sqlite3\.h": [r"accounting/db\.c"],
    r"sodium\.h|blake2\.h": [r"proto/crypto\.c"],
    r"wireguard\.h": [r"tunnel/kernel\.c"],
    r"ini\.h": [r"config/parse\.c"],
    r"jansson\.h": [r"node/.*", r"client/.*", r"accounting/verify\.c", r"accounting/report_json\.[ch]"],
    r"event2?/.*|event\.h": [r"control/.*", r"relay/.*", r"exit/.*", r"client/.*", r"node/.*"],
    r"libmnl/.*": [r"tunnel/.*"],
}
FUNCTION_MAX = 80
FILE_MAX = 800
UNSAFE = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|strtok|alloca|system|popen|strncpy)\s*\(")
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
INCLUDE = re.compile(r'\s*#\s*include\s+([<"])([^>"]+)[>"]')

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def check_include(path, number, line):
    match = INCLUDE.match(line)
    if not match:
        return
    quote, header = match.groups()
    top = path.parts[0]
    if quote == '"' and top in LAYERS:
        layer = header.split("/")[0]
        if "/" not in header:
            problem(path, number, f'include by folder: "{top}/{header}"')
        elif layer != top and layer not in LAYERS[top]:
            problem(path, number, f"{top}/ must not include {header}")
    for pattern, places in FOREIGN.items():
        if re.fullmatch(pattern, header) and top in LAYERS:
            if not any(re.fullmatch(place, str(path)) for place in places):
                problem(path, number, f"<{header}> belongs to {', '.join(places)} alone")


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > FUNCTION_MAX:
                problem(path, start, f"function of {number - start - 1} lines; {FUNCTION_MAX} is the most")
            start = None


def check_c(path):
    lines = path.read_text().splitlines()
    if len(lines) > FILE_MAX:
        problem(path, len(lines), f"{len(lines)} lines; {FILE_MAX} is the most")
    check_functions(path, lines)
    for number, line in enumerate(lines, 1):
        check_include(path, number, line)
        if UNSAFE.search(line):
            problem(path, number, f"unsafe function: {UNSAFE.search(line).group(1)}")
        if path.suffix == ".c" and path.parts[0] in LAYERS and re.match(r"\s*#\s*if", line):
            problem(path, number, "no conditional compilation in .c files")


def run(argv, what):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        problems.append(f"{argv[0]} is not installed; run 'make deps'")
        return
    if done.returncode:
        problems.append(f"{what}:\n{(done.stdout + done.stderr).strip()[:4000]}")


def main():
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True)
    files = [pathlib.Path(name) for name in tracked.stdout.split("\n") if name and pathlib.Path(name).is_file()]
    sources = [path for path in files if path.suffix in (".c", ".h")]
    for path in sources:
        check_c(path)
    for path in files:
        if path.suffix in (".c", ".h", ".py", ".sh", ".mk", ".md") and path.name != "lint.py":
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if WORDS.search(line):
                    problem(path, number, "leave no such notes behind")
    run(["clang-format-14", "--dry-run", "-Werror", *map(str, sources)], "clang-format (run 'make format')")
    shell = [str(p) for p in files if p.suffix == ".sh" or p.name == "run" and p.parts[0] == ".ci"]
    if shell:
        run(["shellcheck", *shell], "shellcheck")
    for page in files:
        if re.fullmatch(r"docs/man/.*\.[158]", str(page)):
            run(["mandoc", "-Tlint", "-Wwarning", str(page)], f"mandoc {page}")
    for text in problems:
        print(text)
    print(f"lint: {len(sources)} C files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
