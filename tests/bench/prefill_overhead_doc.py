#!/usr/bin/env python3
"""Runs sot-bench prefill-overhead under every conversation template and brings what it counts into
docs/: the tables between the markers of prefill-overhead.md, the numbers behind them as
prefill-overhead.json. What stands outside the markers is written by hand."""
import argparse
import datetime
import json
import os
import subprocess
import tempfile

import machine_facts
import update_doc

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TEMPLATES = ("vicuna", "llama2-chat", "ultralm", "openchat", "stablevicuna", "none")


def count(arguments, template):
    """One template's object; 8 tokens of each expansion are compared for the first one, 2 else."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "counted.json")
        subprocess.run([os.path.join(arguments.build, "examples", "sot-bench"), "prefill-overhead",
                        "--template", template, "--point-tokens",
                        "8" if template == TEMPLATES[0] else "2", "--json", path],
                       check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, SOT_SHARED_DIR=arguments.shared))
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def table(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|---|" + "---:|" * (len(heading) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main_table(counted):
    paper = counted["paper"]
    of_paper = paper["stage1"] + paper["stage2"]
    rows = [["paper, Table 7, LLaMA2-Chat-7B"] +
            [f"{value:.2f}" for value in (paper["normal"], paper["stage1"], paper["stage2"],
                                          of_paper, of_paper / paper["normal"])] + ["100%", ""]]
    for row in counted["rows"]:
        first = row["first_stage1"] + row["first_stage2"] if "first_stage1" in row else None
        rows.append([row["name"]] + [f"{value:.2f}" for value in
                                     (counted["normal"], row["stage1"], row["stage2"], row["sum"],
                                      row["ratio"])] +
                    [f"{row['sum'] / of_paper:.0%}", "" if first is None else f"{first:.2f}"])
    return table(["", "normal", "stage 1", "stage 2", "sum", "÷ normal", "of the paper's sum",
                  "first question"], rows)


def templates_table(result):
    names = [row["name"] for row in result["templates"]["vicuna"]["rows"]]
    return table(["template", "normal"] + names,
                 [[f"`{name}`", f"{counted['normal']:.2f}"] +
                  [f"{row['sum']:.2f}" for row in counted["rows"]]
                  for name, counted in result["templates"].items()])


def run_table(result):
    counted = result["templates"]["vicuna"]
    compared = sum(each["expansions_compared"] for each in result["templates"].values())
    return table(["", ""], [
        ["date", result["date"]], ["processor", result["machine"]["cpu"]],
        ["libsot", f"{counted['version']} at commit {result['commit']}"],
        ["questions", f"{counted['n_questions']} of {counted['questions']}"],
        ["points a question", f"{counted['points']:.2f}"],
        ["tokens of a skeleton", f"{counted['skeleton_tokens']:.2f}"],
        ["expansions compared, all equal", str(compared)]]).replace("---:", "---")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--shared", default=os.environ.get("SOT_SHARED_DIR",
                                                           os.path.join(ROOT, "..", "shared")))
    parser.add_argument("--docs", default=update_doc.DOCS)
    arguments = parser.parse_args()
    result = {"date": datetime.date.today().isoformat(), "commit": machine_facts.commit(ROOT),
              "machine": machine_facts.machine(),
              "templates": {name: count(arguments, name) for name in TEMPLATES}}
    path = os.path.join(arguments.docs, "prefill-overhead.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    tables = {"run": run_table(result), "table 7": main_table(result["templates"]["vicuna"]),
              "templates": templates_table(result)}
    text = update_doc.replace_tables(text, tables)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(arguments.docs, "prefill-overhead.json"), "w",
              encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
