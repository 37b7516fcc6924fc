"""A checkpoint's folder: which files hold its weights, what its index says of them, which other
files belong to it. The folder's author is not trusted: an index names files inside the folder
only, and no link brings a file from elsewhere into what is made of the folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .safetensors_file import parse_json, read_safetensors
from .tensor import ConvertError, Tensor
from .torch_weights import is_dropped, read_torch_files

CONFIG = "config.json"
_JSON_BYTES_MAX = 100_000_000
# The single file, then the index, each in the order in which loaders look.
_KINDS = (("safetensors", "model.safetensors"), ("bin", "pytorch_model.bin"))
_COPIED_SUFFIXES = (".json", ".model", ".txt", ".md", ".jinja")
_COPIED_NAMES = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")


@dataclass(frozen=True)
class Weights:
    """A folder's weights. Tensors without a use ("dropped") are named apart."""

    kind: str  # "safetensors" or "bin"
    paths: list[str]
    tensors: list[Tensor]
    dropped: list[str]


def read_json_file(path: str) -> dict[str, Any]:
    """The object that a JSON file holds."""
    name = os.path.basename(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConvertError(f"{path}: is no regular file")
    try:
        with open(path, "rb") as file:
            text = file.read(_JSON_BYTES_MAX + 1)
    except OSError as error:
        raise ConvertError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > _JSON_BYTES_MAX:
        raise ConvertError(f"{name}: has more than {_JSON_BYTES_MAX} bytes")
    value = parse_json(name, text)
    if not isinstance(value, dict):
        raise ConvertError(f"{name}: is no JSON object")
    return value


def read_config(folder: str) -> dict[str, Any]:
    """The object in the folder's config.json."""
    if not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "is not there"
        raise ConvertError(f"{folder}: {what}; a checkpoint's folder is expected")
    return read_json_file(os.path.join(folder, CONFIG))


def _read_index(path: str) -> dict[str, str]:
    index = os.path.basename(path)
    weight_map = read_json_file(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ConvertError(f"{index}: weight_map is missing or empty")
    for name, file in weight_map.items():
        if not isinstance(file, str) or file in ("", ".", "..") or "/" in file or "\0" in file:
            raise ConvertError(f"{index}: tensor {name}: file {file!r:.200} is no plain name "
                               "within the folder")
    for file in sorted(set(weight_map.values())):
        if not os.path.isfile(os.path.join(os.path.dirname(path), file)):
            name = next(name for name, where in weight_map.items() if where == file)
            raise ConvertError(f"{index}: tensor {name} should be in {file}, which is not there")
    return weight_map


def _find(folder: str) -> tuple[str, list[str], str]:
    """The kind of the weights, their files, and the index's name ("": there is a single file)."""
    for kind, single in _KINDS:
        if os.path.isfile(os.path.join(folder, single)):
            return kind, [single], ""
        index = single + ".index.json"
        if os.path.isfile(os.path.join(folder, index)):
            files = set(_read_index(os.path.join(folder, index)).values())
            return kind, sorted(files), index
    raise ConvertError(f"{folder}: holds neither pytorch_model.bin nor pytorch_model.bin.index."
                       "json, nor the same of model.safetensors")


def _check_places(tensors: list[Tensor], folder: str, index: str) -> None:
    places: dict[str, str] = {}
    for tensor in tensors:
        if tensor.name in places:
            raise tensor.fail(f"is in {places[tensor.name]}, too")
        places[tensor.name] = tensor.file
    if index:
        for name, file in _read_index(os.path.join(folder, index)).items():
            if places.get(name) != file:
                raise ConvertError(f"{index}: tensor {name} should be in {file}, which has none")


def read_weights(folder: str) -> Weights:
    """The list of every tensor; safetensors come first where a folder has both."""
    kind, files, index = _find(folder)
    paths = [os.path.join(folder, file) for file in files]
    if kind == "bin":
        tensors = read_torch_files(paths)
    else:
        tensors = [tensor for path in paths for tensor in read_safetensors(path, is_dropped)]
    _check_places(tensors, folder, index)
    kept = [tensor for tensor in tensors if not is_dropped(tensor.name)]
    dropped = [tensor.name for tensor in tensors if is_dropped(tensor.name)]
    if not kept:
        raise ConvertError(f"{folder}: holds no tensors")
    return Weights(kind, paths, kept, dropped)


def _check_link(folder: str, name: str) -> None:
    """Weights may be links to anywhere: only tensors come out of them. What is copied as it is
    could be any file of the user's, which then is passed on with the rest."""
    home = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(folder, name))
    cache, is_cache, _ = home.rpartition("/snapshots/")  # whose files are links to blobs
    if os.path.dirname(path) not in ([home, cache + "/blobs"] if is_cache else [home]):
        raise ConvertError(f"{os.path.join(folder, name)}: is a link out of the folder, to {path}; "
                           "put a copy of the file there if it belongs to the checkpoint")


def copied_files(folder: str) -> list[str]:
    """Names of the files that go with the weights: configuration, tokenizer, licence."""
    names = [name for name in sorted(os.listdir(folder))
             if (name.endswith(_COPIED_SUFFIXES) or name.split(".")[0] in _COPIED_NAMES)
             and not name.endswith(".index.json") and os.path.isfile(os.path.join(folder, name))]
    for name in names:
        _check_link(folder, name)
    return names
