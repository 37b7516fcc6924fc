#!/usr/bin/env python3
"""Trains the router's classifier on LIMA's labels and writes lima.router. See README.md.

    python3 -m pip install numpy scipy
    python3 examples/router/train.py [--data FOLDER] [--out FILE] [--quick]

Everything is chosen by stratified 10-fold cross-validation on LIMA alone; the test sets are not
opened. --quick leaves the tables out and fits what they had chosen.
"""
import argparse
import json
import os

import numpy as np
import scipy.optimize
import scipy.sparse

from question_features import Lexicon, families, feature, text_hash
from router_file import pack

HERE = os.path.dirname(os.path.abspath(__file__))
ALPHA, BETA, SMOOTHING = 0.7, 0.3, 0.2  # paper, App. C.2
REPEATS, FOLDS = 3, 10

# LIMA is sorted by source: ids from 1. Two are Stack Exchange. Two were written to an assistant, as
# the questions of a router are, but by LIMA's own authors.
SOURCES = (("exchange1", 200), ("exchange2", 400), ("authors", 600), ("wikihow", 800),
           ("instructions", 850), ("prompts", 1000), ("dialogues", 1030))
TO_AN_ASSISTANT = (2, 6)
WIKIHOW = 3  # 200 times "How to ...?"
HELD_OUT = (0, 1, 2)  # sources large enough, with enough of both labels, to say something alone

# What SoT asks of a question (paper, section 1: points that can be written independently), as the
# centre that the weights are drawn to: word classes of lexicon.txt and tokens in the key sentence,
# pairs of words, classes that it begins with, pairs of classes. Knowledge of English and of the
# method; how much of it is used, cross-validation decides.
CLASS_PRIOR = {
    "compose": -1.5, "genre": -4, "genre_soft": -1, "edit": -4, "edit_soft": -1, "code": -4,
    "code_soft": -2, "math": -4, "math_soft": -1.5, "logic": -0.5, "advice": 4, "aspect": 4,
    "explain": 1, "roleplay": -0.5, "assistant": -1, "how": 1, "why": 1, "when": -2, "who": -2,
    "which": -1, "quantity": -2, "improve": 3, "life": 2, "society": 3, "food": -2, "tech": -1,
    "refer": -3, "fact": -2, "style": -2, "compare": 2, "future": 1, "feeling": 1, "contain": -1,
    "polite": -1,
}
TOKEN_PRIOR = {"0": -2, "{": -2, "$": -3, "=": -2, "`": -1, '"': -1, "|": -1}
PAIR_PRIOR = {
    "what are": 2, "what is": -1, "how many": -4, "how much": -3, "how can": 1, "how do": 0.5,
    "how does": 1, "how has": 1, "how have": 1, "how might": 1, "how would": 1, "why do": 1,
    "what if": 2, "what would": 1, "tell me": -1, "write a": -2,
}
START_PRIOR = {"compose": -4, "edit": -4, "edit_soft": -2, "explain": 1, "when": -1, "who": -1}
CLASS_PAIR_PRIOR = {
    "you compose": -4, "please compose": -4, "i compose": -2, "and compose": -2,
    "you produce": -1.5, "you edit": -3, "please edit": -3, "how quantity": -3, "how can": 1,
}

# What is chosen among, and (first) what the tables have chosen: how much of the prior, the decay of
# the weights towards it, what a question of WikiHow counts, and the logit from which SoT is said.
CHOSEN = {"prior": 1.5, "decay": 1e-3, "wikihow": 0.3, "threshold": 1.5}
GRID = {"prior": (0.0, 1.0, 1.5, 2.0, 3.0, 4.0), "decay": (1e-3, 3e-4, 1e-4),
        "wikihow": (0.3, 0.5, 1.0)}
THRESHOLDS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))


def prior_weights():
    token = lambda text: text_hash(text.encode())
    symbol = lambda name: token("@" + name)
    result = {}
    for name, weight in CLASS_PRIOR.items():
        result[feature(4, symbol(name))] = weight
    for text, weight in TOKEN_PRIOR.items():
        result[feature(4, token(text))] = weight
    for pair, weight in PAIR_PRIOR.items():
        result[feature(3, *map(token, pair.split()))] = weight
    for name, weight in START_PRIOR.items():
        result[feature(6, 1, symbol(name))] = weight
    for pair, weight in CLASS_PAIR_PRIOR.items():
        result[feature(5, *map(symbol, pair.split()))] = weight
    return result


class Data:
    """LIMA as a matrix of features: those of the prior, and those that occur twice."""

    def __init__(self, path, lexicon):
        with open(path, encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        self.labels = np.array([row["suitable"] for row in rows])
        self.source = np.searchsorted([last for _, last in SOURCES], [row["id"] for row in rows])
        sets = [families(row["question"].encode(), lexicon) for row in rows]
        prior = prior_weights()
        n_in = {}
        for one in sets:
            for members in one:
                for value in members:
                    n_in[value] = n_in.get(value, 0) + 1
        self.features = sorted(set(prior) | {value for value, n in n_in.items() if n >= 2})
        self.prior = np.array([float(prior.get(value, 0)) for value in self.features])
        self.x = self.matrix(sets)

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


def fit(data, chosen, prior, decay, wikihow):
    """Weights and bias that make the Tversky loss over the chosen questions least; the weights are
    drawn to the prior."""
    x = data.x[chosen]
    transposed = x.T.tocsr()
    y = data.labels[chosen] * (1.0 - SMOOTHING) + SMOOTHING / 2
    worth = np.where(data.source[chosen] == WIKIHOW, wikihow, 1.0)
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


def logits_across(data, part, settings):
    """Each question's logit, less the threshold, from a fit without its part."""
    result = np.zeros(len(part))
    for i in np.unique(part):
        weights, bias = fit(data, np.flatnonzero(part != i),
                            **{name: settings[name] for name in GRID})
        result[part == i] = data.x[part == i] @ weights + bias
    return result - settings["threshold"]


def cross_validate(data, settings):
    return [logits_across(data, folds(data, seed), settings) for seed in range(REPEATS)]


def accuracy(logits, labels):
    return float(np.mean((logits > 0) == labels))


def cost(logits, labels):
    """A false positive costs ALPHA, a false negative BETA; per question."""
    return float(np.mean(np.where(labels == 0, ALPHA * (logits > 0), BETA * (logits <= 0))))


def rank_score(logits, labels):
    """The share of pairs of a suitable and another question that are in the right order (AUC)."""
    gaps = logits[labels == 1][:, None] - logits[labels == 0][None, :]
    return float(np.mean((gaps > 0) + 0.5 * (gaps == 0)))


def choose(data):
    """One setting after the other, twice round. The mean of two costs decides: of all LIMA, and of
    its questions to an assistant, which are few, but the most like what a router meets."""
    best = {name: CHOSEN[name] for name in GRID}
    like = np.isin(data.source, TO_AN_ASSISTANT)
    print("                                    all LIMA          to an assistant")
    print("  prior    decay  wikihow  threshold  accuracy    cost  accuracy    cost   mean cost")
    seen = {}

    def look(settings):
        key = tuple(settings.values())
        if key not in seen:
            runs = cross_validate(data, {**settings, "threshold": 0.0})
            rows = []
            for at in THRESHOLDS:
                found = [np.mean([measure(run[part] - at, data.labels[part]) for run in runs])
                         for part in (like | True, like) for measure in (accuracy, cost)]
                rows.append(((found[1] + found[3]) / 2, at, *found))
            seen[key] = min(rows)
            mean, at, *found = seen[key]
            print(f"  {settings['prior']:5g}  {settings['decay']:7g}  {settings['wikihow']:7g}"
                  f"  {at:9g}  {found[0]:8.4f}  {found[1]:6.4f}  {found[2]:8.4f}  {found[3]:6.4f}"
                  f"      {mean:.4f}", flush=True)
        return seen[key]

    for _ in range(2):
        for name, values in GRID.items():
            best[name] = min(values, key=lambda value: look({**best, name: value})[0])
    best["threshold"] = look(best)[1]
    print("chosen:", best)
    return best


def report(data, settings):
    """Prints what cross-validation says of the chosen settings; returns the slope that makes the
    scores probabilities."""
    runs = cross_validate(data, settings)
    held = logits_across(data, data.source, settings)
    print(f"\n10-fold cross-validation, source by source (mean of {REPEATS}):")
    for i, (name, _) in enumerate(SOURCES):
        rows = data.source == i
        part = np.mean([accuracy(run[rows], data.labels[rows]) for run in runs])
        print(f"  {name:12s} {rows.sum():4d} questions, {data.labels[rows].sum():3d} suitable:"
              f" accuracy {part:.3f}", end="")
        if i in HELD_OUT:
            part = np.mean([rank_score(run[rows], data.labels[rows]) for run in runs])
            print(f", AUC {part:.3f}; trained without this source: accuracy"
                  f" {accuracy(held[rows], data.labels[rows]):.3f},"
                  f" AUC {rank_score(held[rows], data.labels[rows]):.3f}", end="")
        print()
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
    weights, bias = fit(data, np.arange(len(data.labels)),
                        **{name: settings[name] for name in GRID})
    kept = {value: float(weight) for value, weight in zip(data.features, slope * weights)
            if abs(weight) > 1e-6}
    written = pack(lexicon, kept, slope * (bias - settings["threshold"]))
    with open(options.out, "wb") as file:
        file.write(written)
    print(f"\n{options.out}: {len(written)} bytes")


if __name__ == "__main__":
    main()
