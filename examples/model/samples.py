"""Turns lines of the corpus into rows of tokens for the four kinds of samples, and for copying.

Owns the prompts (METHOD.md's wording from prompts.json inside the Vicuna template) and which
tokens the model is trained on. A row is a trunk with 0 or more branches, as model.py takes it.
"""
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece
import torch

PROMPTS = json.loads((Path(__file__).parent / "prompts.json").read_text("utf-8"))
ROLE_SWITCH = "[ROLESWITCHING assistant:]"
IGNORED = -100


def vicuna(template, **values):
    """The whole prompt string of one user turn, with the template's partial answer."""
    user, _, partial = template.partition(ROLE_SWITCH)
    filled = [part.format(**values) for part in (user, partial)]
    return f"USER: {filled[0]} ASSISTANT:{filled[1]}"


def skeleton_prompt(question):
    """Stage 1."""
    return vicuna(PROMPTS["skeleton"], request=question)


def point_prompt(question, outline, index, text):
    """Stage 2, for one point."""
    return vicuna(PROMPTS["point"], request=question, outline=outline, point=index,
                  point_outline=text)


def router_prompt(question):
    """The prompting router."""
    return vicuna(PROMPTS["router"], request=question)


def normal_prompt(question):
    """The question alone."""
    return vicuna("{request}", request=question)


def skeleton_text(points):
    """Skeleton of points [(text, expansion)] without its partial answer " 1."."""
    return "\n".join(f"{i}. {text}" for i, (text, _) in enumerate(points, 1))[2:]


def normal_answer(line):
    """What the model should say to the bare question."""
    if "points" not in line:
        return line["answer"]
    return " " + "\n".join(f"{i}. {text} {expansion}"
                           for i, (text, expansion) in enumerate(line["points"], 1))


class Tokenizer:
    """SentencePiece with what training adds: BOS, EOS and exact splits."""

    def __init__(self, path):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def prompt(self, text):
        """BOS and the tokens of a prompt."""
        return [self.pieces.bos_id()] + self.pieces.encode(text)

    def answered(self, prompt, answer):
        """Tokens of a prompt and of an answer with EOS, so that together they are the text's."""
        whole, head = self.prompt(prompt + answer), self.prompt(prompt)
        assert whole[:len(head)] == head, f"the split of {prompt[-30:]!r} is not a token border"
        return head, whole[len(head):] + [self.pieces.eos_id()]


@dataclass
class Row:
    """Tokens behind the kind's constant beginning; target is IGNORED where nothing is learnt."""

    tokens: list = field(default_factory=list)
    target: list = field(default_factory=list)
    branch: list = field(default_factory=list)

    def add(self, branch, prompt, answer):
        """Append prompt and answer; each answer token is the target of the token before it."""
        tokens = prompt + answer
        self.tokens += tokens[:-1]
        self.branch += [branch] * (len(tokens) - 1)
        self.target += [IGNORED] * (len(prompt) - 1) + answer


class Sampler:
    """Makes the rows of each kind; `start` holds each kind's constant beginning."""

    KINDS = ("skeleton", "point", "normal", "router", "copy")

    def __init__(self, tokenizer, branches=3):
        self.tokenizer, self.branches = tokenizer, branches
        beginning = {"skeleton": PROMPTS["skeleton"], "point": PROMPTS["point"],
                     "normal": "{request}", "router": PROMPTS["router"]}
        self.start = {
            kind: tokenizer.prompt(("USER: " + text.partition("{request}")[0]).rstrip(" "))
            for kind, text in beginning.items()}
        self.start["copy"] = [tokenizer.pieces.bos_id()]

    def cut(self, kind, tokens):
        """The tokens behind the constant beginning."""
        start = self.start[kind]
        assert tokens[:len(start)] == start, f"the beginning of {kind} is not a token border"
        return tokens[len(start):]

    def simple(self, kind, prompt, answer):
        """A row without branches."""
        head, tail = self.tokenizer.answered(prompt, answer)
        row = Row()
        row.add(0, self.cut(kind, head), tail)
        return row

    def row(self, kind, line, rng):
        """The row of one corpus line, or None where the kind does not apply."""
        if kind == "copy":
            return self.copy_row(rng)
        question = line["question"]
        if kind == "router":
            return self.simple(kind, router_prompt(question), " " + line["route"])
        if kind == "normal":
            return self.simple(kind, normal_prompt(question), normal_answer(line))
        if "points" not in line:
            return None
        if kind == "skeleton":
            return self.simple(kind, skeleton_prompt(question), skeleton_text(line["points"]))
        return self.point_row(line, rng)

    def copy_row(self, rng):
        """Random pieces twice. Every answer copies the object's pieces from the question, and
        this teaches copying of any piece, early and densely."""
        n_pieces = self.tokenizer.pieces.get_piece_size()
        pieces = [rng.randrange(3, n_pieces) for _ in range(rng.randint(8, 40))]
        row = Row()
        row.add(0, pieces + pieces[:1], pieces[1:])
        return row

    def point_row(self, line, rng):
        """Several points of one question: the trunk ends before the point's number.

        The partial answer counts as learnt too. It is a copy of a line of the skeleton, and
        copying is what the model needs most.
        """
        question, points = line["question"], line["points"]
        outline = " 1." + skeleton_text(points)
        row, trunk = Row(), None
        chosen = sorted(rng.sample(range(len(points)), min(self.branches, len(points))))
        for branch, i in enumerate(chosen, 1):
            text, expansion = points[i]
            prompt = point_prompt(question, outline, i + 1, text)
            partial = f"{i + 1}. {text}"
            head, tail = self.tokenizer.answered(prompt.removesuffix(partial),
                                                 f"{partial} {expansion}")
            if trunk is None:
                trunk = self.tokenizer.prompt(prompt[:prompt.rindex(" of point ") + 9])
                row.add(0, self.cut("point", trunk) + [IGNORED], [])
            assert head[:len(trunk)] == trunk, "the trunk does not end at a token border"
            row.add(branch, head[len(trunk):], tail)
        return row

    def batch(self, rows):
        """Rows as padded tensors: tokens, target, branch."""
        length = max(len(row.tokens) for row in rows)

        def pad(name, filler):
            values = [getattr(row, name) for row in rows]
            return torch.tensor([v + [filler] * (length - len(v)) for v in values])

        return pad("tokens", 0), pad("target", IGNORED), pad("branch", -1)


class Batches:
    """An endless, shuffled stream of batches of one kind, each of rows of similar length."""

    def __init__(self, sampler, kind, lines, tokens_per_batch, seed):
        self.sampler, self.kind, self.lines = sampler, kind, lines
        self.tokens_per_batch, self.rng = tokens_per_batch, random.Random(f"{seed}{kind}")
        self.stream = self.rows()

    def rows(self):
        """Batches of rows, pool by pool."""
        while True:
            pool = []
            while len(pool) < 256:
                row = self.sampler.row(self.kind, self.rng.choice(self.lines), self.rng)
                if row:
                    pool.append(row)
            pool.sort(key=lambda row: len(row.tokens))
            batches = []
            while pool:
                take = max(1, self.tokens_per_batch // len(pool[-1].tokens))
                batches.append(pool[-take:])
                del pool[-take:]
            self.rng.shuffle(batches)
            yield from batches

    def next(self):
        """The next batch: constant beginning, tokens, target, branch."""
        return torch.tensor(self.sampler.start[self.kind]), *self.sampler.batch(next(self.stream))
