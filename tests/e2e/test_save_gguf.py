"""The file that sot_model_save writes, read by a parser written from the format's documentation
(docs/gguf.md of github.com/ggml-org/ggml), against the Hugging Face folder that the model came
from: header, metadata, every tensor's place, shape and bytes, the order of query and key rows.

Needs Python's standard library alone."""
import ctypes
import json
import os
import struct
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("SOT_BUILD_DIR", os.path.join(ROOT, "build"))
DATA = os.path.join(ROOT, "tests", "golden", "data")
# struct's letters for the documented types of values: uint8 0 ... float64 12; 8 is string, 9 array.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
           12: "d"}
F32, F16 = 0, 1


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, letter):
        value, = struct.unpack_from("<" + letter, self.data, self.at)
        self.at += struct.calcsize("<" + letter)
        return value

    def string(self):
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            item, n = self.number("I"), self.number("Q")
            return [self.value(item) for _ in range(n)]
        return self.number(NUMBERS[kind])


def read_gguf(path):
    with open(path, "rb") as file:
        reader = Reader(file.read())
    assert reader.data[:4] == b"GGUF"
    reader.at = 4
    assert reader.number("I") == 3
    n_tensors, n_pairs = reader.number("Q"), reader.number("Q")
    pairs = {}
    for _ in range(n_pairs):
        key = reader.string()
        assert key not in pairs, key
        pairs[key] = reader.value(reader.number("I"))
    entries = []
    for _ in range(n_tensors):
        name, n_dims = reader.string(), reader.number("I")
        dims = [reader.number("Q") for _ in range(n_dims)]
        entries.append((name, dims, reader.number("I"), reader.number("Q")))
    alignment = pairs.get("general.alignment", 32)
    start = (reader.at + alignment - 1) // alignment * alignment
    assert not any(reader.data[reader.at:start])
    tensors, end = {}, 0
    for name, dims, kind, offset in entries:
        assert offset % alignment == 0 and offset == (end + alignment - 1) // alignment * alignment
        size = {F32: 4, F16: 2}[kind]
        for n in dims:
            size *= n
        end = offset + size
        assert name not in tensors
        tensors[name] = (dims[::-1], kind, reader.data[start + offset:start + end])
        assert len(tensors[name][2]) == size, name
    assert len(reader.data) == start + (end + alignment - 1) // alignment * alignment
    return pairs, tensors


def read_safetensors(folder):
    """Every tensor of the folder as (shape, type, bytes)."""
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        size, = struct.unpack_from("<Q", data)
        header = json.loads(data[8:8 + size])
        header.pop("__metadata__", None)
        for key, entry in header.items():
            first, last = (8 + size + offset for offset in entry["data_offsets"])
            tensors[key] = (entry["shape"], entry["dtype"], data[first:last])
    return tensors


def interleave(data, n_heads, n_rows):
    """Rows of each head from the order first half, second half to one of each in turn."""
    row = len(data) // n_rows
    rows = [data[i * row:(i + 1) * row] for i in range(n_rows)]
    half = n_rows // n_heads // 2
    return b"".join(rows[2 * half * head + i + half * part]
                    for head in range(n_heads) for i in range(half) for part in range(2))


NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    fixed = {"model.embed_tokens.weight": "token_embd.weight",
             "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in fixed:
        return fixed[name]
    i_layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    return f"blk.{i_layer}.{NAMES[part]}.weight"


def to_floats(data, kind):
    if kind == "F32":
        return struct.unpack(f"<{len(data) // 4}f", data)
    return struct.unpack(f"<{len(data) // 2}e", data)


def check_against_folder(folder, path):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    pairs, tensors = read_gguf(path)
    n_head = config["num_attention_heads"]
    n_kv = config.get("num_key_value_heads", n_head)
    d_head = config.get("head_dim") or config["hidden_size"] // n_head
    expected = {"general.architecture": "llama", "general.file_type": 1, "general.alignment": 32,
                "llama.block_count": config["num_hidden_layers"],
                "llama.context_length": config["max_position_embeddings"],
                "llama.embedding_length": config["hidden_size"],
                "llama.feed_forward_length": config["intermediate_size"],
                "llama.attention.head_count": n_head, "llama.attention.head_count_kv": n_kv,
                "llama.rope.dimension_count": d_head, "llama.attention.key_length": d_head}
    for key, value in expected.items():
        assert pairs[key] == value, (key, pairs[key], value)
    single = struct.unpack("<f", struct.pack("<f", config["rms_norm_eps"]))[0]
    assert pairs["llama.attention.layer_norm_rms_epsilon"] == single
    source = read_safetensors(folder)
    if config.get("tie_word_embeddings"):
        source.pop("lm_head.weight", None)
    assert sorted(tensors) == sorted(gguf_name(name) for name in source)
    for name, (shape, kind, data) in source.items():
        written_shape, written_kind, written = tensors[gguf_name(name)]
        assert written_shape == shape, name
        if len(shape) == 1:
            assert written_kind == F32 and to_floats(written, "F32") == to_floats(data, kind), name
            continue
        if kind == "F32":
            data = struct.pack(f"<{len(data) // 4}e", *to_floats(data, kind))
        heads = {"q_proj": n_head, "k_proj": n_kv}.get(name.split(".")[-2])
        if heads:
            data = interleave(data, heads, shape[0])
        assert written_kind == F16 and written == data, name
    return len(tensors)


def check_random(path, n_vocab):
    pairs, tensors = read_gguf(path)
    tokens = pairs["tokenizer.ggml.tokens"]
    assert pairs["tokenizer.ggml.model"] == "llama"
    assert len(tokens) == len(set(tokens)) == n_vocab  # llama.cpp refuses a piece twice
    assert len(pairs["tokenizer.ggml.scores"]) == len(pairs["tokenizer.ggml.token_type"]) == n_vocab
    assert tokens[3] == "<0x00>" and tokens[258] == "<0xFF>"
    assert pairs["tokenizer.ggml.token_type"][3:259] == [6] * 256
    assert pairs["tokenizer.ggml.bos_token_id"] == 1 and pairs["tokenizer.ggml.eos_token_id"] == 2
    assert tensors["output.weight"][0] == [n_vocab, 64]


def main():
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        if any(line.startswith("SOT_SANITIZE:") and line.strip()[-1] != "=" for line in file):
            print("SKIPPED: a sanitized library cannot be loaded into Python")
            return
    library = ctypes.CDLL(os.path.join(BUILD, "libsot.so"))
    library.sot_error_message.restype = ctypes.c_char_p

    def save(source, path):
        model = ctypes.c_void_p()
        status = library.sot_model_load(source.encode(), None, ctypes.byref(model))
        if status == 0:
            status = library.sot_model_save(model, path.encode(), None, None)
        if status != 0:
            sys.exit(library.sot_error_message().decode())
        library.sot_model_free(model)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "saved.gguf")
        n = 0
        for name in ("mha", "gqa-tied", "linear", "f32"):
            save(os.path.join(DATA, name, "hf"), path)
            n += check_against_folder(os.path.join(DATA, name, "hf"), path)
        save("random:64x2x4x96x1000", path)
        check_random(path, 1000)
        assert os.listdir(folder) == ["saved.gguf"]
    print(f"save: {n} tensors are as documented")


if __name__ == "__main__":
    main()
