"""Converting a checkpoint, step by step: list the tensors, plan the output, write it beside the
target, compare it with the original, put it in place.

A folder of safetensors is written here. A GGUF file is written by libsot (Model.save) from a
checkpoint that it can use as mapped: the source itself, if that is safetensors with aligned FP16
matrices, otherwise a folder of such that is made first and removed afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .checkpoint_folder import CONFIG, Weights, copied_files, read_config, read_weights
from .gguf_file import check_names, compare_gguf
from .mapped_pages import MappedPages
from .safetensors_file import compare_safetensors, header_bytes, write_safetensors
from .staging import Staging, check_free_space, check_target
from .tensor import ITEM_BYTES, ConvertError, Tensor, as_f16
from .torch_zip import check_sums

DEFAULT_SHARD_BYTES = 5_000_000_000
_SINGLE = "model.safetensors"
_SLACK_BYTES = 16 << 20  # file system's own, GGUF's vocabulary

ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Summary:
    """What a conversion came to."""

    path: str  # as it was given
    n_tensors: int
    n_bytes: int  # of tensors
    n_files: int  # with tensors
    dropped: list[str]  # tensors of the source that the result has no use for
    verified: bool


class _Ticker:
    """Adds up bytes over the steps of a conversion for the progress callback."""

    def __init__(self, progress: ProgressCallback | None, total_bytes: int) -> None:
        self._progress, self._total = progress, total_bytes
        self._done = 0
        self._label = ""

    def step(self, label: str) -> None:
        self._label = label
        self.tick(0)

    def tick(self, n_bytes: int) -> None:
        self._done += n_bytes
        if self._progress is not None:
            self._progress(self._label, self._done, self._total)


@dataclass(frozen=True)
class _Job:
    """One call of convert, checked."""

    source: str
    target: str
    is_gguf: bool
    dtype: str | None
    shard_bytes: int
    verify: bool
    progress: ProgressCallback | None
    config: dict[str, Any]
    weights: Weights


def _bytes_of(tensors: list[Tensor]) -> int:
    return sum(tensor.n_bytes for tensor in tensors)


def plan_shards(tensors: list[Tensor], shard_bytes: int) -> list[list[Tensor]]:
    """Tensors in their order, cut into files of at most shard_bytes of data (a larger tensor has
    a file of its own); in each, wider types first, so that all are aligned."""
    shards: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if not shards or tensor.n_bytes > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(tensor)
        room -= tensor.n_bytes
    for shard in shards:
        shard.sort(key=lambda tensor: -ITEM_BYTES[tensor.dtype])
    return shards


def _shard_name(i: int, n: int) -> str:
    return _SINGLE if n == 1 else f"model-{i + 1:05d}-of-{n:05d}.safetensors"


def _write_json(path: str, value: Any) -> None:
    with open(path, "x", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _copy_others(job: _Job, folder: str, dtype: str | None) -> None:
    """The files beside the weights. config.json states the type of weights that were rounded."""
    for name in copied_files(job.source):
        path = os.path.join(folder, name)
        if name == CONFIG and dtype == "f16":
            config = dict(job.config)
            for key in ("torch_dtype", "dtype"):
                if key in config:
                    config[key] = "float16"
            _write_json(path, config)
            continue
        shutil.copyfile(os.path.join(job.source, name), path)
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _write_folder(job: _Job, folder: str, shards: list[list[Tensor]], verify: bool,
                  ticker: _Ticker) -> None:
    os.makedirs(folder)
    weight_map = {}
    for i, shard in enumerate(shards):
        name = _shard_name(i, len(shards))
        ticker.step(f"writing {i + 1}/{len(shards)}")
        write_safetensors(os.path.join(folder, name), shard, ticker.tick)
        weight_map.update({tensor.name: name for tensor in shard})
    if len(shards) > 1:
        total = sum(map(_bytes_of, shards))
        _write_json(os.path.join(folder, _SINGLE + ".index.json"),
                    {"metadata": {"total_size": total}, "weight_map": weight_map})
    _copy_others(job, folder, job.dtype)
    for i, shard in enumerate(shards if verify else []):
        ticker.step(f"reading back {i + 1}/{len(shards)}")
        compare_safetensors(os.path.join(folder, _shard_name(i, len(shards))), shard, ticker.tick)


def _source_bytes_checked(job: _Job) -> int:
    """The bytes of files that have checksums, if these are to be checked."""
    has_sums = job.weights.kind == "bin" and job.verify
    return sum(map(os.path.getsize, job.weights.paths)) if has_sums else 0


def _check_source(job: _Job, ticker: _Ticker) -> None:
    if _source_bytes_checked(job):
        for path in job.weights.paths:
            ticker.step("checking source")
            check_sums(path, ticker.tick)


def _bytes_of_others(job: _Job) -> int:
    return sum(os.path.getsize(os.path.join(job.source, name))
               for name in copied_files(job.source))


def _convert_to_folder(job: _Job) -> Summary:
    tensors = job.weights.tensors
    if job.dtype == "f16":
        tensors = [as_f16(tensor) for tensor in tensors]
    shards = plan_shards(tensors, job.shard_bytes)
    n_bytes = _bytes_of(tensors)
    check_free_space(job.target, n_bytes + sum(map(header_bytes, shards)) + _bytes_of_others(job)
                     + _SLACK_BYTES)
    ticker = _Ticker(job.progress, _source_bytes_checked(job) + n_bytes * (2 if job.verify else 1))
    _check_source(job, ticker)
    with Staging(job.target) as staging:
        folder = os.path.join(staging.folder, "new")
        _write_folder(job, folder, shards, job.verify, ticker)
        staging.put_in_place(folder)
    return Summary(job.target, len(tensors), n_bytes, len(shards), job.weights.dropped, job.verify)


def _model_name(source: str) -> str:
    """The end of the source's path by which libsot recognizes a model's family; a download cache
    has the name two folders higher."""
    parts = source.split(os.sep)
    return os.path.join(*(parts[-3:] if parts[-2:-1] == ["snapshots"] else parts[-1:]))


def _save_gguf(folder: str, path: str, n_bytes: int, ticker: _Ticker) -> None:
    from sot import Model  # the shared library is needed from here on

    before = 0
    pages = MappedPages([])

    def progress(done_bytes: int, total_bytes: int) -> None:
        nonlocal before
        ticker.tick(done_bytes - before)
        before = done_bytes
        pages.give_back_all()

    ticker.step("saving")
    with Model(folder, device="cpu") as model:
        pages = MappedPages({os.path.realpath(os.path.join(folder, name))
                             for name in os.listdir(folder)})
        model.save(path, on_progress=progress)
    ticker.tick(n_bytes - before)


def _convert_to_gguf(job: _Job) -> Summary:
    unused = check_names(job.source, job.weights.tensors, job.config)
    tensors = [tensor for tensor in job.weights.tensors if tensor.name not in unused]
    staged = [as_f16(tensor) if len(tensor.shape) == 2 else tensor for tensor in tensors]
    is_direct = job.weights.kind == "safetensors" and staged == tensors and all(
        tensor.is_aligned for tensor in tensors)
    stage_bytes = 0 if is_direct else _bytes_of(staged)
    n_bytes = sum(tensor.n_bytes // ITEM_BYTES[tensor.dtype] * (2 if len(tensor.shape) == 2 else 4)
                  for tensor in tensors)
    check_free_space(job.target, stage_bytes + n_bytes + _bytes_of_others(job) + _SLACK_BYTES)
    ticker = _Ticker(job.progress, _source_bytes_checked(job) + stage_bytes
                     + n_bytes * (2 if job.verify else 1))
    _check_source(job, ticker)
    with Staging(job.target) as staging:
        folder = job.source
        if not is_direct:
            folder = os.path.join(staging.folder, "model", _model_name(job.source))
            _write_folder(job, folder, plan_shards(staged, job.shard_bytes), False, ticker)
        path = os.path.join(staging.folder, os.path.basename(job.target))
        _save_gguf(folder, path, n_bytes, ticker)
        if job.verify:
            ticker.step("reading back")
            compare_gguf(path, tensors, job.config, ticker.tick)
        staging.put_in_place(path)
    return Summary(job.target, len(tensors), n_bytes, 1, job.weights.dropped + unused, job.verify)


def _is_inside(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def convert(src: str | os.PathLike[str], dst: str | os.PathLike[str], *, dtype: str | None = None,
            shard_bytes: int = DEFAULT_SHARD_BYTES, force: bool = False, verify: bool = True,
            progress: ProgressCallback | None = None) -> Summary:
    """Converts the checkpoint in the folder src.

    dst ending in ``.gguf`` becomes one GGUF file, any other a folder of safetensors with the
    configuration and tokenizer beside them. ``dtype="f16"`` rounds a folder's tensors to FP16; by
    default they stay as they are (a GGUF file always has FP16 matrices and FP32 norms).
    ``verify`` checks the checksums that .bin files have, reads everything that was written back and
    compares it with the source. ``progress`` is called with
    a label and with bytes done of all, from this thread; what it raises ends the conversion.
    Nothing is at dst before it is complete. A file to copy that is a link out of src is refused,
    but for those of a download cache.

    Raises ConvertError (one sentence that names file and tensor), OSError, and what libsot raises.
    """
    source, target = os.path.abspath(os.fspath(src)), os.path.realpath(os.fspath(dst))
    is_gguf = os.fspath(dst).endswith(".gguf")
    if dtype not in (None, "f16"):
        raise ValueError(f"dtype is {dtype!r}, expected None or 'f16'")
    if shard_bytes <= 0:
        raise ValueError(f"shard_bytes is {shard_bytes}, expected more than 0")
    real_source = os.path.realpath(source)
    if _is_inside(real_source, target) or (_is_inside(target, real_source) and not is_gguf):
        raise ConvertError(f"{target}: source and result must lie apart")
    check_target(target, is_gguf, force, CONFIG)
    config = read_config(source)
    weights = read_weights(source)
    job = _Job(source, target, is_gguf, dtype, shard_bytes, verify, progress, config, weights)
    return _convert_to_gguf(job) if is_gguf else _convert_to_folder(job)
