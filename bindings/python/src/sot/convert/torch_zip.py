"""What can be said of a ``.bin`` file without torch: that it is the zip archive that torch.save
writes, whole, that no record of it needs more than its own bytes, and that these have the checksum
that the archive states.

torch maps such a file, reads no checksums, and trusts the sizes that the pickle inside states; they
are compared with the records' sizes that are found here (torch_weights.py).
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable

from .tensor import PIECE_BYTES, ConvertError

_PICKLE_BYTES_MAX = 100_000_000  # of data.pkl: names and shapes; the safetensors header's limit
_ZIP_ERRORS = (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError, OSError,
               OverflowError, RuntimeError)
_LFS_POINTER = b"version https://git-lfs"


def _refuse_other(path: str, file: str) -> ConvertError:
    with open(path, "rb") as opened:
        begin = opened.read(64)
    if not begin:
        return ConvertError(f"{file}: is empty")
    if begin.startswith(_LFS_POINTER):
        return ConvertError(f"{file}: is a pointer of Git LFS and not the weights: git lfs pull")
    if begin.startswith(b"PK\x03\x04"):
        return ConvertError(f"{file}: begins as torch's zip archive but its end is missing: "
                            "cut short?")
    if begin.startswith(b"\x80"):
        return ConvertError(f"{file}: is a pickle of torch before 1.6, not torch's zip archive; "
                            "a recent torch can load it and save it again")
    return ConvertError(f"{file}: is not the zip archive that torch.save writes")


def _read_record(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.CRC == 0:  # what torch states where it was told to compute none
        del info.CRC
    return archive.read(info)


def _check_records(file: str, archive: zipfile.ZipFile, file_bytes: int) -> set[int]:
    sizes = set()
    pickles = 0
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ConvertError(f"{file}: record {info.filename!r} is compressed, which torch.save "
                               "never does")
        if info.header_offset + info.file_size > file_bytes:
            raise ConvertError(f"{file}: record {info.filename!r} reaches beyond the end of the "
                               f"file ({file_bytes} bytes)")
        name = info.filename.rsplit("/", 1)[-1]
        if name == "data.pkl":
            pickles += 1
            if info.file_size > _PICKLE_BYTES_MAX:
                raise ConvertError(f"{file}: the list of tensors takes {info.file_size} bytes, "
                                   f"at most {_PICKLE_BYTES_MAX} are read")
        elif name == "byteorder" and _read_record(archive, info) != b"little":
            # torch would swap the bytes of mapped pages, which are given back after each piece
            raise ConvertError(f"{file}: was written on a big-endian machine")
        elif "/data/" in info.filename:
            sizes.add(info.file_size)
    if pickles != 1:
        raise ConvertError(f"{file}: holds {pickles} records data.pkl, one was expected: "
                           "not written by torch.save")
    return sizes


def check_torch_zip(path: str) -> set[int]:
    """The sizes in bytes of the records that hold tensors' data."""
    file = os.path.basename(path)
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConvertError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        if not zipfile.is_zipfile(path):
            raise _refuse_other(path, file)
        with zipfile.ZipFile(path) as archive:
            return _check_records(file, archive, os.path.getsize(path))
    except _ZIP_ERRORS as error:
        raise ConvertError(f"{file}: is a damaged zip archive: {error}") from None


def check_sums(path: str, tick: Callable[[int], None]) -> None:
    """Reads a file that check_torch_zip let pass, and compares its records' checksums. tick is told
    the bytes of the file, in pieces."""
    file = os.path.basename(path)
    left = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.CRC == 0:
                continue
            try:
                with archive.open(info) as record:
                    while piece := record.read(PIECE_BYTES):
                        left -= len(piece)
                        tick(len(piece))
            except _ZIP_ERRORS as error:
                raise ConvertError(f"{file}: record {info.filename!r} is damaged: "
                                   f"{error}") from None
    tick(left)
