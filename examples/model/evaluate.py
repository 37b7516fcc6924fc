"""Measures the demo model with libsot itself, on questions about objects it was never trained on.

Owns the four goals of the model card and prints them as a Markdown table, with what else is worth
knowing: the point expansions that name their object, normal mode, the router. Exits with 1 when a
goal is missed. Needs nothing but Python and the `sot` program.
"""
import argparse
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from make_corpus import heldout_questions
from material import FOLDER, Material

HERE = Path(__file__).parent
MAX_TOKENS = 60
CONTEXT_FULL = 3  # sot's exit code for an answer that is printed but incomplete


class Sot:
    """Runs `sot ask`."""

    def __init__(self, program, model):
        self.program, self.model = program, model

    def ask(self, mode, question):
        """The answer to a question as the program's JSON."""
        command = [self.program, "ask", "-m", self.model, "--mode", mode, "--max-tokens", "480",
                   "--quiet", "--json", question]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode not in (0, CONTEXT_FULL):
            sys.exit(f"{' '.join(map(str, command))}: {run.returncode} {run.stderr.strip()}")
        return json.loads(run.stdout)

    def ask_all(self, mode, questions, jobs):
        """The answers to all questions, in order."""
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(lambda q: self.ask(mode, q), questions))


def names(text, objects):
    """Whether the text contains every object's name."""
    return all(name.lower() in text.lower() for name in objects)


def well_formed(answer):
    """Whether the skeleton gave 3 to 10 points, all different."""
    texts = [p["text"].strip() for p in answer["points"]]
    return 3 <= len(texts) <= 10 and len(set(texts)) == len(texts)


def good_expansions(answer):
    """How many expansions end by themselves in time and are nobody's copy."""
    seen = Counter(p["expansion"].strip() for p in answer["points"])
    return sum(p["finish"] == "stop" and p["tokens"] <= MAX_TOKENS
               and seen[p["expansion"].strip()] == 1 for p in answer["points"])


def expansions_text(answer):
    """The text of all expansions."""
    return "\n".join(p["expansion"] for p in answer["points"])


def row(name, good, total, goal=None):
    """One row of the table, and whether the goal is met."""
    share = good / max(1, total)
    aim = f"≥ {goal:.0%}" if goal else "none"
    print(f"| {name} | {good} of {total} | {share:.1%} | {aim} |")
    return goal is None or share >= goal


def report_sot(questions, answers):
    """The four goals, and what is stricter than them."""
    pairs = list(zip(answers, (q["objects"] for q in questions)))
    points = sum(len(a["points"]) for a in answers)
    met = [
        row("answers with 3–10 distinct points that parse",
            sum(map(well_formed, answers)), len(answers), 0.95),
        row(f"expansions that end within {MAX_TOKENS} tokens and are not copies",
            sum(map(good_expansions, answers)), points, 0.90),
        row("answers whose expansions name the object",
            sum(names(expansions_text(a), o) for a, o in pairs), len(answers), 0.80)]
    row("single expansions that name the object",
        sum(names(p["expansion"], o) for a, o in pairs for p in a["points"]), points)
    return all(met)


def report_normal(questions, answers):
    """The same for normal generation."""
    row("normal answers that end by themselves",
        sum(a["finish"] == "stop" for a in answers), len(answers))
    row("normal answers that name the object",
        sum(names(a["text"], q["objects"]) for a, q in zip(answers, questions)), len(answers))


def report_lengths(answers, normal):
    """Mean tokens a question, and the bound that they set to the speed-up."""
    def mean(values):
        values = list(values)
        return sum(values) / len(values)

    plain = mean(a["stats"]["normal"]["decode_tokens"] for a in normal)
    skeleton = mean(a["stats"]["skeleton"]["decode_tokens"] for a in answers)
    longest = mean(a["stats"]["longest_expansion"] for a in answers)
    points = mean(a["stats"]["n_points"] for a in answers)
    print(f"\nMean tokens a question: normal answer {plain:.0f}, skeleton {skeleton:.0f}, "
          f"longest of {points:.1f} expansions {longest:.0f}; normal ÷ (skeleton + longest) = "
          f"{plain / (skeleton + longest):.2f}.")


def report_router(sot, lists, jobs):
    """The prompting router's first letter: A for lists, anything else for the others."""
    lines = (FOLDER / "router_check.txt").read_text("utf-8").splitlines()
    others = [line.partition("|")[2].strip() for line in lines if not line.startswith("#")]
    prompt = json.loads((HERE / "prompts.json").read_text("utf-8"))["router"]
    for name, questions, suits in (("list-like questions that the router calls A", lists, True),
                                   ("other questions that it calls B or C", others, False)):
        answers = sot.ask_all("normal", [prompt.format(request=q) for q in questions], jobs)
        letters = [a["text"].strip()[:1] for a in answers]
        row(name, sum((letter == "A") == suits for letter in letters), len(letters))


def main():
    """Parse the command line, ask everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sot", default="build/examples/sot", help="the program")
    parser.add_argument("--model", type=Path, default=HERE / "demo.gguf")
    parser.add_argument("--questions", type=int, default=0, help="only the first N (0: all)")
    parser.add_argument("--seed", type=int, default=1, help="which phrasing each object gets")
    parser.add_argument("--jobs", type=int, default=1, help="questions asked at a time")
    parser.add_argument("--verbose", action="store_true", help="print every answer too")
    args = parser.parse_args()
    sot = Sot(args.sot, args.model)
    questions = heldout_questions(Material(), 1, args.seed)
    questions = questions[:args.questions or None]
    asked = [q["question"] for q in questions]
    answers = sot.ask_all("sot", asked, args.jobs)
    if args.verbose:
        for question, answer in zip(asked, answers):
            print(f"> {question}\n{answer['text']}\n")
    print("| measure | result | share | goal |\n|---|---|---|---|")
    met = report_sot(questions, answers)
    normal = sot.ask_all("normal", asked, args.jobs)
    report_normal(questions, normal)
    report_router(sot, asked, args.jobs)
    report_lengths(answers, normal)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
