"""From the samples of compare_llama_cpp.py to medians, ratios and Markdown tables. Owns the goals
and how each is computed; measures nothing, so a stored JSON can be summed up again."""
import statistics

import machine_facts

# key, what is measured, which way is better, goal with AMX, goal without, how it is written
GOALS = (
    ("bandwidth_share", "decode, batch 1, share of measured bandwidth", "≥", 0.90, 0.90, "{:.0%}"),
    ("step_ratio", "step at batch 16 ÷ step at batch 1", "≤", 1.25, 2.0, "{:.2f}"),
    ("tokens_ratio", "tokens/s at batch 16 ÷ llama.cpp's", "≥", 2.5, 1.5, "{:.2f}"),
    ("prefill_ratio", "prefill of 128 tokens ÷ llama.cpp's", "≥", 3.0, 1.3, "{:.2f}"),
    ("first_share", "SoT replay, share of the length bound, a session's first question", "≥", 0.90,
     0.75, "{:.0%}"),
    ("later_share", "the same, a later question of the session", "≥", 0.90, 0.75, "{:.0%}"),
    ("7b_first_share", "the same replay on `random:7b`, first question", "≥", 0.90, 0.75, "{:.0%}"),
    ("7b_later_share", "the same, a later question", "≥", 0.90, 0.75, "{:.0%}"),
    ("7b_memory", "peak memory of that replay ÷ weights", "≤", 1.08, 1.08, "{:.3f}"),
    ("7b_sot_memory", "SoT's peak memory ÷ that of the normal answer", "≤", 1.03, 1.03, "{:.3f}"),
)
LIBRARIES = ("libsot", "llama.cpp")


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def turns(result, library, case, size):
    """The median of each turn, in ns, by round."""
    return {sample["round"]: statistics.median(sample["ns"]) for sample in result["samples"]
            if (sample["library"], sample["case"], sample["size"]) == (library, case, size)}


def floor_ms(result, case, size):
    """The least time by the machine's limits: reading the weights once a pass, or multiplying and
    adding with each, a number of two bytes, for each row. A prompt's last row alone needs the output
    matrix. Attention and activations count for nothing."""
    model = result["libraries"]["libsot"]["model"]
    output_bytes = 2 * model["n_vocab"] * model["d_model"]
    limits = result["summary"]["limits"]
    rows_bytes = size * model["weight_bytes"]
    if case == "prefill":
        rows_bytes -= (size - 1) * output_bytes
    return 1e3 * max(model["weight_bytes"] / limits["read_bytes_per_s"]["median"],
                     rows_bytes / limits["product_flops"]["median"])


def case_summary(result, case, size):
    samples = [sample for sample in result["samples"]
               if (sample["case"], sample["size"]) == (case, size)]
    summary = {"case": case, "size": size}
    for library in LIBRARIES:
        times = [ns for sample in samples if sample["library"] == library for ns in sample["ns"]]
        summary[library] = {"ms": {name: ns / 1e6 for name, ns in spread(times).items()},
                            "tokens_per_s": size / (statistics.median(times) * 1e-9)}
    ours, theirs = (turns(result, library, case, size) for library in LIBRARIES)
    summary["ratio"] = spread([theirs[i] / ours[i] for i in ours])
    summary["variant"] = next(sample["variant"] for sample in samples if sample["variant"])
    return summary


def bandwidth_shares(result, library):
    """Of each round: weights' bytes per time of a step at batch 1, by that round's bandwidth."""
    step_bytes = result["libraries"]["libsot"]["model"]["weight_bytes"]
    return [step_bytes / (ns * 1e-9) / result["limits"][i]["read_bytes_per_s"]
            for i, ns in turns(result, library, "decode", 1).items()]


def step_ratios(result, library):
    ones = turns(result, library, "decode", 1)
    sixteens = turns(result, library, "decode", 16)
    return [sixteens[i] / ones[i] for i in ones]


def goal_values(result, cases):
    """By goal: {"libsot": spread, "llama.cpp": spread or None}; only what was measured."""
    values = {}
    measured = {(case["case"], case["size"]): case for case in cases}
    if ("decode", 1) in measured:
        values["bandwidth_share"] = {library: spread(bandwidth_shares(result, library))
                                     for library in LIBRARIES}
    if ("decode", 1) in measured and ("decode", 16) in measured:
        values["step_ratio"] = {library: spread(step_ratios(result, library))
                                for library in LIBRARIES}
    for key, case in (("tokens_ratio", ("decode", 16)), ("prefill_ratio", ("prefill", 128))):
        if case in measured:
            values[key] = {"libsot": measured[case]["ratio"], "llama.cpp": None}
    return values


def replay_values(result):
    """One value each: a replay's own repeats are summed up by sot-bench."""
    values = {}
    for replayed in result["replays"]:
        found = replayed["replay"]
        prefixes = {"random:7b": "7b_", result["model"]: ""}
        if replayed["model"] not in prefixes:
            continue
        prefix = prefixes[replayed["model"]]
        values[prefix + "first_share"] = found["first_share_of_bound"]
        values[prefix + "later_share"] = found["later_share_of_bound"]
        peaks = [found[memory]["process_peak_bytes"] for memory in ("memory_normal", "memory_sot")]
        if prefix and all(peaks):
            values["7b_memory"] = max(peaks) / found["weight_bytes"]
            values["7b_sot_memory"] = peaks[1] / peaks[0]
    return {key: {"libsot": spread([value]), "llama.cpp": None} for key, value in values.items()}


def has_amx(result):
    return result["libraries"]["libsot"]["session"]["isa"].startswith("amx")


def summarize(result):
    cases = []
    for sample in result["samples"]:
        key = (sample["case"], sample["size"])
        if key not in [(case["case"], case["size"]) for case in cases]:
            cases.append(case_summary(result, *key))
    return {"cases": cases, "goals": goal_values(result, cases) | replay_values(result),
            "limits": {name: spread([limit[name] for limit in result["limits"]])
                       for name in ("read_bytes_per_s", "product_flops")}}


def with_range(values, form="{:.2f}"):
    text = form.format(values["median"])
    if values["min"] == values["max"]:
        return text
    return f"{text} ({form.format(values['min'])}–{form.format(values['max'])})"


def billions(values):
    return {name: value / 1e9 for name, value in values.items()}


def milliseconds(values):
    return f"{values['median']:.0f} ({values['min']:.0f}–{values['max']:.0f})"


def step_floor(result):
    """Why the steps' ratio cannot be smaller than what the processor's two limits make it."""
    one, sixteen = (floor_ms(result, "decode", rows) for rows in (1, 16))
    return (f"By the limits of this machine a step at batch 1 takes at least {one:.0f} ms, at batch "
            f"16 at least {sixteen:.0f} ms: {sixteen / one:.2f} times as long.")


def goals_table(result):
    lines = ["| | goal with AMX | goal with AVX-512 only | libsot | llama.cpp | |",
             "|---|---|---|---|---|---|"]
    for key, text, sign, with_amx, without, form in GOALS:
        values = result["summary"]["goals"].get(key)
        row = [text] + [f"{sign} {form.format(goal)}" for goal in (with_amx, without)]
        if values is None:
            row += ["not measured", "", ""]
        else:
            ours = values["libsot"]["median"]
            goal = with_amx if has_amx(result) else without
            reached = ours >= goal if sign == "≥" else ours <= goal
            row += [with_range(values["libsot"], form),
                    with_range(values["llama.cpp"], form) if values["llama.cpp"] else "",
                    "reached" if reached else "**missed**"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines + ["", step_floor(result)])


def compare_table(result):
    lines = ["| | least time by the machine's limits, ms | libsot, ms | llama.cpp, ms | "
             "libsot, tokens/s | llama.cpp, tokens/s | ratio |", "|---|---|---|---|---|---|---|"]
    for case in result["summary"]["cases"]:
        name = (f"prefill of {case['size']} tokens" if case["case"] == "prefill" else
                f"decode, batch {case['size']}")
        attention = "" if case["variant"] == "flash" else " ¹"
        lines.append("| " + " | ".join([
            name, f"{floor_ms(result, case['case'], case['size']):.0f}",
            milliseconds(case["libsot"]["ms"]),
            milliseconds(case["llama.cpp"]["ms"]) + attention,
            f"{case['libsot']['tokens_per_s']:.1f}", f"{case['llama.cpp']['tokens_per_s']:.1f}",
            with_range(case["ratio"])]) + " |")
    lines += ["", "Medians with the least and the greatest value; the ratio is of tokens per "
              "second, taken turn by turn. llama.cpp with flash attention, or without it (¹) where "
              "that was quicker."]
    return "\n".join(lines)


def replay_rows(replayed):
    """Lines of one replay: the normal answer, then both stages of a first and a later question."""
    found = replayed["replay"]
    names = (("normal", "normal answer"), ("first_skeleton", "first question: skeleton"),
             ("first_expansions", "first question: expansions"),
             ("later_skeleton", "later question: skeleton"),
             ("later_expansions", "later question: expansions"))
    for key, name in names:
        phase = found[key]
        prefill, decode = (statistics.median(phase[times]) / 1e9
                           for times in ("prefill_ns", "decode_ns"))
        yield "| " + " | ".join([
            name, f"{phase['prompt_tokens']} + {phase['reused_tokens']}", str(phase["tokens"]),
            str(phase["steps"]), str(phase["most_rows"]), f"{prefill:.2f}", f"{decode:.2f}",
            f"{phase['median_ns'] / 1e9:.2f}", f"{phase['floor_ns'] / phase['median_ns']:.0%}",
        ]) + " |"


def share_at_floor(found, question):
    """The share of the length bound if every phase, the normal answer too, ran at its floor."""
    floors = [found[phase]["floor_ns"] for phase in
              ("normal", f"{question}_skeleton", f"{question}_expansions")]
    return floors[0] / (floors[1] + floors[2]) / found["bound"]


def replay_table(result):
    parts = []
    for replayed in result["replays"]:
        found = replayed["replay"]
        lengths = found["lengths"]
        peaks = [found[memory]["process_peak_bytes"] for memory in ("memory_normal", "memory_sot")]
        points = ", ".join(str(point) for point in lengths["points"])
        parts += [
            f"`{replayed['model']}`, {lengths['name']}: {lengths['normal']} tokens against a "
            f"skeleton of {lengths['skeleton']} and points of {points}.", "",
            "| | prompt: computed + reused | tokens | steps | rows | prefill, s | decode, s | "
            "total, s | floor ÷ total |", "|---|---|---|---|---|---|---|---|---|",
            *replay_rows(replayed), "",
            f"Speed-up {found['first_speedup']:.2f} for the first question of a session, "
            f"{found['later_speedup']:.2f} for a later one; the lengths allow "
            f"{found['bound']:.2f}, of which {found['first_share_of_bound']:.0%} and "
            f"{found['later_share_of_bound']:.0%} are reached. With every phase at its floor it "
            f"would be {share_at_floor(found, 'first'):.0%} and "
            f"{share_at_floor(found, 'later'):.0%}.",
        ]
        if all(peaks):
            parts[-1] += (
                f" The process held at most {peaks[0] / 1e9:.2f} GB for the normal answer and "
                f"{peaks[1] / 1e9:.2f} GB for SoT; the weights are "
                f"{found['weight_bytes'] / 1e9:.2f} GB.")
        parts.append("")
    return "\n".join(parts[:-1]) if parts else "Not measured."


def machine_table(result):
    machine, libraries = result["machine"], result["libraries"]
    limits = result["summary"]["limits"]
    llama = libraries["llama.cpp"]
    rows = [
        ("date", result["date"]),
        ("processor", f"{machine['cpu']} (family/model/stepping "
                      f"{machine['family_model_stepping']}), {machine['cpus']} CPUs"
                      + (" of a virtual machine" if machine["virtual"] else "")),
        ("its features", ", ".join(machine["flags"])),
        ("memory", f"{machine['memory_bytes'] / 2**30:.0f} GiB, huge pages "
                   f"\"{machine['huge_pages']}\""),
        ("kernel", "Linux " + machine["kernel"]),
        ("libsot", f"{libraries['libsot']['version']} at commit {result['commit']}, instruction "
                   f"set `{libraries['libsot']['session']['isa']}`"),
        ("llama.cpp", f"{llama['package']}, version {llama['version']}, built with "
                      + ", ".join(machine_facts.compiled_in(llama["system_info"]))),
        ("model", f"`{result['model']}`, FP16, a file of {result['file_bytes'] / 1e9:.2f} GB"),
        ("threads", str(result["threads"])),
        ("read bandwidth", with_range(billions(limits["read_bytes_per_s"]), "{:.1f}") + " GB/s"),
        ("products of FP16 weights",
         with_range(billions(limits["product_flops"]), "{:.0f}") + " GFLOP/s at most"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def tables(result):
    """Markdown by the name that docs/benchmarks.md has for it."""
    return {"machine": machine_table(result), "goals": goals_table(result),
            "compare": compare_table(result), "replay": replay_table(result)}
