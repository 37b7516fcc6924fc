"""sot.convert to GGUF: what libsot writes of a converted checkpoint, and that the comparison with
the checkpoint sees every kind of difference. Needs libsot; torch only where it says so."""

from __future__ import annotations

import json
import os
import pathlib
import struct
import sys
from dataclasses import replace
from typing import Any

import pytest
from checkpoint_cases import (GOLDEN, copy_golden, peak_growth, read_folder, run_command,
                              safetensors_bytes)

from sot import Model
from sot.convert import ConvertError, convert
from sot.convert.checkpoint_folder import read_weights
from sot.convert.gguf_file import compare_gguf


def saved_by_library(source: pathlib.Path, path: pathlib.Path) -> bytes:
    with Model(source, device="cpu") as model:
        model.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["mha", "gqa-tied", "linear", "linear-classic"])
def test_gguf_of_fp16_safetensors_is_the_librarys_without_torch(
        tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    expected = saved_by_library(GOLDEN / name / "hf", tmp_path / "expected.gguf")
    done: list[int] = []
    summary = convert(GOLDEN / name / "hf", tmp_path / "new.gguf",
                      progress=lambda label, n, total: done.append(total - n))
    assert (tmp_path / "new.gguf").read_bytes() == expected
    assert sorted(os.listdir(tmp_path)) == ["expected.gguf", "new.gguf"]
    assert done[-1] == 0 and done == sorted(done, reverse=True)
    assert summary.verified and summary.dropped == []


@pytest.mark.parametrize("name", ["bf16", "f32", "deep-tied"])
def test_gguf_of_other_types_is_the_librarys(tmp_path: pathlib.Path, name: str) -> None:
    pytest.importorskip("torch", reason="rounding BF16 and FP32 to FP16 needs torch")
    expected = saved_by_library(GOLDEN / name / "hf", tmp_path / "expected.gguf")
    convert(GOLDEN / name / "hf", tmp_path / "new.gguf")
    assert (tmp_path / "new.gguf").read_bytes() == expected
    assert sorted(os.listdir(tmp_path)) == ["expected.gguf", "new.gguf"]


def test_gguf_through_a_folder_keeps_the_models_family(tmp_path: pathlib.Path) -> None:
    """libsot tells a model's conversation template from its folder's name."""
    pytest.importorskip("torch", reason="FP32 weights are rounded to FP16 by torch")
    cache = tmp_path / "models--lmsys--vicuna-7b-v1.3" / "snapshots"
    for source in (tmp_path / "Vicuna-7b", cache / "0123"):
        copy_golden("f32", source)
        config = json.loads((source / "config.json").read_text())
        config["_name_or_path"] = ""
        (source / "config.json").write_text(json.dumps(config))
        convert(source, tmp_path / "x.gguf", force=True)
        with Model(tmp_path / "x.gguf", device="cpu") as model:
            assert model.info.conversation == "vicuna"


def change_gguf(path: pathlib.Path, change: str) -> str:
    """Changes a file and returns a part of the sentence that must tell."""
    data = bytearray(path.read_bytes())
    if change == "last_byte":
        at = len(data) - 1
        while data[at] == 0:  # what fills up the last tensor belongs to none
            at -= 1
        data[at] ^= 1
        sentence = "was read back as"
    elif change == "name":
        data = bytearray(bytes(data).replace(b"blk.0.attn_v.weight", b"blk.0.attn_w.weight"))
        sentence = "tensor blk.0.attn_w.weight is none of the checkpoint's"
    elif change == "shape":
        at = data.index(b"output.weight", data.index(b"blk.0.ffn_down.weight")) + 13
        data[at + 4:at + 12], data[at + 12:at + 20] = data[at + 12:at + 20], data[at + 4:at + 12]
        sentence = "tensor output.weight: F16 [128, 97], expected F16 [97, 128]"
    elif change == "short":
        data = data[:-300]
        sentence = "bytes early"
    else:
        data[4] = 2
        sentence = "is no GGUF file of version 3"
    path.write_bytes(data)
    return sentence


@pytest.mark.parametrize("change", ["last_byte", "name", "shape", "short", "version"])
def test_gguf_that_differs_is_found(tmp_path: pathlib.Path, change: str) -> None:
    path = tmp_path / "x.gguf"
    source = GOLDEN / "mha" / "hf"
    saved_by_library(source, path)
    config = json.loads((source / "config.json").read_text())
    tensors = read_weights(str(source)).tensors
    compare_gguf(str(path), tensors, config, lambda n: None)
    with pytest.raises(ConvertError, match="is missing"):
        compare_gguf(str(path), [*tensors, replace(tensors[0], name="more")], config,
                     lambda n: None)
    wrong = dict(config, num_attention_heads=1, num_key_value_heads=1)
    with pytest.raises(ConvertError, match="attn|q_proj|k_proj"):
        compare_gguf(str(path), tensors, wrong, lambda n: None)
    sentence = change_gguf(path, change)
    with pytest.raises(ConvertError) as failure:
        compare_gguf(str(path), tensors, config, lambda n: None)
    assert sentence in str(failure.value)


CONFIG_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "other_family": ({"model_type": "opt"}, "model_type is 'opt'"),
    "layers_missing": ({"num_hidden_layers": None}, "num_hidden_layers is no integer"),
    "layers_many": ({"num_hidden_layers": 1 << 60},
                    "tensor model.layers.1.input_layernorm.weight is missing"),
    "heads": ({"num_attention_heads": 0}, "the number of attention heads is 0"),
    "width": ({"hidden_size": 64}, "shape"),
}


@pytest.mark.parametrize("case", CONFIG_CASES)
def test_gguf_of_a_wrong_configuration_is_refused(tmp_path: pathlib.Path, case: str) -> None:
    source = copy_golden("mha", tmp_path / "source")
    change, sentence = CONFIG_CASES[case]
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, **change}))
    result = run_command(source, tmp_path / "new.gguf")
    assert result.returncode == 1
    assert sentence in result.stderr and "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == ["source"]


def test_gguf_of_a_model_with_a_bias_is_refused(tmp_path: pathlib.Path) -> None:
    """A file without it would be another model."""
    source = copy_golden("mha", tmp_path / "source")
    bias = "model.layers.0.self_attn.q_proj.bias"
    tensors = {**read_folder(source), bias: ("F16", [128], bytes(256)),
               "more": ("F16", [1], b"ab")}
    (source / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    with pytest.raises(ConvertError, match=f"model.safetensors: tensor {bias}: biases are not"):
        convert(source, tmp_path / "new.gguf")
    del tensors[bias]
    (source / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    assert convert(source, tmp_path / "new.gguf").dropped == ["more"]


def test_gguf_interrupted_while_saving_leaves_nothing(tmp_path: pathlib.Path) -> None:
    def progress(label: str, done: int, total: int) -> None:
        if label == "saving" and done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(GOLDEN / "mha" / "hf", tmp_path / "new.gguf", progress=progress)
    assert os.listdir(tmp_path) == []


def test_gguf_that_is_there_is_replaced_by_force_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new.gguf"
    path.write_bytes(b"dear")
    with pytest.raises(ConvertError, match="--force"):
        convert(GOLDEN / "mha" / "hf", path)
    assert path.read_bytes() == b"dear"
    convert(GOLDEN / "mha" / "hf", path, force=True)
    assert path.read_bytes()[:4] == b"GGUF"


def llama_of_zeros(folder: pathlib.Path, n_layer: int, width: int,
                   is_aligned: bool) -> pathlib.Path:
    """FP16 matrices of zeros under norms of ones."""
    def matrix(rows: int, columns: int = width) -> Any:
        return "F16", [rows, columns], bytes(2 * rows * columns)

    norm = ("F16", [width], b"\x00\x3c" * width)
    tensors = {"model.embed_tokens.weight": matrix(64), "lm_head.weight": matrix(64),
               "model.norm.weight": norm}
    for i in range(n_layer):
        layer = f"model.layers.{i}."
        for part in "qkvo":
            tensors[f"{layer}self_attn.{part}_proj.weight"] = matrix(width)
        for part, shape in (("gate", matrix(2 * width)), ("up", matrix(2 * width)),
                            ("down", matrix(width, 2 * width))):
            tensors[f"{layer}mlp.{part}_proj.weight"] = shape
        tensors[f"{layer}input_layernorm.weight"] = norm
        tensors[f"{layer}post_attention_layernorm.weight"] = norm
    folder.mkdir()
    data = safetensors_bytes(tensors, 8)
    if not is_aligned:
        data = struct.pack("<Q", struct.unpack("<Q", data[:8])[0] + 1) + b" " + data[8:]
    (folder / "model.safetensors").write_bytes(data)
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llama", "hidden_size": width, "intermediate_size": 2 * width,
        "num_hidden_layers": n_layer, "num_attention_heads": 8, "vocab_size": 64}))
    return folder


@pytest.mark.parametrize("is_aligned", [True, False])
def test_gguf_memory_does_not_grow_with_the_checkpoint(tmp_path: pathlib.Path,
                                                       is_aligned: bool) -> None:
    """libsot would copy what is not aligned, so that goes through a folder."""
    small = llama_of_zeros(tmp_path / "small", 1, 256, is_aligned)
    source = llama_of_zeros(tmp_path / "source", 4, 1024, is_aligned)
    size = (source / "model.safetensors").stat().st_size
    growth = peak_growth(small, source, tmp_path / "new.gguf")
    assert size > 80 << 20 and growth < 32 << 20, f"{growth} bytes more for {size}"
