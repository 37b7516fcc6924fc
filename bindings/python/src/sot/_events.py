"""What happens while an answer is made: one class for each type of event.

An event is a copy and stays valid. Texts never end within a character.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Union

from ._constants import EventType, Finish, Stage
from ._records import Decision, record


@dataclass(frozen=True)
class StageEvent:
    """A stage begins."""

    stage: Stage


@dataclass(frozen=True)
class TextEvent:
    """The normal answer, or the skeleton, grew by text."""

    stage: Stage
    text: str


@dataclass(frozen=True)
class PointEvent:
    """The skeleton was parsed: one event per point, in skeleton order."""

    i_point: int
    index: str
    """The point's number as it was written, "3"."""
    text: str


@dataclass(frozen=True)
class ExpansionEvent:
    """The expansion of point i_point (from 0) grew by text."""

    i_point: int
    text: str


@dataclass(frozen=True)
class PointEndEvent:
    """The expansion of point i_point (from 0) ended; once per point."""

    i_point: int
    finish: Finish


@dataclass(frozen=True)
class PrefillEvent:
    """n_done of the stage's n_total prompt tokens are computed."""

    stage: Stage
    n_done: int
    n_total: int


@dataclass(frozen=True)
class DecisionEvent:
    """The router has decided."""

    decision: Decision


@dataclass(frozen=True)
class DroppedEvent:
    """A conversation is too long: its oldest n_done of n_total rounds are no longer sent."""

    n_done: int
    n_total: int


Event = Union[
    StageEvent,
    TextEvent,
    PointEvent,
    ExpansionEvent,
    PointEndEvent,
    PrefillEvent,
    DecisionEvent,
    DroppedEvent,
]


def _text(event: Any) -> str:
    return ctypes.string_at(event.text, event.text_size).decode("utf-8", "replace")


def event_of(event: Any) -> Union[Event, None]:
    """A copy of the library's event; None for one of a type that only a newer library knows."""
    kind = event.type
    if kind == EventType.EXPANSION:
        return ExpansionEvent(event.i_point, _text(event))
    if kind == EventType.TEXT:
        return TextEvent(Stage(event.stage), _text(event))
    if kind == EventType.POINT_END:
        return PointEndEvent(event.i_point, Finish(event.finish))
    if kind == EventType.PREFILL:
        return PrefillEvent(Stage(event.stage), event.n_done, event.n_total)
    if kind == EventType.STAGE:
        return StageEvent(Stage(event.stage))
    if kind == EventType.POINT:
        index = (event.index or b"").decode("utf-8", "replace")
        return PointEvent(event.i_point, index, _text(event))
    if kind == EventType.DECISION:
        return DecisionEvent(record(Decision, event.decision.contents))
    if kind == EventType.DROPPED:
        return DroppedEvent(event.n_done, event.n_total)
    return None
