"""One object of the library's and who frees it: whoever lets go of it last.

Python's own reference counts decide. A running call holds a reference to the Owned, of which cell
alone would be none, so closing or collecting an object while it is in use frees it when that call
has ended; no lock is needed, on any thread and in any order. What was made before a fork belongs
to the parent: a child never frees it, since the threads that freeing a session would join are not
there.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, Optional

from ._errors import ClosedError, ForkError


class Owned:
    """cell is where the library writes the pointer, NULL before and after its life."""

    __slots__ = ("cell", "pid", "_free", "__weakref__")

    def __init__(self, pointer_type: Any, free: Callable[[Any], Any]) -> None:
        self.cell = pointer_type()
        self.pid = os.getpid()
        self._free = free

    def out(self) -> Any:
        """The argument for a parameter that the library fills."""
        return ctypes.byref(self.cell)

    def __bool__(self) -> bool:
        return bool(self.cell)

    def __reduce__(self) -> str:
        raise TypeError(
            "an object of libsot's can neither be pickled nor copied: share it, or make another one"
        )

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        cell = getattr(self, "cell", None)  # none where a signal came to the constructor
        if cell and self.pid == getpid():
            self._free(cell)


def alive(owned: Optional[Owned], what: str, after_fork: bool = True) -> Owned:
    """owned, unless it was closed or, where after_fork is false, belongs to the parent process."""
    if owned is None:
        raise ClosedError("the {} was closed".format(what))
    if not after_fork and owned.pid != os.getpid():
        raise ForkError(
            "the {} was made in process {}, which forked this one, {}: threads and devices do not "
            "survive a fork, so make a new one here".format(what, owned.pid, os.getpid())
        )
    return owned
