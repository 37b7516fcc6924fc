#!/usr/bin/env python3
"""From what tests/gpu.sh measured to one JSON object and the table of goals. Owns the goals and how
each is computed; measures nothing, so stored results can be summed up again:

    gpu_report.py FOLDER [--json FILE]

FOLDER holds, as far as they were measured, facts.json, tests.json, gemm_rows.jsonl,
bench-MODEL.json (sot-bench), replays-MODEL.json (a list of its replays) and pytorch-MODEL.json. What is not there is
unmeasured, and said to be. Exit code: 0, also with goals missed; 1 if a test failed."""
import argparse
import json
import os
import statistics
import sys

MODELS = ("7b", "13b", "33b")
CONTEXT = 512
PROMPT = 512
# key, what, sign, goal, form
GOALS = (
    ("bandwidth_1", "`gemm_rows`, least share of read bandwidth over all shapes, 1 row", "≥", 0.90,
     "{:.0%}"),
    ("bandwidth_16", "the same, 16 rows", "≥", 0.85, "{:.0%}"),
    ("cublas", "cuBLAS's time ÷ `gemm_rows`'s, least over shapes and 1…16 rows", ">", 1.0,
     "{:.2f}"),
    ("decode", f"decode step, context {CONTEXT}, batch 1 ÷ (bytes ÷ bandwidth)", "≤", 1.15,
     "{:.2f}"),
    ("step_ratio", "step at batch 16 ÷ step at batch 1", "≤", 1.15, "{:.2f}"),
    ("pytorch_1", "decode tokens/s ÷ the best PyTorch configuration, batch 1", "≥", 1.1, "{:.2f}"),
    ("pytorch_8", "the same, batch 8", "≥", 1.1, "{:.2f}"),
    ("prefill", f"prefill {PROMPT} tokens: share of cuBLAS's rate on the same products", "≥", 0.80,
     "{:.0%}"),
    ("replay", "SoT replay, mean of the open models: share of the length bound", "≥", 0.93,
     "{:.0%}"),
    ("reference", "SoT latency of the reference implementation's way ÷ libsot's", "≥", 3.0,
     "{:.2f}"),
    ("memory", "peak memory ÷ (weights + pages + activations)", "≤", 1.03, "{:.3f}"),
)


def load(folder, name):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def load_lines(folder, name):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except FileNotFoundError:
        return []


def gather(folder):
    """Everything that was measured, as one object."""
    return {"facts": load(folder, "facts.json"), "tests": load(folder, "tests.json") or [],
            "gemm_rows": load_lines(folder, "gemm_rows.jsonl"),
            "models": {model: {"bench": load(folder, f"bench-{model}.json"),
                               "replays": load(folder, f"replays-{model}.json"),
                               "pytorch": load(folder, f"pytorch-{model}.json")}
                       for model in MODELS}}


def find_pass(bench, case, sequences, new_tokens, context):
    """sot-bench's pass of that kind, or None."""
    for one in (bench or {}).get("passes", []):
        if ((one["case"], one["sequences"], one["new_tokens"], one["context"]) ==
                (case, sequences, new_tokens, context) and "median_ns" in one):
            return one
    return None


def gemm_values(result, model):
    """By goal, of one model's shapes."""
    rows = [one for one in result["gemm_rows"]
            if one["model"] == model and one["gemm_rows_ns"] is not None]
    values = {}
    for n_rows in (1, 16):
        shares = [one["share_of_bandwidth"] for one in rows if one["rows"] == n_rows]
        if shares:
            values[f"bandwidth_{n_rows}"] = min(shares)
    ratios = [one["cublas_ns"] / one["gemm_rows_ns"] for one in rows if one["cublas_ns"]]
    if ratios:
        values["cublas"] = min(ratios)
    return values


def cublas_prompt_ns(result, model, n_layer):
    """cuBLAS's own time for a prompt's products; the output matrix sees one row and is left out."""
    products = {one["product"]: one["cublas_ns"] for one in result["gemm_rows"]
                if one["model"] == model and one["rows"] == PROMPT}
    parts = [products.get(name) for name in ("qkv", "o", "gate_up", "down")]
    return n_layer * sum(parts) if all(parts) else None


def bench_values(result, model):
    bench = result["models"][model]["bench"]
    values = {}
    one, sixteen = (find_pass(bench, "decode", rows, 1, CONTEXT) for rows in (1, 16))
    if one:
        floor_ns = one["bytes"] / bench["limits"]["read_bytes_per_s"] * 1e9
        values["decode"] = one["median_ns"] / floor_ns
        if sixteen:
            values["step_ratio"] = sixteen["median_ns"] / one["median_ns"]
    prompt = find_pass(bench, "prefill", 1, PROMPT, 0)
    products_ns = cublas_prompt_ns(result, model, bench["model"]["n_layer"]) if bench else None
    if prompt and products_ns:
        values["prefill"] = products_ns / prompt["median_ns"]
    return values


def replay_values(result, model):
    replays = result["models"][model]["replays"] or []
    values = {}
    shares = [one["replay"]["first_share_of_bound"] for one in replays]
    if shares:
        values["replay"] = statistics.mean(shares)
    memory = []
    for one in replays:
        for memory_name in ("memory_normal", "memory_sot"):
            found = one["replay"][memory_name]
            if found["process_peak_bytes"]:
                memory.append(found["process_peak_bytes"] /
                              (one["replay"]["weight_bytes"] + found["session_bytes"]))
    if memory:
        values["memory"] = max(memory)
    return values


def pytorch_values(result, model):
    """libsot and PyTorch were measured in turn by compare_pytorch.py."""
    compared = result["models"][model]["pytorch"]
    values = {}
    for batch in (1, 8):
        rates = {one["configuration"]: one["tokens_per_s"] for one in (compared or {}).get(
            "decode", []) if one["batch"] == batch and one["tokens_per_s"]}
        others = [rate for name, rate in rates.items() if name != "libsot"]
        if "libsot" in rates and others:
            values[f"pytorch_{batch}"] = rates["libsot"] / max(others)
    sot = (compared or {}).get("sot") or {}
    if sot.get("libsot_ns") and sot.get("reference_ns"):
        values["reference"] = sot["reference_ns"] / sot["libsot_ns"]
    return values


def summarize(result):
    """{goal: {model: value}}, only what was measured."""
    goals = {key: {} for key, *_ in GOALS}
    for model in MODELS:
        for part in (gemm_values, bench_values, replay_values, pytorch_values):
            for key, value in part(result, model).items():
                goals[key][model] = value
    return goals


def verdict(value, sign, goal):
    if value is None:
        return "unmeasured"
    reached = {"≥": value >= goal, "≤": value <= goal, ">": value > goal}[sign]
    return "reached" if reached else "**missed**"


def goals_table(result):
    lines = ["| | goal | " + " | ".join(MODELS) + " | |", "|---|---|" + "---|" * (len(MODELS) + 1)]
    for key, text, sign, goal, form in GOALS:
        values = [result["goals"][key].get(model) for model in MODELS]
        verdicts = {verdict(value, sign, goal) for value in values}
        word = ("**missed**" if "**missed**" in verdicts else
                "unmeasured" if verdicts == {"unmeasured"} else
                "reached where measured" if "unmeasured" in verdicts else "reached")
        lines.append("| " + " | ".join(
            [text, f"{sign} {form.format(goal)}"] +
            ["–" if value is None else form.format(value) for value in values] + [word]) + " |")
    return "\n".join(lines)


def tests_table(result):
    lines = ["| test | under | result |", "|---|---|---|"]
    lines += [f"| {one['name']} | {one['tool'] or ''} | {one['result']} |"
              for one in result["tests"]]
    return "\n".join(lines)


def gaps_lines(result):
    """What the table does not show: a figure that could not be had, and why. Without the best of
    PyTorch's configurations the comparison with the others flatters."""
    lines = []
    for model in MODELS:
        compared = result["models"][model]["pytorch"] or {}
        lines += [f"NOT MEASURED: {model}, {kind}, {one['configuration']}, batch {one['batch']}: "
                  f"{one.get('error', 'no figure')}" for kind in ("decode", "prefill")
                  for one in compared.get(kind, []) if one["tokens_per_s"] is None]
    skipped = [one["name"] for one in result["tests"] if one["result"] == "skipped"]
    if skipped:
        lines.append(f"SKIPPED: {len(skipped)} of {len(result['tests'])} tests")
    return "\n".join(lines)


def facts_lines(result):
    facts = result["facts"]
    if not facts:
        return "No device facts: nothing was run on a GPU."
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where tests/gpu.sh left what it measured")
    parser.add_argument("--json", help="where the one JSON object goes")
    arguments = parser.parse_args()
    result = gather(arguments.folder)
    result["goals"] = summarize(result)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1, ensure_ascii=False)
            file.write("\n")
    failed = [one for one in result["tests"] if one["result"] == "failed"]
    parts = (facts_lines(result), tests_table(result), goals_table(result), gaps_lines(result))
    print("\n\n".join(part for part in parts if part))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
