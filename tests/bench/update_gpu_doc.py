#!/usr/bin/env python3
"""Brings gpu.json of tests/gpu.sh into docs/: facts, goals, gaps and tests between the markers of
benchmarks.md, the plot, and the JSON itself. What stands outside the markers is written by hand."""
import argparse
import json
import os
import shutil

import gpu_report
import update_doc


def section(result):
    facts = "\n".join(f"| {name} | {value} |" for name, value in (result["facts"] or {}).items())
    parts = [f"| | |\n|---|---|\n{facts}" if facts else gpu_report.facts_lines(result),
             gpu_report.goals_table(result), gpu_report.gaps_lines(result),
             gpu_report.tests_table(result), "![bandwidth and tokens per second](gpu.png)"]
    return "\n\n".join(part for part in parts if part)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", help="gpu.json of tests/gpu.sh")
    parser.add_argument("--docs", default=update_doc.DOCS, help="folder of benchmarks.md")
    parser.add_argument("--no-plot", action="store_true", help="leave gpu.png (no matplotlib)")
    arguments = parser.parse_args()
    with open(arguments.result, encoding="utf-8") as file:
        result = json.load(file)
    if not result["facts"]:
        parser.error(f"{arguments.result}: no device is named in it")
    document = os.path.join(arguments.docs, "benchmarks.md")
    with open(document, encoding="utf-8") as file:
        text = update_doc.replace_tables(file.read(), {"gpu": section(result)})
    with open(document, "w", encoding="utf-8") as file:
        file.write(text)
    stored = os.path.join(arguments.docs, "gpu.json")
    if os.path.realpath(arguments.result) != os.path.realpath(stored):
        shutil.copyfile(arguments.result, stored)
    if not arguments.no_plot:
        import plot_gpu  # needs matplotlib
        plot_gpu.draw(result, os.path.join(arguments.docs, "gpu.png"))


if __name__ == "__main__":
    main()
