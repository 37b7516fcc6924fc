"""Checkpoints for the tests of sot.convert, and a reader of safetensors that shares nothing with
the one under test. What is made here needs neither torch nor libsot."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "data"
SOURCES = ROOT / "bindings" / "python" / "src"
CONFIG = {"model_type": "llama", "num_hidden_layers": 1, "num_attention_heads": 2,
          "torch_dtype": "float32"}

Tensors = dict[str, "tuple[str, list[int], bytes]"]  # name -> dtype, shape, data


def read_folder(folder: pathlib.Path, is_aligned: bool = False) -> Tensors:
    """Every tensor of every .safetensors file; checks that each is aligned, if it should be."""
    tensors: Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        size, = struct.unpack_from("<Q", data)
        header = json.loads(data[8:8 + size])
        assert header.pop("__metadata__", {}).get("format") == "pt"
        end = 0
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            assert first == end, "tensors lie without a gap, in the header's order"
            item_bytes = 4 if entry["dtype"] == "F32" else 2
            assert not is_aligned or (8 + size + first) % item_bytes == 0
            end = last
            assert name not in tensors
            tensors[name] = (entry["dtype"], entry["shape"], data[8 + size + first:8 + size + last])
        assert 8 + size + end == len(data)
    return tensors


def safetensors_bytes(tensors: Tensors, header_multiple: int = 1) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % header_multiple)
    return struct.pack("<Q", len(text)) + text + data


def small_tensors() -> Tensors:
    """Four tensors of three types, one empty, in an order that leaves FP32 unaligned."""
    return {
        "a.half": ("F16", [3, 5], bytes(range(30))),
        "a.float": ("F32", [7], bytes(range(28))),
        "b.brain": ("BF16", [1], b"\x80\x3f"),
        "b.empty": ("F32", [0, 4], b""),
    }


def make_folder(folder: pathlib.Path, tensors: Tensors) -> pathlib.Path:
    """A checkpoint of one safetensors file with what goes beside it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.model").write_bytes(b"pieces")
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder


def copy_golden(name: str, folder: pathlib.Path) -> pathlib.Path:
    shutil.copytree(GOLDEN / name / "hf", folder)
    return folder


def run_command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as the package lies in the repository."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), TERM="dumb")
    return subprocess.run([sys.executable, "-m", "sot.convert", *map(str, arguments)],
                          capture_output=True, text=True, env=environment, timeout=120, **options)


def peak_growth(small: pathlib.Path, source: pathlib.Path, target: pathlib.Path,
                *options: str) -> int:
    """Bytes by which converting source, in a process of its own, raises the most memory that the
    process had while it converted something small."""
    program = (
        "import re, sys\n"
        "from sot.convert.command import main\n"
        # not getrusage's, which begins with the most memory of the process that started this one
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: 1024 * int(re.search(r'VmHWM:\\s+(\\d+) kB', status())[1])\n"
        "small, source, target, *options = sys.argv[1:]\n"
        "other = target + ('.small.gguf' if target.endswith('.gguf') else '-small')\n"
        "assert main(['-q', *options, small, other]) == 0\n"
        "before = peak()\n"
        "assert main(['-q', *options, source, target]) == 0\n"
        "print(peak() - before)\n")
    result = subprocess.run(
        [sys.executable, "-c", program, small, source, target, *options], check=True, timeout=300,
        stdout=subprocess.PIPE, text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    return int(result.stdout)
