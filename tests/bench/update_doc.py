#!/usr/bin/env python3
"""Brings a JSON of compare_llama_cpp.py into docs/: the tables between the markers of benchmarks.md,
the plot, and the JSON itself as benchmarks.json. What stands outside the markers is written by
hand."""
import argparse
import json
import os
import re
import shutil

import compare_report

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")


def replace_tables(text, tables):
    """text with tables[NAME] for what lies between <!-- NAME --> and <!-- end of NAME -->."""
    for name, table in tables.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text, n = pattern.subn(lambda found: f"{found[1]}{table}\n{found[2]}", text)
        if n != 1:
            raise ValueError(f"{n} pairs of markers are named {name!r}, 1 is expected")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", help="JSON of compare_llama_cpp.py")
    parser.add_argument("--docs", default=DOCS, help="folder of benchmarks.md")
    parser.add_argument("--no-plot", action="store_true", help="leave decode.png (no matplotlib)")
    arguments = parser.parse_args()
    with open(arguments.result, encoding="utf-8") as file:
        result = json.load(file)
    result["summary"] = compare_report.summarize(result)
    document = os.path.join(arguments.docs, "benchmarks.md")
    with open(document, encoding="utf-8") as file:
        text = replace_tables(file.read(), compare_report.tables(result))
    with open(document, "w", encoding="utf-8") as file:
        file.write(text)
    stored = os.path.join(arguments.docs, "benchmarks.json")
    if os.path.realpath(arguments.result) != os.path.realpath(stored):
        shutil.copyfile(arguments.result, stored)
    if not arguments.no_plot:
        import plot_decode  # needs matplotlib
        plot_decode.draw(result, os.path.join(arguments.docs, "decode.png"))


if __name__ == "__main__":
    main()
