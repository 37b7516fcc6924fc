"""Python values as C takes them, checked: ctypes itself would cut a number off without a word.

Each function names the parameter in what it raises: TypeError, or ArgumentError (a ValueError).
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Iterable, List, Sequence, Tuple, Type, TypeVar, Union

from ._errors import ArgumentError

Path = Union[str, "os.PathLike[str]"]
T = TypeVar("T")


def expect(name: str, value: T, cls: Type[T]) -> T:
    """value, which must be of the class cls."""
    if not isinstance(value, cls):
        raise TypeError(
            "{}: a {} is expected, not {}".format(name, cls.__name__, type(value).__name__)
        )
    return value


def utf8(name: str, value: str) -> bytes:
    """UTF-8 for a text that goes with its size and may hold NULs."""
    try:
        return expect(name, value, str).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError("{}: {}".format(name, error)) from None


def utf8_or_bytes(name: str, value: Union[str, bytes]) -> bytes:
    """The same, or bytes as they are."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return utf8(name, value)


def text(name: str, value: str) -> bytes:
    """UTF-8 for a NUL-terminated string."""
    encoded = utf8(name, value)
    if b"\0" in encoded:
        raise ArgumentError("{}: a NUL character cannot be passed to the library".format(name))
    return encoded


def path(name: str, value: Path) -> bytes:
    """A path in the file system's encoding."""
    try:
        encoded = os.fsencode(value)
    except TypeError as error:
        raise TypeError("{}: {}".format(name, error)) from None
    except UnicodeEncodeError as error:
        raise ArgumentError("{}: {}".format(name, error)) from None
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
    if hasattr(value, "__float__") or hasattr(value, "__index__"):  # float() reads texts, too
        try:
            return float(value)
        except OverflowError as error:
            raise ArgumentError("{}: {}".format(name, error)) from None
        except TypeError:
            pass
    raise TypeError("{}: a number is expected, not {}".format(name, type(value).__name__))


def items(name: str, values: Iterable[T]) -> List[T]:
    """What values holds."""
    try:
        iterator = iter(values)
    except TypeError:
        raise TypeError(
            "{}: a sequence is expected, not {}".format(name, type(values).__name__)
        ) from None
    return list(iterator)


def numbers(name: str, values: Iterable[int], kind: Any) -> Tuple[Any, int]:
    """An array of c_int32 or c_uint32, and its length."""
    signed = kind is ctypes.c_int32
    found = [number(name, value, 32, signed) for value in items(name, values)]
    return (kind * len(found))(*found), len(found)


def texts(name: str, values: Iterable[str]) -> List[bytes]:
    """UTF-8 for NUL-terminated strings."""
    if isinstance(values, str):
        raise TypeError("{}: a sequence of str is expected, not one str".format(name))
    return [text("{}[{}]".format(name, i), one) for i, one in enumerate(items(name, values))]


def strings(encoded: Sequence[bytes]) -> Tuple[Any, int]:
    """An array of strings, and its length."""
    return (ctypes.c_char_p * len(encoded))(*encoded), len(encoded)
