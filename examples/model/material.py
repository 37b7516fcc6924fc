"""Reads the folder material/ and makes objects, questions and answers from it.

Owns the text formats (described at the top of each file there) and the choice of points. What is
drawn how often is make_corpus.py's business. Start at Material.answer.
"""
import random
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "material"
COUNTABLE = ("thing", "event")
GROUP = re.compile(r"^\[(\w+) (\w+)\]$", re.M)


@dataclass(frozen=True)
class Object:
    """What a question is about: its name and the tags that points and phrasings ask for."""

    name: str
    category: str
    trait: str

    @property
    def tags(self):
        """Both tags, as a set."""
        return {self.category, self.trait}

    def forms(self, suffix=""):
        """The placeholders that this object fills; suffix "2" for the second of a pair."""
        countable = self.category in COUNTABLE
        article = "an " if self.name[:1].lower() in tuple("aeiou") else "a "
        form = {"o": self.name, "a": article * countable + self.name,
                "the": "the " * countable + self.name}
        form.update({key.capitalize(): capital(value) for key, value in form.items()})
        return {key + suffix: value for key, value in form.items()}


@dataclass(frozen=True)
class Phrasing:
    """One way to ask: for which tags, and which points it admits (a beginning, or "")."""

    tags: frozenset
    text: str
    only: str


@dataclass(frozen=True)
class Point:
    """A skeleton point with its expansions, each with the tags that it needs (none: any)."""

    tags: frozenset
    text: str
    expansions: tuple


def capital(text):
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def score(*parts):
    """A number in [0, 1) that depends on the parts alone, the same on every machine."""
    return zlib.crc32("|".join(parts).encode()) / 2**32


def read_groups(name):
    """A file of objects.txt's format as {(first tag, second tag): [names]}."""
    text = re.sub(r"^#.*\n", "", (FOLDER / name).read_text("utf-8"), flags=re.M)
    pieces = GROUP.split(text)
    return {(a, b): [n.strip() for n in body.replace("\n", " ").split(",") if n.strip()]
            for a, b, body in zip(pieces[1::3], pieces[2::3], pieces[3::3])}


def read_objects(name):
    """The objects of a file."""
    return [Object(n, category, trait)
            for (category, trait), names in read_groups(name).items() for n in names]


def split_tags(text):
    """The tags and the rest of "@a,b text", "text @a,b" or "text"."""
    words = text.split()
    tags = [w for w in words if w.startswith("@")]
    found = frozenset(t for w in tags for t in w[1:].split(","))
    return found, " ".join(w for w in words if not w.startswith("@"))


def read_intents(name):
    """The intents of a file as {intent: ([Phrasing], [Point])}."""
    intents, points, phrasings = {}, None, None
    for line in (FOLDER / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            phrasings, points = [], []
            intents[line[1:-1]] = (phrasings, points)
        elif line.startswith("?"):
            tags, text, *only = (part.strip() for part in line[1:].split("|"))
            phrasings.append(Phrasing(frozenset(tags.split(",")), text, "".join(only)))
        elif line.startswith("*"):
            points.append(Point(*split_tags(line[1:]), ()))
        elif line.startswith("-"):
            last = points[-1]
            points[-1] = Point(last.tags, last.text,
                               last.expansions + (split_tags(line[1:]),))
    return intents


class Material:
    """Everything that is written, ready to be combined."""

    def __init__(self):
        self.intents = {}
        for name in ("advice.txt", "plans.txt", "views.txt"):
            self.intents.update(read_intents(name))
        self.objects = read_objects("objects.txt")
        self.heldout = read_objects("heldout.txt")
        self.compose = read_groups("compose.txt")
        self.banned = {w for o in self.heldout for w in words_of(o.name)}
        self.words = sorted({w for _, points in self.intents.values() for p in points
                             for _, text in p.expansions for w in words_of(text)
                             if len(w) > 2} - self.banned)

    def phrasings(self, thing):
        """All (intent, phrasing) that suit an object."""
        return [(intent, p) for intent, (phrasings, _) in self.intents.items()
                for p in phrasings if p.tags & thing.tags]

    def question(self, phrasing, thing, other):
        """The phrasing with its placeholders filled."""
        return capital(phrasing.text.format(**thing.forms(), **other.forms("2")))

    def answer(self, rng, intent, phrasing, thing, other):
        """3 to 8 points as [(skeleton point, expansion)], in the order of the material.

        Which points and how many follows mostly from the phrasing and the object's trait, so that
        it can be learnt, and a little from chance.
        """
        forms = {**thing.forms(), **other.forms("2")}
        able = [p for p in self.intents[intent][1]
                if (not p.tags or p.tags & thing.tags) and p.text.startswith(phrasing.only)]
        rank = {p.text: score(phrasing.text, p.text) + score(thing.trait, p.text)
                + 0.2 * rng.random() for p in able}
        count = 3 + int(6 * score(phrasing.text, "count")) + rng.choice((-1, 0, 0, 0, 1))
        count = min(max(count, 3), 8, len(able))
        chosen = sorted(able, key=lambda p: -rank[p.text])[:count]
        return [(p.text, self.expansion(rng, p, thing).format(**forms))
                for p in able if p in chosen]

    @staticmethod
    def expansion(rng, point, thing):
        """One of the point's expansions that suit the object."""
        return rng.choice([t for tags, t in point.expansions if not tags or tags & thing.tags])


def words_of(text):
    """The words of a text in lower case."""
    return re.findall(r"[^\W\d_]+", text.lower())


class ObjectMaker:
    """Draws objects for training: as written, with a modifier, or invented.

    Invented names teach the model to copy whatever stands in the object's place.
    """

    def __init__(self, material):
        self.material = material

    def draw(self, rng, category=None, trait=None):
        """An object, of the category and trait when they are given."""
        while True:
            base = rng.choice(self.material.objects)
            if category and (base.category, base.trait) != (category, trait):
                continue
            kind = rng.choices(("real", "modified", "syllables", "word", "letters"),
                               (40, 20, 17, 15, 8))[0]
            name = getattr(self, kind)(rng, base)
            if not self.material.banned & set(words_of(name)):
                return Object(name, base.category, base.trait)

    @staticmethod
    def real(_rng, base):
        """The object itself."""
        return base.name

    def modified(self, rng, base):
        """With an adjective: "folding tent"."""
        name = base.name.removeprefix("the ").removeprefix("a ")
        return f"{rng.choice(self.material.compose[base.category, 'before'])} {name}"

    def syllables(self, rng, base):
        """Invented from syllables, alone or before the object's last word."""
        parts = self.material.compose["invent", "syllables"]
        word = "".join(rng.choices(parts, k=rng.choice((1, 2, 2, 3))))
        if base.category == "place" or rng.random() < 0.6:
            word += rng.choice(self.material.compose["invent", base.category])
            return self.place_or(rng, base, word)
        return f"{word} {base.name.split()[-1]}"

    def word(self, rng, base):
        """One to three words that mean something else."""
        chosen = rng.choices(self.material.words, k=rng.choice((1, 1, 2, 2, 3)))
        return self.place_or(rng, base, " ".join(chosen))

    def letters(self, rng, base):
        """A word of random letters that can be spoken, now and then with an accent."""
        word = "".join(rng.choice("bcdfghjklmnpqrstvwxyz") + rng.choice("aeiou" * 4 + "yéöüñ")
                       + rng.choice(("", "", "l", "n", "r", "s", "t", "ck", "m"))
                       for _ in range(rng.choice((2, 2, 3))))
        return self.place_or(rng, base, word)

    @staticmethod
    def place_or(rng, base, name):
        """Places in capitals, and sometimes other names too."""
        return name.title() if base.category == "place" or rng.random() < 0.1 else name
