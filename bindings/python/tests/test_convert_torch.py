"""sot.convert from PyTorch's .bin files: against torch itself, the safetensors package and
Transformers, and files made to deceive.

Skipped where torch is missing, as it is in `sh tests/check.sh python`; `sh tests/soak.sh convert`
installs it, and fails where anything is skipped.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import pickle
import zipfile
from typing import Any

import pytest
from checkpoint_cases import CONFIG, GOLDEN, peak_growth, read_folder

import sot
from sot.convert import ConvertError, convert

torch: Any = pytest.importorskip("torch", reason="torch reads .bin files; pip install torch")
NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}


def make_bin(folder: pathlib.Path, *shards: Any, config: Any = None) -> pathlib.Path:
    """A checkpoint with one .bin file, or several with their index."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config or CONFIG))
    if len(shards) == 1:
        torch.save(shards[0], folder / "pytorch_model.bin")
        return folder
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"pytorch_model-{i + 1:05d}-of-{len(shards):05d}.bin"
        torch.save(shard, folder / file)
        weight_map.update({name: file for name in shard})
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def data_of(values: Any) -> bytes:
    return bytes(values.detach().contiguous().flatten().view(torch.uint8).tolist())


def expected_of(state: dict[str, Any]) -> Any:
    return {name: (NAMES[values.dtype], list(values.shape), data_of(values))
            for name, values in state.items()}


def random_state(prefix: str = "") -> dict[str, Any]:
    torch.manual_seed(3)
    return {prefix + "half": torch.randn(5, 7).half(), prefix + "brain": torch.randn(9).bfloat16(),
            prefix + "float": torch.randn(2, 3, 4), prefix + "empty": torch.zeros(0, 3),
            prefix + "scalar": torch.tensor(0.5)}


def test_shards_become_safetensors_bit_for_bit(tmp_path: pathlib.Path) -> None:
    first, second = random_state("a."), random_state("b.")
    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.rand(4).double()}
    source = make_bin(tmp_path / "source", {**first, **frequencies}, second)
    summary = convert(source, tmp_path / "new", shard_bytes=100)
    assert read_folder(tmp_path / "new", is_aligned=True) == expected_of({**first, **second})
    assert summary.dropped == list(frequencies) and summary.n_files > 2
    safetensors = pytest.importorskip("safetensors",
                                      reason="safetensors, asked as well, is missing")
    for path in (tmp_path / "new").glob("*.safetensors"):
        with safetensors.safe_open(path, framework="pt") as file:
            for name in file.keys():
                assert torch.equal(file.get_tensor(name), {**first, **second}[name])


def test_views_and_tied_tensors_are_written_out(tmp_path: pathlib.Path) -> None:
    base = torch.randn(6, 8)
    state = {"base": base, "tied": base, "turned": base.t(), "rows": base[1:4],
             "columns": base[:, 2:5], "strided": base[::2, ::3], "line": base.flatten()[3::5],
             "parameter": torch.nn.Parameter(base.half())}
    convert(make_bin(tmp_path / "source", state), tmp_path / "new")
    assert read_folder(tmp_path / "new") == expected_of(state)


@pytest.mark.parametrize("piece_bytes", [1 << 12, 4100])
def test_tensors_of_many_pieces_keep_their_order(tmp_path: pathlib.Path, piece_bytes: int,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    import sot.convert.safetensors_file as module
    monkeypatch.setattr(module, "PIECE_BYTES", piece_bytes)
    base = torch.randn(300, 70)
    state = {"straight": base, "turned": base.t(), "half": base.half()}
    convert(make_bin(tmp_path / "source", state), tmp_path / "new")
    assert read_folder(tmp_path / "new") == expected_of(state)
    convert(tmp_path / "source", tmp_path / "f16", dtype="f16")
    halves = {name: values.half() for name, values in state.items()}
    assert read_folder(tmp_path / "f16") == expected_of(halves)


def test_dtype_f16_rounds_as_torch_and_says_so_in_the_configuration(
        tmp_path: pathlib.Path) -> None:
    state = random_state()
    state["edges"] = torch.tensor([65504.0, 65519.0, -65504.0, 6e-8, 2e-8, 1e-30, 1 + 2**-11,
                                   1 + 3 * 2**-11, -0.0])
    source = make_bin(tmp_path / "source", state)
    convert(source, tmp_path / "new", dtype="f16")
    assert read_folder(tmp_path / "new") == expected_of({name: values.half()
                                                         for name, values in state.items()})
    edges = read_folder(tmp_path / "new")["edges"][2]
    assert edges.hex() == "ff7b" "ff7b" "fffb" "0100" "0000" "0000" "003c" "023c" "0080"
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert config == {**CONFIG, "torch_dtype": "float16"}


@pytest.mark.parametrize("value", [65520.0, -1e6, float("inf"), float("nan")])
def test_value_that_fp16_cannot_hold_is_refused(tmp_path: pathlib.Path, value: float) -> None:
    wide = torch.zeros(3, 4)
    wide[1, 2] = value
    source = make_bin(tmp_path / "source", {"good": torch.zeros(2), "wide": wide})
    with pytest.raises(ConvertError, match=r"pytorch_model.bin: tensor wide: element 6 is"):
        convert(source, tmp_path / "new", dtype="f16")
    assert os.listdir(tmp_path) == ["source"]
    convert(source, tmp_path / "new")


class Deceit:
    """Unpickled by anything but weights_only, it would make a file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def refusals(folder: pathlib.Path) -> dict[str, tuple[Any, str]]:
    return {
        "int8": ({"t": torch.zeros(2, dtype=torch.int8)}, "tensor t: type torch.int8"),
        "double": ({"t": torch.zeros(2).double()}, "tensor t: type torch.float64"),
        "complex": ({"t": torch.zeros(2, dtype=torch.complex64)}, "type torch.complex64"),
        "sparse": ({"t": torch.eye(3).to_sparse()}, "tensor t: is torch.sparse_coo"),
        "meta": ({"t": torch.zeros(2, device="meta")}, "tensor t: is torch.strided on meta"),
        "repeated": ({"t": torch.zeros(1).expand(1 << 40)}, "more elements than the 4 bytes"),
        "nested": ({"model": {"t": torch.zeros(2)}}, "tensor model: is a dict, not a tensor"),
        "number": ({"step": 5}, "tensor step: is a int, not a tensor"),
        "list": ([torch.zeros(2)], "holds a list, expected a dictionary of tensors"),
        "key": ({7: torch.zeros(2)}, "the name of tensor 0 is no text: 7"),
        "own_name": ({"__metadata__": torch.zeros(2)}, "tensor 0 is called __metadata__"),
        "long_name": ({"x" * 256: torch.zeros(2)}, "tensor 0 has a name of 256 bytes"),
        "nothing": ({}, "holds no tensors"),
        "code": ({"t": Deceit(folder / "owned")}, "torch refuses it: "),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", refusals(pathlib.Path("x")))
def test_content_that_is_no_plain_tensor_is_refused(tmp_path: pathlib.Path, case: str) -> None:
    content, sentence = refusals(tmp_path)[case]
    source = make_bin(tmp_path / "source", content)
    with pytest.raises(ConvertError, match=sentence):
        convert(source, tmp_path / "new")
    assert os.listdir(tmp_path) == ["source"]


def rewrite(path: pathlib.Path, change: Any) -> None:
    """Writes a zip archive again with change(name, data) for each record."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in records.items():
            archive.writestr(name, change(name, data))


def test_record_that_is_shorter_than_stated_is_refused(tmp_path: pathlib.Path) -> None:
    """torch maps the file and would read on into the next record, or past the end."""
    for cut in ("/data/0", "/data/1"):
        source = make_bin(tmp_path / ("source" + cut[-1]),
                          {"a": torch.zeros(64), "b": torch.ones(1000)})
        rewrite(source / "pytorch_model.bin",
                lambda name, data: data[:100] if name.endswith(cut) else data)
        with pytest.raises(ConvertError, match=r"pytorch_model.bin: (tensor [ab]: states|torch)"):
            convert(source, tmp_path / "new")


def test_bin_file_cut_anywhere_is_refused(tmp_path: pathlib.Path) -> None:
    source = make_bin(tmp_path / "source", random_state())
    path = source / "pytorch_model.bin"
    data = path.read_bytes()
    for size in range(0, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(ConvertError, match="pytorch_model.bin"):
            convert(source, tmp_path / "new")
    assert os.listdir(tmp_path) == ["source"]


def test_bin_file_with_changed_bytes_is_refused_or_means_the_same(tmp_path: pathlib.Path) -> None:
    source = make_bin(tmp_path / "source", random_state())
    path = source / "pytorch_model.bin"
    data = path.read_bytes()
    n_refused = 0
    for i in range(0, len(data), 23):
        changed = bytearray(data)
        changed[i] ^= 0x55
        path.write_bytes(changed)
        try:
            convert(source, tmp_path / "new", force=True)
            assert read_folder(tmp_path / "new") == expected_of(random_state())
        except ConvertError as error:
            assert "pytorch_model.bin" in str(error)
            n_refused += 1
    assert n_refused > len(data) // 23 // 2


def test_damaged_data_is_known_by_its_checksum(tmp_path: pathlib.Path) -> None:
    state = {"a": torch.arange(1000.0), "b": torch.ones(3000)}
    source = make_bin(tmp_path / "source", state)
    path = source / "pytorch_model.bin"
    data = path.read_bytes()
    at = data.index(data_of(state["a"])) + 2000
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    with pytest.raises(ConvertError, match="pytorch_model.bin: record '.*/data/0' is damaged"):
        convert(source, tmp_path / "new")
    assert os.listdir(tmp_path) == ["source"]
    convert(source, tmp_path / "new", verify=False)
    assert read_folder(tmp_path / "new")["b"] == expected_of(state)["b"]


def test_bin_file_without_checksums_is_converted(tmp_path: pathlib.Path) -> None:
    state = random_state()
    torch.serialization.set_crc32_options(False)
    try:
        source = make_bin(tmp_path / "source", state)
    finally:
        torch.serialization.set_crc32_options(True)
    convert(source, tmp_path / "new")
    assert read_folder(tmp_path / "new") == expected_of(state)


def test_index_and_shards_that_disagree_are_refused(tmp_path: pathlib.Path) -> None:
    source = make_bin(tmp_path / "source", {"a": torch.zeros(2)}, {"b": torch.zeros(2)})
    index = source / "pytorch_model.bin.index.json"
    first, second = sorted(path.name for path in source.glob("*.bin"))
    index.write_text(json.dumps({"weight_map": {"a": first, "b": second, "c": second}}))
    with pytest.raises(ConvertError, match=f"index.json: tensor c should be in {second}, which ha"):
        convert(source, tmp_path / "new")
    torch.save({"a": torch.zeros(2), "b": torch.zeros(2)}, source / second)
    index.write_text(json.dumps({"weight_map": {"a": first, "b": second}}))
    with pytest.raises(ConvertError, match=f"{second}: tensor a: is in {first}, too"):
        convert(source, tmp_path / "new")
    (source / second).unlink()
    with pytest.raises(ConvertError, match=f"tensor b should be in {second}, which is not there"):
        convert(source, tmp_path / "new")


def test_old_pickle_of_torch_is_refused(tmp_path: pathlib.Path) -> None:
    source = make_bin(tmp_path / "source", {})
    torch.save({"a": torch.zeros(2)}, source / "pytorch_model.bin",
               _use_new_zipfile_serialization=False)
    with pytest.raises(ConvertError, match="pickle of torch before 1.6"):
        convert(source, tmp_path / "new")
    memory = io.BytesIO()
    pickle.dump({"a": 1}, memory)
    (source / "pytorch_model.bin").write_bytes(memory.getvalue())
    with pytest.raises(ConvertError, match="pickle of torch before 1.6"):
        convert(source, tmp_path / "new")


@pytest.mark.parametrize("options", [[], ["--dtype", "f16"]])
def test_memory_does_not_grow_with_the_checkpoint(tmp_path: pathlib.Path,
                                                  options: list[str]) -> None:
    largest = torch.arange(1 << 23, dtype=torch.float32) / (1 << 10)
    shards = [{f"{i}": largest.reshape(1 << 10, -1)} for i in range(8)]
    source = make_bin(tmp_path / "source", *shards)
    small = make_bin(tmp_path / "small", {"a": torch.zeros(1 << 20)})
    growth = peak_growth(small, source, tmp_path / "new", *options)
    # 256 MiB in tensors of 32; without giving pages back the process grows by 180 MiB and more
    assert growth < 32 << 20, f"{growth} bytes more"


@pytest.mark.parametrize("name", ["linear", "bf16", "f32", "deep-tied"])
def test_golden_model_as_bin_files_becomes_the_librarys_gguf(tmp_path: pathlib.Path,
                                                             name: str) -> None:
    folder = GOLDEN / name / "hf"
    kinds = {name: kind for kind, name in NAMES.items()}
    state = {key: torch.frombuffer(bytearray(data), dtype=kinds[dtype]).reshape(shape)
             for key, (dtype, shape, data) in read_folder(folder).items()}
    names = list(state)
    source = make_bin(tmp_path / "source", *({n: state[n] for n in names[i::3]} for i in range(3)),
                      config=json.loads((folder / "config.json").read_text()))
    convert(source, tmp_path / "new")
    assert read_folder(tmp_path / "new") == read_folder(folder)
    convert(source, tmp_path / "new.gguf")
    with sot.Model(folder, device="cpu") as saved:
        saved.save(tmp_path / "saved.gguf")
    assert (tmp_path / "new.gguf").read_bytes() == (tmp_path / "saved.gguf").read_bytes()


def llama(dtype: Any) -> Any:
    transformers = pytest.importorskip("transformers",
                                       reason="transformers, which makes a LLaMA, is missing")
    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=257, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() == 2:
                values.copy_(torch.randn(values.shape) * 1.5 / values.shape[1] ** 0.5)
    return model.to(dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_converted_llama_answers_as_the_original(tmp_path: pathlib.Path, dtype: str) -> None:
    """The same model saved by Transformers as safetensors is what the library's logits must be bit
    for bit; what they mean is Transformers' own, in FP32 on matrices rounded to FP16."""
    model = llama(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "saved")
    state = dict(model.state_dict())
    names = list(state)
    source = make_bin(tmp_path / "source", *({n: state[n] for n in names[i::3]} for i in range(3)),
                      config=json.loads((tmp_path / "saved" / "config.json").read_text()))
    convert(source, tmp_path / "folder", shard_bytes=40_000)
    convert(source, tmp_path / "file.gguf")
    with sot.Model(tmp_path / "saved", device="cpu") as saved:
        saved.save(tmp_path / "saved.gguf")
    assert (tmp_path / "file.gguf").read_bytes() == (tmp_path / "saved.gguf").read_bytes()

    tokens = [1, 200, 31, 31, 5, 90, 256, 17]

    def logits(path: pathlib.Path) -> Any:
        with sot.Model(path, device="cpu") as loaded, sot.Session(loaded, n_threads=1) as session:
            return torch.tensor(list(session.logits(tokens)))

    ours = logits(tmp_path / "folder")
    assert torch.equal(ours, logits(tmp_path / "saved"))
    with torch.no_grad():
        rounded = model.float()
        for values in rounded.parameters():
            if values.dim() == 2:
                values.copy_(values.half().float())
        theirs = rounded(torch.tensor([tokens])).logits[0, -1]
    # Keys and values are FP16 in libsot; tests/golden keeps the same tolerance.
    for found in (ours, logits(tmp_path / "file.gguf")):
        assert (found - theirs).norm() < 2e-3 * theirs.norm()
