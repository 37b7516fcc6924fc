#!/usr/bin/env python3
"""How close the latency model comes: profiles a model and, for sets of random lengths, has
sot-bench estimate --check replay them on the real pipeline.

Machines drift, so each text stands between two refreshed profiles and is compared with the mean of
what those say; of a set's rounds the median ratio counts. Writes a table to standard output and
everything to --json, which --resume goes on with; --markdown prints the tables of
docs/latency-model.md from such a file."""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARTS = {"normal": ["normal"],
         "skeleton": ["first_skeleton"], "expand": ["first_expansions"],
         "SoT": ["first_skeleton", "first_expansions"],
         "later skeleton": ["later_skeleton"], "later expand": ["later_expansions"],
         "later SoT": ["later_skeleton", "later_expansions"]}
GOAL = 0.10


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("model", nargs="?", help="GGUF file or random:SHAPE")
    parser.add_argument("--json", metavar="FILE", help="write everything to FILE")
    parser.add_argument("--name", help="what to call the model")
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="replays of each set")
    parser.add_argument("--normal", default="120:480", help="tokens of normal answers, least:most")
    parser.add_argument("--skeleton", default="5:11", help="tokens of a skeleton for each point")
    parser.add_argument("--expansion", default="10:120", help="tokens of an expansion")
    parser.add_argument("--points", default="2:12")
    parser.add_argument("--profile", metavar="FILE",
                        help="keep the profile here, or take this one, if it is there")
    parser.add_argument("--resume", action="store_true", help="go on with what --json has: take "
                        "the sets and rounds that it lacks")
    parser.add_argument("--others", type=float, default=1, help="take a set again during which other "
                        "programs had more than this share of the CPUs")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no set after so long")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--markdown", metavar="FILE", help="print a result's table, measure nothing")
    arguments = parser.parse_args()
    if not arguments.model and not arguments.markdown:
        parser.error("a model is needed")
    return arguments


def bounds(text):
    least, most = text.split(":")
    return int(least), int(most)


def draw(arguments, generator):
    """One question's lengths; expansions lie around a mean of the question's own."""
    n_points = generator.randint(*bounds(arguments.points))
    per_point = generator.uniform(*bounds(arguments.skeleton))
    least, most = bounds(arguments.expansion)
    middle = generator.uniform(least, most)
    points = [round(min(most, max(least, generator.gauss(middle, 0.25 * middle))))
              for _ in range(n_points)]
    return {"normal": generator.randint(*bounds(arguments.normal)),
            "skeleton": max(1, round(per_point * n_points)), "points": points}


class Others:
    """What other programs and the hypervisor took of the CPUs since this was made."""

    def __init__(self):
        self.began = self.now()

    @staticmethod
    def now():
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        ticks = os.sysconf("SC_CLK_TCK")
        return (user + nice + system + irq + softirq + steal) / ticks - own, times.elapsed

    def share(self):
        busy, elapsed = (now - then for now, then in zip(self.now(), self.began))
        return max(0.0, busy / elapsed / os.cpu_count())


def list_of(lengths):
    return f"{lengths['normal']}:{lengths['skeleton']}:{','.join(map(str, lengths['points']))}"


def bench(arguments, *words):
    command = [os.path.join(arguments.build, "examples", "sot-bench"), *words]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr.decode()}")


def check(arguments, n_rounds, profile, lengths, folder):
    """Estimated and measured ns of every part, one of each a round."""
    out = os.path.join(folder, "estimate.json")
    others = Others()
    bench(arguments, "estimate", "-p", profile, "--lengths", list_of(lengths), "--check",
          arguments.model, "--rounds", str(n_rounds), "--json", out)
    with open(out, encoding="utf-8") as file:
        estimate = json.load(file)["estimates"][0]
    parts = {name: {side: [sum(times) for times in
                           zip(*(estimate["check"][phase][side] for phase in phases))]
                    for side in ("estimated_ns", "measured_ns")}
             for name, phases in PARTS.items()}
    paper = {key: value for key, value in estimate.items() if key.startswith("paper_")}
    return {"lengths": lengths, "parts": parts, "paper": paper, "others": others.share()}


def add_rounds(one, more):
    """Further rounds of the same set."""
    for name, part in one["parts"].items():
        for side, times in part.items():
            times += more["parts"][name][side]
    one["others"] = max(one["others"], more["others"])


def ratio(part):
    return statistics.median(estimated / measured for estimated, measured in
                             zip(part["estimated_ns"], part["measured_ns"]))


def seconds(part, side):
    return statistics.median(part[f"{side}_ns"]) / 1e9


def summarize(sets):
    errors = {name: [abs(ratio(one["parts"][name]) - 1) for one in sets] for name in PARTS}
    return {name: {"within_10_percent": sum(error <= GOAL for error in found),
                   "sets": len(found), "median_error": statistics.median(found),
                   "largest_error": max(found)} for name, found in errors.items() if found}


def print_set(i, one):
    cells = [f"{seconds(part, 'estimated'):7.3f}/{seconds(part, 'measured'):7.3f} "
             f"{100 * (ratio(part) - 1):+3.0f}%" for part in one["parts"].values()]
    print(f"{i:3}  {list_of(one['lengths']):<56} " + "  ".join(cells) +
          f"  others {100 * one['others']:.1f}%", flush=True)


def print_markdown(path):
    with open(path, encoding="utf-8") as file:
        results = json.load(file)["models"]
    for name, result in results.items():
        print(f"\n**{name}**, {result['rounds']} replays a set, profile of {result['cells']} "
              f"cells, {result['date'][:10]}, commit {result['commit']}\n")
        print("| | " + " | ".join(PARTS) + " |")
        print("|---|" + "---|" * len(PARTS))
        summary = result["summary"]
        rows = {"within 10%": lambda row: f"{row['within_10_percent']} of {row['sets']}",
                "median error": lambda row: f"{100 * row['median_error']:.1f}%",
                "largest error": lambda row: f"{100 * row['largest_error']:.1f}%"}
        for title, cell in rows.items():
            print(f"| {title} | " + " | ".join(cell(summary[part]) for part in PARTS) + " |")
        print("\n| N:S:L1,L2,... | " + " | ".join(PARTS) + " |")
        print("|---|" + "---|" * len(PARTS))
        for one in result["sets"]:
            cells = [f"{seconds(part, 'estimated'):.3g} / {seconds(part, 'measured'):.3g} "
                     f"({100 * (ratio(part) - 1):+.0f}%)" for part in one["parts"].values()]
            print(f"| {list_of(one['lengths']).replace(',', ', ')} | " + " | ".join(cells) + " |")


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True,
                          text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def read_results(arguments):
    if not arguments.json or not os.path.exists(arguments.json):
        return {"program": "validate_profile.py", "models": {}}
    with open(arguments.json, encoding="utf-8") as file:
        return json.load(file)


def result_of(arguments, profile, sets):
    tables = [profile[table]["ns"] for table in ("prefill", "decode", "rows", "past", "shared")]
    return {"commit": commit(), "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": profile["machine"], "isa": profile["isa"], "session": profile["session"],
            "model": profile["model"], "seed": arguments.seed, "rounds": arguments.rounds,
            "cells": sum(cell is not None for table in tables for row in table for cell in row),
            "summary": summarize(sets), "sets": sets}


def store(arguments, name, base, sets):
    """After each set: measuring takes long, and what there is is kept."""
    if not arguments.json:
        return
    results = read_results(arguments)
    with open(base, encoding="utf-8") as file:
        results["models"][name] = result_of(arguments, json.load(file), sets)
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


def main():
    arguments = parse_arguments()
    if arguments.markdown:
        print_markdown(arguments.markdown)
        return
    name = arguments.name or os.path.basename(arguments.model)
    generator = random.Random(arguments.seed)
    began = time.monotonic()
    sets = []
    if arguments.resume:
        sets = read_results(arguments)["models"].get(name, {}).get("sets", [])
    with tempfile.TemporaryDirectory() as folder:
        base = arguments.profile or os.path.join(folder, "profile.json")
        if not os.path.exists(base):
            bench(arguments, "profile", "-m", arguments.model, "-o", base)
            print(f"profiled in {time.monotonic() - began:.0f} s")
        print(f"     {'estimated/measured seconds':<56} " +
              "  ".join(f"{part:^20}" for part in PARTS))
        for i in range(arguments.sets):
            lengths = draw(arguments, generator)
            while time.monotonic() - began < arguments.seconds:
                n_there = len(sets[i]["parts"]["SoT"]["measured_ns"]) if i < len(sets) else 0
                if n_there >= arguments.rounds:
                    break
                one = check(arguments, arguments.rounds - n_there, base, lengths, folder)
                print_set(i + 1, one)
                if one["others"] > arguments.others:
                    continue
                if n_there > 0:
                    add_rounds(sets[i], one)
                else:
                    sets.append(one)
                store(arguments, name, base, sets)
    for part, row in summarize(sets).items():
        print(f"{part:<16} within 10%: {row['within_10_percent']} of {row['sets']}; error: median "
              f"{100 * row['median_error']:.1f}%, largest {100 * row['largest_error']:.1f}%")


if __name__ == "__main__":
    main()
