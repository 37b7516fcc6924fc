"""Router: a trained classifier of questions (paper, App. C.2)."""

from __future__ import annotations

import ctypes
from typing import NamedTuple, Optional, Union

from . import _layout, _pack
from ._constants import Label
from ._library import check, library
from ._owned import Owned, alive


class Classification(NamedTuple):
    """What a Router says of a question."""

    score: float
    """From 0 to 1, how well Skeleton-of-Thought suits the question."""
    label: Label
    """Label.SOT where the score reaches the threshold that the router's file states."""


class Router:
    """A trained router; immutable, for all threads and sessions. Made by Router.load."""

    def __init__(self, owned: Owned) -> None:
        self._owned: Optional[Owned] = owned

    @classmethod
    def load(cls, path: Optional[_pack.Path] = None) -> Router:
        """Loads a router from a file of at most 512 KiB; None: the one that the library was
        installed with, which a wheel does not have.

        Raises FileError, FormatError, UnsupportedError, OutOfMemoryError."""
        lib = library()
        owned = Owned(_layout.router_p, lib.sot_router_free)
        encoded = None if path is None else _pack.path("path", path)
        check(lib.sot_router_load(encoded, owned.out()))
        return cls(owned)

    def classify(self, question: Union[str, bytes]) -> Classification:
        """Classifies a question, of which the first 16,384 bytes are read; well under 1 ms.

        Raises ArgumentError (a lone surrogate)."""
        text = _pack.utf8_or_bytes("question", question)
        score, label = ctypes.c_float(), ctypes.c_uint32()
        owned = self._handle()
        check(
            library().sot_router_classify(
                owned.cell, text, len(text), ctypes.byref(score), ctypes.byref(label)
            )
        )
        return Classification(score.value, Label(label.value))

    def close(self) -> None:
        """Gives the router up; a call that routes by it goes on."""
        self._owned = None

    def __enter__(self) -> Router:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self) -> Owned:
        return alive(self._owned, "router")
