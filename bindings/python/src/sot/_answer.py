"""Answer: what was generated, with statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from . import _layout
from ._constants import Finish, RouterKind
from ._library import check, library
from ._owned import Owned
from ._points import Points, sized_text
from ._records import Decision, Stats, record, sized


@dataclass(frozen=True)
class Expansion:
    """What one point was expanded to."""

    text: str
    """As generated, not trimmed."""
    finish: Finish
    n_tokens: int
    """All tokens that were picked for it, the one that stopped it included."""


@dataclass(frozen=True)
class Answer:
    """What was generated; a copy, which needs neither session nor model. str() is its text."""

    text: str
    """Of Skeleton-of-Thought: "{index}. {point} {expansion}" per point, a line each."""
    points: Optional[Points]
    """The skeleton; None for a normal answer."""
    expansions: Tuple[Expansion, ...]
    """One for each point; none for a normal answer, and for a skeleton without points."""
    finish: Finish
    """Why the text ended, or the first of CANCELLED, CONTEXT, LENGTH, STOP that holds for any
    part of it."""
    stats: Stats
    decision: Optional[Decision]
    """The router's; None where none was asked."""

    def __str__(self) -> str:
        return self.text


def answer_of(owned: Owned) -> Answer:
    """A copy of the library's answer; only its points keep the library's alive."""
    lib = library()
    cell = owned.cell
    stats, decision = sized(_layout.sot_stats), sized(_layout.sot_decision)
    check(lib.sot_answer_get_stats(cell, stats))
    check(lib.sot_answer_get_decision(cell, decision))
    points = lib.sot_answer_points(cell)
    return Answer(
        text=sized_text(lib.sot_answer_text(cell), lib.sot_answer_text_size(cell)),
        points=Points(owned, points) if points else None,
        expansions=tuple(
            Expansion(
                sized_text(lib.sot_answer_point(cell, i), lib.sot_answer_point_size(cell, i)),
                Finish(lib.sot_answer_point_finish(cell, i)),
                lib.sot_answer_point_tokens(cell, i),
            )
            for i in range(lib.sot_answer_point_count(cell))
        ),
        finish=Finish(lib.sot_answer_finish(cell)),
        stats=record(Stats, stats),
        decision=None
        if decision.router == RouterKind.DEFAULT
        else record(Decision, decision),
    )
