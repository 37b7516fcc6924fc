"""One question under way on a session: the call, its callbacks, and the result made of it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar

from . import _layout
from ._call import Call, Mailbox
from ._constants import Status
from ._events import event_of
from ._options import Options, Packed, decide
from ._owned import Owned
from ._turn import Turn

if TYPE_CHECKING:
    from ._session import Session

T = TypeVar("T")

Invoke = Callable[[Any, Any, Any], int]
"""(session, params, out) to a status: the library's function with its other arguments."""


class _RouteQuestion:
    def __init__(self, text: str) -> None:
        self.text = text


class Asking(Generic[T]):
    """A call that has not begun. out receives the library's object; make copies it."""

    def __init__(
        self,
        session: Session,
        options: Options,
        invoke: Invoke,
        make: Callable[[], T],
        out: Optional[Owned] = None,
        *,
        streaming: bool = False,
    ) -> None:
        packed = Packed(options)
        if streaming and packed.on_event is not None:
            raise TypeError("on_event: a stream has the events itself")
        mail = Mailbox()
        if streaming or packed.on_event is not None:
            packed.struct.on_event = _event_callback(mail, streaming)
        if packed.on_route is not None:
            packed.struct.on_route = _route_callback(mail)
        turn = session._begin()
        self._make = make
        self._out = out
        self.call = Call(_function(turn, packed, invoke, out), mail, _handler(packed), turn)

    def run(self) -> T:
        """Runs the call to its end and returns what came of it."""
        self.call.wait()
        return self.result()

    def result(self) -> T:
        """What came of a call that has ended. Raises what a callback raised and the exception of
        a status, with the partial result where there is one."""
        self.call.raise_failure()
        status = self.call.status
        if status == 0:
            return self._make()
        if status in (Status.ERR_CANCELLED, Status.ERR_CONTEXT_FULL) and self._out:
            raise self.call.error(self._make())
        raise self.call.error()


def _function(
    turn: Turn, packed: Packed, invoke: Invoke, out: Optional[Owned]
) -> Callable[[], int]:
    """What the worker runs; it keeps session and parameters alive."""

    def function() -> int:
        return invoke(turn.cell, ctypes.byref(packed.struct), None if out is None else out.out())

    return function


def _event_callback(mail: Mailbox, streaming: bool) -> Any:
    def report(event: Any, _user: object) -> int:
        copy = event_of(event.contents)
        if copy is None:
            return 0
        if streaming:
            mail.post(copy)
            return 0
        return 1 if mail.ask(copy) else 0

    return _layout.sot_event_fn(mail.guard(report))


def _route_callback(mail: Mailbox) -> Any:
    def route(question: bytes, decision: Any, _user: object) -> int:
        decide(mail.ask(_RouteQuestion(question.decode("utf-8", "replace"))), decision.contents)
        return 0

    return _layout.sot_route_fn(mail.guard(route))


def _handler(packed: Packed) -> Callable[[Any], Any]:
    on_event, on_route = packed.on_event, packed.on_route

    def handle(item: Any) -> Any:
        function: Any = on_route if isinstance(item, _RouteQuestion) else on_event
        return function(item.text if isinstance(item, _RouteQuestion) else item)

    return handle
