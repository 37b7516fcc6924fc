#!/usr/bin/env python3
"""Holds what ptxas said of each kernel against what its intended occupancy allows.

Usage: resources.py FOLDER [--write]

FOLDER has the *.ptxas files that building libsot-cuda.so leaves (build/kernels). Each kernel must
be listed in resources.json, have neither stack frame nor spills, and fit as many blocks on a
multiprocessor as is written there. docs/kernels.md must have the table that this prints, as far as
the compiler is of the release that the table is of; --write puts it there.
"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE_FILE = os.path.join(HERE, "resources.json")
DOC = os.path.join(HERE, "..", "..", "docs", "kernels.md")
BEGIN, END = "<!-- resources.py: begin -->\n", "<!-- resources.py: end -->\n"
ENTRY = re.compile(r"Compiling entry function '(?P<name>\S+)' for '(?P<device>\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
LOCAL = re.compile(r"(\d+) bytes lmem")
REGISTERS_MOST = 255     # of a thread
REGISTER_UNIT = 8        # of a thread's registers; a warp gets multiples of 256
RESERVED_SHARED = 1024   # of each block, the system's own


def first_number(pattern, text):
    found = pattern.search(text)
    return int(found.group(1)) if found else 0


def short_name(mangled):
    """k_name, with its template arguments."""
    full = subprocess.run(["c++filt", mangled], check=True, capture_output=True,
                          text=True).stdout.strip()
    found = re.search(r"k_\w+(<[^<>()]*>)?", full)
    return found.group(0) if found else full


def read_report(text):
    """What ptxas said: a list of kernels, one for each device."""
    parts = ENTRY.split(text)
    kernels = []
    for mangled, device, said in zip(parts[1::3], parts[2::3], parts[3::3]):
        frame, used = FRAME.search(said), USED.search(said)
        if not frame or not used:
            raise ValueError(f"ptxas says too little about {mangled} for {device}")
        kernels.append({"name": short_name(mangled), "device": device,
                        "registers": int(used.group(1)), "shared": first_number(SHARED, said),
                        "frame": int(frame.group(1)) + first_number(LOCAL, said),
                        "spills": int(frame.group(2)) + int(frame.group(3))})
    return kernels


def read_folder(folder):
    files = sorted(name for name in os.listdir(folder) if name.endswith(".ptxas"))
    kernels = []
    for name in files:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            kernels += read_report(file.read())
    return kernels


def find_row(table, name):
    """A row for this instance of a template goes before one for all of them."""
    for wanted in (name, name.split("<")[0]):
        for row in table["kernels"]:
            if row["name"] == wanted:
                return row
    return None


def registers_allowed(row, device):
    threads = row["threads"] * row["blocks"]
    return min(REGISTERS_MOST, device["registers"] // threads // REGISTER_UNIT * REGISTER_UNIT)


def check_kernel(kernel, table):
    """What is wrong with it, a sentence each."""
    name = f"{kernel['name']} for {kernel['device']}"
    row, device = find_row(table, kernel["name"]), table["devices"].get(kernel["device"])
    if row is None or device is None:
        return [f"{name} is not in resources.json"]
    wrong = []
    if kernel["spills"]:
        wrong.append(f"{name} spills {kernel['spills']} bytes")
    if kernel["frame"]:
        wrong.append(f"{name} has {kernel['frame']} bytes of local memory")
    allowed = registers_allowed(row, device)
    if kernel["registers"] > allowed:
        wrong.append(f"{name} uses {kernel['registers']} registers; {row['blocks']} blocks of "
                     f"{row['threads']} threads leave {allowed}")
    block = kernel["shared"] + row["dynamic_shared_bytes"]
    if (block > device["block_shared_bytes"]
            or (block + RESERVED_SHARED) * row["blocks"] > device["shared_bytes"]):
        wrong.append(f"{name} has {block} bytes of shared memory; {row['blocks']} such blocks do "
                     f"not fit a multiprocessor")
    if row["threads"] * row["blocks"] > device["threads"]:
        wrong.append(f"{name}: {row['blocks']} blocks of {row['threads']} threads do not fit a "
                     f"multiprocessor")
    return wrong


def check_all(kernels, table):
    wrong = [sentence for kernel in kernels for sentence in check_kernel(kernel, table)]
    for row in table["kernels"]:
        for device in table["devices"]:
            if not any(find_row(table, kernel["name"]) is row and kernel["device"] == device
                       for kernel in kernels):
                wrong.append(f"{row['name']} is in resources.json, but was not built for {device}")
    return wrong


def span(numbers):
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}–{high}"


def make_table(kernels, table):
    devices = list(table["devices"])
    lines = ["| kernel | threads × blocks | registers "
             + ", ".join(f"{device}" for device in devices)
             + " | allowed | shared memory, bytes | bytes moved | limit |",
             "|" + "---|" * 7]
    for row in table["kernels"]:
        used = [[kernel["registers"] for kernel in kernels if kernel["device"] == device
                 and find_row(table, kernel["name"]) is row] for device in devices]
        shared = [kernel["shared"] + row["dynamic_shared_bytes"] for kernel in kernels
                  if find_row(table, kernel["name"]) is row]
        allowed = min(registers_allowed(row, table["devices"][device]) for device in devices)
        memory = row["shared"]
        if memory != "none" and used[0]:
            memory = f"{memory} (≤ {max(shared)})"
        lines.append(f"| `{row['name']}` | {row['threads']} × {row['blocks']} | "
                     + ", ".join(span(numbers) if numbers else "–" for numbers in used)
                     + f" | {allowed} | {memory} | {row['bytes']} | {row['limit']} |")
    return "\n".join(lines) + "\n"


def nvcc_release(folder):
    """Of the compiler that made the reports."""
    with open(os.path.join(folder, "release"), encoding="utf-8") as file:
        return file.read().strip()


def check_doc(text, release, table, write):
    """The table in docs/kernels.md, or what is wrong with it."""
    with open(DOC, encoding="utf-8") as file:
        doc = file.read()
    head, rest = doc.split(BEGIN)
    tail = rest.split(END)[1]
    wanted = head + BEGIN + text + END + tail
    if write:
        with open(DOC, "w", encoding="utf-8") as file:
            file.write(wanted)
    elif release != table["release"]:
        print(f"NOTE: docs/kernels.md has nvcc {table['release']}'s numbers; this is {release}")
    elif doc != wanted:
        return ["docs/kernels.md has another table; resources.py FOLDER --write renews it"]
    return []


def main(arguments):
    if not arguments or arguments[1:] not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    with open(TABLE_FILE, encoding="utf-8") as file:
        table = json.load(file)
    kernels = read_folder(arguments[0])
    text = make_table(kernels, table)
    print(text, end="")
    wrong = check_all(kernels, table)
    wrong += check_doc(text, nvcc_release(arguments[0]), table, "--write" in arguments)
    for sentence in wrong:
        print(f"resources: {sentence}", file=sys.stderr)
    if not wrong:
        print(f"resources: {len(kernels)} kernels, none spills or has local memory, all fit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
