#!/usr/bin/env python3
"""Makes the golden data of the skeleton parser: what Python's re finds in generated strings.

Writes, beside itself, points_grammar.h (the material of the strings, and what Unicode and Python say
about digits and white space) and points.bin (little-endian 64-bit words: first a hash of all strings'
bytes, then one hash per string of what the parse must give). test_points_golden.c makes the same
strings from the same numbers and compares. Run it again and nothing changes:

    python3 tests/golden/points/make_points.py
    python3 tests/golden/points/make_points.py --show N     string N and its points, for reading
"""
import os
import re
import struct
import sys
import unicodedata

PATTERN = re.compile(r"(\d+)\.\s?([\s\S]+?)(?=\n|\n*$)")
N_STRINGS = 51200
MASK = (1 << 64) - 1

WORDS = [b"Active", b"listening", b"Energy", b"conservation", b"3.5", b"million", b"U.S.", b"e.g.",
         b"**Bold**", b"(v2.0)", b"\xe4\xb8\xad\xe6\x96\x87", b"caf\xc3\xa9", b"\xf0\x9f\x98\x80",
         b"Ma Po Tofu", b"No. 7.", b"x", b"1.", b"\x00", b"a\x00b"]
DOTS = [b".", b".", b".", b".", b".", b".", b".", b".", b".", b".", b")", b" .", b"..", b"",
        b"\xef\xbc\x8e", b".\xef\xbb\xbf"]
GAPS = [b" ", b" ", b" ", b" ", b" ", b" ", b"", b"  ", b"\t", b"\n", b"\n\n", b"\r\n"]
TAILS = [b"", b"", b". ", b". ", b".", b" ", b":", b"\r", b" \n", b"\v", b"\f", b"\x00"]
ENDS = [b"\n", b"\n", b"\n", b"\n", b"\n", b"\n", b"\n\n", b"\r\n", b"\r", b"\f", b"\v", b"\x1c",
        b"\x1d", b"\x1e", b"\x1f", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b" ", b"\n \n"]
HEADS = [b"", b"", b" ", b"Skeleton:\n", b"Skeleton:\n ", b"Sure! Here it is:\n\n", b"\n\n",
         b"\xef\xbb\xbf", b"Question:\nWhy 2.0?\nSkeleton:\n"]
PROSE = [b"This is prose below a point.\n", b"It costs 3.5 million. Or 4.\n", b"\nSkeleton:\n",
         b"- a dash\n", b"   1.2. nested\n", b"   a. letter\n", b"1) paren\n", b"\n\n\n",
         b"10.000.000 people\n", b"2. \n", b"3.\n", b"```\n1. code\n```\n", b"Skeleton: 1. inline\n"]
SOUP = [b"1", b"2", b"12", b"999", b"7", b"1.", b"2.", b"3. ", b".", b".", b".", b".", b".", b" ", b" ", b"\n", b"\n", b"\n", b"a", b"b.",
        b"\t", b"\r", b"\r\n", b"\v", b"\f", b"\x00", b"\x1b", b"\x1c", b"\x1d", b"\x1e", b"\x1f",
        b"\x20", b"\x7f", b"\xc2\x85", b"\xc2\xa0", b"\xc2\xb2", b"\xe1\x9a\x80", b"\xe1\xa0\x8e",
        b"\xe2\x80\x80", b"\xe2\x80\x8a", b"\xe2\x80\x8b", b"\xe2\x80\xa8", b"\xe2\x80\xa9",
        b"\xe2\x80\xaf", b"\xe2\x81\x9f", b"\xe2\x81\xa0", b"\xe3\x80\x80", b"\xef\xbb\xbf",
        b"\xe2\x85\xa0", b"\xef\xbc\x91", b"\xd9\xa3", b"\xf0\x9d\x9f\x98", b"\xff", b"\x80",
        b"\xc0\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f", b"\xef\xbf\xbd"]
# Zeros of scripts whose digits every Unicode version since 6.0 has.
ZEROS = [0x30, 0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xBE6, 0xE50, 0xED0, 0xF20, 0x1040, 0x17E0,
         0x1810, 0x1D7CE, 0x1D7D8, 0x104A0, 0xFF10]
# Of long strings: what stands once in front, what is repeated behind it, and up to which size. Python
# takes quadratic time over digits without a dot, so those are shorter.
LONG = [(b"", b"7", 1 << 15), (b"", b"\xd9\xa1", 1 << 15), (b"1.x", b"\n", 1 << 20),
        (b"1.", b"\n", 1 << 20), (b"1. ", b"long line ", 1 << 20), (b"", b"1. x\n", 1 << 20),
        (b"", b"\xff", 1 << 20), (b"3.", b"\xe2\x82", 1 << 20), (b"1.x", b"\n2.y", 1 << 20),
        (b"", b"1.", 1 << 20), (b"9. a\n", b"12 ", 1 << 20), (b"1. \x1c", b"\x00", 1 << 20)]
TABLES = ["WORDS", "DOTS", "GAPS", "TAILS", "ENDS", "HEADS", "PROSE", "SOUP"]


class Random:
    """splitmix64 (Steele, Lea, Flood 2014)."""

    def __init__(self, i_string):
        self.state = (i_string * 0xD1B54A32D192ED03 + 1) & MASK

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        return ((z >> 32) * n) >> 32

    def pick(self, table):
        return table[self.below(len(table))]


def encode(code):
    """UTF-8 that does not refuse surrogates."""
    return chr(code).encode("utf-8", "surrogatepass")


def digits(r, out, n):
    zero = r.pick(ZEROS)
    for _ in range(n):
        out.append(encode(zero + r.below(10)))


def point(r, out, number):
    kind = r.below(10)
    if kind < 7:
        out.append(b"%d" % number)
    elif kind == 7:
        out.append(b"%d" % r.below(20000))
    elif kind == 8:
        digits(r, out, 1 + r.below(3))
    else:
        out.append(b"%d" % (1 + r.below(5)))
        digits(r, out, 1)
    out.append(r.pick(DOTS))
    out.append(r.pick(GAPS))
    for i in range(1 + r.below(5)):
        if i > 0:
            out.append(b" ")
        out.append(r.pick(WORDS))
    out.append(r.pick(TAILS))


def skeleton(r, out, n, n_prose):
    out.append(r.pick(HEADS))
    for i in range(n):
        point(r, out, i + 1)
        out.append(r.pick(ENDS) if i + 1 < n or r.below(2) else b"")
        if n_prose and r.below(n_prose) == 0:
            out.append(r.pick(PROSE))


def make_string(i_string):
    r = Random(i_string)
    out = []
    if i_string % 4096 == 1:
        head, filler, size = LONG[i_string // 4096 % len(LONG)]
        return head + filler * (size // len(filler))
    if i_string % 512 == 0:
        skeleton(r, out, 1000 + r.below(4000), 50)
        return b"".join(out)
    kind = r.below(16)
    if kind < 5:
        skeleton(r, out, 1 + r.below(12), 0)
    elif kind < 8:
        skeleton(r, out, 1 + r.below(12), 2)
    elif kind < 11:
        for _ in range(1 + r.below(60)):
            out.append(r.pick(SOUP))
    elif kind < 13:
        for _ in range(r.below(7)):
            out.append(r.pick(SOUP))
    elif kind == 13:
        for _ in range(1 + r.below(40)):
            choice = r.below(4)
            if choice == 0:
                out.append(encode(r.below(0x110000)))
            elif choice == 1:
                digits(r, out, 1)
            elif choice == 2:
                out.append(b".")
            else:
                out.append(r.pick(SOUP))
    elif kind == 14:
        for _ in range(r.below(200)):
            choice = r.below(5)
            out.append(b"." if choice == 0 else b"%d" % r.below(10) if choice == 1 else
                       bytes([r.below(256)]))
    else:
        skeleton(r, out, 1 + r.below(6), 3)
        text = b"".join(out)
        return text[:r.below(len(text) + 1)]
    return b"".join(out)


def fnv(state, data):
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def hash_field(state, data):
    return fnv(fnv(state, struct.pack("<Q", len(data))), data)


def parse(raw):
    text = raw.decode("utf-8", "replace")
    kept = {}
    for index, point_text in PATTERN.findall(text):
        kept.setdefault(index, point_text)
    return text, list(kept.items())


def hash_parse(raw):
    text, points = parse(raw)
    # Long sources are hashed by their length: bytewise hashing is what takes time here.
    source = text.encode()
    state = hash_field(0xCBF29CE484222325, source if len(source) < 4096 else b"")
    state = fnv(state, struct.pack("<QQ", len(source), len(points)))
    for index, point_text in points:
        state = hash_field(hash_field(state, index.encode()), point_text.encode())
    return state


def c_string(data):
    return '"' + "".join("\\%03o" % byte for byte in data) + '"'


def c_bytes(data):
    return "{%s, %d}" % (c_string(data), len(data))


def ranges(codes):
    out = []
    for code in codes:
        if out and out[-1][1] == code - 1:
            out[-1][1] = code
        else:
            out.append([code, code])
    return out


def c_table(kind, name, rows):
    return "static const %s %s[] = {\n    %s,\n};\n" % (kind, name, ",\n    ".join(rows))


def write_header(path):
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    digit_ranges = ranges([c for c in codes if re.fullmatch(r"\d", chr(c))])
    space_ranges = ranges([c for c in codes if re.fullmatch(r"\s", chr(c))])
    pair = lambda pairs: ["{0x%X, 0x%X}" % tuple(p) for p in pairs]
    with open(path, "w") as f:
        f.write("/* Made by make_points.py: what generated skeletons are made of, and which code points\n"
                " * Python takes for digits and white space. */\n"
                "#ifndef POINTS_GRAMMAR_H\n#define POINTS_GRAMMAR_H\n\n"
                "#include <stddef.h>\n#include <stdint.h>\n\n"
                "typedef struct piece {\n    const char *bytes;\n    size_t size;\n} piece;\n\n"
                "typedef struct code_range {\n    uint32_t first, last;\n} code_range;\n\n"
                "typedef struct long_string {\n    piece head, filler;\n    size_t size;\n} long_string;\n\n")
        f.write('#define UNICODE_OF_PYTHON "%s"\n\n' % unicodedata.unidata_version)
        f.write("enum { N_STRINGS = %d };\n\n" % N_STRINGS)
        for name in TABLES:
            f.write(c_table("piece", name.lower(), [c_bytes(x) for x in globals()[name]]) + "\n")
        f.write(c_table("uint32_t", "zeros", ["0x%X" % z for z in ZEROS]) + "\n")
        f.write(c_table("long_string", "long_strings",
                        ["{%s, %s, %d}" % (c_bytes(h), c_bytes(x), n) for h, x, n in LONG]) + "\n")
        f.write(c_table("code_range", "python_digits", pair(digit_ranges)) + "\n")
        f.write(c_table("code_range", "python_spaces", pair(space_ranges)) + "\n#endif\n")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--show":
        raw = make_string(int(sys.argv[2]))
        print(raw[:4000])
        print(parse(raw)[1][:100])
        return
    folder = os.path.dirname(os.path.abspath(__file__))
    write_header(os.path.join(folder, "points_grammar.h"))
    strings_hash = 0xCBF29CE484222325
    hashes = []
    for i in range(N_STRINGS):
        raw = make_string(i)
        # The first 512 bytes and the size tell a wrong generator as well as all bytes would.
        strings_hash = hash_field(strings_hash, raw[:512])
        strings_hash = fnv(strings_hash, struct.pack("<Q", len(raw)))
        hashes.append(hash_parse(raw))
    with open(os.path.join(folder, "points.bin"), "wb") as f:
        f.write(struct.pack("<%dQ" % (N_STRINGS + 1), strings_hash, *hashes))


if __name__ == "__main__":
    main()
