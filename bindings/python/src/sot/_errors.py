"""Failures: one exception class for each status of the library, and the way from one to the other.

Each is a SotError and, where Python has a word for it, that built-in exception too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Type, Union

from ._constants import Status

if TYPE_CHECKING:
    from ._answer import Answer
    from ._points import Points


class LibraryError(ImportError):
    """libsot could not be found or loaded, or is not of a version that this package knows."""


class SotError(Exception):
    """A call into libsot failed. str() is the library's sentence: what was wrong, and where."""

    status: Status = Status.ERR_INTERNAL
    """The status that the library returned."""

    partial: "Optional[Union[Answer, Points]]"
    """What there was when the call ended: of a CancelledError and a ContextFullError."""

    def __init__(
        self, message: str = "", partial: "Optional[Union[Answer, Points]]" = None
    ) -> None:
        super().__init__(message)
        self.partial = partial


class ArgumentError(SotError, ValueError):
    """An argument breaks a rule that the function states."""

    status = Status.ERR_ARGUMENT


class ForkError(ArgumentError, RuntimeError):
    """A session, or an object on a GPU, of the parent was used in a child that fork() made."""


class ClosedError(ArgumentError):
    """An object was used after its close()."""


class OutOfMemoryError(SotError, MemoryError):
    """Memory could not be had."""

    status = Status.ERR_MEMORY


class FileError(SotError, OSError):
    """A file could not be opened, mapped, read or written. str() names it and has the system's
    reason; errno, strerror and filename are None, since the library gives the sentence alone."""

    status = Status.ERR_IO


class FormatError(SotError, ValueError):
    """A file is damaged or breaks its format."""

    status = Status.ERR_FORMAT


class UnsupportedError(SotError, NotImplementedError):
    """Well-formed, but this library does not do it."""

    status = Status.ERR_UNSUPPORTED


class CapacityError(SotError, BufferError):
    """A buffer is too small."""

    status = Status.ERR_CAPACITY


class ContextFullError(SotError, RuntimeError):
    """The context or the page pool is full; partial has what was generated."""

    status = Status.ERR_CONTEXT_FULL


class CancelledError(SotError):
    """Session.cancel() was called, or a callback asked to stop; partial has what was generated."""

    status = Status.ERR_CANCELLED


class DeviceError(SotError, RuntimeError):
    """There is no such device, or it failed."""

    status = Status.ERR_DEVICE


class ThreadError(SotError, RuntimeError):
    """A thread could not be started."""

    status = Status.ERR_THREAD


class RangeError(SotError, OverflowError):
    """A number cannot be held in the type that it must go into."""

    status = Status.ERR_RANGE


class BusyError(SotError, RuntimeError):
    """The session, or the chat, is in use by another call."""

    status = Status.ERR_BUSY


class InternalError(SotError, RuntimeError):
    """A promise inside the library was broken: please report it."""

    status = Status.ERR_INTERNAL


BY_STATUS: Dict[int, Type[SotError]] = {
    int(cls.status): cls
    for cls in (
        ArgumentError,
        OutOfMemoryError,
        FileError,
        FormatError,
        UnsupportedError,
        CapacityError,
        ContextFullError,
        CancelledError,
        DeviceError,
        ThreadError,
        RangeError,
        BusyError,
        InternalError,
    )
}


def error_of(
    status: int, message: str, partial: "Optional[Union[Answer, Points]]" = None
) -> SotError:
    """The exception for a status other than OK; a newer library's unknown one is a SotError."""
    cls = BY_STATUS.get(status)
    if cls is None:
        return SotError("{} (status {})".format(message, status), partial)
    return cls(message, partial)
