"""What mypy --strict must accept of a user's program, and what it must reject: an ignored error
that is none is an error. Checked by `sh tests/check.sh python`, never run."""

from __future__ import annotations

from typing import List, Optional, Tuple

import sot


def ask(session: sot.Session, chat: sot.Chat) -> Tuple[str, Optional[sot.Points]]:
    answer = session.generate("Why?", mode="sot", temperature=0.5, history=[("a", "b")])
    options: sot.Options = {"max_points": 3, "router": lambda question: len(question) > 3}
    chat.generate(session, "How?", **options)
    session.expand("Why?", answer.points or sot.Points.parse("1. a"), on_event=print)
    return answer.text, answer.points


def refused(session: sot.Session) -> None:
    session.generate("Why?", max_point=3)  # type: ignore[call-arg]
    session.generate("Why?", max_points="3")  # type: ignore[arg-type]
    session.generate(b"Why?")  # type: ignore[arg-type]
    session.expand("Why?", ["a point"])  # type: ignore[arg-type]


def read(session: sot.Session) -> List[str]:
    texts: List[str] = []
    for event in session.stream("Why?"):
        if isinstance(event, sot.ExpansionEvent):
            texts.append(event.text)
        elif isinstance(event, sot.PointEndEvent):
            finish: sot.Finish = event.finish
            print(finish, event.text)  # type: ignore[attr-defined]
    return texts


async def read_later(session: sot.Session) -> int:
    async with session.stream("Why?") as stream:
        async for event in stream:
            print(event)
    return stream.answer.stats.total_ns if stream.answer else 0


def first_logit(session: sot.Session) -> float:
    view = session.logits([1, 2])
    return view[0]


def partial(error: sot.SotError) -> Optional[str]:
    return error.partial.text if isinstance(error.partial, sot.Answer) else None
