#!/usr/bin/env python3
"""Brings the JSON of "sot-eval report --json" into docs/: the tables between the markers of
evaluation.md, and the JSON itself as evaluation.json. What stands outside the markers is written by
hand."""
import argparse
import json
import os
import shutil

import update_doc

DOCS = update_doc.DOCS


def number(value, decimals=2, unit=""):
    return "–" if value is None else f"{value:.{decimals}f}{unit}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def rows_of(statistics):
    """The categories, the mean over them, and all questions, each with its name."""
    rows = [(row["category"] or "(none)", row) for row in statistics["categories"]]
    return rows[:-1] + [("**average**", statistics["average"]), ("**all**", rows[-1][1])]


def facts(runs):
    rows = []
    for run in runs:
        made = run["run"]
        model, session = made["model"], made["session"]
        modes = [name for name in ("sot", "routed") if run[name]]
        rows.append([made["questions"]["file"], str(run["n_questions"]),
                     ", ".join(["normal"] + modes), model["name"],
                     f"{model['n_parameters'] / 1e6:.1f} M", made["machine"]["cpu"],
                     f"{session['threads']}, `{session['isa']}`", made["version"],
                     made["created"][:10]])
    return table(["questions", "number", "modes", "model", "parameters", "processor", "threads",
                  "libsot", "date"], rows)


def speed(run, paper):
    sot = dict(rows_of(run["sot"]))
    routed = dict(rows_of(run["routed"])) if run["routed"] else {}
    head = ["category", "compared", "normal, s", "SoT, s", "SoT, ×"]
    head += ["paper, ×"] if paper else []
    head += ["SoT-R, ×"] if routed else []
    head += ["lengths allow, ×", "reached"]
    rows = []
    for name, row in sot.items():
        cells = [name, str(row.get("n_compared", "")), number(row["normal_ns"] and
                                                              row["normal_ns"] / 1e9, 3),
                 number(row["mode_ns"] and row["mode_ns"] / 1e9, 3), number(row["speedup_mean"])]
        cells += [number(paper.get(name.strip("*"), {}).get("speedup"))] if paper else []
        cells += [number(routed[name]["speedup_mean"])] if routed else []
        reached = row["speedup"] / row["bound"] if row["speedup"] and row["bound"] else None
        cells += [number(row["bound"]),
                  "" if name == "**average**" or reached is None else f"{100 * reached:.0f}%"]
        rows.append(cells)
    return table(head, rows)


FIGURES = [("points", "points", 1), ("normal tokens", "normal_tokens", 1),
           ("longest point", "longest_point", 1), ("longest ÷ normal", "longest_over_normal", 2),
           ("deviation", "balance", 1), ("SoT ÷ normal", "answer_over_normal", 2)]


def lengths(run, paper):
    rows = []
    for name, row in rows_of(run["sot"]):
        cells = [name]
        for _, member, decimals in FIGURES:
            cell = number(row[member], decimals)
            published = paper.get(name.strip("*"), {}).get(member)
            cells.append(cell if published is None else f"{cell} ({published:.1f})")
        rows.append(cells + [number(row["memory"], 3, "×")])
    return table(["category"] + [figure[0] for figure in FIGURES] + ["peak memory"], rows)


def router(run, paper_routers):
    def row(name, counts, latency_s):
        n = counts["tn"] + counts["fp"] + counts["fn"] + counts["tp"]
        return [name] + [str(counts[key]) for key in ("tn", "fp", "fn", "tp")] + [
            number((counts["tn"] + counts["tp"]) / n if n else None, 3),
            "–" if latency_s is None else f"{1e3 * latency_s:.3g} ms"]
    own = run["routed"]["routing"]
    latency = own["latency_ns"] and own["latency_ns"] / 1e9
    rows = [row("this run", own, latency)]
    rows += [row(f"paper, {other['name']}", other, other["latency_s"])
             for other in paper_routers if other["data"] == run["data"]]
    return table(["router", "true neg.", "false pos.", "false neg.", "true pos.", "accuracy",
                  "a decision"], rows)


KINDS = [("failed", "failed: "), ("answer cut", "ended by a limit"),
         ("expansions cut", " expansions reached a limit"), ("no points", "has no points"),
         ("empty", "is empty")]


def remarks(runs):
    rows = []
    for run in runs:
        for mode in ("normal", "sot", "routed"):
            said = [each["remark"] for each in run["remarks"] if each["mode"] == mode]
            rows.append([run["run"]["questions"]["file"], mode, str(run["n_questions"])] +
                        [str(sum(words in remark for remark in said)) for _, words in KINDS])
    return table(["questions", "mode", "answers"] + [kind for kind, _ in KINDS], rows)


def tables(result):
    """Markers and what belongs between them."""
    made = {"runs": facts(result["runs"]), "remarks": remarks(result["runs"])}
    vicuna = {row["category"]: row for row in result["paper"]["vicuna80"]}
    for run in result["runs"]:
        paper = vicuna if run["data"] == "vicuna80" else {}
        made[f"{run['data']} speed"] = speed(run, paper)
        made[f"{run['data']} lengths"] = lengths(run, paper)
        if run["routed"] and run["routed"]["routing"]:
            made[f"{run['data']} router"] = router(run, result["paper"]["routers"])
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", help="JSON of sot-eval report")
    parser.add_argument("--docs", default=DOCS, help="folder of evaluation.md")
    arguments = parser.parse_args()
    with open(arguments.result, encoding="utf-8") as file:
        result = json.load(file)
    document = os.path.join(arguments.docs, "evaluation.md")
    with open(document, encoding="utf-8") as file:
        text = update_doc.replace_tables(file.read(), tables(result))
    with open(document, "w", encoding="utf-8") as file:
        file.write(text)
    stored = os.path.join(arguments.docs, "evaluation.json")
    if os.path.realpath(arguments.result) != os.path.realpath(stored):
        shutil.copyfile(arguments.result, stored)


if __name__ == "__main__":
    main()
