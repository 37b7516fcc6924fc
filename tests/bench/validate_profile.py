#!/usr/bin/env python3
"""How close the latency model comes: profiles a model, replays texts of random lengths on the real
pipeline, and sets what was estimated beside what was measured.

Machines drift, so a few cells of the profile are measured again before and after every replay
(sot-bench profile --refresh), and an estimate is the mean of the two. A phase's measured time is the
median of the replay's runs. Writes a table to standard output and everything to --json."""
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
PHASES = [("normal", "normal"), ("first_skeleton", "skeleton"), ("first_expansions", "expand"),
          ("later_skeleton", "later skeleton"), ("later_expansions", "later expand")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="GGUF file or random:SHAPE")
    parser.add_argument("--json", metavar="FILE", help="write everything to FILE")
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1, help="runs of each text")
    parser.add_argument("--normal", default="120:480", help="tokens of normal answers, least:most")
    parser.add_argument("--skeleton", default="5:11", help="tokens of a skeleton for each point")
    parser.add_argument("--expansion", default="10:120", help="tokens of an expansion")
    parser.add_argument("--points", default="2:12")
    parser.add_argument("--profile", metavar="FILE", help="take this one instead of measuring")
    parser.add_argument("--keep-profile", metavar="FILE", help="keep the profile here")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no set after so long")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    return parser.parse_args()


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


class Bench:
    """sot-bench on one model."""

    def __init__(self, arguments, folder):
        self.program = os.path.join(arguments.build, "examples", "sot-bench")
        self.model = arguments.model
        self.repeats = arguments.repeats
        self.folder = folder

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr.decode()}")

    def path(self, name):
        return os.path.join(self.folder, name)

    def profile(self, out):
        self.run("profile", "-m", self.model, "-o", out)

    def refresh(self, profile, out):
        self.run("profile", "-m", self.model, "--refresh", profile, "-o", out)

    def replay(self, lengths):
        out = self.path("replay.json")
        self.run("-m", self.model, "--quick", "--cases", "replay", "--lengths", list_of(lengths),
                 "--replay-repeats", str(self.repeats), "--json", out)
        with open(out, encoding="utf-8") as file:
            return json.load(file)

    def estimate(self, profile, lengths, prompts, found):
        out = self.path("estimate.json")
        self.run("estimate", "-p", profile, "--lengths", list_of(lengths), "--prompts",
                 ":".join(map(str, prompts)), "--found", ":".join(map(str, found)), "--json", out)
        with open(out, encoding="utf-8") as file:
            return json.load(file)["estimates"][0]


def list_of(lengths):
    return f"{lengths['normal']}:{lengths['skeleton']}:{','.join(map(str, lengths['points']))}"


def prompts_of(replay, which):
    """Q:S:C:T and S:C of what is found, from what the replay counted. The requests' common beginning
    counts as reused by all points but the one it was computed for."""
    normal = replay["normal"]
    skeleton, expand = replay[f"{which}_skeleton"], replay[f"{which}_expansions"]
    n = len(replay["lengths"]["points"])
    first = replay["first_expansions"]
    tail = (first["prompt_tokens"] - first["reused_tokens"] / (n - 1)) / n
    common = (expand["prompt_tokens"] + expand["reused_tokens"]) / n - tail
    found = expand["reused_tokens"] - (n - 1) * common
    question = normal["prompt_tokens"] + normal["reused_tokens"]
    stage1 = skeleton["prompt_tokens"] + skeleton["reused_tokens"]
    return ((question, stage1, round(common), max(1, round(tail))),
            (skeleton["reused_tokens"], max(0, round(found))))


def compare(bench, profiles, lengths, replay):
    """Estimated and measured ns of every phase; the mean over the profiles."""
    rows = {}
    for which in ("first", "later"):
        prompts, found = prompts_of(replay, which)
        made = [bench.estimate(profile, lengths, prompts, found) for profile in profiles]
        names = {f"{which}_skeleton": "skeleton_ns", f"{which}_expansions": "expand_ns"}
        if which == "first":
            names["normal"] = "normal_ns"
        for phase, member in names.items():
            rows[phase] = {"estimated_ns": statistics.fmean(one[member] for one in made),
                           "measured_ns": replay[phase]["median_ns"]}
        rows[f"{which}_sot"] = {
            side: rows[f"{which}_skeleton"][side] + rows[f"{which}_expansions"][side]
            for side in ("estimated_ns", "measured_ns")}
        paper = {name: statistics.fmean(one[f"paper_{name}_ns"] for one in made)
                 for name in ("normal", "skeleton", "expand")}
        rows[f"{which}_paper"] = paper
    return rows


def ratio(row):
    return row["estimated_ns"] / row["measured_ns"]


SHOWN = ["normal", "first_skeleton", "first_expansions", "first_sot", "later_skeleton",
         "later_expansions", "later_sot"]


def print_set(i, one):
    cells = []
    for name in SHOWN:
        row = one["phases"][name]
        cells.append(f"{row['estimated_ns'] / 1e9:7.3f}/{row['measured_ns'] / 1e9:7.3f} "
                     f"{100 * (ratio(row) - 1):+4.0f}%")
    print(f"{i:3}  {list_of(one['lengths']):<58} " + "  ".join(cells), flush=True)


def summarize(sets):
    summary = {}
    for name in SHOWN:
        errors = [abs(ratio(one["phases"][name]) - 1) for one in sets]
        summary[name] = {"within_10_percent": sum(error <= 0.10 for error in errors),
                         "sets": len(errors), "median_error": statistics.median(errors),
                         "largest_error": max(errors)}
    return summary


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True,
                          text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def main():
    arguments = parse_arguments()
    generator = random.Random(arguments.seed)
    began = time.monotonic()
    sets = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, folder)
        base = arguments.profile or arguments.keep_profile or bench.path("profile.json")
        if not arguments.profile:
            bench.profile(base)
        profiled = time.monotonic() - began
        print(f"profiled in {profiled:.0f} s; estimated/measured seconds:", flush=True)
        print(f"     {'lengths':<58} " + "  ".join(f"{name:^21}" for name in SHOWN))
        before, after = bench.path("before.json"), bench.path("after.json")
        bench.refresh(base, before)
        for i in range(arguments.sets):
            if time.monotonic() - began > arguments.seconds:
                break
            lengths = draw(arguments, generator)
            found = bench.replay(lengths)
            bench.refresh(base, after)
            phases = compare(bench, [before, after], lengths, found["replay"])
            sets.append({"lengths": lengths, "phases": phases})
            print_set(i + 1, sets[-1])
            before, after = after, before
        with open(base, encoding="utf-8") as file:
            profile = json.load(file)
    summary = summarize(sets)
    for name, row in summary.items():
        print(f"{name:<18} within 10%: {row['within_10_percent']} of {row['sets']}; error: median "
              f"{100 * row['median_error']:.1f}%, largest {100 * row['largest_error']:.1f}%")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"program": "validate_profile.py", "commit": commit(),
                       "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                       "machine": found["machine"], "model": found["model"],
                       "seed": arguments.seed, "repeats": arguments.repeats,
                       "profile_s": profiled, "cells": sum(
                           cell is not None for table in ("prefill", "decode", "rows", "past",
                                                          "shared")
                           for row in profile[table]["ns"] for cell in row),
                       "summary": summary, "sets": sets}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
