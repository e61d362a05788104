#!/usr/bin/env python3
"""Holds docs/protocol.md against proto/messages.h: every struct with its offsets, lengths and names, every enum with
its values and names, the domains, and the lengths that proto/lengths.c promises."""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BASE_SIZES = {"uint8_t": 1, "le16": 2, "le32": 4, "le64": 8}
DOCUMENTED_ENUMS = {"message_type", "verb", "refusal", "close_reason", "role", "credit_status"}

results = []


def check(what, ok, detail=""):
    results.append(ok)
    if not ok:
        print(f"{what}: {detail}")


def number(expression, constants, sizes):
    """The value of a C constant expression made of numbers, known names, sizeof and + - * casts."""
    text = re.sub(r"\((?:int|size_t)\)", "", expression)
    text = re.sub(r"sizeof\(struct (\w+)\)", lambda m: str(sizes[m[1]]), text)
    text = re.sub(r"\b[A-Za-z_]\w*", lambda m: str(constants[m[0]]), text)
    if not re.fullmatch(r"[0-9a-fA-Fx+\-*() ]+", text):
        raise ValueError(f"cannot work out {expression!r}")
    return eval(text)  # digits and operators only: checked above


def read_enum(body, constants, sizes):
    members, value = [], 0
    for item in filter(None, (part.strip() for part in body.split(","))):
        name, _, expression = (part.strip() for part in item.partition("="))
        value = number(expression, constants, sizes) if expression else value
        constants[name] = value
        members.append((value, name))
        value += 1
    return members


def read_struct(body, constants, sizes):
    fields, offset = [], 0
    for item in filter(None, (part.strip() for part in body.split(";"))):
        match = re.fullmatch(r"(?:struct )?(\w+) (\w+)(?:\[(.+)\])?", item)
        if not match:
            raise ValueError(f"cannot read the field {item!r}")
        kind, name, count = match.groups()
        size = BASE_SIZES.get(kind) or sizes[kind]
        size *= number(count, constants, sizes) if count else 1
        fields.append((offset, size, name))
        offset += size
    return fields, offset


def read_header(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    domains = dict(re.findall(r'#define (DOMAIN_\w+)\s+"(.*?)"', text))
    text = re.sub(r"^#.*?(?<!\\)$", "", text, flags=re.M | re.S)
    constants, sizes, structs, enums = {}, {}, {}, {}
    for kind, name, body in re.findall(r"\b(struct|enum)\s*(\w*)\s*\{([^}]*)\}\s*;", text):
        body = " ".join(body.split())
        if kind == "enum":
            members = read_enum(body, constants, sizes)
            if name:
                enums[name] = members
        else:
            structs[name], sizes[name] = read_struct(body, constants, sizes)
    return structs, sizes, enums, constants, domains


def read_doc(text):
    """{heading: rows} for every table, under the last heading before it."""
    tables, heading = {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = re.sub(r"^#+ (?:[\d.]+ )?", "", line).strip()
        elif line.startswith("|") and heading:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not set(cells[0]) <= {"-"}:
                tables.setdefault(heading, []).append(cells)
    return {name: rows[1:] for name, rows in tables.items()}


def documented_structs(tables):
    matches = {heading: re.fullmatch(r"struct (\w+), (\d+) bytes", heading) for heading in tables}
    return {match[1]: (int(match[2]), tables[heading]) for heading, match in matches.items() if match}


def check_structs(structs, sizes, documented, page):
    for name, (length, rows) in documented.items():
        if name not in structs:
            check(f"struct {name}", False, f"is in {page}, not in messages.h")
            continue
        check(f"struct {name}", length == sizes[name], f"has {sizes[name]} bytes, {page} says {length}")
        found = [(row[0], row[1], row[2]) for row in rows]
        expected = [tuple(map(str, field)) for field in structs[name]]
        for want, have in zip(expected + [None] * len(found), found + [None] * len(expected)):
            if want is None and have is None:
                break
            check(f"struct {name}", want == have, f"messages.h has {want}, {page} has {have}")


def check_batch_page(structs, sizes):
    """docs/accounting.md repeats what a verifier of batches needs."""
    documented = documented_structs(read_doc((TOP / "docs/accounting.md").read_text()))
    check_structs(structs, sizes, documented, "docs/accounting.md")
    needed = {"batch_head", "batch_head_body", "batch_session", "batch_account", "terms", "terms_body", "receipt", "receipt_offer",
              "receipt_body"}
    check("docs/accounting.md", needed <= set(documented), f"has no table of {needed - set(documented)}")
    names = set(re.findall(r'\[BATCH_\w+\] = "(\w+)"', (TOP / "accounting/batch_file.c").read_text())) - {"ok"}
    rows = read_doc((TOP / "docs/accounting.md").read_text())["What is checked, in this order"]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    check("reasons", len(names) > 15 and names == listed, f"batch_file.c has {names}, docs/accounting.md has {listed}")


def check_enums(enums, tables):
    for name in sorted(DOCUMENTED_ENUMS):
        rows = [(int(row[0]), row[1]) for row in tables.get(f"enum {name}", [])]
        members = [m for m in enums.get(name, []) if not m[1].endswith("_COUNT")]
        check(f"enum {name}", bool(rows) and rows == members, f"messages.h has {members}, docs/protocol.md has {rows}")
    for name in enums:
        check(f"enum {name}", name in DOCUMENTED_ENUMS, "has no table in docs/protocol.md")


def check_domains(domains, tables):
    found = {}
    for name, text in tables.get("domains", []):
        match = re.fullmatch(r"`(.*)`( and a zero byte)?", text)
        found[name] = match[1] + ("\\0" if match[2] else "") if match else text
    check("domains", found == domains, f"messages.h has {domains}, docs/protocol.md has {found}")


def check_lengths(sizes, constants, tables):
    """The words about lengths, against the structs they stand for."""
    shapes = {"INITIATION": "message_initiation", "RESPONSE": "message_response", "COOKIE": "message_cookie",
              "BIND": "message_bind", "CHALLENGE": "message_bind", "ANSWER": "message_bind", "BOUND": "message_bind"}
    for row in tables["enum message_type"]:
        shape = shapes.get(row[1].removeprefix("MESSAGE_").removeprefix("WG_"))
        smallest = constants["WG_TRANSPORT_MIN"]
        want = str(sizes[shape]) if shape else {
            "MESSAGE_WG_TRANSPORT": f"at least {smallest}",
            "MESSAGE_TRANSPORT": f"{smallest + sizes['body_header']} to {constants['CONTROL_DATAGRAM_MAX']}",
        }[row[1]]
        check(row[1], row[2] == want, f"is {want} long, docs/protocol.md says {row[2]}")
    table = (TOP / "proto/lengths.c").read_text()
    answers = dict(re.findall(r"VERB_(?:EXACT|RULE)\((\w+),[^()]*?(0|VERB_\w+)\)", table))
    bodies = dict(re.findall(r"VERB_EXACT\((\w+), (\w+),", table))
    for _, verb, body, answer in tables["enum verb"]:
        verb = verb.removeprefix("VERB_")
        want = answers[verb].removeprefix("VERB_").removeprefix("0")
        check(verb, answer == want, f"expects {want!r}, docs/protocol.md says {answer!r}")
        span = f"{constants['PASS_MIN']} to {constants['PASS_MAX']} bytes"
        want = {"DESCRIBE": f"{sizes['descriptor']} zero bytes", "PASSED": "the same",
                "PASS": f"body_session and a control datagram, {span}"}.get(verb) or bodies[verb]
        check(verb, body == want, f"has body {want!r}, docs/protocol.md says {body!r}")


def main():
    structs, sizes, enums, constants, domains = read_header((TOP / "proto/messages.h").read_text())
    tables = read_doc((TOP / "docs/protocol.md").read_text())
    check("messages.h", len(structs) > 20, "was not understood: too few structs")
    documented = documented_structs(tables)
    for name in structs:
        check(f"struct {name}", name in documented, "has no table in docs/protocol.md")
    check_structs(structs, sizes, documented, "docs/protocol.md")
    check_batch_page(structs, sizes)
    check_enums(enums, tables)
    check_domains(domains, tables)
    check_lengths(sizes, constants, tables)
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
