#!/usr/bin/env python3
"""Compares a release with a source tree by the rules of docs/abi.md.

Usage: compare.py RELEASE TREE DESCRIPTION

RELEASE is a folder like tests/abi/0.1.0 (headers in sot/, description in libsot.abi), DESCRIPTION
what describe.sh wrote of TREE. abidiff compares functions and types. It cannot know that a struct
with a struct_size may grow at its end, so what a struct has grown by is taken off first; it does
not see constants, which two compiled programs print.
Exit code: 0 the same, 1 only additions, 2 incompatible, 3 the comparison failed.
"""
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

import header_facts

GROWING = {"SOT_STATUS_LAST"}  # moves with each new code
INCOMPATIBLE_NOT_ERROR = 4 | 8  # of abidiff's exit code


def struct_sizes(corpus):
    return {node.get("name"): int(node.get("size-in-bits")) for node in corpus.iter("class-decl")
            if node.get("size-in-bits") is not None}


def take_growth_off(old, new):
    """Cuts structs that have grown back to what they were; returns their names."""
    old_sizes = struct_sizes(old)
    grown = set()
    for node in new.iter("class-decl"):
        size = old_sizes.get(node.get("name"))
        if size is None or int(node.get("size-in-bits", 0)) <= size:
            continue
        grown.add(node.get("name"))
        node.set("size-in-bits", str(size))
        for member in node.findall("data-member"):
            if int(member.get("layout-offset-in-bits")) >= size:
                node.remove(member)
    return grown


def abidiff(old_path, new, folder):
    """abidiff's report where functions or types differ, "" where not."""
    path = os.path.join(folder, "new.abi")
    xml.ElementTree(new).write(path)
    done = subprocess.run(["abidiff", "--no-added-syms", "--show-bits", old_path, path],
                          capture_output=True, text=True)
    if done.returncode & ~INCOMPATIBLE_NOT_ERROR:
        raise RuntimeError(f"abidiff: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout if done.returncode != 0 else ""


def numbers(include, constants, folder):
    """{constant: number} as compiled with the headers of a folder."""
    source, program = os.path.join(folder, "numbers.c"), os.path.join(folder, "numbers")
    with open(source, "w", encoding="utf-8") as file:
        file.write("#include <stdio.h>\n#include <sot/sot.h>\nint main(void)\n{\n")
        for name in constants:
            file.write(f'    printf("{name} %ld\\n", (long){name});\n')
        file.write("    return 0;\n}\n")
    subprocess.run(["gcc", "-I", include, source, "-o", program], check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split("\n")
    return dict(line.split() for line in lines if line)


def main(release, tree, description):
    include = os.path.join(tree, "include")
    old_text = header_facts.read(os.path.join(release, "sot"))
    new_text = header_facts.read(os.path.join(include, "sot"))
    old_names, new_names = set(header_facts.names(old_text)), set(header_facts.names(new_text))
    old_path = os.path.join(release, "libsot.abi")
    old, new = xml.parse(old_path).getroot(), xml.parse(description).getroot()
    wrong = [f"{name} is gone from the headers" for name in sorted(old_names - new_names)]
    grown = take_growth_off(old, new)
    with tempfile.TemporaryDirectory() as folder:
        kept = [name for name in header_facts.constants(old_text)
                if name in new_names and name not in GROWING]
        was, now = numbers(release, kept, folder), numbers(include, kept, folder)
        wrong += [f"{name} was {was[name]} and is {now[name]}" for name in kept
                  if was[name] != now[name]]
        report = abidiff(old_path, new, folder)
    if report:
        wrong.append("abidiff says:\n" + report)
    added = [f"struct {name} has grown" for name in sorted(grown)]
    added += [f"{name} is new" for name in sorted(new_names - old_names)]
    for sentence in added + wrong:
        print(sentence)
    return 2 if wrong else 1 if added else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(re.sub(r"\n\n.*", "", __doc__, flags=re.S))
    try:
        sys.exit(main(*sys.argv[1:]))
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
