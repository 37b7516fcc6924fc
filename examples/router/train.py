#!/usr/bin/env python3
"""Trains the router's classifier on LIMA's labels and writes lima.router. See README.md.

    python3 -m pip install numpy scipy
    python3 examples/router/train.py [--data FOLDER] [--out FILE] [--quick]

Everything is chosen on LIMA alone, by two measures: stratified 10-fold cross-validation, and holding
out one of LIMA's sources at a time, since the questions that a router meets come from none of them.
The test sets are not opened. --quick leaves the tables out and fits what they had chosen.
"""
import argparse
import json
import os
import struct
import zlib

import numpy as np
import scipy.optimize
import scipy.sparse

from question_features import FAMILIES, Lexicon, Words, families, feature, text_hash

HERE = os.path.dirname(os.path.abspath(__file__))
ALPHA, BETA, SMOOTHING = 0.7, 0.3, 0.2  # paper, App. C.2
REPEATS, FOLDS = 3, 10

# LIMA is sorted by source: ids from 1. Of the two of Stack Exchange, the first is natural sciences
# and technology. "assistant" was written by LIMA's authors as questions to an assistant.
SOURCES = (("exchange1", 200), ("exchange2", 400), ("assistant", 600), ("wikihow", 800),
           ("instructions", 850), ("prompts", 1000), ("dialogues", 1030))
HELD_OUT = (0, 1, 2, 6)  # sources with enough of both labels to say something when held out

# What SoT asks of a question (paper, section 1: points that can be written independently), as the
# centre that the weights are drawn to. Word classes of lexicon.txt and tokens, in the key sentence:
CLASS_PRIOR = {
    "compose": -4, "genre": -3, "edit": -4, "code": -4, "math": -4, "logic": -1, "advice": 4,
    "aspect": 4, "explain": 1, "roleplay": -2, "assistant": -1, "how": 1, "why": 1, "when": -2,
    "who": -2, "which": -1, "quantity": -2, "improve": 3, "life": 2, "society": 3, "food": -2,
    "tech": -1, "refer": -3, "fact": -2, "style": -2, "compare": 2, "future": 1, "feeling": 1,
    "contain": -1, "polite": -1,
}
TOKEN_PRIOR = {"0": -2, "{": -2, "$": -3, "=": -2, "`": -1, '"': -1, "|": -1}
PAIR_PRIOR = {
    "what are": 2, "what is": -1, "how many": -4, "how much": -3, "how can": 1, "how do": 0.5,
    "how does": 1, "how has": 1, "how have": 1, "how might": 1, "how would": 1, "why do": 1,
    "what if": 1, "tell me": -1, "write a": -2,
}

# What is chosen among, and (first) what the tables have chosen.
CHOSEN = {"prior": 1.5, "decay": 3e-4, "short": 0.3}
GRID = {"prior": (0.0, 0.5, 1.0, 1.5, 2.0), "decay": (1e-3, 3e-4, 1e-4), "short": (0.0, 0.3, 1.0)}


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))


def prior_weights():
    result = {}
    for name, weight in CLASS_PRIOR.items():
        result[feature(4, text_hash(b"@" + name.encode()))] = weight
    for token, weight in TOKEN_PRIOR.items():
        result[feature(4, text_hash(token.encode()))] = weight
    for pair, weight in PAIR_PRIOR.items():
        result[feature(3, *(text_hash(word.encode()) for word in pair.split()))] = weight
    return result


class Data:
    """LIMA as matrices: whole questions, and each cut down to its key sentence ("short")."""

    def __init__(self, path, lexicon):
        with open(path, encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        self.labels = np.array([row["suitable"] for row in rows])
        self.source = np.searchsorted([last for _, last in SOURCES], [row["id"] for row in rows])
        whole = [row["question"].encode() for row in rows]
        short = [Words(question, lexicon).key_text for question in whole]
        sets = [families(question, lexicon) for question in whole + short]
        prior = prior_weights()
        n_in = {}
        for one in sets[:len(rows)]:
            for members in one:
                for value in members:
                    n_in[value] = n_in.get(value, 0) + 1
        self.features = sorted(set(prior) | {value for value, n in n_in.items() if n >= 2})
        self.prior = np.array([float(prior.get(value, 0)) for value in self.features])
        self.whole = self.matrix(sets[:len(rows)])
        self.short = self.matrix(sets[len(rows):])

    def matrix(self, sets):
        column = {value: i for i, value in enumerate(self.features)}
        rows, columns, values = [], [], []
        for i, one in enumerate(sets):
            for members in one:
                for value in members:
                    if value in column:
                        rows.append(i)
                        columns.append(column[value])
                        values.append(1.0 / len(members) ** 0.5)
        return scipy.sparse.csr_matrix((values, (rows, columns)), (len(sets), len(self.features)))


def fit(data, chosen, prior, decay, short):
    """Weights and bias that make the Tversky loss over the chosen questions least; the weights are
    drawn to the prior."""
    x = scipy.sparse.vstack([data.whole[chosen], data.short[chosen]]).tocsr()
    transposed = x.T.tocsr()
    y = np.tile(data.labels[chosen], 2) * (1.0 - SMOOTHING) + SMOOTHING / 2
    worth = np.repeat([1.0, short], len(chosen))
    offset = x @ (prior * data.prior)

    def loss(parameters):
        weights, bias = parameters[:-1], parameters[-1]
        p = sigmoid(x @ weights + bias + offset)
        tp, fp, fn = (np.sum(worth * value) for value in (p * y, p * (1 - y), (1 - p) * y))
        whole = tp + ALPHA * fp + BETA * fn
        slope = -worth * y / whole + tp / whole ** 2 * worth * (y + ALPHA * (1 - y) - BETA * y)
        slope *= p * (1 - p)
        value = 1 - tp / whole + decay / 2 * weights @ weights
        return value, np.append(transposed @ slope + decay * weights, slope.sum())

    found = scipy.optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B",
                                    options={"maxiter": 200})
    return found.x[:-1] + prior * data.prior, found.x[-1]


def folds(data, seed):
    """FOLDS parts of about the same share of each source and label."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(data.labels))
    order = order[np.argsort(data.source[order] * 2 + data.labels[order], kind="stable")]
    part = np.empty(len(order), int)
    part[order] = np.arange(len(order)) % FOLDS
    return part


def logits_across(data, part, **settings):
    """Each question's logit from a fit without its part."""
    result = np.zeros(len(part))
    for i in np.unique(part):
        weights, bias = fit(data, np.flatnonzero(part != i), **settings)
        result[part == i] = data.whole[part == i] @ weights + bias
    return result


def cross_validate(data, **settings):
    return [logits_across(data, folds(data, seed), **settings) for seed in range(REPEATS)]


def accuracy(logits, labels):
    return float(np.mean((logits > 0) == labels))


def measures(data, **settings):
    crossed = np.mean([accuracy(run, data.labels) for run in cross_validate(data, **settings)])
    held = logits_across(data, data.source, **settings)
    rows = np.isin(data.source, HELD_OUT)
    return float(crossed), accuracy(held[rows], data.labels[rows])


def choose(data):
    """One setting after the other, twice round; the mean of both measures decides."""
    best = dict(CHOSEN)
    print("  prior    decay  short   10-fold  held-out source   mean")
    seen = {}

    def look(settings):
        key = tuple(settings[name] for name in GRID)
        if key not in seen:
            seen[key] = measures(data, **settings)
            print(f"  {settings['prior']:5g}  {settings['decay']:7g}  {settings['short']:5g}"
                  f"   {seen[key][0]:7.4f}  {seen[key][1]:15.4f}  {sum(seen[key]) / 2:.4f}", flush=True)
        return sum(seen[key])

    for _ in range(2):
        for name, values in GRID.items():
            best[name] = max(values, key=lambda value: look({**best, name: value}))
    print("chosen:", best)
    return best


def report(data, settings):
    """Prints what cross-validation says of the chosen settings; returns the slope that makes the
    scores probabilities."""
    runs = cross_validate(data, **settings)
    print("\n10-fold cross-validation, source by source (mean of %d):" % REPEATS)
    for i, (name, _) in enumerate(SOURCES):
        rows = data.source == i
        part = np.mean([accuracy(run[rows], data.labels[rows]) for run in runs])
        print(f"  {name:12s} {rows.sum():4d} questions, {data.labels[rows].sum():3d} suitable:"
              f" accuracy {part:.3f}")
    for i, run in enumerate(runs):
        says = run > 0
        print(f"  repeat {i}: accuracy {accuracy(run, data.labels):.4f},"
              f" tn {np.sum(~says & (data.labels == 0))} fp {np.sum(says & (data.labels == 0))}"
              f" fn {np.sum(~says & (data.labels == 1))} tp {np.sum(says & (data.labels == 1))}")
    logits, labels = np.concatenate(runs), np.tile(data.labels, len(runs))
    likelihood = lambda slope: -np.mean(np.log(sigmoid(slope * logits * (2 * labels - 1))))
    slope = scipy.optimize.minimize_scalar(likelihood, bounds=(0.05, 5), method="bounded").x
    print(f"slope of the logits for the least log loss: {slope:.3f}")
    return slope


def pack(lexicon, features, weights, bias):
    """The file, as lib/sot/router_file.h describes it."""
    kept = [(value, weight) for value, weight in zip(features, weights.astype("<f4")) if weight]
    words = sorted(lexicon.masks.items())
    size = 76 + 4 * len(lexicon.names) + 12 * len(words) + 8 * len(kept) + 4
    data = struct.pack("<8sIIIIIQff8f", b"SOTROUTR", 1, size, len(lexicon.names), len(words),
                       len(kept), lexicon.requests, bias, 0.5, *([1.0] * len(FAMILIES)))
    data += struct.pack(f"<{len(lexicon.symbols)}I", *lexicon.symbols)
    data += b"".join(struct.pack("<IQ", *word) for word in words)
    data += b"".join(struct.pack("<If", *one) for one in kept)
    data += struct.pack("<I", zlib.crc32(data))
    assert len(data) == size <= 512 * 1024
    return data


def main():
    shared = os.environ.get("SOT_SHARED_DIR", os.path.join(HERE, "..", "..", "..", "shared"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.path.join(shared, "data"))
    parser.add_argument("--out", default=os.path.join(HERE, "lima.router"))
    parser.add_argument("--quick", action="store_true", help="fit what the tables had chosen")
    options = parser.parse_args()
    with open(os.path.join(HERE, "lexicon.txt"), encoding="utf-8") as file:
        lexicon = Lexicon(file)
    data = Data(os.path.join(options.data, "lima1030.jsonl"), lexicon)
    print(f"{len(data.labels)} questions, {data.labels.sum()} suitable;"
          f" {len(data.features)} features, {len(lexicon.masks)} words in {len(lexicon.names)}"
          " classes\n")
    settings = dict(CHOSEN) if options.quick else choose(data)
    slope = report(data, settings)
    weights, bias = fit(data, np.arange(len(data.labels)), **settings)
    written = pack(lexicon, data.features, slope * weights, slope * bias)
    with open(options.out, "wb") as file:
        file.write(written)
    print(f"\n{options.out}: {len(written)} bytes")


if __name__ == "__main__":
    main()
