"""Writes the binary seeds of the fuzz targets, and those that have a byte between their parts, into
tests/fuzz/corpus/. The others are texts, written by hand.

Needs Python 3.9 alone. Usage: python3 tests/fuzz/make_seeds.py

Models are of the smallest shapes that have everything: grouped heads, tied and untied outputs,
every type of weight, with and without a tokenizer. Their weights follow a fixed pattern.
"""
import json
import pathlib
import struct

FOLDER = pathlib.Path(__file__).parent / "corpus"
SHAPE = dict(n_layer=1, n_head=2, n_kv=1, d_head=2, d_model=4, d_ff=3)
GGML_TYPES = {"F32": 0, "F16": 1, "BF16": 30}
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, FLOAT64 = 4, 5, 6, 7, 8, 9, 10, 12
# Text, score, SentencePiece's type: unknown 2, control 3, user-defined 4, unused 5, byte 6.
PIECES = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("\u2581", -3, 1), ("a", -4, 1),
          ("b", -5, 1), ("ab", -1, 1), ("\u2581a", -2, 1), (".", -6, 1), ("1", -7, 1),
          ("2", -8, 1), ("<x>", 0, 4), ("zz", -9, 5)]
BYTES = [("<0x%02X>" % i, 0, 6) for i in range(256)]


def put(target, name, data):
    path = FOLDER / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tensors(shape, n_vocab, tied):
    """(Hugging Face's name, GGUF's name, dimensions, rows first)"""
    d, n_kv = shape["d_model"], shape["n_kv"] * shape["d_head"]
    n_q = shape["n_head"] * shape["d_head"]
    yield "model.embed_tokens", "token_embd", (n_vocab, d)
    for i in range(shape["n_layer"]):
        for name, gguf, dims in (
                ("input_layernorm", "attn_norm", (d,)), ("self_attn.q_proj", "attn_q", (n_q, d)),
                ("self_attn.k_proj", "attn_k", (n_kv, d)), ("self_attn.v_proj", "attn_v", (n_kv, d)),
                ("self_attn.o_proj", "attn_output", (d, n_q)),
                ("post_attention_layernorm", "ffn_norm", (d,)),
                ("mlp.gate_proj", "ffn_gate", (shape["d_ff"], d)),
                ("mlp.up_proj", "ffn_up", (shape["d_ff"], d)),
                ("mlp.down_proj", "ffn_down", (d, shape["d_ff"]))):
            yield f"model.layers.{i}.{name}", f"blk.{i}.{gguf}", dims
    yield "model.norm", "output_norm", (d,)
    if not tied:
        yield "lm_head", "output", (n_vocab, d)


def weights(dims, kind):
    n = 1
    for dim in dims:
        n *= dim
    values = [((7 * i + 3 * n) % 13 - 6) / 8 for i in range(n)]
    if kind == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{n}{'f' if kind == 'F32' else 'e'}", *values)


# ---- GGUF ----

def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?", UINT64: "<Q",
                        FLOAT64: "<d"}[kind], value)


def pair(key, kind, value):
    if isinstance(value, list):
        items = b"".join(scalar(kind, item) for item in value)
        return text(key) + struct.pack("<IIQ", ARRAY, kind, len(value)) + items
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def gguf_tokenizer(pieces, **options):
    pairs = [pair("tokenizer.ggml.model", STRING, "llama"),
             pair("tokenizer.ggml.tokens", STRING, [piece[0] for piece in pieces]),
             pair("tokenizer.ggml.scores", FLOAT32, [piece[1] for piece in pieces]),
             pair("tokenizer.ggml.token_type", INT32, [piece[2] for piece in pieces])]
    return pairs + [pair("tokenizer.ggml." + key, *value) for key, value in options.items()]


def gguf(pairs, n_vocab, tied=False, matrix="F16", norm="F32", alignment=32, version=3,
         context=64, shape=None):
    shape = shape or SHAPE
    head = [pair("general.architecture", STRING, "llama"),
            pair("llama.context_length", UINT32, context),
            pair("llama.embedding_length", UINT32, shape["d_model"]),
            pair("llama.block_count", UINT32, shape["n_layer"]),
            pair("llama.feed_forward_length", UINT32, shape["d_ff"]),
            pair("llama.attention.head_count", UINT32, shape["n_head"]),
            pair("llama.attention.head_count_kv", UINT64, shape["n_kv"]),
            pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5)]
    if shape["d_head"] * shape["n_head"] != shape["d_model"]:
        head.append(pair("llama.attention.key_length", UINT32, shape["d_head"]))
    if alignment != 32:
        head.append(pair("general.alignment", UINT32, alignment))
    head += pairs
    entries, data = [], b""
    for _, name, dims in tensors(shape, n_vocab, tied):
        kind = norm if len(dims) == 1 else matrix
        data += bytes(-len(data) % alignment)
        entries.append(text(name + ".weight") + struct.pack("<I", len(dims)) +
                       b"".join(struct.pack("<Q", dim) for dim in reversed(dims)) +
                       struct.pack("<IQ", GGML_TYPES[kind], len(data)))
        data += weights(dims, kind)
    file = b"GGUF" + struct.pack("<IQQ", version, len(entries), len(head))
    file += b"".join(head) + b"".join(entries)
    return file + bytes(-len(file) % alignment) + data


def make_gguf():
    put("fuzz_gguf", "bare.gguf", gguf([pair("llama.vocab_size", UINT32, 5)], 5, context=17))
    put("fuzz_gguf", "tokenizer.gguf", gguf(
        gguf_tokenizer(PIECES, bos_token_id=(UINT32, 1), eos_token_id=(UINT32, 2),
                       add_space_prefix=(BOOL, False)) +
        [pair("general.name", STRING, "Vicuna"), pair("sot.unknown_surface", STRING, "?")],
        len(PIECES), tied=True, matrix="BF16", norm="BF16", alignment=8))
    put("fuzz_gguf", "padded.gguf", gguf(
        gguf_tokenizer(PIECES[:5], unknown_token_id=(UINT32, 0),
                       remove_extra_whitespaces=(BOOL, True)) +
        [pair("llama.vocab_size", UINT32, 7), pair("sot.conversation", STRING, "llama2-chat"),
         pair("llama.rope.scaling.type", STRING, "linear"),
         pair("llama.rope.scaling.factor", FLOAT64, 2.0),
         pair("llama.rope.freq_base", FLOAT32, 1e4),
         pair("llama.rope.dimension_count", UINT32, 6)],
        7, matrix="F32", version=2, alignment=1,
        shape=dict(n_layer=2, n_head=1, n_kv=1, d_head=6, d_model=3, d_ff=1)))


# ---- Safetensors and the rest of the folder ----

def config(n_vocab, tied, **more):
    return json.dumps(dict(
        model_type="llama", hidden_size=SHAPE["d_model"], intermediate_size=SHAPE["d_ff"],
        num_hidden_layers=SHAPE["n_layer"], num_attention_heads=SHAPE["n_head"],
        num_key_value_heads=SHAPE["n_kv"], head_dim=SHAPE["d_head"], rms_norm_eps=1e-5,
        vocab_size=n_vocab, tie_word_embeddings=tied, **more)).encode()


def header(n_vocab, tied, kind):
    """The header and, behind it, the data."""
    entries, data = {}, b""
    for name, _, dims in tensors(SHAPE, n_vocab, tied):
        begin = len(data)
        data += weights(dims, kind)
        entries[name + ".weight"] = dict(dtype=kind, shape=list(dims),
                                         data_offsets=[begin, len(data)])
    return json.dumps(entries, separators=(",", ":")).encode(), data


def make_safetensors():
    def folder(name, config_json, added, head):
        put("fuzz_safetensors", name, b"\xff".join((config_json, added) + head))

    folder("plain", config(5, False, architectures=["LlamaForCausalLM"], rope_theta=1e4,
                           max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
                           hidden_act="silu", attention_bias=False), b"", header(5, False, "F16"))
    folder("added", config(9, True, rope_parameters={"rope_type": "linear", "factor": 2.0}),
           json.dumps({"<pad>": 7, "a": 1, "<sep>": 6}).encode(), header(9, True, "BF16"))
    folder("scaled", config(6, True, rope_scaling={"type": "default"}, _name_or_path="vicuna"),
           b"{}", header(6, True, "F32"))


def make_index():
    names = [name + ".weight" for name, _, _ in tensors(dict(SHAPE, n_kv=2), 5, True)]
    files = ["a.safetensors", "b.safetensors"]
    right = {name: files[i % 2] for i, name in enumerate(names)}
    for name, weight_map in (
            ("right", right), ("elsewhere", dict(right, x="../a.safetensors")),
            ("twice", dict(right, **{names[2]: "c.safetensors"})),
            ("missing", {names[0]: "d.safetensors"})):
        root = {"metadata": {"total_size": 1}, "weight_map": weight_map}
        put("fuzz_index", name, json.dumps(root, separators=(",", ":")).encode())


# ---- Tokenizers ----

def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def model_proto(pieces, trainer, normalizer):
    file = b"".join(field(1, field(1, piece.encode()) + field(2, float(score)) + field(3, kind))
                    for piece, score, kind in pieces)
    return file + field(2, trainer) + field(3, normalizer)


def make_tokenizer_models():
    put("fuzz_tokenizer_model", "plain",
        model_proto(PIECES, field(3, 2) + field(44, " ? ".encode()), field(3, 1) + field(4, 0)))
    put("fuzz_tokenizer_model", "bytes",
        model_proto(PIECES[:3] + BYTES + PIECES[3:],
                    field(3, 2) + field(35, 1) + field(40, 0) + field(46, b"<s>"),
                    field(1, b"identity") + field(3, 0) + field(4, 1) + field(5, 1)))


def make_texts():
    """fuzz_tokenizer: options; pieces as type and score, length, text; 0, 0; the text."""
    pieces = b"".join(bytes([kind << 4 | score]) + bytes([len(piece.encode())]) + piece.encode()
                      for piece, kind, score in (("ab", 0, 9), ("abc", 1, 12), ("<x>", 3, 8),
                                                 ("<c>", 4, 8), ("\u2581a", 0, 11), ("bb", 2, 8)))
    for options in (*range(8), 8, 15):
        sample = "ab abc  <x>bb \u00e9<c>\u2581a\U0001f600 "
        put("fuzz_tokenizer", f"options-{options}",
            bytes([options]) + pieces + b"\0\0" + sample.encode() + b"\xff\xc3")
    put("fuzz_tokenizer", "long", b"\1" + pieces + b"\0\0" + b"abc ab " * 610)


def fnv1a(value):
    number = 0x811C9DC5
    for byte in value.encode():
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return number


def make_router():
    """fuzz_router: the question's length, the question, a file as lib/sot/router_file.h says; the
    target puts its size and checksum right."""
    words = sorted((fnv1a(word), mask) for word, mask in (
        ("tips", 1), ("write", 2), ("poem", 4 | 2), ("how", 8)))
    for name, question in (("tips", "Give me 5 tips: how do I write\na poem?"),
                           ("request", "Write it. Don\u2019t ask \u201cwhy\u201d, \u4ec0\u4e48 (x^2)!")):
        file = b"SOTROUTR" + struct.pack("<IIIIIQff8f", 1, 0, 4, len(words), 3, 2, 0.25, 0.5,
                                         *[1 / (i + 1) for i in range(8)])
        file += b"".join(struct.pack("<I", fnv1a(symbol))
                         for symbol in ("@advice", "@compose", "@genre", "@how"))
        file += b"".join(struct.pack("<IQ", *word) for word in words)
        file += struct.pack("<IfIfIf", 3, 0.5, 70, -0.5, 0xFFFFFFF0, 2.0) + bytes(4)
        put("fuzz_router", name, bytes([len(question.encode())]) + question.encode() + file)


if __name__ == "__main__":
    make_gguf()
    make_safetensors()
    make_index()
    make_tokenizer_models()
    make_texts()
    make_router()
