"""The command line of ``python -m sot.convert``: arguments, sentences, exit codes."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from .conversion import Summary, convert
from .progress_bar import ProgressBar
from .tensor import printable

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

_DESCRIPTION = """\
Turns a checkpoint that ships only PyTorch .bin files (Vicuna v1.3 is one) into what libsot loads:
a folder of safetensors, or one GGUF file.

SRC is a folder with config.json, the tokenizer's files, and the weights: pytorch_model.bin, or
pytorch_model.bin.index.json with the files it names. Where SRC has safetensors as well, or only
those, they are taken.

DST ending in .gguf becomes one GGUF file: matrices in FP16, norms in FP32, shape and tokenizer
inside. Any other DST becomes a folder: model.safetensors, or several shards with their index, and
copies of SRC's .json, .model, .txt, .jinja and .md files and licence. libsot recognizes a model's
conversation template by its name: let DST's contain it ("vicuna-7b-v1.3") where config.json does
not name the model.
"""

_EPILOG = """\
What happens to tensors:
  Types stay as they are (F16, BF16, F32; others are refused by name) unless --dtype or GGUF asks
  for FP16. Values are rounded to nearest; one that FP16 cannot hold is an error. Tied tensors and
  views are written out, each under its own name. rotary_emb.inv_freq of old checkpoints is
  dropped, as loaders do; so is what a GGUF file has no place for. Both are said at the end.

Memory, disk, time:
  Tensors are read and written in pieces of 4 MiB: memory does not grow with the checkpoint. A
  GGUF file from .bin files or from matrices that are not FP16 goes through a temporary folder of
  the same size beside DST, so twice the room is needed on the disk; this is checked at the start.
  The checksums in .bin files are checked at first, and the result is read back and compared with
  them at the end; that about doubles the time. --no-verify leaves both out.

Safety:
  .bin files are unpickled by torch with weights_only=True (torch 2.6 or newer), so that they
  cannot run code; what is unpickled is checked. DST appears only when complete: until then there
  is DST.part-PID beside it, which is removed also on Ctrl-C and SIGTERM. SRC is never
  changed, and nothing else may change it meanwhile.
  Weights may be links to anywhere, as only tensors are taken from them. A file that is copied may
  be a link to another one in SRC or, where SRC is a snapshot of a download cache, to one of the
  cache's blobs; any other link is an error, since SRC's author could bring a file of yours into
  DST by it.

Requirements:
  torch, for .bin files and for rounding (pip install torch; the CPU build will do). Safetensors
  with FP16 matrices need no other package.

Exit codes:
  0    converted, and equal to SRC unless --no-verify
  1    failed; a sentence on standard error says what, in which file and tensor
  2    wrong usage
  130  interrupted by Ctrl-C (143: ended by SIGTERM)

Examples:
  python -m sot.convert vicuna-7b-v1.3 vicuna-7b-v1.3-safetensors
  python -m sot.convert vicuna-7b-v1.3 vicuna-7b-v1.3.gguf
  python -m sot.convert --dtype f16 --shard-size 2GB llama-f32 llama-f16
"""


def _shard_size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    unit = match.group(2).upper() if match else ""
    size = int(float(match.group(1)) * _UNITS[unit]) if match and unit in _UNITS else 0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no size; examples: 5GB, 500MB, 2GiB")
    return size


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sot.convert", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src", metavar="SRC", help="the checkpoint's folder")
    parser.add_argument("dst", metavar="DST", help="FILE.gguf, or the folder to make")
    parser.add_argument("--dtype", choices=["f16"],
                        help="round a folder's tensors to FP16 (default: as they are)")
    parser.add_argument("--shard-size", type=_shard_size, default="5GB", metavar="SIZE",
                        help="most bytes of tensors in one safetensors file, as 500MB or 2GiB "
                             "(default: 5GB); a larger tensor gets a file of its own")
    parser.add_argument("--force", action="store_true",
                        help="replace DST if it is there: a file, or a folder with config.json")
    parser.add_argument("--no-verify", action="store_true",
                        help="do not check SRC's checksums, nor read the result back and compare "
                             "it with SRC")
    parser.add_argument("-q", "--quiet", action="store_true",
                        help="no progress bar, no summary; errors are still said")
    return parser


def _summary(summary: Summary) -> str:
    files = "1 file" if summary.n_files == 1 else f"{summary.n_files} files"
    verified = "read back and equal" if summary.verified else "not read back"
    lines = [f"{summary.path}: {summary.n_tensors} tensors, {summary.n_bytes / 1e9:.2f} GB in "
             f"{files}, {verified}"]
    if summary.dropped:
        more = f" and {len(summary.dropped) - 1} more" if len(summary.dropped) > 1 else ""
        lines.append(f"not taken over: {summary.dropped[0]}{more}")
    return "\n".join(map(printable, lines))


def _sentence(error: Exception) -> str:
    """What to tell of a failure; one that is a mistake of ours is named by its class, too."""
    if type(error).__module__.split(".")[0] == "sot":
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _run(arguments: argparse.Namespace, bar: ProgressBar) -> int:
    try:
        summary = convert(arguments.src, arguments.dst, dtype=arguments.dtype,
                          shard_bytes=arguments.shard_size, force=arguments.force,
                          verify=not arguments.no_verify, progress=bar)
    except Exception as error:
        bar.clear()
        print(f"sot.convert: {printable(_sentence(error))}", file=sys.stderr)
        return EXIT_FAILED
    bar.clear()
    if not arguments.quiet:
        print(_summary(summary))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parsed = _parser().parse_args(arguments)
    if not parsed.src or not parsed.dst:
        _parser().error("SRC and DST must not be empty")
    if parsed.dtype and os.fspath(parsed.dst).endswith(".gguf"):
        _parser().error("--dtype is for folders; a GGUF file has FP16 matrices anyway")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)
    # One thread rounds faster than a disk writes; on a busy machine torch's wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    bar = ProgressBar(sys.stderr, parsed.quiet)
    try:
        return _run(parsed, bar)
    except KeyboardInterrupt:
        bar.clear()
        print("sot.convert: interrupted; nothing was left behind", file=sys.stderr)
        return EXIT_INTERRUPTED
