"""Python values as C takes them, checked: ctypes itself would cut a number off without a word.

Each function names the parameter in what it raises: TypeError, or ArgumentError (a ValueError).
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Iterable, Tuple, Union

from ._errors import ArgumentError

Path = Union[str, "os.PathLike[str]"]


def text(name: str, value: str) -> bytes:
    """UTF-8 for a NUL-terminated string."""
    if not isinstance(value, str):
        raise TypeError("{}: a str is expected, not {}".format(name, type(value).__name__))
    try:
        encoded = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError("{}: {}".format(name, error)) from None
    if b"\0" in encoded:
        raise ArgumentError("{}: a NUL character cannot be passed to the library".format(name))
    return encoded


def path(name: str, value: Path) -> bytes:
    """A path in the file system's encoding."""
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ArgumentError("{}: a NUL character cannot be part of a path".format(name))
    return encoded


def number(name: str, value: int, bits: int = 32, signed: bool = False) -> int:
    """An integer of so many bits."""
    if not isinstance(value, int):
        try:
            value = value.__index__()
        except AttributeError:
            raise TypeError(
                "{}: an integer is expected, not {}".format(name, type(value).__name__)
            ) from None
    low = -(1 << (bits - 1)) if signed else 0
    high = (1 << (bits - 1 if signed else bits)) - 1
    if not low <= value <= high:
        raise ArgumentError("{} is {}; from {} to {} is possible".format(name, value, low, high))
    return value


def set_numbers(struct: Any, **values: int) -> None:
    """Sets fields of 32 bits."""
    for name, value in values.items():
        setattr(struct, name, number(name, value))


def real(name: str, value: float) -> float:
    """A float; the library checks its range."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            "{}: a number is expected, not {}".format(name, type(value).__name__)
        ) from None
    except OverflowError as error:
        raise ArgumentError("{}: {}".format(name, error)) from None


def numbers(name: str, values: Iterable[int], kind: Any) -> Tuple[Any, int]:
    """An array of c_int32 or c_uint32, and its length."""
    signed = kind is ctypes.c_int32
    items = [number(name, value, 32, signed) for value in values]
    return (kind * len(items))(*items), len(items)


def strings(name: str, values: Iterable[str]) -> Tuple[Any, int]:
    """An array of strings, and its length."""
    if isinstance(values, str):
        raise TypeError("{}: a sequence of str is expected, not one str".format(name))
    items = [text(name, value) for value in values]
    return (ctypes.c_char_p * len(items))(*items), len(items)
