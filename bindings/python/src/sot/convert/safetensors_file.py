"""The safetensors format: reading a file's list of tensors, writing a file, comparing one with what
it was written from, each piece by piece.

Layout: header length (8 bytes, little-endian), header (JSON: name -> dtype, shape, data_offsets,
which count from the end of the header), data. Format: github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Callable

from .tensor import ITEM_BYTES, PIECE_BYTES, ConvertError, Tensor, check_name

_LENGTH_BYTES = 8
_HEADER_BYTES_MAX = 100_000_000  # the reference reader's own limit
_HEADER_MULTIPLE = 8  # so that data can be used where it is mapped


def parse_json(file: str, text: bytes) -> Any:
    """The JSON text; a name that an object has twice is an error."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConvertError(f"{file}: {twice!r} is there twice")
        return found

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{file}: is no JSON: {error}") from None


def read_exactly(file: BinaryIO, name: str, size: int) -> bytearray:
    """The next size bytes of the file called name."""
    data = bytearray(size)
    n = 0
    with memoryview(data) as view:
        while n < size:
            got = file.readinto(view[n:])  # type: ignore[attr-defined]
            if not got:
                raise ConvertError(f"{name}: ends {size - n} bytes early")
            n += got
    return data


def reader(path: str, begin: int, n_bytes: int) -> Callable[[int], Iterator[memoryview]]:
    """What Tensor.read is for bytes that lie in a file."""

    def read(piece_bytes: int) -> Iterator[memoryview]:
        with open(path, "rb", buffering=0) as file:
            file.seek(begin)
            for at in range(0, n_bytes, piece_bytes):
                yield memoryview(read_exactly(file, os.path.basename(path),
                                              min(piece_bytes, n_bytes - at)))

    return read


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _read_entry(path: str, name: str, entry: Any, start: int, data_bytes: int) -> Tensor:
    where = f"{os.path.basename(path)}: tensor {name}"
    if not isinstance(entry, dict):
        raise ConvertError(f"{where}: expected an object")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if dtype not in ITEM_BYTES:
        raise ConvertError(f"{where}: type {dtype!r}, supported are F16, BF16, F32")
    if not isinstance(shape, list) or not all(map(_is_count, shape)):
        raise ConvertError(f"{where}: shape is {shape!r:.80}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)) or \
            not offsets[0] <= offsets[1] <= data_bytes:
        raise ConvertError(f"{where}: data_offsets are {offsets!r:.80}, the file has {data_bytes} "
                           "bytes of data")
    begin, end = offsets
    tensor = Tensor(name, os.path.basename(path), dtype, tuple(shape),
                    reader(path, start + begin, end - begin),
                    (start + begin) % ITEM_BYTES[dtype] == 0)
    if tensor.n_bytes != end - begin:
        raise tensor.fail(f"data_offsets span {end - begin} bytes, but type and shape need "
                          f"{tensor.n_bytes}")
    return tensor


def read_safetensors(path: str, is_dropped: Callable[[str], bool]) -> list[Tensor]:
    """Every tensor of a file in the header's order; of one that is dropped only the name."""
    name = os.path.basename(path)
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size < _LENGTH_BYTES:
            raise ConvertError(f"{name}: {size} bytes are too few for a safetensors file")
        length, = struct.unpack("<Q", read_exactly(file, name, _LENGTH_BYTES))
        if length > min(_HEADER_BYTES_MAX, size - _LENGTH_BYTES):
            raise ConvertError(f"{name}: a header of {length} bytes, but the file has {size} and "
                               f"the limit is {_HEADER_BYTES_MAX}")
        header = parse_json(name, bytes(read_exactly(file, name, length)))
    if not isinstance(header, dict):
        raise ConvertError(f"{name}: the header is no object")
    header.pop("__metadata__", None)
    start = _LENGTH_BYTES + length
    tensors = []
    for i_tensor, (key, entry) in enumerate(header.items()):
        check_name(name, key, i_tensor)
        if is_dropped(key):
            tensors.append(Tensor(key, name, "F32", (), reader(path, 0, 0)))
        else:
            tensors.append(_read_entry(path, key, entry, start, size - start))
    return tensors


def _make_header(tensors: list[Tensor]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # Transformers asks for it
    at = 0
    for tensor in tensors:
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape),
                               "data_offsets": [at, at + tensor.n_bytes]}
        at += tensor.n_bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    return text + b" " * (-len(text) % _HEADER_MULTIPLE)


def header_bytes(tensors: list[Tensor]) -> int:
    """What a file of these tensors takes beside their data."""
    return _LENGTH_BYTES + len(_make_header(tensors))


def write_safetensors(path: str, tensors: list[Tensor], tick: Callable[[int], None]) -> None:
    """Writes a new file and waits until it is on the disk. tick is told the bytes of each piece.
    Tensors lie in the order given: wider types first, so that each is aligned."""
    with open(path, "xb", buffering=0) as file:
        header = _make_header(tensors)
        _write_all(file, memoryview(struct.pack("<Q", len(header)) + header))
        for tensor in tensors:
            n = 0
            for piece in tensor.read(PIECE_BYTES):
                _write_all(file, piece)
                n += len(piece)
                tick(len(piece))
            if n != tensor.n_bytes:
                raise tensor.fail(f"gave {n} bytes, but type and shape need {tensor.n_bytes}")
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):  # reading back is then from the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _write_all(file: BinaryIO, piece: memoryview) -> None:
    while len(piece) > 0:
        piece = piece[file.write(piece):]


def compare_pieces(path: str, begin: int, tensor: Tensor, pieces: Iterator[memoryview],
                   tick: Callable[[int], None]) -> None:
    """Raises where the bytes of path from begin on are not those of the pieces."""
    name = os.path.basename(path)
    with open(path, "rb", buffering=0) as file:
        file.seek(begin)
        at = 0
        for piece in pieces:
            data = read_exactly(file, name, len(piece))
            if data != piece:
                i_bad = next(i for i, byte in enumerate(piece) if byte != data[i])
                raise ConvertError(f"{name}: tensor {tensor.name}: byte {at + i_bad} was read back "
                                   f"as {data[i_bad]}, but {tensor.file} has {piece[i_bad]}: "
                                   "nothing was put in place")
            at += len(piece)
            tick(len(piece))
        if at != tensor.n_bytes:
            raise tensor.fail(f"gave {at} bytes, but type and shape need {tensor.n_bytes}")


def compare_safetensors(path: str, tensors: list[Tensor], tick: Callable[[int], None]) -> None:
    """Reads a written file back: its header by the reader above, its data bit for bit."""
    written = read_safetensors(path, lambda name: False)
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(_LENGTH_BYTES))
    said = [(entry.name, entry.dtype, entry.shape) for entry in written]
    if said != [(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]:
        raise ConvertError(f"{os.path.basename(path)}: the header was not read back as written: "
                           "nothing was put in place")
    begin = _LENGTH_BYTES + length
    for tensor in tensors:
        compare_pieces(path, begin, tensor, tensor.read(PIECE_BYTES), tick)
        begin += tensor.n_bytes
