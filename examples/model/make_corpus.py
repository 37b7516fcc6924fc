"""Writes the corpus: one question with its route, points and answer on each line (JSON).

Owns how often what is drawn. The text itself is in material/ and is read by material.py; train.py
turns a line into samples (normal answer, skeleton, point expansions, router letter).
"""
import argparse
import json
import random
from pathlib import Path

from material import Material, Object, ObjectMaker, words_of
from other_questions import draw_other

NOBODY = Object("", "", "")


def draw_question(rng, material, maker):
    """A list-like question about a training object, with its points."""
    thing = maker.draw(rng)
    intent, phrasing = draw_phrasing(rng, material, thing)
    other = NOBODY
    if intent == "differences":
        while other.name in ("", thing.name):
            other = maker.draw(rng, thing.category, thing.trait)
    question = material.question(phrasing, thing, other)
    points = material.answer(rng, intent, phrasing, thing, other)
    return {"route": "A", "intent": intent, "question": roughened(rng, question),
            "objects": [o.name for o in (thing, other) if o.name], "points": points}


def roughened(rng, question):
    """The question as people also type it: now and then without its last sign or capital."""
    if rng.random() < 0.06:
        question = question.rstrip("?.")
    return question[0].lower() + question[1:] if rng.random() < 0.04 else question


def draw_phrasing(rng, material, thing):
    """An intent that suits the object, each as likely, and one of its phrasings."""
    suited = material.phrasings(thing)
    intent = rng.choice(sorted({intent for intent, _ in suited}))
    return rng.choice([pair for pair in suited if pair[0] == intent])


def heldout_questions(material, per_object, seed):
    """The questions of the evaluation: every held-out object with several intents."""
    rng = random.Random(seed)
    lines = []
    for thing in material.heldout:
        for _ in range(per_object):
            intent, phrasing = draw_phrasing(rng, material, thing)
            other = rng.choice([o for o in material.heldout
                                if o.category == thing.category and o != thing])
            names = [thing.name] + [other.name] * (intent == "differences")
            lines.append({"intent": intent, "objects": names,
                          "question": material.question(phrasing, thing, other)})
    return lines


def check_heldout(material, lines):
    """No held-out word may be part of a training object."""
    for line in lines:
        for name in line.get("objects", ()):
            shared = material.banned & set(words_of(name))
            assert not shared, f"held-out words {shared} in the training object {name!r}"


def write(path, lines):
    """Write one JSON object a line."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def main():
    """Parse the command line and write corpus.jsonl and heldout.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build-model"), help="output folder")
    parser.add_argument("--questions", type=int, default=30000, help="list-like questions")
    parser.add_argument("--others", type=int, default=5000,
                        help="questions for normal generation: sums, code, stories and so on")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng, material = random.Random(args.seed), Material()
    maker = ObjectMaker(material)
    lines = [draw_question(rng, material, maker) for _ in range(args.questions)]
    lines += [draw_other(rng, material, maker) for _ in range(args.others)]
    check_heldout(material, lines)
    rng.shuffle(lines)
    heldout = heldout_questions(material, 1, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "corpus.jsonl", lines)
    write(args.out / "heldout.jsonl", heldout)
    objects = {name for line in lines for name in line.get("objects", ())}
    print(f"{len(lines)} training questions about {len(objects)} objects, "
          f"{len(heldout)} held-out questions, in {args.out}")


if __name__ == "__main__":
    main()
