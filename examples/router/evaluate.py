#!/usr/bin/env python3
"""What the trained router decides on the two test sets, beside the paper's Tables 3 and 4.

    python3 examples/router/evaluate.py [--router FILE] [--library libsot.so] [--data FOLDER]

Standard library only. The classifier that is asked is the C library's, through ctypes, with the
file that is installed with it. Intervals are 95%, from 10,000 bootstrap samples of the questions.
"""
import argparse
import ctypes
import json
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SETS = (("Vicuna-80", "vicuna80", "table3_router_confusion_vicuna80"),
        ("WizardLM-218", "wizardlm218", "table4_router_confusion_wizardlm"))
PAPER = (("RoBERTa (paper)", "human_vs_roberta"), ("GPT-4 prompted (paper)", "human_vs_gpt4"))
CELLS = ("tn", "fp", "fn", "tp")
LABEL_SOT = 2  # SOT_LABEL_SOT in sot/router.h


class Router:
    """The C library's sot_router."""

    def __init__(self, library, path):
        self.library = ctypes.CDLL(library)
        self.library.sot_error_message.restype = ctypes.c_char_p
        self.library.sot_router_classify.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_float),
            ctypes.POINTER(ctypes.c_uint32)]
        self.library.sot_router_free.argtypes = [ctypes.c_void_p]
        self.router = ctypes.c_void_p()
        self.check(self.library.sot_router_load(path.encode(), ctypes.byref(self.router)))

    def check(self, status):
        if status != 0:
            sys.exit(f"evaluate.py: {self.library.sot_error_message().decode()}")

    def classify(self, question):
        """(score, whether SoT suits) of a question, which is bytes."""
        score, label = ctypes.c_float(), ctypes.c_uint32()
        self.check(self.library.sot_router_classify(self.router, question, len(question),
                                                    ctypes.byref(score), ctypes.byref(label)))
        return score.value, label.value == LABEL_SOT

    def close(self):
        self.library.sot_router_free(self.router)


def read_set(folder, name):
    with open(os.path.join(folder, name + ".jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [(row["question"].encode(), bool(row["suitable"])) for row in rows]


def confusion(pairs):
    """Counts of (suitable, decided) pairs."""
    pairs = list(pairs)
    return {cell: sum(pair == kind for pair in pairs) for cell, kind in zip(
        CELLS, ((False, False), (False, True), (True, False), (True, True)))}


def accuracy(cells):
    return (cells["tn"] + cells["tp"]) / sum(cells.values())


def interval(cells, n_samples=10000, seed=1):
    """Bounds of the middle 95% of the accuracy over samples of the questions, with replacement."""
    n, right = sum(cells.values()), cells["tn"] + cells["tp"]
    source = random.Random(seed)
    found = sorted(sum(source.random() * n < right for _ in range(n)) / n for _ in range(n_samples))
    return found[int(0.025 * n_samples)], found[int(0.975 * n_samples) - 1]


def row(name, cells):
    low, high = interval(cells)
    return (f"{name:24s}" + "".join(f"{cells[cell]:5d}" for cell in CELLS) +
            f"  {accuracy(cells):8.3f}  {low:.3f} to {high:.3f}")


def latencies(router, questions, n_rounds=5):
    """Seconds per question, the best of the rounds, ascending."""
    best = [float("inf")] * len(questions)
    for _ in range(n_rounds):
        for i, question in enumerate(questions):
            began = time.perf_counter()
            router.classify(question)
            best[i] = min(best[i], time.perf_counter() - began)
    return sorted(best)


def main():
    shared = os.environ.get("SOT_SHARED_DIR", os.path.join(ROOT, "..", "shared"))
    build = os.environ.get("SOT_BUILD_DIR", os.path.join(ROOT, "build"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.path.join(shared, "data"))
    parser.add_argument("--router", default=os.path.join(HERE, "lima.router"))
    parser.add_argument("--library", default=os.path.join(build, "libsot.so"))
    options = parser.parse_args()
    router = Router(options.library, options.router)
    with open(os.path.join(options.data, "paper_tables.json"), encoding="utf-8") as file:
        paper = json.load(file)
    everything = []
    for title, name, table in SETS:
        questions = read_set(options.data, name)
        everything += [question for question, _ in questions]
        cells = confusion((suits, router.classify(question)[1]) for question, suits in questions)
        print(f"{title}, {len(questions)} questions, {cells['fn'] + cells['tp']} suitable")
        print(f"{'':24s}" + "".join(f"{cell:>5s}" for cell in CELLS) + "  accuracy  95% interval")
        print(row("lima.router", cells))
        for label, key in PAPER:
            print(row(label, paper[table][key]))
        print()
    times = latencies(router, everything)
    print(f"latency of a question: median {1e6 * times[len(times) // 2]:.0f} us,"
          f" longest {1e6 * times[-1]:.0f} us; file: {os.path.getsize(options.router)} bytes")
    router.close()


if __name__ == "__main__":
    main()
