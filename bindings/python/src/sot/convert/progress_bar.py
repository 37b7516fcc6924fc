"""The bar that the command draws on a terminal: step, share, bytes, time left."""

from __future__ import annotations

import os
import shutil
import time
from typing import TextIO

_PAUSE_S = 0.1
_BAR_LETTERS = 24
_ETA_AFTER_S = 2.0  # of work, before which a rate says little


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bar_line(label: str, done: int, total: int, seconds: float) -> str:
    """One line of the bar after seconds of work."""
    share = done / total if total else 1.0
    filled = min(_BAR_LETTERS, int(share * _BAR_LETTERS))
    line = (f"{label:<18} [{'#' * filled}{'.' * (_BAR_LETTERS - filled)}] {share:4.0%}  "
            f"{done / 1e9:.2f} of {total / 1e9:.2f} GB")
    if seconds >= _ETA_AFTER_S and 0 < done < total:
        line += f"  {_clock(seconds * (total - done) / done)} left"
    return line


class ProgressBar:
    """A progress callback of convert; draws nothing where the stream is no terminal."""

    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self._stream = stream
        terminal = os.environ.get("TERM", "")
        self._draws = not quiet and stream.isatty() and terminal not in ("", "dumb")
        self._began = self._drawn = time.monotonic()
        self._label = ""

    def __call__(self, label: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_due = now - self._drawn >= _PAUSE_S or label != self._label or done >= total
        if not self._draws or not is_due:
            return
        self._drawn, self._label = now, label
        columns = shutil.get_terminal_size().columns
        line = bar_line(label, done, total, now - self._began)
        self._stream.write("\r\x1b[K" + line[:columns - 1])
        self._stream.flush()

    def clear(self) -> None:
        """Takes the bar away, so that a line of text can follow."""
        if self._draws and self._label:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._label = ""
