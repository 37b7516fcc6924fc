"""Finds and loads libsot, once, when it is first needed, and checks its version.

In this order: the file that the environment variable SOT_LIBRARY names, the one inside this
package, the system's. `import sot` itself loads nothing, so that sot.convert works without it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Optional

from ._constants import VERSION
from ._errors import LibraryError, error_of
from ._layout import FUNCTIONS

SONAME = "libsot.so.{}".format(VERSION[0])
_VERSION_NUMBER = VERSION[0] * 1000000 + VERSION[1] * 1000 + VERSION[2]

_loaded: Optional[ctypes.CDLL] = None
_lock = threading.Lock()


def _candidate() -> str:
    named = os.environ.get("SOT_LIBRARY")
    if named:
        return named
    packed = os.path.join(os.path.dirname(os.path.abspath(__file__)), SONAME)
    return packed if os.path.exists(packed) else SONAME


def _check_version(lib: ctypes.CDLL, path: str) -> None:
    try:
        number = lib.sot_version_number
        number.restype = ctypes.c_uint32
        found = int(number())
    except AttributeError:
        raise LibraryError("{} is not libsot: it has no sot_version_number".format(path)) from None
    wanted = ".".join(map(str, VERSION))
    name = "{}.{}.{}".format(found // 1000000, found // 1000 % 1000, found % 1000)
    if found // 1000000 != VERSION[0]:
        raise LibraryError(
            "{} is libsot {}; this package was made for {} and other versions {}.x".format(
                path, name, wanted, VERSION[0]
            )
        )
    if found < _VERSION_NUMBER:
        raise LibraryError(
            "{} is libsot {}; this package needs {} or newer".format(path, name, wanted)
        )


def _load() -> ctypes.CDLL:
    path = _candidate()
    try:
        lib = ctypes.CDLL(path)
    except OSError as error:
        where = "SOT_LIBRARY" if os.environ.get("SOT_LIBRARY") else "the package or the system"
        raise LibraryError("libsot, looked for in {}: {}".format(where, error)) from error
    _check_version(lib, path)
    for name, (result, arguments) in FUNCTIONS.items():
        try:
            function = getattr(lib, name)
        except AttributeError:
            raise LibraryError("{} lacks {}".format(path, name)) from None
        function.restype = result
        function.argtypes = arguments
    return lib


def library() -> ctypes.CDLL:
    """libsot with its functions' types declared. Raises LibraryError."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load()
    return _loaded


def version() -> str:
    """The version of the library in use, "0.1.0". Raises LibraryError."""
    return str(library().sot_version_string().decode())


def last_message() -> str:
    """This thread's last failure in one sentence."""
    return str(library().sot_error_message().decode("utf-8", "replace"))


def check(status: int) -> None:
    """Raises the exception of a status other than OK; for calls made on this very thread."""
    if status != 0:
        raise error_of(status, last_message())
