#!/usr/bin/env python3
"""Draws tokens per second against batch size from a JSON of compare_llama_cpp.py, with the two
bounds that the machine sets. Needs matplotlib, which compare_llama_cpp.py's environment has."""
import argparse
import json

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend comes first)

STYLES = {"libsot": ("#1f6fb4", "o"), "llama.cpp": ("#c8642d", "s")}


def draw(result, path):
    summary = result["summary"]
    cases = sorted((case for case in summary["cases"] if case["case"] == "decode"),
                   key=lambda case: case["size"])
    step_bytes = result["libraries"]["libsot"]["model"]["weight_bytes"]
    bandwidth = summary["limits"]["read_bytes_per_s"]["median"]
    flops = summary["limits"]["product_flops"]["median"]
    batches = [case["size"] for case in cases]
    # A step reads each weight, of two bytes, once; each row multiplies and adds with each.
    from_memory = [batch * bandwidth / step_bytes for batch in batches]
    from_products = [flops / step_bytes for _ in batches]

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=150)
    axes.plot(batches, from_memory, "--", color="0.35",
              label=f"bound by bandwidth ({bandwidth / 1e9:.1f} GB/s)")
    axes.plot(batches, from_products, ":", color="0.35",
              label=f"bound by arithmetic ({flops / 1e9:.0f} GFLOP/s)")
    for library, (color, marker) in STYLES.items():
        rates = [case[library]["tokens_per_s"] for case in cases]
        slowest = [case["size"] / case[library]["ms"]["max"] * 1e3 for case in cases]
        fastest = [case["size"] / case[library]["ms"]["min"] * 1e3 for case in cases]
        axes.fill_between(batches, slowest, fastest, color=color, alpha=0.15, linewidth=0)
        axes.plot(batches, rates, marker=marker, color=color, label=library)
    axes.set_xticks(batches)
    axes.set_xlabel("sequences decoded together")
    axes.set_ylabel("tokens per second, all sequences")
    axes.set_ylim(0, 1.15 * max(from_products[0], *(
        case[library]["tokens_per_s"] for case in cases for library in STYLES)))
    axes.set_xlim(0, batches[-1] + 0.5)
    axes.set_title(f"{result['model']}, FP16, {result['threads']} threads\n"
                   f"{result['machine']['cpu']}, libsot {result['commit']}", fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8, framealpha=0.9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", help="JSON of compare_llama_cpp.py")
    parser.add_argument("--out", default="docs/decode.png", help="default: %(default)s")
    arguments = parser.parse_args()
    with open(arguments.result, encoding="utf-8") as file:
        draw(json.load(file), arguments.out)


if __name__ == "__main__":
    main()
