"""Tensors of PyTorch's ``.bin`` files: mapped, unpickled by torch with weights_only, read in parts.

Pages that were read are given back at once, so that a file larger than the memory costs a piece of
it. What torch's unpickler lets through is not trusted: every tensor is one of dense rows in the
file's own records, of a type that libsot computes with, or is refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .mapped_pages import MappedPages
from .tensor import ConvertError, Tensor, bytes_at, check_name, load_torch
from .torch_zip import check_torch_zip


def _read_tensor(values: Any, maps: MappedPages, piece_bytes: int) -> Iterator[memoryview]:
    if values.numel() == 0:
        return
    if values.is_contiguous():
        address, n_bytes = values.data_ptr(), values.numel() * values.element_size()
        for begin in range(0, n_bytes, piece_bytes):
            size = min(piece_bytes, n_bytes - begin)
            yield bytes_at(address + begin, size)
            maps.give_back(address + begin, size)
        return
    row_bytes = values[0].numel() * values.element_size()
    n_rows = max(1, piece_bytes // row_bytes)
    for first in range(0, len(values), n_rows):
        rows = values[first:first + n_rows].contiguous()
        yield bytes_at(rows.data_ptr(), rows.numel() * rows.element_size())
    storage = values.untyped_storage()
    maps.give_back(storage.data_ptr(), storage.nbytes())


def _check_values(torch: Any, file: str, name: str, values: Any, sizes: set[int]) -> str:
    """The type's name in safetensors. What is tested first makes the later questions safe."""
    names = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
    where = f"{file}: tensor {name}"
    if not isinstance(values, torch.Tensor):
        raise ConvertError(f"{where}: is a {type(values).__name__}, not a tensor")
    if values.layout is not torch.strided or values.device.type != "cpu":
        raise ConvertError(f"{where}: is {values.layout} on {values.device}; expected dense values "
                           "in the file")
    if values.dtype not in names:
        raise ConvertError(f"{where}: type {values.dtype}, supported are torch.float16, "
                           "torch.bfloat16, torch.float32")
    if values.is_neg() or values.is_conj():
        raise ConvertError(f"{where}: is a negated view")
    storage_bytes = values.untyped_storage().nbytes()
    if storage_bytes not in sizes and values.numel() > 0:
        raise ConvertError(f"{where}: states {storage_bytes} bytes of data, but the file has no "
                           "record of that size")
    if values.numel() * values.element_size() > storage_bytes:
        raise ConvertError(f"{where}: shape {list(values.shape)} has more elements than the "
                           f"{storage_bytes} bytes of its data")
    return names[values.dtype]


def _load(torch: Any, path: str) -> Any:
    file = os.path.basename(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a hostile pickle makes torch raise
        text = str(error).strip() or type(error).__name__
        raise ConvertError(f"{file}: torch refuses it: {text.splitlines()[0][:300]}") from None


def _read_file(torch: Any, path: str, sizes: set[int]) -> list[Tensor]:
    file = os.path.basename(path)
    state = _load(torch, path)
    if not isinstance(state, dict):
        raise ConvertError(f"{file}: holds a {type(state).__name__}, expected a dictionary of "
                           "tensors")
    maps = MappedPages()
    tensors = []
    for i_tensor, (key, values) in enumerate(state.items()):
        name = check_name(file, key, i_tensor)
        dtype = "F32"
        if not is_dropped(name):
            dtype = _check_values(torch, file, name, values, sizes)
            values = values.detach()

        def read(piece_bytes: int, values: Any = values) -> Iterator[memoryview]:
            return _read_tensor(values, maps, piece_bytes)

        shape = tuple(values.shape) if isinstance(values, torch.Tensor) else ()
        tensors.append(Tensor(name, file, dtype, shape, read))
    return tensors


def is_dropped(name: str) -> bool:
    """Whether loaders compute this buffer themselves: the rotary frequencies of old checkpoints."""
    return name.endswith("rotary_emb.inv_freq")


def read_torch_files(paths: list[str]) -> list[Tensor]:
    """Every tensor of the files, which stay mapped as long as one of the tensors is there."""
    sizes = [check_torch_zip(path) for path in paths]
    torch = load_torch(f"{os.path.basename(paths[0])} is a PyTorch file: reading it")
    tensors = []
    for path, file_sizes in zip(paths, sizes):
        tensors += _read_file(torch, path, file_sizes)
    return tensors
