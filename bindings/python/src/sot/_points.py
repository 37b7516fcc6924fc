"""Points: a parsed skeleton."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Sequence, Tuple, Union, overload

from . import _layout, _pack
from ._library import check, library
from ._owned import Owned


@dataclass(frozen=True)
class Point:
    """One point of a skeleton."""

    index: str
    """Its number as it was written, "3"."""
    text: str


def sized_text(pointer: Any, size: int) -> str:
    """A copy of a string of the library's that goes with a size; bytes that are not UTF-8 are
    U+FFFD."""
    return ctypes.string_at(pointer, size).decode("utf-8", "replace") if size else ""


class Points(Sequence[Point]):
    """A parsed skeleton: an immutable sequence of Point.

    Made by Points.parse, Session.skeleton, and with an Answer."""

    source: str
    """The skeleton response, whole."""
    dropped: int
    """Points over the cap."""

    def __init__(self, owner: Owned, pointer: Any) -> None:
        lib = library()
        self._owner = owner  # of the points, or of the answer that they are part of
        self._pointer = pointer
        self.source = sized_text(
            lib.sot_points_source(pointer), lib.sot_points_source_size(pointer)
        )
        self.dropped = int(lib.sot_points_dropped(pointer))
        self._points: Tuple[Point, ...] = tuple(
            Point(
                lib.sot_points_index(pointer, i).decode("utf-8", "replace"),
                sized_text(lib.sot_points_text(pointer, i), lib.sot_points_text_size(pointer, i)),
            )
            for i in range(lib.sot_points_count(pointer))
        )

    @classmethod
    def parse(cls, text: Union[str, bytes], max_points: int = 0) -> Points:
        """Parses a skeleton response (paper, App. B.1): the first point of each index text, in
        order of appearance, at most max_points (0: 64). No points is success. Any text and any
        bytes will do: what is not UTF-8 is read as U+FFFD.

        Raises OutOfMemoryError, and ArgumentError for a max_points that is no number of 32 bits."""
        if isinstance(text, str):
            encoded = text.encode("utf-8", "surrogatepass")
        else:
            encoded = _pack.utf8_or_bytes("text", text)
        lib = library()
        owned = Owned(_layout.points_p, lib.sot_points_free)
        limit = _pack.number("max_points", max_points)
        check(lib.sot_points_parse(encoded, len(encoded), limit, owned.out()))
        return cls(owned, owned.cell)

    @overload
    def __getitem__(self, i: int) -> Point: ...

    @overload
    def __getitem__(self, i: slice) -> Tuple[Point, ...]: ...

    def __getitem__(self, i: Union[int, slice]) -> Union[Point, Tuple[Point, ...]]:
        return self._points[i]

    def __len__(self) -> int:
        return len(self._points)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Points):
            return NotImplemented
        return (self.source, self._points) == (other.source, other._points)

    def __hash__(self) -> int:
        return hash((self.source, self._points))

    def __repr__(self) -> str:
        return "<sot.Points {!r}>".format(list(self._points))

    def __reduce__(self) -> Tuple[Any, Tuple[str, int]]:
        return Points.parse, (self.source, len(self._points))
