"""One tensor of a checkpoint as all readers give it and all writers take it: name, type, shape, and
its bytes in pieces, so that memory never holds more than a piece. Also the two changes of type:
rounding to FP16, which needs torch, and widening to FP32, which is exact and needs nothing.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Callable

PIECE_BYTES = 4 << 20
ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4}
NAME_BYTES_MAX = 255  # of a tensor that libsot reads
TORCH_OLDEST = (2, 6)


def printable(text: str) -> str:
    """The text with escapes for what a terminal would obey, or could not show: a checkpoint's names
    may hold anything."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class ConvertError(Exception):
    """A conversion that failed; its text is one printable sentence that names the file and the
    tensor."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


@dataclass(frozen=True)
class Tensor:
    """A tensor that can be read any number of times.

    ``read(n)`` yields the bytes, little-endian and row by row, in pieces of n bytes (the last one
    may be shorter; a view that is not contiguous may come in other pieces). A piece is valid until
    the next one is asked for.
    """

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[int], Iterator[memoryview]]
    is_aligned: bool = True  # where it lies in a file that is mapped

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    def fail(self, what: str) -> ConvertError:
        return ConvertError(f"{self.file}: tensor {self.name}: {what}")


def check_name(file: str, name: object, i_tensor: int) -> str:
    """The name, if libsot and the safetensors format can hold it."""
    if not isinstance(name, str):
        raise ConvertError(f"{file}: the name of tensor {i_tensor} is no text: {name!r:.80}")
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise ConvertError(f"{file}: the name of tensor {i_tensor} is not UTF-8") from None
    if not 0 < size <= NAME_BYTES_MAX:
        raise ConvertError(f"{file}: tensor {i_tensor} has a name of {size} bytes, "
                           f"expected 1 to {NAME_BYTES_MAX}")
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in name):
        raise ConvertError(f"{file}: the name of tensor {i_tensor} has a control character")
    if name == "__metadata__":
        raise ConvertError(f"{file}: tensor {i_tensor} is called __metadata__, which the "
                           "safetensors format has for itself")
    return name


def load_torch(purpose: str) -> Any:
    """The torch module; purpose begins the sentence that says what it was needed for."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        why = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise ConvertError(f"{purpose} needs torch, which is not installed{why}: "
                           "pip install torch") from None
    numbers = []
    for part in str(torch.__version__).split(".")[:2]:
        numbers.append(int(part) if part.isdigit() else 0)
    if tuple(numbers) < TORCH_OLDEST:
        raise ConvertError(f"{purpose} needs torch 2.6 or newer, this is {torch.__version__}: "
                           "before, a file could run code even under weights_only "
                           "(CVE-2025-32434); pip install --upgrade torch")
    return torch


def bytes_at(address: int, size: int) -> memoryview:
    """Memory as a view; the caller keeps it alive."""
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


def as_f16(tensor: Tensor) -> Tensor:
    """The tensor rounded to FP16, to nearest, ties to even; the tensor itself where it is FP16.

    Reading it fails at an element that FP16 cannot hold, as loading it by libsot would.
    """
    if tensor.dtype == "F16":
        return tensor
    torch = load_torch(f"{tensor.file}: tensor {tensor.name} is {tensor.dtype}, and rounding it "
                       "to FP16")
    kind = {"BF16": torch.bfloat16, "F32": torch.float32}[tensor.dtype]
    scale = ITEM_BYTES[tensor.dtype] // ITEM_BYTES["F16"]

    def read(piece_bytes: int) -> Iterator[memoryview]:
        n_before = 0
        for piece in tensor.read(min(piece_bytes * scale, PIECE_BYTES)):
            values = torch.frombuffer(piece, dtype=kind)
            halves = values.to(torch.float16)
            edges = torch.stack(torch.aminmax(halves))  # a NaN is both; the cheapest test there is
            if not bool(torch.isfinite(edges).all()):
                i_bad = int(torch.argmin(torch.isfinite(halves).to(torch.uint8)))
                raise tensor.fail(f"element {n_before + i_bad} is {float(values[i_bad]):g}, "
                                  "beyond what FP16 holds (65504)")
            n_before += len(values)
            yield bytes_at(halves.data_ptr(), 2 * len(halves))

    return replace(tensor, dtype="F16", read=read)


def _widen(piece: memoryview, dtype: str) -> bytes:
    n = len(piece) // 2
    if dtype == "F16":
        return struct.pack(f"<{n}f", *struct.unpack(f"<{n}e", piece))
    wide = bytearray(4 * n)  # BF16 is the upper half of FP32
    wide[2::4], wide[3::4] = piece[0::2], piece[1::2]
    return bytes(wide)


def as_f32(tensor: Tensor) -> Tensor:
    """The tensor as FP32, which holds every value of the other types."""
    if tensor.dtype == "F32":
        return tensor

    def read(piece_bytes: int) -> Iterator[memoryview]:
        for piece in tensor.read(max(2, piece_bytes // 2)):
            yield memoryview(_widen(piece, tensor.dtype))

    return replace(tensor, dtype="F32", read=read)
