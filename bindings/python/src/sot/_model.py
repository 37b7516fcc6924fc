"""Model: weights and tokenizer."""

from __future__ import annotations

import ctypes
import logging
from typing import Any, Callable, List, Optional, Sequence

from . import _layout, _pack
from ._call import Mailbox, wait_for
from ._constants import LogLevel, ModelFlags, Status, TokenizeFlags
from ._library import check, library
from ._owned import Owned, alive
from ._records import ModelInfo, record, sized

ProgressFunction = Callable[[int, int], object]
"""Called with how much of how much is done, in bytes; a true value cancels."""

_logger = logging.getLogger("sot")
_logger.addHandler(logging.NullHandler())
_LEVELS = {
    int(LogLevel.DEBUG): logging.DEBUG,
    int(LogLevel.INFO): logging.INFO,
    int(LogLevel.WARNING): logging.WARNING,
}


def _log_line(level: int, line: bytes, _user: object) -> None:
    _logger.log(_LEVELS.get(level, logging.INFO), "%s", line.decode("utf-8", "replace"))


# The library keeps it with the model, so it lives as long as this module.
_log_fn = _layout.sot_log_fn(_log_line)


def progress_calls(mail: Mailbox, report: Optional[ProgressFunction]) -> Callable[..., int]:
    """The library's progress callback: hands on to report, in the waiting thread, and makes a
    call without a report stoppable, too."""

    def progress(done: int, total: int, _user: object) -> int:
        return 1 if report is not None and mail.ask((done, total)) else 0

    return mail.guard(progress)


class Model:
    """Weights and tokenizer; immutable, for all threads and sessions.

    path: a GGUF file, a Hugging Face directory, or "random:7b", "random:13b", "random:33b",
    "random:DIMxLAYERSxHEADSxFFxVOCAB". FP16 weights are used where the file is mapped, so the file
    must not be changed while the model is in use, unless copy is true.
    device: "auto" (default), "cpu", "cuda" or "cuda:N".
    copy: files are read into memory and not needed afterwards.
    lock: weights are brought in at once and stay in memory; OutOfMemoryError where the limit on
    locked memory forbids it.
    on_progress: called while the model loads.

    What the library has to say goes to the logger "sot". Freed when it and all of its sessions are
    gone, in any order.

    Raises ArgumentError, FileError, FormatError, UnsupportedError, RangeError (a weight that FP16
    cannot hold), DeviceError, OutOfMemoryError, ThreadError, CancelledError.
    """

    info: ModelInfo

    def __init__(
        self,
        path: _pack.Path,
        *,
        device: str = "auto",
        copy: bool = False,
        lock: bool = False,
        on_progress: Optional[ProgressFunction] = None,
    ) -> None:
        self._owned: Optional[Owned] = None
        lib = library()
        mail = Mailbox()
        params = sized(_layout.sot_model_params)
        params.flags = (ModelFlags.COPY if copy else 0) | (ModelFlags.LOCK if lock else 0)
        params.device = _pack.text("device", device)
        params.log = _log_fn
        params.progress = _layout.sot_progress_fn(progress_calls(mail, on_progress))
        owned = Owned(_layout.model_p, lib.sot_model_free)
        encoded = _pack.path("path", path)
        wait_for(
            lambda: int(lib.sot_model_load(encoded, ctypes.byref(params), owned.out())),
            mail,
            None if on_progress is None else lambda item: on_progress(*item),
        )
        info = sized(_layout.sot_model_info)
        check(lib.sot_model_get_info(owned.cell, ctypes.byref(info)))
        self.info = record(ModelInfo, info)
        self._owned = owned

    def save(self, path: _pack.Path, *, on_progress: Optional[ProgressFunction] = None) -> None:
        """Writes the model as one GGUF file, beside path and then in its place. The model may be
        in use.

        Raises FileError, UnsupportedError (a tokenizer that GGUF cannot state), OutOfMemoryError,
        CancelledError."""
        lib = library()
        owned = self._handle()
        mail = Mailbox()
        encoded = _pack.path("path", path)
        progress = _layout.sot_progress_fn(progress_calls(mail, on_progress))
        wait_for(
            lambda: int(lib.sot_model_save(owned.cell, encoded, progress, None)),
            mail,
            None if on_progress is None else lambda item: on_progress(*item),
        )

    def tokenize(self, text: str, *, bos: bool = False, special: bool = False) -> List[int]:
        """Text to tokens, as SentencePiece does. bos: BOS first; special: control pieces in the
        text are read as themselves.

        Raises ArgumentError (a lone surrogate), UnsupportedError (no tokenizer),
        OutOfMemoryError."""
        owned = self._handle()
        encoded = _pack.utf8("text", text)
        flags = (TokenizeFlags.BOS if bos else 0) | (TokenizeFlags.SPECIAL if special else 0)
        tokens = _fill(
            ctypes.c_int32,
            len(encoded) + 8,
            library().sot_tokenize,
            owned.cell,
            encoded,
            len(encoded),
            flags,
        )
        return list(tokens)

    def detokenize(
        self, tokens: Sequence[int], *, special: bool = False, errors: str = "replace"
    ) -> str:
        """Tokens to text, as SentencePiece does; control pieces are left out unless special.
        errors: what is done where tokens end within a character, as in bytes.decode.

        Raises ArgumentError (a token out of range), UnsupportedError, OutOfMemoryError."""
        owned = self._handle()
        array, count = _pack.numbers("tokens", tokens, ctypes.c_int32)
        text = _fill(
            ctypes.c_char,
            16 * count + 16,
            library().sot_detokenize,
            owned.cell,
            array,
            count,
            TokenizeFlags.SPECIAL if special else 0,
        )
        return bytes(text).decode("utf-8", errors)

    def close(self) -> None:
        """Gives the model up; sessions on it go on."""
        self._owned = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<sot.Model {} on {}{}>".format(
            self.info.name or "without a name",
            self.info.device,
            "" if self._owned else ", closed",
        )

    def _handle(self) -> Owned:
        return alive(self._owned, "model", after_fork=self.info.device == "cpu")


def _fill(kind: Any, capacity: int, function: Any, *arguments: Any) -> Any:
    """An array that the library fills: of so many items at first, then of as many as needed."""
    needed = ctypes.c_size_t(capacity)
    while True:
        buffer = (kind * needed.value)()
        capacity = needed.value
        status = function(*arguments, buffer, capacity, ctypes.byref(needed))
        if status != Status.ERR_CAPACITY or needed.value <= capacity:
            check(status)
            return buffer[: needed.value]
