"""sot.convert from safetensors to folders: what needs neither torch nor libsot. Planning, writing,
reading back, the index, places and names of files."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from typing import Any

import pytest
from checkpoint_cases import (copy_golden, make_folder, read_folder, safetensors_bytes,
                              small_tensors)

from sot.convert import ConvertError, convert
from sot.convert.conversion import plan_shards
from sot.convert.safetensors_file import (compare_safetensors, read_safetensors, reader,
                                          write_safetensors)
from sot.convert.tensor import Tensor


def keep(name: str) -> bool:
    return False


def test_folder_in_several_shards_keeps_every_tensor(tmp_path: pathlib.Path) -> None:
    source = copy_golden("linear", tmp_path / "source")
    summary = convert(source, tmp_path / "new", shard_bytes=30_000)
    written = sorted(path.name for path in (tmp_path / "new").glob("*.safetensors"))
    n = len(written)
    assert n == summary.n_files > 3
    assert written == [f"model-{i + 1:05d}-of-{n:05d}.safetensors" for i in range(n)]
    assert read_folder(tmp_path / "new") == read_folder(source)
    index = json.loads((tmp_path / "new" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(read_folder(source))
    assert set(index["weight_map"].values()) == set(written)
    assert index["metadata"]["total_size"] == summary.n_bytes
    assert os.listdir(tmp_path) in (["source", "new"], ["new", "source"])


def test_folder_of_mixed_types_is_aligned_and_whole(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    convert(source, tmp_path / "new")
    assert read_folder(tmp_path / "new", is_aligned=True) == small_tensors()
    for name in ("config.json", "tokenizer.model"):
        assert (tmp_path / "new" / name).read_bytes() == (source / name).read_bytes()
    assert sorted(os.listdir(tmp_path / "new")) == ["config.json", "model.safetensors",
                                                    "tokenizer.model"]


def test_shards_hold_at_most_their_bytes_or_one_tensor() -> None:
    tensors = [Tensor(str(n), "", "F16", (n,), reader("", 0, 0)) for n in (3, 3, 9, 1, 4, 5, 0)]
    shards = plan_shards(tensors, 12)
    assert [[tensor.shape[0] for tensor in shard] for shard in shards] == [[3, 3], [9], [1, 4],
                                                                           [5, 0]]


def test_rotary_frequencies_are_dropped_and_named(tmp_path: pathlib.Path) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    source = make_folder(tmp_path / "source",
                         {**small_tensors(), name: ("F64", [1], b"\0" * 8)})
    assert convert(source, tmp_path / "new").dropped == [name]
    assert read_folder(tmp_path / "new") == small_tensors()


def test_files_beside_the_weights_are_copied_or_left(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    for name in ("LICENSE", "NOTICE.txt", "chat_template.jinja", "added_tokens.json"):
        (source / name).write_text(name)
    for name in ("optimizer.pt", "modeling.py", "pytorch_model.bin.index.json", "x.h5"):
        (source / name).write_text("no")
    (source / "runs.json").mkdir()
    convert(source, tmp_path / "new")
    assert sorted(os.listdir(tmp_path / "new")) == [
        "LICENSE", "NOTICE.txt", "added_tokens.json", "chat_template.jinja", "config.json",
        "model.safetensors", "tokenizer.model"]


def make_cache(cache: pathlib.Path) -> pathlib.Path:
    """A snapshot as Hugging Face's download cache has it."""
    blobs = make_folder(cache / "blobs", small_tensors())
    snapshot = cache / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    for name in os.listdir(blobs):
        (blobs / name).rename(blobs / ("sha-of-" + name))
        (snapshot / name).symlink_to(f"../../blobs/sha-of-{name}")
    return snapshot


def test_links_of_a_download_cache_are_followed(tmp_path: pathlib.Path) -> None:
    snapshot = make_cache(tmp_path / "models--a--b")
    (tmp_path / "link").symlink_to(snapshot)
    for source in (snapshot, tmp_path / "link"):
        convert(source, tmp_path / "new", force=True)
        assert read_folder(tmp_path / "new") == small_tensors()
        assert sorted(os.listdir(tmp_path / "new")) == sorted(os.listdir(snapshot))
        assert not any(path.is_symlink() for path in (tmp_path / "new").iterdir())


def test_links_within_the_folder_and_of_weights_are_followed(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    (source / "model.safetensors").rename(tmp_path / "elsewhere")
    (source / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    (source / "LICENSE").write_text("free")
    (source / "LICENSE.txt").symlink_to("LICENSE")
    convert(source, tmp_path / "new")
    assert read_folder(tmp_path / "new") == small_tensors()
    assert (tmp_path / "new" / "LICENSE.txt").read_text() == "free"


@pytest.mark.parametrize("name", ["README.md", "config.json", "tokenizer.model", "x.json"])
@pytest.mark.parametrize("where", ["secret", "source/.git/config", "blobs/secret"])
def test_link_that_brings_another_file_is_refused(tmp_path: pathlib.Path, name: str,
                                                  where: str) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    secret = tmp_path / where
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text('{"token": "hunter2"}')
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(secret)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ConvertError) as failure:
        convert(source, tmp_path / "new")
    assert f"{source / name}: is a link out of the folder, to {secret};" in str(failure.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_link_that_brings_another_file_is_refused_for_gguf(tmp_path: pathlib.Path) -> None:
    source = copy_golden("linear", tmp_path / "source")
    (source / "README.md").symlink_to(__file__)
    with pytest.raises(ConvertError, match="README.md: is a link out of the folder"):
        convert(source, tmp_path / "new.gguf")


def test_blobs_of_a_cache_that_are_a_link_are_not_followed(tmp_path: pathlib.Path) -> None:
    snapshot = make_cache(tmp_path / "models--a--b")
    (tmp_path / "models--a--b" / "blobs").rename(tmp_path / "home")
    (tmp_path / "models--a--b" / "blobs").symlink_to(tmp_path / "home")
    with pytest.raises(ConvertError, match="is a link out of the folder"):
        convert(snapshot, tmp_path / "new")


def test_config_that_is_no_file_is_refused(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    (source / "config.json").unlink()
    os.mkfifo(source / "config.json")  # opening it would wait for ever
    with pytest.raises(ConvertError, match="config.json: is no regular file"):
        convert(source, tmp_path / "new")


def test_names_are_printable_in_sentences(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "\x1b[2Jsource", small_tensors())
    (source / "model.safetensors").rename(source / "one.safetensors")
    (source / "model.safetensors.index.json").write_text(json.dumps(
        {"weight_map": {"a\x1b]0;b\n\x9b": "/\u202e"}}))
    with pytest.raises(ConvertError) as failure:
        convert(source, tmp_path / "new")
    assert str(failure.value).isprintable() and "a\\x1b]0;b\\n\\x9b" in str(failure.value)
    (source / "config.json").unlink()
    with pytest.raises(ConvertError, match=r"/\\x1b\[2Jsource/config.json: cannot be read"):
        convert(source, tmp_path / "new")


INDEX_CASES = {
    "not_json": ("{", "model.safetensors.index.json: is no JSON"),
    "deep": ("[" * 100_000, "is no JSON"),
    "not_an_object": ("[]", "is no JSON object"),
    "empty_map": ('{"weight_map": {}}', "weight_map is missing or empty"),
    "parent": ('{"weight_map": {"a": "../x.safetensors"}}',
               "tensor a: file '../x.safetensors' is no plain name"),
    "absolute": ('{"weight_map": {"a": "/etc/passwd"}}', "file '/etc/passwd' is no plain name"),
    "dots": ('{"weight_map": {"a": ".."}}', "file '..' is no plain name"),
    "number": ('{"weight_map": {"a": 7}}', "file 7 is no plain name"),
    "nul": ('{"weight_map": {"a": "x\\u0000"}}', "is no plain name"),
    "missing_file": ('{"weight_map": {"a": "gone.safetensors"}}',
                     "tensor a should be in gone.safetensors, which is not there"),
    "missing_tensor": ('{"weight_map": {"a.half": "one.safetensors", "z": "one.safetensors"}}',
                       "tensor z should be in one.safetensors, which has none"),
    "twice": ('{"weight_map": {"a": "x", "a": "y"}}', "'a' is there twice"),
}


@pytest.mark.parametrize("case", INDEX_CASES)
def test_index_that_is_hostile_is_refused(tmp_path: pathlib.Path, case: str) -> None:
    text, sentence = INDEX_CASES[case]
    source = make_folder(tmp_path / "source", small_tensors())
    (source / "model.safetensors").rename(source / "one.safetensors")
    (source / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ConvertError) as failure:
        convert(source, tmp_path / "new")
    assert sentence in str(failure.value)
    assert os.listdir(tmp_path) == ["source"]


def test_index_with_a_tensor_in_two_files_is_refused(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    shutil.copy(source / "model.safetensors", source / "1.safetensors")
    (source / "model.safetensors").rename(source / "2.safetensors")
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {
        "a.half": "1.safetensors", "a.float": "2.safetensors"}}))
    with pytest.raises(ConvertError, match=r"2.safetensors: tensor a.half: is in 1.safetensors"):
        convert(source, tmp_path / "new")


def damaged(**changes: Any) -> bytes:
    entry = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4], **changes}
    text = json.dumps({"t": entry}).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * 4


SAFETENSORS_CASES = {
    "empty": (b"", "0 bytes are too few"),
    "long_header": (b"\xff" * 8 + b"{}", "a header of 18446744073709551615 bytes"),
    "cut_short": (safetensors_bytes(small_tensors())[:-1], "tensor b.brain: data_offsets are"),
    "list": (b"\x02" + b"\0" * 7 + b"[]", "the header is no object"),
    "type": (damaged(dtype="I8"), "tensor t: type 'I8', supported are F16, BF16, F32"),
    "no_type": (damaged(dtype=None), "tensor t: type None"),
    "negative": (damaged(shape=[-2]), "tensor t: shape is [-2]"),
    "truth": (damaged(shape=[True]), "tensor t: shape is [True]"),
    "text": (damaged(shape="2"), "tensor t: shape is '2'"),
    "span": (damaged(shape=[3]), "span 4 bytes, but type and shape need 6"),
    "outside": (damaged(data_offsets=[4, 8]), "data_offsets are [4, 8], the file has 4 bytes"),
    "backwards": (damaged(data_offsets=[4, 0]), "data_offsets are [4, 0]"),
    "huge": (damaged(shape=[1 << 70]), "type and shape need 2361183241434822606848"),
}


@pytest.mark.parametrize("case", SAFETENSORS_CASES)
def test_safetensors_that_are_hostile_are_refused(tmp_path: pathlib.Path, case: str) -> None:
    data, sentence = SAFETENSORS_CASES[case]
    source = make_folder(tmp_path / "source", {})
    (source / "model.safetensors").write_bytes(data)
    with pytest.raises(ConvertError) as failure:
        convert(source, tmp_path / "new")
    assert sentence in str(failure.value) and "model.safetensors" in str(failure.value)
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 256, "\ud800", "__metadata__"])
def test_tensor_name_that_cannot_be_kept_is_refused(name: str) -> None:
    from sot.convert.tensor import check_name
    with pytest.raises(ConvertError, match="tensor 3"):
        check_name("file", name, 3)


def test_reading_back_finds_a_changed_byte(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    tensors = read_safetensors(str(source / "model.safetensors"), keep)
    written = tmp_path / "written"
    write_safetensors(str(written), tensors, lambda n: None)
    compare_safetensors(str(written), tensors, lambda n: None)
    data = bytearray(written.read_bytes())
    data[-3] ^= 1
    written.write_bytes(data)
    with pytest.raises(ConvertError, match=r"written: tensor b.brain: byte 0|tensor a.float: byte"):
        compare_safetensors(str(written), tensors, lambda n: None)
    written.write_bytes(bytes(data).replace(b"a.half", b"a.hale"))
    with pytest.raises(ConvertError, match="header was not read back as written"):
        compare_safetensors(str(written), tensors, lambda n: None)


def test_failure_while_writing_leaves_nothing(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    steps: list[str] = []

    def progress(label: str, done: int, total: int) -> None:
        steps.append(label)
        assert 0 <= done <= total
        if len(steps) == stop:
            raise InterruptedError("stop")

    stop = -1
    convert(source, tmp_path / "whole", progress=progress)
    for stop in range(1, len(steps) + 1):
        del steps[:]
        with pytest.raises(InterruptedError):
            convert(source, tmp_path / "new", progress=progress)
        with pytest.raises(InterruptedError):
            del steps[:]
            convert(source, tmp_path / "whole", force=True, progress=progress)
        assert sorted(os.listdir(tmp_path)) == ["source", "whole"]
        assert read_folder(tmp_path / "whole") == small_tensors()


def test_existing_target_is_replaced_by_force_alone(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    other = {"other": ("F16", [1], b"ab")}
    target = make_folder(tmp_path / "target", other)
    with pytest.raises(ConvertError, match="is there already; --force replaces it"):
        convert(source, target)
    assert read_folder(target) == other
    convert(source, target, force=True)
    assert read_folder(target) == small_tensors()
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_target_that_is_something_else_is_never_replaced(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear")
    with pytest.raises(ConvertError, match="not a checkpoint; it is not replaced"):
        convert(source, home, force=True)
    with pytest.raises(ConvertError, match="is there and not a folder"):
        convert(source, home / "letter", force=True)
    (home / "x.gguf").mkdir()
    with pytest.raises(ConvertError, match="is there and not a regular file"):
        convert(source, home / "x.gguf", force=True)
    with pytest.raises(ConvertError, match="is not there"):
        convert(source, tmp_path / "no" / "where")
    for target in (source, source / "inside", tmp_path):
        with pytest.raises(ConvertError, match="must lie apart"):
            convert(source, target, force=True)
    assert (home / "letter").read_text() == "dear"
    assert read_folder(source) == small_tensors()


def test_empty_folder_is_filled(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    (tmp_path / "new").mkdir()
    convert(source, tmp_path / "new")
    assert read_folder(tmp_path / "new") == small_tensors()


def test_replaced_folder_is_put_back_when_renaming_fails(
        tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    other = {"other": ("F16", [1], b"ab")}
    target = make_folder(tmp_path / "target", other)

    def fail(first: str, second: str) -> None:
        raise OSError(5, "broken disk", second)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="broken disk"):
        convert(source, target, force=True)
    assert read_folder(target) == other
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_full_disk_is_told_before_anything_is_written(
        tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000_000))
    with pytest.raises(ConvertError, match=r"0.02 GB are needed while converting, 0.01 GB are"):
        convert(source, tmp_path / "new")
    assert os.listdir(tmp_path) == ["source"]


def test_source_that_is_no_checkpoint_is_refused(tmp_path: pathlib.Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for source, sentence in ((tmp_path / "gone", "is not there"), (__file__, "is not a folder"),
                             (empty, "config.json: cannot be read: No such file")):
        with pytest.raises(ConvertError) as failure:
            convert(source, tmp_path / "new")
        assert sentence in str(failure.value)
    (empty / "config.json").write_text("{}")
    with pytest.raises(ConvertError, match=r"neither pytorch_model.bin nor pytorch_model.bin.ind"):
        convert(empty, tmp_path / "new")
    (empty / "model.safetensors").write_bytes(safetensors_bytes({}))
    with pytest.raises(ConvertError, match="holds no tensors"):
        convert(empty, tmp_path / "new")


def test_arguments_out_of_range_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="dtype"):
        convert(tmp_path, tmp_path / "new", dtype="f32")
    with pytest.raises(ValueError, match="shard_bytes"):
        convert(tmp_path, tmp_path / "new", shard_bytes=0)
