#!/usr/bin/env python3
"""Makes small.router and router_golden.h: questions of all kinds with their features and scores as
examples/router/question_features.py and router_file.py compute them. Standard library only.

    python3 tests/golden/router/make_router_golden.py
"""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "examples", "router"))

from question_features import Lexicon, families  # noqa: E402
from router_file import RouterFile, pack  # noqa: E402

LEXICON = """
compose!: write draft compose
genre: poem letter essay story email
listing!: list name give
advice: tips ways ideas steps
aspect: benefits differences reasons
how: how
what: what
you: you your
i: i me my
be: is are was
code: python function html
both: write tips
""".strip().split("\n")

QUESTIONS = [
    b"", b" ", b"?", b"\n\n", b"Why", b"why?", b"\0", b"\xff\xfe", b"A",
    b"What are some ways to sleep better?",
    b"Give me five tips for a picnic in the rain.",
    b"Write a poem about a heron, in the style of a weather report.",
    b"My neighbour grows beans. They climb over my fence!\nWhat should I say? Thanks in advance.",
    b"I have two lists. Please list the differences.",
    b"How many eggs does an ostrich lay? How long do they take to hatch?",
    b"Here is my code:\n```\ndef f(x):\n    return {x: [x]}\n```\nIt prints '{1: [1]}'. Why?",
    b"Solve 3x^2 + 2x - 5 = 0 for x, and show each of the 4 steps.",
    "Don\u2019t you think \u201chello\u201d is \u2018odd\u2019?".encode(),
    "\u00bfCu\u00e1les son las ventajas de un jard\u00edn?".encode(),
    "\u4ec0\u4e48\u662f\u9aa8\u67b6? \U0001f600".encode(),
    b"NAME THREE BENEFITS OF RUNNING, SWIMMING AND CYCLING",
    b"Mr. Hale's e-mail (re: the re-opening) says \"no\" twice... Is that rude?",
    b"One.Two?Three!Four",
    b"a" * 300,
    b"long " * 500 + b"question?",
    b"Is it? " * 700,
    b"x\n" * 5000,
    b"." * 20000,
    b"no end " * 3000 + b"?",
]
PIECES = [b" ", b" ", b" ", b"\n", b". ", b"? ", b"! ", b"?", b".", b"'", b"-", b"\"",
          b"\xe2\x80\x99",
          b"\xe2\x80", b"\xe2", b"{", b"$", b"12", b"3", b"A", b"the", b"What", b"are", b"Write",
          b"poem", b"tips", b"you", b"running", b"nations", b"caf\xc3\xa9", b"\x00", b"\x1f",
          b"How"]


def c_string(data):
    """A C literal: octal escapes of three digits end by themselves. No '?' is left, since two would
    begin a trigraph."""
    plain = b" !#%&'()*+,-./:;<=>@[]^_`{|}~"
    return '"' + "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 or byte in plain else f"\\{byte:03o}"
        for byte in data) + '"'


def literals(data):
    return "\n     ".join(c_string(data[i:i + 60]) for i in range(0, max(len(data), 1), 60))


def main():
    source = random.Random(2024)
    lexicon = Lexicon(LEXICON)
    questions = QUESTIONS + [b"".join(source.choice(PIECES) for _ in range(source.randrange(60)))
                             for _ in range(150)]
    questions += [bytes(source.randrange(256) for _ in range(source.randrange(200)))
                  for _ in range(20)]
    everything = sorted({value for question in questions for one in families(question, lexicon)
                         for value in one})
    weights = {value: source.uniform(-2, 2) for value in everything if source.random() < 0.5}
    data = pack(lexicon, weights, bias=0.125, threshold=0.375)
    with open(os.path.join(HERE, "small.router"), "wb") as file:
        file.write(data)
    router = RouterFile(data)
    lines = ["/* Made by make_router_golden.py: questions, the number and the sum of the features of",
             " * each family, and the score by small.router. Long repetitions are made by the test. */",
             "#ifndef SOT_TESTS_ROUTER_GOLDEN_H", "#define SOT_TESTS_ROUTER_GOLDEN_H", "",
             "#include <stddef.h>", "#include <stdint.h>", "",
             "static const struct router_golden {",
             "    const char *begin; /* written n_times, ... */",
             "    size_t begin_size, n_times;",
             "    const char *end; /* ... then this once */",
             "    size_t end_size;",
             "    size_t n[8];",
             "    uint32_t sums[8]; /* modulo 2^32 */",
             "    float score;",
             "} router_golden[] = {"]
    for question in questions:
        begin, times, end = question, 1, b""
        for unit, tail in ((b"a", b""), (b"long ", b"question?"), (b"Is it? ", b""), (b"x\n", b""),
                           (b".", b""), (b"no end ", b"?")):
            n = (len(question) - len(tail)) // len(unit)
            if n > 100 and question == unit * n + tail:
                begin, times, end = unit, n, tail
        assert begin * times + end == question
        sets = families(question, lexicon)
        lines.append(f"    {{{literals(begin)}, {len(begin)}, {times},")
        lines.append(f"     {c_string(end)}, {len(end)},")
        lines.append("     {" + ", ".join(str(len(one)) for one in sets) + "},")
        lines.append("     {" + ", ".join(f"{sum(one) & 0xFFFFFFFF}u" for one in sets) + "},")
        lines.append(f"     {router.score(question):.9f}f}},")
    lines += ["};", "", "#endif", ""]
    with open(os.path.join(HERE, "router_golden.h"), "w", encoding="ascii") as file:
        file.write("\n".join(lines))
    print(f"{len(questions)} questions, {len(weights)} weights, {len(data)} bytes")


if __name__ == "__main__":
    main()
