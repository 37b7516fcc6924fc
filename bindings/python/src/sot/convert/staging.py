"""Output that is at its place whole or not at all: it grows in a folder beside the target and is
renamed when it is complete. Whatever ends the work otherwise removes that folder; only a process
that is killed outright leaves it behind, as TARGET.part-PID.
"""

from __future__ import annotations

import os
import shutil
from types import TracebackType

from .tensor import ConvertError

_NAMES_MAX = 100


def check_target(target: str, is_file: bool, force: bool, sign: str) -> None:
    """Whether target may be written; a folder is replaced only if it holds the file sign."""
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        raise ConvertError(f"{target}: the folder {parent} is not there")
    if not os.path.lexists(target):
        return
    if is_file != os.path.isfile(target):
        what = "a regular file" if is_file else "a folder"
        raise ConvertError(f"{target}: is there and not {what}")
    if not is_file and not os.listdir(target):
        return
    if not force:
        raise ConvertError(f"{target}: is there already; --force replaces it")
    if not is_file and not os.path.isfile(os.path.join(target, sign)):
        raise ConvertError(f"{target}: is a folder without {sign}, not a checkpoint; "
                           "it is not replaced")


def check_free_space(target: str, n_bytes: int) -> None:
    """Raises if the target's file system lacks n_bytes."""
    free = shutil.disk_usage(os.path.dirname(target)).free
    if free < n_bytes:
        raise ConvertError(f"{target}: {n_bytes / 1e9:.2f} GB are needed while converting, "
                           f"{free / 1e9:.2f} GB are free there")


def _sync_folder(path: str) -> None:
    """So that names outlive a power failure. Not every file system can; nothing hangs on it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        pass


class Staging:
    """The folder beside the target, as a context manager; ``folder`` is its path."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.folder = ""

    def __enter__(self) -> Staging:
        for i in range(_NAMES_MAX):
            folder = f"{self._target}.part-{os.getpid()}" + (f"-{i}" if i else "")
            try:
                os.mkdir(folder)
            except FileExistsError:
                continue
            self.folder = folder
            return self
        raise ConvertError(f"{self._target}.part-{os.getpid()}: is there, and {_NAMES_MAX} more")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def put_in_place(self, path: str) -> None:
        """Gives path, in this folder and complete, the target's name. What was there goes when
        the new one is there; if that fails it is put back."""
        if os.path.isdir(path):
            _sync_folder(path)
        replaced = os.path.join(self.folder, "replaced")
        must_move = os.path.isdir(self._target)
        try:
            if must_move:
                os.rename(self._target, replaced)
            os.replace(path, self._target)
        except BaseException:
            if os.path.isdir(replaced) and not os.path.lexists(self._target):
                os.rename(replaced, self._target)
            raise
        _sync_folder(os.path.dirname(self._target))
