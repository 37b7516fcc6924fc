#!/usr/bin/env python3
"""Runs sot-eval over Vicuna-80 and WizardLM-218 with the demo model, in all three modes, and brings
what it says into docs/: the tables between the markers of evaluation.md, the numbers behind them as
evaluation.json. What stands outside the markers is written by hand. The folder of runs is kept: what
is there of them is not run again."""
import argparse
import datetime
import json
import os
import subprocess

import machine_facts
import update_doc

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MODEL = "examples/model/demo.gguf"
ROUTER = "examples/router/lima.router"
SETS = {"vicuna80": "Vicuna-80", "wizardlm218": "WizardLM-218"}
MODES = {"sot": "SoT", "routed": "SoT-R"}
# For the quotients that the paper gives per model and category: its mean over all models.
ALL_MODELS = "all models"
CONFUSION = ("tn", "fp", "fn", "tp")


def command(arguments, name):
    return [os.path.join(arguments.build, "examples", "sot-eval"), "run", "-m", MODEL,
            "--questions", os.path.join(arguments.shared, "data", name + ".jsonl"),
            "-o", os.path.join(arguments.runs, name), "--modes", "normal,sot,routed",
            "--router", "trained", "--router-file", ROUTER, "--device", "cpu", "--json", "-q"]


def evaluate(arguments, name):
    """One question file: what sot-eval prints, and what its run.json says of the run."""
    done = subprocess.run(command(arguments, name), cwd=ROOT, check=True, capture_output=True)
    with open(os.path.join(arguments.runs, name, "run.json"), encoding="utf-8") as file:
        facts = json.load(file)
    return {"questions": facts["questions"],
            "statistics": {table["mode"]: table for table in
                           json.loads(done.stdout)["statistics"]}}, facts


def measure(arguments):
    result = {"date": datetime.date.today().isoformat(), "commit": machine_facts.commit(ROOT),
              "machine": machine_facts.machine(), "sets": {}}
    for name in SETS:
        result["sets"][name], facts = evaluate(arguments, name)
    for member in ("version", "model", "session", "parameters", "router"):
        result[member] = facts[member]
    result["model"]["path"] = MODEL
    return result


def number(value, digits, unit=""):
    return "–" if value is None else f"{value:.{digits}f}{unit}"


def table(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def run_table(result):
    machine = result["machine"]
    model = result["model"]
    return table(["", ""], [
        ["date", result["date"]],
        ["processor", f"{machine['cpu']} (family/model/stepping {machine['family_model_stepping']})"
                      f", {machine['cpus']} CPUs" +
                      (" of a virtual machine" if machine["virtual"] else "")],
        ["kernel", f"Linux {machine['kernel']}"],
        ["libsot", f"{result['version']} at commit {result['commit']}, instruction set "
                   f"`{result['session']['isa']}`, {result['session']['threads']} threads"],
        ["model", f"`{model['path']}`: {model['n_parameters'] / 1e6:.2f} million parameters, "
                  f"context {model['n_ctx_train']}"],
        ["router", f"trained, `{ROUTER}`, {result['router']['digest']}"],
        ["sampling", "greedy; all limits at their defaults"]])


def category_table(result, name, mode, paper):
    heading = ["category", "asked", "compared", "by SoT", "points", "longest expansion", "balance",
               "tokens, normal", f"tokens, {MODES[mode]}", "speed-up", "bound by lengths",
               "peak memory"]
    published = paper["fig2_sot_speedup_by_category"] if (name, mode) == ("vicuna80", "sot") else {}
    if published:
        heading.append("paper's speed-up (Fig. 2)")
    rows = []
    for row in result["sets"][name]["statistics"][mode]["categories"]:
        cells = [row["category"], str(row["n_questions"]), str(row["n_compared"]),
                 str(row["n_sot"]), number(row["points"], 1), number(row["longest_point"], 1),
                 number(row["balance"], 1), number(row["normal_tokens"], 1),
                 number(row["mode_tokens"], 1), number(row["speedup"], 2, "×"),
                 number(row["bound"], 2, "×"), number(row["memory"], 3, "×")]
        if published:
            cells.append(number(published.get(row["category"]), 2, "×"))
        rows.append(cells)
    return table(heading, rows)


def lengths_table(result, paper):
    """What Fig. 11 averages over all categories of Vicuna-80, and its mean over the models."""
    mine = result["sets"]["vicuna80"]["statistics"]["sot"]["categories"][-1]
    published = paper["fig11_vicuna80_statistics"]
    rows = []
    for letter, words, member, name, digits in [
            ("a", "points", "points", "points", 1),
            ("b", "tokens of the normal answer", "normal_tokens", "normal_answer_tokens", 1),
            ("c", "longest expansion", "longest_point", "max_point_tokens", 1),
            ("d", "longest expansion ÷ normal answer", "longest_over_normal",
             "max_point_over_normal", 2),
            ("e", "standard deviation of an answer's expansions", "balance", "point_tokens_stddev",
             1),
            ("f", "answer by SoT ÷ normal answer", "answer_over_normal", "sot_over_normal_tokens",
             2)]:
        rows.append([f"{letter}: {words}", number(mine[member], digits),
                     number(published[name]["average"][ALL_MODELS], digits)])
    return table(["Fig. 11", "demo model", "paper, mean over its models"], rows)


def router_table(result, paper):
    rows = []
    for name, key, latency in [("vicuna80", "table3_router_confusion_vicuna80", "vicuna80"),
                               ("wizardlm218", "table4_router_confusion_wizardlm", "wizardlm")]:
        mine = result["sets"][name]["statistics"]["routed"]["routing"]
        for who, cells, seconds in [
                ("libsot's trained router", mine, mine["latency_ns"] / 1e9),
                ("paper, RoBERTa", paper[key]["human_vs_roberta"],
                 paper["router_latency_s"][latency]["roberta"]),
                ("paper, GPT-4", paper[key]["human_vs_gpt4"], None)]:
            right = cells["tn"] + cells["tp"]
            rows.append([SETS[name], who, *(str(cells[cell]) for cell in CONFUSION),
                         f"{right / sum(cells[cell] for cell in CONFUSION):.3f}",
                         "–" if seconds is None else f"{seconds * 1e3:.3g} ms"])
    return table(["questions", "router", *CONFUSION, "accuracy", "time a question"], rows)


def tables(result, paper):
    return {"run": run_table(result), "lengths": lengths_table(result, paper),
            "router": router_table(result, paper),
            **{f"{name} {mode}": category_table(result, name, mode, paper)
               for name in SETS for mode in MODES}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", help="folder for the runs")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--shared", default=os.path.join(ROOT, "..", "shared"))
    parser.add_argument("--docs", default=update_doc.DOCS, help="folder of evaluation.md")
    arguments = parser.parse_args()
    for member in ("runs", "build", "shared"):
        setattr(arguments, member, os.path.abspath(getattr(arguments, member)))
    os.makedirs(arguments.runs, exist_ok=True)
    with open(os.path.join(arguments.shared, "data", "paper_tables.json"),
              encoding="utf-8") as file:
        paper = json.load(file)
    result = measure(arguments)
    document = os.path.join(arguments.docs, "evaluation.md")
    with open(document, encoding="utf-8") as file:
        text = update_doc.replace_tables(file.read(), tables(result, paper))
    with open(document, "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(arguments.docs, "evaluation.json"), "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
