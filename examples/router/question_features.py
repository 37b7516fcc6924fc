"""A question as numbers, the way lib/sot/question_words.c and question_features.c read it.

Used by train.py to train and by the tests to say what the C library must compute. Standard library
only. A question is bytes, of any kind; every step is defined on bytes and on unsigned 32-bit
integers, so that both languages agree exactly. The steps are described in README.md.
"""
import re

MAX_BYTES = 16384  # of a question that are read
MAX_TOKENS = 4096  # that are made of them
MAX_TEXT = 400     # tokens that family W looks at
MAX_KEY = 60       # tokens of the key sentence that are looked at
FAMILIES = ("word", "key_start", "key_word", "key_pair", "key_class", "key_class_pair",
            "key_class_start", "shape")
SUFFIXES = (b"tion", b"ment", b"ness", b"ing", b"ity", b"ous", b"ful", b"ive", b"est", b"ed", b"ly",
            b"er", b"al", b"'s", b"ss", b"s")
MARKS = b"`{}=;<>|\\_"
SPACES = b" \t\n\v\f\r"
TOKEN = re.compile(rb"[a-z\x80-\xff]+(?:['-][a-z\x80-\xff]+)*|[0-9]+|[^ \t\n\v\f\r]")


def text_hash(data):
    """FNV-1a, 32 bits."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def mix(value, part):
    value = ((value ^ part) * 0x85EBCA6B) & 0xFFFFFFFF
    return value ^ (value >> 13)


def feature(family, *parts):
    value = mix(0x9E3779B9, family)
    for part in parts:
        value = mix(value, part)
    return value


def half_octave(x):
    """Two bins for each doubling: 0, 1, 2, 3, 4 (4 and 5), 5 (6 and 7), 6 (8 to 11), ..."""
    if x < 2:
        return x
    top = x.bit_length() - 1
    return 2 * top + ((x >> (top - 1)) & 1)


class Lexicon:
    """Word classes. A line of the file: CLASS[!]: WORD...; '!' marks the classes of a request."""

    def __init__(self, lines):
        self.names, self.masks, self.requests = [], {}, 0
        for line in lines:
            line = line.split("#")[0].strip()
            if not line:
                continue
            name, words = line.split(":", 1)
            bit = 1 << len(self.names)
            if name.endswith("!"):
                self.requests |= bit
            self.names.append(name.rstrip("!"))
            for word in words.split():
                value = text_hash(word.encode())
                self.masks[value] = self.masks.get(value, 0) | bit
        self.symbols = [text_hash(b"@" + name.encode()) for name in self.names]
        assert len(self.names) <= 64


def suffix_symbol(word):
    for suffix in SUFFIXES:
        if len(word) > len(suffix) + 2 and word.endswith(suffix):
            return text_hash(b"-" + suffix)
    return text_hash(b"-")


class Words:
    """Tokens, sentences and the key sentence of a question."""

    def __init__(self, question, lexicon):
        self.raw = question[:MAX_BYTES]
        text = bytes(c + 32 if 65 <= c <= 90 else c for c in self.raw)
        for quote, plain in ((b"\xe2\x80\x98", b"'"), (b"\xe2\x80\x99", b"'"),
                             (b"\xe2\x80\x9c", b'"'), (b"\xe2\x80\x9d", b'"')):
            text = text.replace(quote, plain)
        self.hashes, self.masks, self.symbols = [], [], []
        starts, asking, end, previous = [], [], 0, b""
        for match in TOKEN.finditer(text):
            if len(self.hashes) == MAX_TOKENS:
                break
            token, gap = match.group(), text[end:match.start()]
            if not starts or b"\n" in gap or (gap and previous in (b".", b"?", b"!")):
                starts.append(len(self.hashes))
                asking.append(False)
            asking[-1] |= token == b"?"
            digit = token[:1].isdigit()
            value = text_hash(b"0" if digit else token)
            mask = lexicon.masks.get(value, 0)
            if mask:
                symbol = lexicon.symbols[(mask & -mask).bit_length() - 1]
            elif 97 <= token[0] <= 122 or token[0] >= 128:
                symbol = suffix_symbol(token)
            else:
                symbol = value
            self.hashes.append(value)
            self.masks.append(mask)
            self.symbols.append(symbol)
            end, previous = match.end(), token
        self.n_sentences = len(starts)
        ends = starts[1:] + [len(self.hashes)]
        key = 0
        questions = [i for i, asks in enumerate(asking) if asks]
        if questions:
            key = questions[-1]
        else:
            for i, start in enumerate(starts):
                first_two = self.masks[start:min(start + 2, ends[i])]
                if any(mask & lexicon.requests for mask in first_two):
                    key = i
                    break
        self.key_is_first = key == 0
        self.key = slice(0, 0)
        if starts:
            self.key = slice(starts[key], min(ends[key], starts[key] + MAX_KEY))
        self.ends_asking = bool(self.hashes) and self.hashes[-1] == text_hash(b"?")


def shape(words):
    raw = words.raw
    count = lambda members: sum(byte in members for byte in raw)
    n_key = words.key.stop - words.key.start
    return (half_octave(len(raw)), half_octave(len(words.hashes)), min(n_key // 3, 15),
            min(words.n_sentences, 8), min(count(b"?"), 3), min(count(b"\n"), 4),
            half_octave(count(MARKS)), min(count(b"$^"), 3), half_octave(count(b"0123456789")),
            half_octave(sum(65 <= byte <= 90 for byte in raw[1:])), min(count(b'"'), 3),
            int(words.ends_asking), int(words.key_is_first))


def families(question, lexicon):
    """One set of 32-bit features for each of FAMILIES."""
    words = Words(question, lexicon)
    key = words.hashes[words.key]
    symbols = words.symbols[words.key]
    classes = set()
    for mask, symbol in zip(words.masks[words.key], symbols):
        if not mask:
            classes.add(symbol)
        for i, name in enumerate(lexicon.symbols):
            if mask >> i & 1:
                classes.add(name)
    return ({feature(0, h) for h in words.hashes[:MAX_TEXT]},
            {feature(1, n, *key[:n]) for n in range(1, min(4, len(key)) + 1)},
            {feature(2, h) for h in key},
            {feature(3, a, b) for a, b in zip(key, key[1:])},
            {feature(4, c) for c in classes},
            {feature(5, a, b) for a, b in zip(symbols, symbols[1:])},
            {feature(6, n, *symbols[:n]) for n in range(1, min(5, len(symbols)) + 1)},
            {feature(7, i, value) for i, value in enumerate(shape(words))})
