"""Makes the *.model and *.golden files beside it; test_tokenizer_golden.c checks libsot by them.

    pip install sentencepiece==0.2.3 protobuf 'transformers<5'
    python make_tokenizer_golden.py PATH_OF_LLAMA_MODEL FOLDER_OF_QUESTIONS [--models]

The expected ids and texts come from the sentencepiece library, those of texts with control pieces
from Transformers' LlamaTokenizer in legacy mode. Only hashes are kept: the strings are generated
again by the test, from the same pseudo-random numbers, fragments.txt and the model's pieces.
The small models are trained anew only with --models (a new library may train another model).
"""
import glob
import io
import json
import os
import struct
import sys

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as model_pb2

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1
MARK = "\u2581"

# Ranges of code points that texts of one kind are drawn from; the test has the same table.
RANGES = [
    (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF),
    (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x2190, 0x22FF),
    (0x2500, 0x259F), (0x2600, 0x27BF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0xE000, 0xF8FF), (0xFE00, 0xFFFF), (0x10000, 0x103FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF),
    (0x20000, 0x2A6DF), (0xE0000, 0xE01EF), (0x100000, 0x10FFFF),
]
RUNS = [" ", "\n", "\t", "\r\n", "a", MARK, "\U0001F600", "ab", " a", "="]


class Random:
    """splitmix64"""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n


def code_point(rng, low, high):
    code = low + rng.below(high - low + 1)
    return chr(0xFFFD if 0xD800 <= code <= 0xDFFF else code).encode()


def make_unit(rng, kind, span, source):
    if kind == 0:
        return code_point(rng, 0, 0x10FFFF)
    if kind == 1:
        return code_point(rng, *RANGES[span])
    if kind == 2:
        return source.fragments[rng.below(len(source.fragments))]
    if kind == 3:
        return bytes([rng.below(256)])
    if kind == 4:  # a character cut short or with a wrong byte
        text = bytearray(code_point(rng, 0x80, 0x10FFFF))
        if rng.below(2):
            return bytes(text[: 1 + rng.below(len(text) - 1)])
        byte = rng.below(256)
        text[rng.below(len(text))] = byte
        return bytes(text)
    if kind == 5:
        run = RUNS[rng.below(len(RUNS))].encode()
        return run * (1 + rng.below(40))
    piece = source.pieces[rng.below(len(source.pieces))]
    return piece.replace(MARK.encode(), b" ") if rng.below(2) else piece


# Kinds of units that make up the eight kinds of strings.
MIXES = [[0, 1, 2, 3, 4, 5, 6], [0], [1], [3], [1, 2, 4], [2, 5], [6], [2]]


def make_string(i, source, long=False):
    rng = Random(i)
    kind = i % len(MIXES)
    span = rng.below(len(RANGES))
    text = b""
    for _ in range(3000 if long else rng.below(16)):
        unit = MIXES[kind][rng.below(len(MIXES[kind]))]
        text += make_unit(rng, unit, span, source)
        if kind == 0 or unit == 0:
            span = rng.below(len(RANGES))
        if kind == 7:
            text += b" "
    return text


def make_special_string(i, source):
    """Fragments and characters with control pieces between them, as valid UTF-8."""
    rng = Random((1 << 40) + i)
    text = b""
    for _ in range(rng.below(10)):
        choice = rng.below(4)
        if choice == 0:
            text += [b"<s>", b"</s>", b"</s><s>", b"<</s>>"][rng.below(4)]
        elif choice == 1:
            text += b" " * rng.below(3)
        else:
            text += make_unit(rng, choice - 1, rng.below(len(RANGES)), source)
    return text.replace(b"<unk>", b"?")  # to Transformers it is special, to libsot it is text


def make_ids(i, source):
    rng = Random((2 << 40) + i)
    ids = []
    n = len(source.pieces)
    for _ in range(rng.below(20)):
        kind = rng.below(4) if i % 4 == 3 else i % 4
        if kind == 1 and source.byte_ids:
            ids.append(source.byte_ids[rng.below(256)])
        elif kind == 2 and source.byte_ids:
            ids += [source.byte_ids[b] for b in code_point(rng, 0, 0x10FFFF)]
        elif kind == 3:
            ids.append(rng.below(4))
        else:
            ids.append(rng.below(n))
    return ids


def fnv(data, state=0xCBF29CE484222325):
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def fold(data):
    state = fnv(data)
    return (state ^ (state >> 32)) & 0xFFFFFFFF


def hash_ids(ids):
    return fold(struct.pack("<%di" % len(ids), *ids))


def unescape(line):
    out, i = "", 0
    while i < len(line):
        if line[i] != "\\":
            out += line[i]
            i += 1
        elif line[i + 1] == "u":
            out += chr(int(line[i + 2 : i + 6], 16))
            i += 6
        else:
            out += {"s": " ", "n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[line[i + 1]]
            i += 2
    return out.encode()


class Source:
    def __init__(self, sp):
        with open(os.path.join(HERE, "fragments.txt"), encoding="utf-8", newline="\n") as file:
            self.fragments = [unescape(line) for line in file.read().split("\n")[:-1]]
        n = sp.get_piece_size() if sp else 0
        self.pieces = [sp.id_to_piece(i).encode() for i in range(n)]
        self.byte_ids = [i for i in range(n) if sp.is_byte(i)]


def record(name, model, n_strings, n_long, n_sequences, questions=(), n_special=0):
    sp = spm.SentencePieceProcessor(model_file=model)
    source = Source(sp)
    texts = [make_string(i, source) for i in range(n_strings)]
    texts += [make_string(n_strings + i, source, long=True) for i in range(n_long)]
    inputs = fnv(b"")
    body = b""
    for i, text in enumerate(texts + list(questions)):
        if i < len(texts):
            inputs = fnv(struct.pack("<I", len(text)) + text, inputs)
        ids = sp.encode(text)
        body += struct.pack("<II", hash_ids(ids), fold(sp.decode(ids).encode()))
    for i in range(n_sequences):
        body += struct.pack("<I", fold(sp.decode(make_ids(i, source)).encode()))
    if n_special:
        from transformers import LlamaTokenizer

        slow = LlamaTokenizer(model, legacy=True)
        for i in range(n_special):
            text = make_special_string(i, source).decode()
            ids = slow.convert_tokens_to_ids(slow.tokenize(text))
            body += struct.pack("<I", hash_ids(ids))
    head = b"SOTTOK1\n" + struct.pack("<5IQ", n_strings, n_long, len(questions), n_sequences,
                                     n_special, inputs)
    with open(os.path.join(HERE, name + ".golden"), "wb") as file:
        file.write(head + body)
    print(name, sp.get_piece_size(), "pieces,", len(head + body), "bytes")


def train(name, **options):
    source = Source(None)
    rng = Random(7)
    lines = []
    for _ in range(4000):
        line = b"".join(source.fragments[rng.below(len(source.fragments))] for _ in range(8))
        lines += [part for part in line.decode().replace("\0", "").splitlines() if part]
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, model_type=options.pop("model_type", "bpe"),
        normalization_rule_name="identity", character_coverage=options.pop("coverage", 0.98),
        num_threads=1, minloglevel=2, **options)
    model = model_pb2.ModelProto.FromString(out.getvalue())
    model.trainer_spec.ClearField("input")
    return model


def save(name, model):
    with open(os.path.join(HERE, name + ".model"), "wb") as file:
        file.write(model.SerializeToString())


def train_all():
    like_llama = dict(byte_fallback=True, remove_extra_whitespaces=False, split_digits=True,
                      allow_whitespace_only_pieces=True)
    save("plain", train("plain", vocab_size=800, **like_llama))
    # User-defined pieces that overlap, contain each other, and begin or consist of spaces.
    save("symbols", train("symbols", vocab_size=700, remove_extra_whitespaces=False,
                          user_defined_symbols=["ab", "abc", "<sep>", MARK * 3, MARK + "question",
                                                "\U0001F600\U0001F600", "\u6f22", "aaaaa", "=="],
                          control_symbols=["<mask>", "[INST]"]))
    save("spaces", train("spaces", vocab_size=600, byte_fallback=True,
                         remove_extra_whitespaces=True, user_defined_symbols=[" - ", "  ", "ab"]))
    save("bare", train("bare", vocab_size=500, remove_extra_whitespaces=False,
                       add_dummy_prefix=False, split_by_whitespace=False, unk_surface="[?]",
                       bos_piece="<begin>", eos_id=-1))
    # What SentencePiece accepts although its trainer never writes it: unused pieces (they are taken
    # apart again), pieces that lead up to reserved ones, equal scores, -0.
    model = train("odd", vocab_size=800, **like_llama)
    kind = model_pb2.ModelProto.SentencePiece
    for i, piece in enumerate(model.pieces):
        if piece.type == kind.NORMAL:
            if i % 3 == 0:
                piece.type = kind.UNUSED
            piece.score = [-0.0, 0.0, -7.5, 1e30, -1e-40][i % 5] if i % 2 else piece.score
    for text in ["<", "s", ">", "<s", "s>", "<u", "<un", "<unk", "0x", "<0x", "41", "<0x41", "1>"]:
        if text not in [piece.piece for piece in model.pieces]:
            model.pieces.add(piece=text, score=5.0)
    save("odd", model)
    save("unigram", train("unigram", vocab_size=300, model_type="unigram",
                          remove_extra_whitespaces=False))


def main():
    llama, questions_folder = sys.argv[1:3]
    if "--models" in sys.argv:
        train_all()
    questions = []
    for path in sorted(glob.glob(os.path.join(questions_folder, "*.jsonl"))):
        with open(path, encoding="utf-8") as file:
            questions += [json.loads(line)["question"].encode() for line in file]
    record("llama", llama, 24000, 16, 6000, questions, 2000)
    for name in ["plain", "symbols", "spaces", "bare", "odd"]:
        record(name, os.path.join(HERE, name + ".model"), 2400, 8, 1200)


main()
