"""A GGUF file against the checkpoint that it was made from: every tensor, bit for bit.

libsot writes the file; it is read here by a reader of its own. The checkpoint's matrices are
compared as FP16, its vectors as FP32, and rows of query and key matrices in GGUF's rotary order,
where a head's pairs (i, i + d_head/2) lie as (2i, 2i + 1).
Format: docs/gguf.md of github.com/ggml-org/ggml
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Callable, NamedTuple

from .safetensors_file import compare_pieces, read_exactly
from .tensor import PIECE_BYTES, ConvertError, Tensor, as_f16, as_f32

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}
_TEXT, _ARRAY = 8, 9
_TYPES = {0: "F32", 1: "F16"}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_IN_LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class _Entry(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: str
    begin: int  # in the file


class _Reader:
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name

    def number(self, letter: str) -> Any:
        data = self._file.read(struct.calcsize("<" + letter))
        if len(data) < struct.calcsize("<" + letter):
            raise ConvertError(f"{self._name}: ends in its header")
        return struct.unpack("<" + letter, data)[0]

    def text(self) -> str:
        return bytes(read_exactly(self._file, self._name, self.number("Q"))).decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            item, n = self.number("I"), self.number("Q")
            return [self.value(item) for _ in range(n)]
        return self.number(_NUMBERS[kind])


def _read_entries(path: str) -> list[_Entry]:
    name = os.path.basename(path)
    with open(path, "rb") as file:
        reader = _Reader(file, name)
        if file.read(4) != b"GGUF" or reader.number("I") != 3:
            raise ConvertError(f"{name}: is no GGUF file of version 3")
        n_tensors, n_pairs = reader.number("Q"), reader.number("Q")
        pairs = {}
        for _ in range(n_pairs):
            key = reader.text()
            pairs[key] = reader.value(reader.number("I"))
        found = []
        for _ in range(n_tensors):
            tensor = reader.text()
            dims = [reader.number("Q") for _ in range(reader.number("I"))]
            found.append((tensor, tuple(dims[::-1]), reader.number("I"), reader.number("Q")))
        step = pairs.get("general.alignment", 32)
        start = -(-file.tell() // step) * step
    return [_Entry(tensor, shape, _TYPES.get(kind, str(kind)), start + offset)
            for tensor, shape, kind, offset in found]


def _checkpoint_name(name: str) -> str:
    """The checkpoint's name of one of GGUF's tensors."""
    parts = name.split(".")
    if len(parts) == 2 and parts[0] in _OUTSIDE:
        return f"{_OUTSIDE[parts[0]]}.{parts[1]}"
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _IN_LAYER:
        return f"model.layers.{parts[1]}.{_IN_LAYER[parts[2]]}.{parts[3]}"
    return name


def _interleave_heads(tensor: Tensor, n_heads: int) -> Iterator[memoryview]:
    """A matrix head by head, each head's rows from (first half, second half) to one of each in
    turn."""
    head_bytes = tensor.n_bytes // n_heads
    half = tensor.shape[0] // n_heads // 2
    row = head_bytes // (2 * half)
    rest = b""
    for piece in tensor.read(head_bytes):
        rest += piece
        while len(rest) >= head_bytes:
            rows = (rest[(i + part * half) * row:(i + part * half + 1) * row]
                    for i in range(half) for part in range(2))
            yield memoryview(b"".join(rows))
            rest = rest[head_bytes:]


def _pieces(entry: _Entry, tensor: Tensor, config: dict[str, Any]) -> Iterator[memoryview]:
    n_query = config["num_attention_heads"]
    n_key = config.get("num_key_value_heads") or n_query
    for part, n_heads in ((".attn_q.", n_query), (".attn_k.", n_key)):
        if part in entry.name:
            return _interleave_heads(tensor, n_heads)
    return tensor.read(PIECE_BYTES)


def _expected_names(config: dict[str, Any]) -> Iterator[str]:
    for name in _OUTSIDE.values():
        if name != "lm_head" or not config.get("tie_word_embeddings"):
            yield f"{name}.weight"
    for i_layer in range(config["num_hidden_layers"]):
        for name in _IN_LAYER.values():
            yield f"model.layers.{i_layer}.{name}.weight"


def check_names(folder: str, tensors: list[Tensor], config: dict[str, Any]) -> list[str]:
    """Raises unless these are a LLaMA's tensors, which libsot would find only later; returns the
    names of those that a GGUF file has no place for. (Output weights are one where they are the
    embedding.)"""
    if config.get("model_type") != "llama":
        raise ConvertError(f"{folder}: config.json: model_type is {config.get('model_type')!r:.80},"
                           " a GGUF file of libsot holds a 'llama'")
    if type(config.get("num_hidden_layers")) is not int:
        raise ConvertError(f"{folder}: config.json: num_hidden_layers is no integer")
    names = {tensor.name for tensor in tensors}
    used = set()
    for name in _expected_names(config):
        if name not in names:
            raise ConvertError(f"{folder}: tensor {name} is missing")
        used.add(name)
    unused = [tensor for tensor in tensors if tensor.name not in used]
    for tensor in unused:
        if tensor.name.endswith(".bias"):
            raise tensor.fail("biases are not supported")
    return [tensor.name for tensor in unused]


def compare_gguf(path: str, tensors: list[Tensor], config: dict[str, Any],
                 tick: Callable[[int], None]) -> None:
    """Raises unless the file holds exactly the given tensors. config is one that libsot read."""
    name = os.path.basename(path)
    left = {tensor.name: tensor for tensor in tensors}
    for entry in _read_entries(path):
        source = left.pop(_checkpoint_name(entry.name), None)
        if source is None:
            raise ConvertError(f"{name}: tensor {entry.name} is none of the checkpoint's")
        tensor = as_f16(source) if len(source.shape) == 2 else as_f32(source)
        if (entry.shape, entry.dtype) != (tensor.shape, tensor.dtype):
            raise ConvertError(f"{name}: tensor {entry.name}: {entry.dtype} {list(entry.shape)}, "
                               f"expected {tensor.dtype} {list(tensor.shape)}")
        compare_pieces(path, entry.begin, tensor, _pieces(entry, tensor, config), tick)
    if left:
        raise ConvertError(f"{name}: tensor {next(iter(left.values())).name} is missing")
