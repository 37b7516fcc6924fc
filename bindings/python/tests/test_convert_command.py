"""python -m sot.convert as a process: help, exit codes, signals, the bar; and what it says where
torch is missing. Needs neither torch nor libsot."""

from __future__ import annotations

import io
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
import zipfile
from typing import Callable

import pytest
from checkpoint_cases import (copy_golden, make_folder, read_folder, run_command,
                              small_tensors)

from sot.convert import ConvertError, convert
from sot.convert.command import main
from sot.convert.progress_bar import ProgressBar, bar_line


def zip_bytes(records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return memory.getvalue()


RECORDS = {"archive/data.pkl": b"\x80\x02}.", "archive/byteorder": b"little",
           "archive/data/0": b"\0" * 64}


def bin_folder(folder: pathlib.Path, data: bytes) -> pathlib.Path:
    make_folder(folder, {})
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(data)
    return folder


def test_help_names_every_option_and_exit_code() -> None:
    result = run_command("--help")
    assert result.returncode == 0 and result.stderr == ""
    for word in ("SRC", "DST", "--dtype", "--shard-size", "--force", "--no-verify", "--quiet",
                 "Exit codes", "130", "torch", "GGUF"):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("arguments", [[], ["a"], ["a", "b", "c"], ["a", "b", "--dtype", "f64"],
                                       ["a", "b", "--shard-size", "0"], ["", "b"],
                                       ["a", "b", "--shard-size", "5 XB"], ["a", "b", "--what"],
                                       ["a", "b.gguf", "--dtype", "f16"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_shard_size_is_read_with_its_unit() -> None:
    from sot.convert.command import _shard_size
    sizes = {"5GB": 5 * 10**9, "500mb": 5 * 10**8, "2 GiB": 2**31, "1.5KB": 1500, "77": 77}
    assert {text: _shard_size(text) for text in sizes} == sizes


def test_command_converts_and_says_so(tmp_path: pathlib.Path) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    result = run_command(source, tmp_path / "new")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (f"{tmp_path}/new: 4 tensors, 0.00 GB in 1 file, "
                             "read back and equal\n")
    result = run_command("--quiet", "--no-verify", "--force", source, tmp_path / "new")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert read_folder(tmp_path / "new") == small_tensors()


def test_command_that_fails_exits_1_with_one_sentence(tmp_path: pathlib.Path) -> None:
    result = run_command(tmp_path / "gone", tmp_path / "new")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"sot.convert: {tmp_path}/gone: is not there; a checkpoint's folder "
                             "is expected\n")


def test_command_prints_no_control_characters(tmp_path: pathlib.Path,
                                              monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    assert main([str(source), str(tmp_path / "n\x1bw\udcff")]) == 0
    assert "n\\x1bw\\udcff: 4 tensors" in capsys.readouterr().out

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device", "the-\x1b[1mdisk")

    monkeypatch.setattr(os, "fsync", fail)
    assert main([str(source), str(tmp_path / "new")]) == 1
    assert "the-\\x1b[1mdisk: No space" in capsys.readouterr().err


def test_disk_that_fails_is_told_with_its_file(tmp_path: pathlib.Path,
                                               monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    source = make_folder(tmp_path / "source", small_tensors())

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device", "the-disk")

    monkeypatch.setattr(os, "fsync", fail)
    assert main([str(source), str(tmp_path / "new")]) == 1
    assert capsys.readouterr().err == "sot.convert: the-disk: No space left on device\n"
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_removes_what_was_begun(tmp_path: pathlib.Path, number: int, code: int) -> None:
    source = make_folder(tmp_path / "source", small_tensors())
    # The writer stops in its first tensor, as it would for a long time in a large one.
    program = ("import sys, time\n"
               "import sot.convert.safetensors_file as module\n"
               "from sot.convert.command import main\n"
               "write = module._write_all\n"
               "def slowly(file, piece):\n"
               "    write(file, piece)\n"
               "    print('writing', flush=True)\n"
               "    time.sleep(100)\n"
               "module._write_all = slowly\n"
               "sys.exit(main(sys.argv[1:]))\n")
    process = subprocess.Popen([sys.executable, "-c", program, source, tmp_path / "new"],
                               env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    assert os.listdir(tmp_path) != ["source"]
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors and ("interrupted" in errors) == (code == 130)
    assert os.listdir(tmp_path) == ["source"]


def test_import_loads_neither_torch_nor_the_library() -> None:
    program = ("import sys, sot.convert\n"
               "assert 'torch' not in sys.modules\n"
               "assert 'libsot' not in open('/proc/self/maps').read()\n")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60,
                   env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))


def test_torch_that_is_missing_is_asked_for(tmp_path: pathlib.Path,
                                            monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    source = bin_folder(tmp_path / "source", zip_bytes(RECORDS))
    assert main([str(source), str(tmp_path / "new")]) == 1
    assert capsys.readouterr().err == (
        "sot.convert: pytorch_model.bin is a PyTorch file: reading it needs torch, which is not "
        "installed: pip install torch\n")
    source = copy_golden("bf16", tmp_path / "bf16")
    for target, options in (("new", ["--dtype", "f16"]), ("new.gguf", [])):
        assert main([str(source), str(tmp_path / target), *options]) == 1
        assert "is BF16, and rounding it to FP16 needs torch" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["bf16", "source"]


@pytest.mark.parametrize("version", ["2.5.1+cpu", "1.13.0", "nightly"])
def test_torch_that_is_old_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch,
                                      version: str) -> None:
    torch = types.ModuleType("torch")
    monkeypatch.setattr(torch, "__version__", version, raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    source = bin_folder(tmp_path / "source", zip_bytes(RECORDS))
    with pytest.raises(ConvertError, match=r"needs torch 2.6 or newer.*CVE-2025-32434"):
        convert(source, tmp_path / "new")


WHOLE = zip_bytes(RECORDS)
ZIP_CASES = {
    "empty": (b"", "is empty"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "cut_short": (WHOLE[:-30], "cut short?"),
    "old": (b"\x80\x02\x8a\nl\xfc\x9c", "torch before 1.6"),
    "other": (b"hello", "is not the zip archive that torch.save writes"),
    "compressed": (zip_bytes(RECORDS, zipfile.ZIP_DEFLATED), "is compressed"),
    "no_pickle": (zip_bytes({"archive/data/0": b"x"}), "holds 0 records data.pkl"),
    "two_pickles": (zip_bytes({**RECORDS, "b/data.pkl": b""}), "holds 2 records data.pkl"),
    "big_endian": (zip_bytes({**RECORDS, "archive/byteorder": b"big"}), "big-endian"),
    # the middle is gone, the directory at the end still there
    "holed": (WHOLE[60:], "damaged zip archive"),
    "directory": (WHOLE.replace(b"PK\x01\x02", b"PK\x01\x03"), "damaged zip archive"),
}


@pytest.mark.parametrize("case", ZIP_CASES)
def test_bin_file_that_is_not_torchs_zip_is_refused(tmp_path: pathlib.Path,
                                                    monkeypatch: pytest.MonkeyPatch,
                                                    case: str) -> None:
    data, sentence = ZIP_CASES[case]
    monkeypatch.setitem(sys.modules, "torch", None)  # none of it takes torch to find
    with pytest.raises(ConvertError, match=r"pytorch_model\.bin.*(" + sentence + ")"):
        convert(bin_folder(tmp_path / "source", data), tmp_path / "new")


def test_bin_files_damaged_anywhere_end_in_a_sentence(tmp_path: pathlib.Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    source = bin_folder(tmp_path / "source", WHOLE)
    for i in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[i] ^= 0xFF
        (source / "pytorch_model.bin").write_bytes(data)
        with pytest.raises(ConvertError, match="pytorch_model.bin"):
            convert(source, tmp_path / "new")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_is_drawn_on_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[tuple[Callable[[], io.StringIO], str, bool, bool]] = [
        (Terminal, "xterm", False, True), (Terminal, "xterm", True, False),
        (Terminal, "dumb", False, False), (io.StringIO, "xterm", False, False)]
    for make, terminal, quiet, draws in cases:
        monkeypatch.setenv("TERM", terminal)
        stream = make()
        bar = ProgressBar(stream, quiet)
        bar("writing 1/2", 5, 10)
        assert ("writing 1/2" in stream.getvalue()) == draws
        assert ("50%" in stream.getvalue()) == draws
        bar.clear()
        assert stream.getvalue().endswith("\r\x1b[K") == draws


def test_bar_is_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    ProgressBar(stream, False)("reading back 10/10", 5, 10)
    assert len(stream.getvalue()) == len("\r\x1b[K") + 29


def test_bar_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    bar = ProgressBar(stream, False)
    for i in range(1000):
        now = i / 1000
        bar("writing", i, 2000)
    assert stream.getvalue().count("\r") <= 12


def test_bar_states_share_bytes_and_time_left() -> None:
    line = bar_line("writing 1/3", 5 * 10**9, 20 * 10**9, 30.0)
    assert line == "writing 1/3        [######..................]  25%  5.00 of 20.00 GB  1:30 left"
    assert bar_line("saving", 10**9, 10**12, 60.0).endswith("  16:39:00 left")
    assert "left" not in bar_line("saving", 1, 10, 1.0)
    assert "100%" in bar_line("saving", 0, 0, 10.0)
