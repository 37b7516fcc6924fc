#!/usr/bin/env python3
"""Draws what tests/gpu.sh measured: the share of the device's read bandwidth that gemm_rows and
cuBLAS reach at each number of rows, and tokens per second of libsot and PyTorch at each batch size;
one column a model. Needs matplotlib."""
import argparse
import json
import statistics

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend comes first)

ROWS_MAX = 16


def shares(result, model):
    """{library: [(rows, share of bandwidth, the median over the model's products)]}"""
    found = {"gemm_rows": {}, "cuBLAS": {}}
    for one in result["gemm_rows"]:
        if one["model"] != model or one["rows"] > ROWS_MAX or not one["gemm_rows_ns"]:
            continue
        share = one["share_of_bandwidth"]
        found["gemm_rows"].setdefault(one["rows"], []).append(share)
        if one["cublas_ns"]:
            found["cuBLAS"].setdefault(one["rows"], []).append(
                share * one["gemm_rows_ns"] / one["cublas_ns"])
    return {library: [(rows, statistics.median(by_rows[rows])) for rows in sorted(by_rows)]
            for library, by_rows in found.items() if by_rows}


def rates(result, model):
    """{configuration: [(batch, tokens per second)]}"""
    found = {}
    for one in ((result["models"].get(model) or {}).get("pytorch") or {}).get("decode", []):
        if one["tokens_per_s"]:
            found.setdefault(one["configuration"], []).append((one["batch"], one["tokens_per_s"]))
    return {name: sorted(points) for name, points in found.items()}


def draw(result, path):
    """Returns whether there was anything to draw."""
    models = [model for model in result["models"] if shares(result, model) or rates(result, model)]
    if not models:
        return False
    figure, panels = pyplot.subplots(2, len(models), figsize=(4 * len(models) + 1, 7), dpi=130,
                                     squeeze=False)
    for i, model in enumerate(models):
        for axes, lines, label in ((panels[0][i], shares(result, model), "share of read bandwidth"),
                                   (panels[1][i], rates(result, model), "tokens per second")):
            for name, points in lines.items():
                axes.plot(*zip(*points), marker="o", markersize=3, label=name)
            most = max((y for points in lines.values() for _, y in points), default=1)
            axes.set_ylim(0, 1.1 * most)
            axes.set_xlabel("rows" if axes is panels[0][i] else "batch")
            axes.set_ylabel(label)
            axes.grid(alpha=0.25)
            if lines:
                axes.legend(fontsize=7)
        panels[0][i].set_title(f"LLaMA {model}", fontsize=10)
    facts = result["facts"] or {}
    figure.suptitle(f"{facts.get('device', '?')}, libsot {facts.get('commit', '?')}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", help="gpu.json of tests/gpu.sh")
    parser.add_argument("--out", default="docs/gpu.png", help="default: %(default)s")
    arguments = parser.parse_args()
    with open(arguments.result, encoding="utf-8") as file:
        if not draw(json.load(file), arguments.out):
            parser.error(f"{arguments.result}: nothing in it can be drawn")


if __name__ == "__main__":
    main()
